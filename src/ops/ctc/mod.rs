//! CTC greedy decoding: class scores per step → kept classes and a mean score.

pub mod cpu;
pub mod cuda;
pub mod head;
mod simd;

/// The class that stands for no character.
pub const BLANK: u32 = 0;

/// What the network puts out per class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScoreKind {
    /// After the softmax: they are averaged as they are.
    Probabilities,
    /// Before the softmax: the largest is the same, and its probability is computed at the kept steps only,
    /// within 1e-6 of the softmax over all.
    Logits,
}

/// One decoded sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// Class of every kept step, in order; never [`BLANK`].
    pub classes: Vec<u32>,
    /// Mean probability of the kept steps in f32; 0 when nothing is kept.
    pub score: f32,
}

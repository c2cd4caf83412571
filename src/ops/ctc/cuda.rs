//! The CUDA form, `kernels/ctc.cu`: classes are equal to those of [`super::cpu`]; scores agree within
//! [`SCORE_TOLERANCE`], as sums run in another order.

use super::{Decoded, ScoreKind};
use crate::device::{DeviceSlice, DeviceSliceMut, Kernel, Launch, Queue};
use crate::error::{Error, Result};
use bytemuck::{Pod, Zeroable};

/// Largest difference of a score to that of the CPU form.
pub const SCORE_TOLERANCE: f32 = 1e-6;

const THREADS: u32 = 256;

/// The sequences of a batch: `[sequences, steps, classes]` scores.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Lines of text.
    pub sequences: usize,
    /// Steps of each.
    pub steps: usize,
    /// Scores of each step.
    pub classes: usize,
}

impl Batch {
    /// Values of the output of one sequence: how many classes are kept, the bits of the score, and room for a class per step.
    pub const fn row(&self) -> usize {
        2 + self.steps
    }
}

/// Device memory between the launches, a value of each per step of each sequence.
#[derive(Debug)]
pub struct Scratch<'a> {
    /// Best class.
    pub best: DeviceSliceMut<'a, u32>,
    /// Its score, of logits its probability.
    pub value: DeviceSliceMut<'a, f32>,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Args {
    scores: u64,
    best: u64,
    value: u64,
    out: u64,
    sequences: u32,
    steps: u32,
    classes: u32,
    logits: u32,
}

const _: () = assert!(size_of::<Args>() == 48);

/// Decodes all sequences of `batch` into `out`, `batch.row()` values each, which [`read`] understands.
///
/// # Errors
/// [`Error::Internal`] when a length does not fit the batch; those of the queue.
pub fn decode(
    queue: &dyn Queue,
    scores: DeviceSlice<f32>,
    batch: Batch,
    kind: ScoreKind,
    scratch: &mut Scratch,
    out: &mut DeviceSliceMut<u32>,
) -> Result<()> {
    let Batch { sequences, steps, classes } = batch;
    let rows = sequences * steps;
    let fits = scores.len() == rows * classes
        && scratch.best.len() >= rows
        && scratch.value.len() >= rows
        && out.len() == sequences * batch.row()
        && i32::try_from(rows).is_ok()
        && i32::try_from(classes).is_ok();
    if !fits {
        return Err(Error::internal(
            "text recognition",
            format!("{} scores and {} values of output for {batch:?}", scores.len(), out.len()),
        ));
    }
    if sequences == 0 {
        return Ok(());
    }
    let args = Args {
        scores: scores.address(),
        best: scratch.best.address(),
        value: scratch.value.address(),
        out: out.address(),
        sequences: sequences as u32,
        steps: steps as u32,
        classes: classes as u32,
        logits: u32::from(kind == ScoreKind::Logits),
    };
    let launch = |kernel, blocks: usize| {
        let launch = Launch { kernel, grid: [blocks as u32, 1, 1], threads: THREADS, shared_bytes: 0, args: bytemuck::bytes_of(&args) };
        // SAFETY: `Args` is the kernel's structure, checked for size on both sides, and all lengths were checked above.
        unsafe { queue.launch(launch) }
    };
    if rows > 0 {
        launch(Kernel::CtcBest, rows)?;
    }
    launch(Kernel::CtcCollapse, sequences)
}

/// What [`decode`] wrote, once it is in host memory.
///
/// # Errors
/// [`Error::Internal`] when it is no output of `batch`.
pub fn read(out: &[u32], batch: Batch) -> Result<Vec<Decoded>> {
    let broken = || Error::internal("text recognition", format!("{} values of output for {batch:?}", out.len()));
    if out.len() != batch.sequences * batch.row() {
        return Err(broken());
    }
    let decoded = |row: &[u32]| match row {
        [count, score, classes @ ..] => {
            Ok(Decoded { classes: classes.get(..*count as usize).ok_or_else(broken)?.to_vec(), score: f32::from_bits(*score) })
        }
        _ => Err(broken()),
    };
    out.chunks_exact(batch.row()).map(decoded).collect()
}

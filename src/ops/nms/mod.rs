//! Non-maximum suppression: candidate boxes with a score per class → the boxes that stay.
//!
//! [`cpu::multiclass`] is Paddle's operator `multiclass_nms3` (3.3.1; `normalized`, no adaptive threshold, no background
//! class), which detectors of the YOLO and PicoDet families end with: classes, anchors and order of the rows are equal.
//! [`cpu::class_agnostic`] lets boxes of different classes suppress each other; `paddle.vision.ops.nms` on the best
//! class of each box. Overlap is intersection over union without the pixel of integer boxes; a box whose right or
//! bottom side lies before its left or top one has area 0. All arithmetic is f32 in the reference's order.

pub mod cpu;
pub mod cuda;

/// Candidates of one picture as a detector's head returns them.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'a> {
    /// Left, top, right, bottom of every anchor, in pixels.
    pub boxes: &'a [[f32; 4]],
    /// `[classes, anchors]` scores, row-major.
    pub scores: &'a [f32],
}

/// Thresholds and limits of the suppression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NmsParams {
    /// Candidates need a score above this.
    pub score_threshold: f32,
    /// A box goes when it overlaps a better one that stays by more than this.
    pub nms_threshold: f32,
    /// Candidates looked at, the best first: per class, or in all when classes do not count. `usize::MAX` for all.
    pub nms_top_k: usize,
    /// Rows returned per picture, the best first. `usize::MAX` for all.
    pub keep_top_k: usize,
}

/// A box that stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// Row of the scores it was found in.
    pub class: u32,
    /// Its index among the candidates.
    pub anchor: u32,
    /// Its score for the class.
    pub score: f32,
    /// Left, top, right, bottom, as given.
    pub rect: [f32; 4],
}

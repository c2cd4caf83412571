//! Resize + normalise + HWC→CHW over a table of unlike pictures into one NCHW tensor.
//!
//! Each item of the table is resized on 8-bit samples with OpenCV's rules (half-pixel centres; linear is
//! 11-bit fixed point and bit-exact, cubic is the floating-point filter within one level), rounded to u8,
//! then normalised in f32 and written to the top-left corner of its canvas in NCHW order. The rest of the
//! canvas is filled with `pad`.
//! Reference: OpenCV 4.5.5 and 4.10 `resize`, PaddleX 3.0-beta1 normalisation.

pub mod cpu;
mod cubic;
mod linear;
mod ring;
mod simd;

use crate::image::{ImageView, Size};

/// Interpolation of [`cpu::resize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interpolation {
    /// OpenCV `INTER_LINEAR`, bit-exact.
    Linear,
    /// OpenCV `INTER_CUBIC` (a = -0.75), within one level.
    Cubic,
}

/// How a sample of 0..=255 is scaled first. The two differ in the last bit for 111 of the 256 values at 255.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// `u8 * factor`, as the reference's `Normalize` with `scale: 1/255` does.
    Times(f32),
    /// `u8 / divisor`, as the reference's text recognition does with 255.
    Over(f32),
}

/// Per-channel normalisation `v = (scaled(u8) - mean[c]) / std[c]`, each step rounded to f32;
/// `c` counts channels as stored (0 = blue for BGR).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalize {
    /// First step.
    pub scale: Scale,
    /// Subtracted after scaling.
    pub mean: [f32; 3],
    /// Divides last.
    pub std: [f32; 3],
}

impl Normalize {
    /// ImageNet statistics after 1/255, entry 0 for channel 0 whatever the colour order: text detection and most others.
    pub const IMAGENET: Self = Self { scale: Scale::Times(1.0 / 255.0), mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
    /// `(u8 / 255 - 0.5) / 0.5`, -1..=1: text recognition.
    pub const SYMMETRIC: Self = Self { scale: Scale::Over(255.0), mean: [0.5; 3], std: [0.5; 3] };
}

/// One picture of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Source pixels (BGR or RGB; the channel order is kept).
    pub src: ImageView<'a>,
    /// Size after the resize; at most the canvas.
    pub resized: Size,
}

/// What is the same for all pictures of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    /// Height and width of the output tensor.
    pub canvas: Size,
    /// Filter of the resize.
    pub interpolation: Interpolation,
    /// Normalisation after the resize.
    pub normalize: Normalize,
    /// Value, after normalisation, of canvas outside the picture.
    pub pad: f32,
}

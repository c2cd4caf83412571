//! Resize + normalise + HWC→CHW over a table of unlike pictures into one NCHW tensor.
//!
//! Each item of the table is resized on 8-bit samples with OpenCV's rules (half-pixel centres; linear is
//! 11-bit fixed point and bit-exact, cubic is the floating-point filter within one level), rounded to u8,
//! cut to a window, then normalised in f32 and written to the top-left corner of its canvas in NCHW order. Pixels
//! outside of the window are never computed. The rest of the canvas is filled with `pad`.
//! Reference: OpenCV 4.5.5 and 4.10 `resize`, PaddleX 3.0-beta1 normalisation.

pub mod cpu;
mod cubic;
pub mod cuda;
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
/// `c` counts the planes of the tensor (0 = blue where they are [`Planes::Bgr`]).
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
    /// `u8`, 0..=255: the samples as they are.
    pub const NONE: Self = Self { scale: Scale::Times(1.0), mean: [0.0; 3], std: [1.0; 3] };
}

/// Order of a tensor's colour planes. A source in the other order is read backwards; no pixels are copied for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Planes {
    /// Blue first: the text networks.
    Bgr,
    /// Red first: all others.
    Rgb,
}

/// A part of a resized picture, in its whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns and rows.
    pub size: Size,
}

impl Window {
    /// All of a picture of `size`.
    pub const fn whole(size: Size) -> Self {
        Self { x: 0, y: 0, size }
    }

    /// The middle of a picture of `of`: where the free part is odd, the smaller half lies left and above. `None` when
    /// `size` is larger on a side.
    pub fn middle(of: Size, size: Size) -> Option<Self> {
        let (x, y) = (of.width.checked_sub(size.width)? / 2, of.height.checked_sub(size.height)? / 2);
        Some(Self { x, y, size })
    }
}

/// One picture of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Source pixels, BGR or RGB.
    pub src: ImageView<'a>,
    /// Size after the resize.
    pub resized: Size,
    /// What is kept of it; at most the canvas.
    pub window: Window,
}

impl<'a> Item<'a> {
    /// All of `src`, resized.
    pub const fn whole(src: ImageView<'a>, resized: Size) -> Self {
        Self { src, resized, window: Window::whole(resized) }
    }
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
    /// Order of the colour planes.
    pub planes: Planes,
}

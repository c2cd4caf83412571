//! Masks of instances and classes of pixels.
//!
//! [`cpu::cut`] makes the mask of one instance from the low-resolution logits of an instance segmenter: bilinear resize to
//! the size of the picture (half-pixel centres, corners not aligned), a pixel is set where the logit is above 0, which is
//! where its sigmoid is above 0.5; only the window of the instance's box is computed. [`cpu::argmax`] gives the class of
//! every pixel, [`cpu::colour`] paints classes with [`palette`].
//! Reference: Paddle 3.3.1 `interpolate` (`bilinear`, `align_corners=False`, `align_mode=0`) and NumPy; all results are equal.

pub mod cpu;
pub mod cuda;

pub use crate::image::palette::palette;

use crate::image::Size;

/// Most classes a map of u8 holds.
pub const MAX_CLASSES: usize = crate::image::palette::CLASSES;

/// Low-resolution mask of one instance.
#[derive(Clone, Copy, Debug)]
pub struct MaskLogits<'a> {
    /// `size.height` rows of `size.width` logits.
    pub data: &'a [f32],
    /// Width and height of the logits.
    pub size: Size,
}

/// A part of a picture: columns `x0..x1` of the rows `y0..y1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First column.
    pub x0: u32,
    /// First row.
    pub y0: u32,
    /// Behind the last column.
    pub x1: u32,
    /// Behind the last row.
    pub y1: u32,
}

impl Window {
    /// The pixels of a box (left, top, right, bottom): sides rounded half to even and kept inside the picture.
    pub fn of_box(rect: [f32; 4], picture: Size) -> Self {
        let side = |v: f32, limit: u32| f64::from(v).round_ties_even().clamp(0.0, f64::from(limit)) as u32;
        let [x0, y0, x1, y1] = rect;
        let [w, h] = [picture.width, picture.height];
        Self { x0: side(x0, w), y0: side(y0, h), x1: side(x1, w), y1: side(y1, h) }
    }

    /// All of a picture.
    pub const fn whole(picture: Size) -> Self {
        Self { x0: 0, y0: 0, x1: picture.width, y1: picture.height }
    }

    /// Width and height; a side is 0 when its ends are the wrong way round.
    pub const fn size(self) -> Size {
        Size::new(self.x1.saturating_sub(self.x0), self.y1.saturating_sub(self.y0))
    }
}

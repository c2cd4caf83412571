//! NV12, the pictures of video decoders → BGR.
//!
//! BT.601 with limited range in 20-bit fixed point, the chroma of 2 x 2 pixels taken as it is for all four: equal to OpenCV
//! 5.0.0 `cvtColor` with `COLOR_YUV2BGR_NV12`. Kernels convert while they read (`kernels/surface.cuh`).

pub mod cpu;

use crate::image::Size;

/// A borrowed NV12 picture in host memory.
#[derive(Clone, Copy, Debug)]
pub struct Nv12View<'a> {
    /// Rows of luma samples, one per pixel.
    pub luma: &'a [u8],
    /// Bytes from one row of luma to the next.
    pub luma_pitch: usize,
    /// Rows of U, V pairs, one for 2 x 2 pixels; odd sides round up.
    pub chroma: &'a [u8],
    /// Bytes from one row of pairs to the next.
    pub chroma_pitch: usize,
    /// Width and height in pixels.
    pub size: Size,
}

//! Pictures in device memory: uploaded, or left there by a decoder.

use super::geometry::Size;
use super::nv12::{Factors, YuvColours};
use crate::device::DeviceSlice;
use crate::error::{Error, Result};
use bytemuck::{Pod, Zeroable};

/// How the samples of a surface are laid out; 8 bits each.
#[derive(Clone, Copy, Debug)]
pub enum SurfaceFormat<'a> {
    /// Blue, green, red, interleaved.
    Bgr,
    /// Red, green, blue, interleaved.
    Rgb,
    /// One sample per pixel; it stands for all three colours.
    Gray,
    /// Luma, and chroma of 2 x 2 pixels in a plane of its own: what video decoders write. Read as BGR.
    Nv12 {
        /// Rows of U, V pairs.
        chroma: DeviceSlice<'a, u8>,
        /// Bytes from one row of pairs to the next.
        pitch: u32,
        /// What the samples mean.
        colours: YuvColours,
    },
}

/// A picture in device memory.
#[derive(Clone, Copy, Debug)]
pub struct Surface<'a> {
    pixels: DeviceSlice<'a, u8>,
    pitch: u32,
    size: Size,
    format: SurfaceFormat<'a>,
}

impl<'a> Surface<'a> {
    /// The picture of `size` whose rows start `pitch` bytes apart in `pixels`.
    ///
    /// # Errors
    /// [`Error::Input`] for a zero side, a pitch shorter than a row, or rows beyond the end of the memory.
    pub fn new(pixels: DeviceSlice<'a, u8>, pitch: u32, size: Size, format: SurfaceFormat<'a>) -> Result<Self> {
        let Size { width, height } = size;
        let fits = |plane: DeviceSlice<'a, u8>, pitch: u32, row: u64, rows: u64| {
            rows > 0 && row > 0 && u64::from(pitch) >= row && plane.len() as u64 >= (rows - 1) * u64::from(pitch) + row
        };
        let (w, h) = (u64::from(width), u64::from(height));
        let whole = match format {
            SurfaceFormat::Bgr | SurfaceFormat::Rgb => fits(pixels, pitch, w * 3, h),
            SurfaceFormat::Gray => fits(pixels, pitch, w, h),
            SurfaceFormat::Nv12 { chroma, pitch: chroma_pitch, .. } => {
                fits(pixels, pitch, w, h) && fits(chroma, chroma_pitch, w.div_ceil(2) * 2, h.div_ceil(2))
            }
        };
        if whole && [width, height, pitch].iter().all(|&v| i32::try_from(v).is_ok()) {
            Ok(Self { pixels, pitch, size, format })
        } else {
            Err(Error::input("surface", format!("{} bytes for {size} pixels with a pitch of {pitch}", pixels.len())))
        }
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Whether red is the first sample of a pixel.
    pub fn is_rgb(&self) -> bool {
        matches!(self.format, SurfaceFormat::Rgb)
    }

    /// As kernels read it.
    pub(crate) fn row(&self) -> SurfaceRow {
        let (format, chroma, chroma_pitch, colours) = match self.format {
            SurfaceFormat::Bgr | SurfaceFormat::Rgb => (0, 0, 0, YuvColours::default()),
            SurfaceFormat::Gray => (1, 0, 0, YuvColours::default()),
            SurfaceFormat::Nv12 { chroma, pitch, colours } => (2, chroma.address(), pitch, colours),
        };
        let Factors { black, luma, u_to_blue, u_to_green, v_to_green, v_to_red } = colours.factors();
        SurfaceRow {
            pixels: self.pixels.address(),
            chroma,
            pitch: self.pitch,
            chroma_pitch,
            width: self.size.width,
            height: self.size.height,
            format,
            factors: [black, luma, u_to_blue, u_to_green, v_to_green, v_to_red],
            padding: 0,
        }
    }
}

/// `Surface` of `kernels/surface.cuh`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct SurfaceRow {
    pixels: u64,
    chroma: u64,
    pitch: u32,
    chroma_pitch: u32,
    width: u32,
    height: u32,
    format: i32,
    factors: [i32; 6],
    padding: i32,
}

const _: () = assert!(size_of::<SurfaceRow>() == 64);

//! A picture that was brought to a GPU and stays there while it is worked on.

use super::frame::{ImageView, PixelFormat};
use super::geometry::Size;
use super::surface::{Surface, SurfaceFormat};
use crate::device::Stream;
use crate::error::Result;
use crate::tensor::storage::Storage;
use crate::trace::Transfers;

/// A picture in the memory of a GPU, and the canvas it stands on.
pub struct Resident {
    pixels: Storage<u8>,
    size: Size,
    /// At least `size`; what is right and below of the picture is black.
    canvas: Size,
    format: PixelFormat,
}

impl Resident {
    /// Brings `image` to the device of `stream`, in the top-left corner of a black canvas, by one transfer; `transfers` counts it.
    /// Pixels are there for the work that is put into the stream from now on.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) when its memory does not suffice.
    pub fn upload(image: ImageView<'_>, canvas: Size, stream: &Stream, transfers: &mut Transfers) -> Result<Self> {
        let bytes = image.format.bytes();
        let (size, canvas) = (image.size, Size::new(canvas.width.max(image.size.width), canvas.height.max(image.size.height)));
        let mut staged = stream.pinned::<u8>(canvas.area() as usize * bytes)?;
        let rows = staged.fill()?;
        if size == canvas {
            rows.copy_from_slice(image.data);
        } else {
            rows.fill(0);
            let (from, to) = (size.width as usize * bytes, canvas.width as usize * bytes);
            for (to, from) in rows.chunks_exact_mut(to).zip(image.data.chunks_exact(from)) {
                to[..from.len()].copy_from_slice(from);
            }
        }
        let pixels = Storage::Pinned(staged).upload(stream, transfers)?;
        transfers.frames += 1.0;
        Ok(Self { pixels, size, canvas, format: image.format })
    }

    /// The picture.
    ///
    /// # Errors
    /// Those of [`Surface::new`].
    pub fn surface(&self) -> Result<Surface<'_>> {
        self.part(self.size)
    }

    /// The picture with its canvas.
    ///
    /// # Errors
    /// Those of [`Surface::new`].
    pub fn canvas(&self) -> Result<Surface<'_>> {
        self.part(self.canvas)
    }

    fn part(&self, size: Size) -> Result<Surface<'_>> {
        let format = match self.format {
            PixelFormat::Bgr => SurfaceFormat::Bgr,
            PixelFormat::Rgb => SurfaceFormat::Rgb,
            PixelFormat::Gray => SurfaceFormat::Gray,
        };
        Surface::new(self.pixels.on_device()?, self.canvas.width * self.format.bytes() as u32, size, format)
    }
}

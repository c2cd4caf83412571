//! A picture in the memory of a GPU: brought there and staying while it is worked on, or left there by a decoder.

use super::frame::{ImageBuf, ImageView, PixelFormat};
use super::geometry::Size;
use super::nv12::{self, Nv12View, YuvColours};
use super::picture::PictureRef;
use super::surface::{Surface, SurfaceFormat};
use crate::device::{DeviceBuffer, DeviceSlice, Gpu, Mark, Stream};
use crate::error::{Error, Result};
use crate::tensor::storage::{Storage, download};
use crate::trace::Transfers;
use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A plane of samples in the memory of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    /// Where its first row begins.
    pub address: u64,
    /// Bytes from one row to the next.
    pub pitch: u32,
}

/// How the samples of a picture lie in the memory of a GPU; 8 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planes {
    /// One plane of interleaved samples.
    Interleaved(PixelFormat, Plane),
    /// Luma, and the U, V pairs of 2 x 2 pixels; odd sides round up.
    Nv12 {
        /// The luma.
        luma: Plane,
        /// The pairs.
        chroma: Plane,
        /// What the samples mean.
        colours: YuvColours,
    },
}

/// A picture in the memory of a GPU, and the canvas it stands on.
pub struct Resident {
    /// Of the work that puts the pixels there.
    stream: Stream,
    /// The end of that work.
    there: Mark,
    planes: Planes,
    size: Size,
    /// At least `size`; what is right and below of the picture is black.
    canvas: Size,
    /// Its copy on the host, once somebody asked for it.
    copy: OnceLock<Arc<ImageBuf>>,
    /// What keeps the memory.
    _owner: Box<dyn Any + Send + Sync>,
}

impl Resident {
    /// A picture of `size` that something else put into the memory of the device of `stream`. Its memory is given back by
    /// dropping `owner`.
    ///
    /// # Errors
    /// [`Error::Input`] for a zero side or a pitch shorter than a row.
    ///
    /// # Safety
    /// Until `owner` is dropped the planes are memory of that device with all rows of the picture. What wrote them is done, or
    /// was put into `stream`, and nothing writes to them any more.
    pub unsafe fn from_raw(stream: &Stream, planes: Planes, size: Size, owner: impl Any + Send + Sync) -> Result<Self> {
        let picture = Self::new(stream, planes, [size; 2], owner)?;
        picture.surface()?;
        Ok(picture)
    }

    /// Whether `other` is of the same size and format, on the same GPU.
    pub fn is_like(&self, other: &Self) -> bool {
        let format = |planes: Planes| match planes {
            Planes::Interleaved(format, _) => (Some(format), None),
            Planes::Nv12 { colours, .. } => (None, Some(colours)),
        };
        Arc::ptr_eq(self.gpu(), other.gpu()) && self.size == other.size && format(self.planes) == format(other.planes)
    }

    /// Whether all samples of a pixel lie together.
    pub fn is_interleaved(&self) -> bool {
        matches!(self.planes, Planes::Interleaved(..))
    }

    /// Columns `left..right` of the rows `top..bottom`, where they lie.
    ///
    /// # Errors
    /// [`Error::Internal`] for what does not lie in the picture, and for pixels that do not lie on their own.
    pub fn part(self: &Arc<Self>, [left, top, right, bottom]: [u32; 4]) -> Result<Self> {
        let inside = left < right && right <= self.size.width && top < bottom && bottom <= self.size.height;
        let Planes::Interleaved(format, plane) = self.planes else {
            return Err(Error::internal("picture", format!("a part of {self:?}")));
        };
        if !inside {
            return Err(Error::internal("picture", format!("columns {left} to {right} of rows {top} to {bottom} of {self:?}")));
        }
        let before = u64::from(top) * u64::from(plane.pitch) + u64::from(left) * format.bytes() as u64;
        let planes = Planes::Interleaved(format, Plane { address: plane.address + before, ..plane });
        let (size, owner) = (Size::new(right - left, bottom - top), Box::new(self.clone()));
        let (stream, there) = (self.stream.clone(), self.there.clone());
        Ok(Self { stream, there, planes, size, canvas: size, copy: OnceLock::new(), _owner: owner })
    }

    fn new(stream: &Stream, planes: Planes, [size, canvas]: [Size; 2], owner: impl Any + Send + Sync) -> Result<Self> {
        let (there, owner) = (stream.mark()?, Box::new(owner));
        Ok(Self { stream: stream.clone(), there, planes, size, canvas, copy: OnceLock::new(), _owner: owner })
    }

    /// A picture whose rows of BGR lie in `memory`, one behind the other. What wrote them is done, or was put into its stream.
    ///
    /// # Errors
    /// [`Error::Input`] for a zero side, and where the memory is too small for the picture.
    pub fn from_rows(memory: DeviceBuffer<u8>, size: Size) -> Result<Self> {
        let format = PixelFormat::Bgr;
        if size.area() * format.bytes() as u64 > memory.len() as u64 {
            return Err(Error::input("picture", format!("{} bytes for {size} pixels", memory.len())));
        }
        let plane = Plane { address: memory.slice().address(), pitch: size.width.saturating_mul(format.bytes() as u32) };
        // SAFETY: the memory has all rows and goes with the picture; nobody else has it.
        unsafe { Self::from_raw(&memory.stream(), Planes::Interleaved(format, plane), size, memory) }
    }

    /// `picture` on the device of `stream`, in the top-left corner of a black canvas. One in host memory is brought there by one
    /// transfer, which `transfers` counts, beside the work of `stream`. Pixels are there for what is put into that from now on.
    ///
    /// # Errors
    /// [`Error::Device`] when its memory does not suffice; [`Error::Input`] for a picture that lies on another GPU, and for one
    /// that lies on this one without such a canvas.
    pub fn bring(picture: PictureRef<'_>, canvas: Size, stream: &Stream, transfers: &mut Transfers) -> Result<Arc<Self>> {
        let resident = match picture {
            PictureRef::Host(image) => {
                let resident = Self::upload(image, canvas, stream.gpu().pictures()?, transfers)?;
                stream.after(&resident.there)?;
                return Ok(Arc::new(resident));
            }
            PictureRef::Gpu(resident) => resident,
        };
        if !Arc::ptr_eq(resident.gpu(), stream.gpu()) {
            let reason = format!("it lies in memory of {}, and {} is to work on it", resident.gpu(), stream.gpu());
            return Err(Error::input("picture", reason));
        }
        if canvas.width > resident.canvas.width || canvas.height > resident.canvas.height {
            let reason =
                format!("{} pixels in memory of {} are too few for this network: {canvas} at least", resident.size, resident.gpu());
            return Err(Error::input("picture", reason));
        }
        stream.after(&resident.there)?;
        Ok(resident.clone())
    }

    fn upload(image: ImageView<'_>, canvas: Size, stream: &Stream, transfers: &mut Transfers) -> Result<Self> {
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
        let plane = Plane { address: pixels.on_device()?.address(), pitch: canvas.width * bytes as u32 };
        Self::new(stream, Planes::Interleaved(image.format, plane), [size, canvas], pixels)
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        self.stream.gpu()
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The picture.
    ///
    /// # Errors
    /// Those of [`Surface::new`].
    pub fn surface(&self) -> Result<Surface<'_>> {
        self.surface_of(self.size)
    }

    /// The picture with its canvas.
    ///
    /// # Errors
    /// Those of [`Surface::new`].
    pub fn canvas(&self) -> Result<Surface<'_>> {
        self.surface_of(self.canvas)
    }

    /// The picture in host memory, as [`Picture::on_host`](super::Picture::on_host).
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn on_host(&self, transfers: &mut Transfers) -> Result<&Arc<ImageBuf>> {
        if let Some(copy) = self.copy.get() {
            return Ok(copy);
        }
        let Size { width, height } = self.size;
        let image = match self.planes {
            Planes::Interleaved(format, plane) => {
                let row = width as usize * format.bytes();
                let rows = download(self.rows(plane, row, height), &self.stream, transfers)?;
                let mut data = Vec::with_capacity(row * height as usize);
                rows.on_host()?.chunks(plane.pitch as usize).for_each(|line| data.extend_from_slice(&line[..row]));
                ImageBuf::new(data, self.size, format)?
            }
            Planes::Nv12 { luma, chroma, colours } => {
                let pairs = width.div_ceil(2) as usize * 2;
                let of_luma = download(self.rows(luma, width as usize, height), &self.stream, transfers)?;
                let of_chroma = download(self.rows(chroma, pairs, height.div_ceil(2)), &self.stream, transfers)?;
                let (luma_pitch, chroma_pitch) = (luma.pitch as usize, chroma.pitch as usize);
                let (luma, chroma) = (of_luma.on_host()?, of_chroma.on_host()?);
                nv12::to_bgr(Nv12View { luma, luma_pitch, chroma, chroma_pitch, size: self.size, colours })?
            }
        };
        Ok(self.copy.get_or_init(|| Arc::new(image)))
    }

    /// The bytes of `count` rows of `row` bytes, with what lies between them.
    fn rows(&self, plane: Plane, row: usize, count: u32) -> DeviceSlice<'_, u8> {
        let len = (count.max(1) as usize - 1) * plane.pitch as usize + row;
        // SAFETY: the owner keeps the rows, by the promise of `from_raw` or as `upload` made them.
        unsafe { DeviceSlice::from_raw(plane.address, len) }
    }

    fn surface_of(&self, size: Size) -> Result<Surface<'_>> {
        let Size { width, height } = size;
        match self.planes {
            Planes::Interleaved(format, plane) => {
                let surface = match format {
                    PixelFormat::Bgr => SurfaceFormat::Bgr,
                    PixelFormat::Rgb => SurfaceFormat::Rgb,
                    PixelFormat::Gray => SurfaceFormat::Gray,
                };
                Surface::new(self.rows(plane, width as usize * format.bytes(), height), plane.pitch, size, surface)
            }
            Planes::Nv12 { luma, chroma, colours } => {
                let pairs = self.rows(chroma, width.div_ceil(2) as usize * 2, height.div_ceil(2));
                let format = SurfaceFormat::Nv12 { chroma: pairs, pitch: chroma.pitch, colours };
                Surface::new(self.rows(luma, width as usize, height), luma.pitch, size, format)
            }
        }
    }
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} on {}", self.planes, self.size, self.gpu())
    }
}

//! A picture in the memory of a GPU: brought there and staying while it is worked on, or left there by a decoder.

use super::frame::{ImageBuf, ImageView, PixelFormat};
use super::geometry::Size;
use super::nv12::{self, Nv12View, YuvColours};
use super::picture::PictureRef;
use super::surface::{Surface, SurfaceFormat};
use crate::device::{DeviceBuffer, DeviceSlice, Gpu, Stream};
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
    /// Behind whose work the pixels are there.
    stream: Stream,
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
        let picture = Self { stream: stream.clone(), planes, size, canvas: size, copy: OnceLock::new(), _owner: Box::new(owner) };
        picture.surface()?;
        Ok(picture)
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
    /// transfer, which `transfers` counts. Pixels are there for the work that is put into the stream from now on.
    ///
    /// # Errors
    /// [`Error::Device`] when its memory does not suffice; [`Error::Input`] for a picture that lies on another GPU, and for one
    /// that lies on this one without such a canvas.
    pub fn bring(picture: PictureRef<'_>, canvas: Size, stream: &Stream, transfers: &mut Transfers) -> Result<Arc<Self>> {
        let resident = match picture {
            PictureRef::Host(image) => return Self::upload(image, canvas, stream, transfers).map(Arc::new),
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
        stream.follow(&resident.stream)?;
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
        let planes = Planes::Interleaved(image.format, plane);
        Ok(Self { stream: stream.clone(), planes, size, canvas, copy: OnceLock::new(), _owner: Box::new(pixels) })
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
        self.part(self.size)
    }

    /// The picture with its canvas.
    ///
    /// # Errors
    /// Those of [`Surface::new`].
    pub fn canvas(&self) -> Result<Surface<'_>> {
        self.part(self.canvas)
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

    fn part(&self, size: Size) -> Result<Surface<'_>> {
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

//! Pixels where they lie: in host memory, or in that of a GPU.

use super::frame::{ImageBuf, ImageView, PixelFormat};
use super::geometry::Size;
use super::resident::Resident;
use crate::error::{Error, Result};
use crate::trace::Transfers;
use std::sync::Arc;

/// A picture, wherever it lies. Cheap to clone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Picture {
    /// In host memory; BGR as decoded.
    Host(Arc<ImageBuf>),
    /// In memory of a GPU, where a decoder left it.
    Gpu(Arc<Resident>),
}

/// A borrowed picture, wherever it lies.
#[derive(Clone, Copy, Debug)]
pub enum PictureRef<'a> {
    /// In host memory.
    Host(ImageView<'a>),
    /// In memory of a GPU.
    Gpu(&'a Arc<Resident>),
}

impl Picture {
    /// Width and height.
    pub fn size(&self) -> Size {
        self.view().size()
    }

    /// The picture, borrowed.
    pub fn view(&self) -> PictureRef<'_> {
        match self {
            Self::Host(image) => PictureRef::Host(image.view()),
            Self::Gpu(resident) => PictureRef::Gpu(resident),
        }
    }

    /// The picture in host memory, BGR where it was NV12. One of a GPU comes by a transfer that `transfers` counts, once: it is kept.
    ///
    /// # Errors
    /// [`Error::Device`] when that fails.
    pub fn on_host(&self, transfers: &mut Transfers) -> Result<Arc<ImageBuf>> {
        match self {
            Self::Host(image) => Ok(image.clone()),
            Self::Gpu(resident) => resident.on_host(transfers).cloned(),
        }
    }
}

/// A grey one becomes BGR, as the decoders have it.
impl From<ImageBuf> for Picture {
    fn from(image: ImageBuf) -> Self {
        Self::Host(Arc::new(image.in_colour()))
    }
}

/// A grey one becomes BGR, as the decoders have it.
impl From<Arc<ImageBuf>> for Picture {
    fn from(image: Arc<ImageBuf>) -> Self {
        if image.format() == PixelFormat::Gray { Arc::unwrap_or_clone(image).into() } else { Self::Host(image) }
    }
}

impl From<Resident> for Picture {
    fn from(resident: Resident) -> Self {
        Self::Gpu(Arc::new(resident))
    }
}

impl<'a> PictureRef<'a> {
    /// Width and height.
    pub fn size(self) -> Size {
        match self {
            Self::Host(image) => image.size,
            Self::Gpu(resident) => resident.size(),
        }
    }

    /// Whether it is the same as `other`, not only an equal one.
    pub fn is(self, other: Self) -> bool {
        match (self, other) {
            (Self::Host(one), Self::Host(other)) => std::ptr::eq(one.data, other.data),
            (Self::Gpu(one), Self::Gpu(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// The pixels of one in host memory, for what works on the processor.
    ///
    /// # Errors
    /// [`Error::Input`] naming the GPU it lies on: nothing is copied unasked.
    pub fn pixels(self) -> Result<ImageView<'a>> {
        match self {
            Self::Host(image) => Ok(image),
            Self::Gpu(resident) => {
                let reason = format!("it lies in memory of {}, and the processor is to work on it; use Picture::on_host", resident.gpu());
                Err(Error::input("picture", reason))
            }
        }
    }

    /// As [`Picture::on_host`].
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn on_host(self, transfers: &mut Transfers) -> Result<ImageView<'a>> {
        match self {
            Self::Host(image) => Ok(image),
            Self::Gpu(resident) => resident.on_host(transfers).map(|image| image.view()),
        }
    }
}

impl<'a> From<ImageView<'a>> for PictureRef<'a> {
    fn from(image: ImageView<'a>) -> Self {
        Self::Host(image)
    }
}

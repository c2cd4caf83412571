//! A decoded picture with its identity, and borrowed views of pixels for the operations.

use super::geometry::{PointI, Size};
use super::page_text::PageText;
use super::picture::Picture;
use crate::error::{Error, Result};
use std::any::Any;
use std::sync::Arc;

/// How the bytes of a picture are laid out. All formats are 8 bits per sample, interleaved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PixelFormat {
    /// Blue, green, red: what OpenCV and hence the reference uses.
    Bgr,
    /// Red, green, blue.
    Rgb,
    /// One sample per pixel.
    Gray,
}

impl PixelFormat {
    /// Bytes per pixel.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bgr | Self::Rgb => 3,
            Self::Gray => 1,
        }
    }
}

/// Borrowed pixels, rows packed without padding.
#[derive(Clone, Copy, Debug)]
pub struct ImageView<'a> {
    /// `size.height` rows of `size.width * format.bytes()` bytes.
    pub data: &'a [u8],
    /// Width and height.
    pub size: Size,
    /// Sample order.
    pub format: PixelFormat,
}

impl ImageView<'_> {
    /// A copy of the pixels of columns `left..right` and rows `top..bottom`, in the order left, top, right, bottom, as far as they
    /// lie in the picture; `None` when there are none.
    ///
    /// # Errors
    /// Those of [`ImageBuf::new`], when the pixels do not fit the size.
    pub fn part(&self, region: [i32; 4]) -> Result<Option<ImageBuf>> {
        let Some(inside) = self.size.inside(region) else { return Ok(None) };
        let [left, top, right, bottom] = inside.map(|side| side as usize);
        let (bytes, width) = (self.format.bytes(), self.size.width as usize);
        let rows = self.data.get((top * width + left) * bytes..).unwrap_or_default();
        ImageBuf::from_rows(rows, width * bytes, Size::new((right - left) as u32, (bottom - top) as u32), self.format).map(Some)
    }
}

/// Owned pixels, rows packed without padding.
#[derive(Clone, Debug)]
pub struct ImageBuf {
    data: Vec<u8>,
    size: Size,
    format: PixelFormat,
    _guard: Option<Arc<dyn Any + Send + Sync>>,
}

/// Pixels are what counts, whatever goes with them.
impl PartialEq for ImageBuf {
    fn eq(&self, other: &Self) -> bool {
        (&self.data, self.size, self.format) == (&other.data, other.size, other.format)
    }
}

impl Eq for ImageBuf {}

impl ImageBuf {
    /// Wraps `data`; an error when its length does not fit size and format, or a side is zero.
    pub fn new(data: Vec<u8>, size: Size, format: PixelFormat) -> Result<Self> {
        let expected = size.area().checked_mul(format.bytes() as u64);
        if data.is_empty() || expected != Some(data.len() as u64) {
            let needed = expected.map_or("more than there can be".into(), |bytes| bytes.to_string());
            return Err(Error::input("image", format!("{} bytes for a {size} {format:?} picture of {needed}", data.len())));
        }
        Ok(Self { data, size, format, _guard: None })
    }

    /// The same, with something that is dropped when neither it nor a copy of it is there any more.
    pub(crate) fn with_guard(self, guard: impl Any + Send + Sync) -> Self {
        Self { _guard: Some(Arc::new(guard)), ..self }
    }

    /// A copy of rows that begin `pitch` bytes apart, as decoders of other programs leave them; bytes behind a row are left out.
    ///
    /// ```
    /// use hpinfer::image::{ImageBuf, PixelFormat, Size};
    /// let picture = ImageBuf::from_rows(&[1, 2, 3, 0, 4, 5, 6], 4, Size::new(1, 2), PixelFormat::Rgb)?;
    /// assert_eq!(picture.into_data(), [1, 2, 3, 4, 5, 6]);
    /// # Ok::<(), hpinfer::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Input`] when a row is longer than `pitch`, rows are missing, or a side is zero.
    pub fn from_rows(rows: &[u8], pitch: usize, size: Size, format: PixelFormat) -> Result<Self> {
        let row = (size.width as usize).saturating_mul(format.bytes());
        if row == 0 || row > pitch {
            return Err(Error::input("image", format!("rows of {row} bytes that are {pitch} apart")));
        }
        let mut data = Vec::with_capacity(rows.len().min(row.saturating_mul(size.height as usize)));
        rows.chunks(pitch).take(size.height as usize).for_each(|bytes| data.extend_from_slice(bytes.get(..row).unwrap_or_default()));
        Self::new(data, size, format)
    }

    /// The same with three samples of each pixel: those of a grey one are equal.
    pub(super) fn in_colour(self) -> Self {
        if self.format != PixelFormat::Gray {
            return self;
        }
        Self { data: self.data.iter().flat_map(|&v| [v; 3]).collect(), format: PixelFormat::Bgr, ..self }
    }

    /// The samples, for a buffer that is used again.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// The pixels, borrowed.
    pub fn view(&self) -> ImageView<'_> {
        ImageView { data: &self.data, size: self.size, format: self.format }
    }

    /// The samples, row by row.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Sample order.
    pub fn format(&self) -> PixelFormat {
        self.format
    }
}

/// Where a frame came from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FrameId {
    /// The input as the user named it (path or URL); `None` for pixels handed in by a caller.
    pub input_path: Option<String>,
    /// Zero-based page, for inputs with pages.
    pub page_index: Option<u32>,
}

/// A decoded picture and where it came from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Identity, as it appears in results.
    pub id: FrameId,
    /// The pixels.
    pub image: Picture,
    /// Text that is known without reading the picture; pipelines that read text use it.
    pub text: Option<Arc<PageText>>,
    /// Lines that were read before where nothing has changed since: the pipeline `OCR` finds lines anew, and takes over these texts.
    pub known: Option<Arc<[KnownLine]>>,
}

/// A line of text that was read before.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownLine {
    /// Its outline.
    pub points: Vec<PointI>,
    /// What it says.
    pub text: String,
    /// Score of the recognition.
    pub score: f32,
}

impl KnownLine {
    /// Whether an outline is that of this line: as many corners, each within so many pixels.
    pub fn is_at(&self, points: &[PointI]) -> bool {
        const NEAR: u32 = 2;
        let near = |(a, b): (&PointI, &PointI)| a.x.abs_diff(b.x) <= NEAR && a.y.abs_diff(b.y) <= NEAR;
        self.points.len() == points.len() && self.points.iter().zip(points).all(near)
    }
}

impl Frame {
    /// A frame that came from `id`: an [`ImageBuf`] (BGR, RGB or grey), or a [`Resident`](super::Resident).
    pub fn new(id: FrameId, image: impl Into<Picture>) -> Self {
        Self { id, image: image.into(), text: None, known: None }
    }

    /// A frame without a file behind it, of the same pictures as in [`new`](Self::new).
    pub fn from_image(image: impl Into<Picture>) -> Self {
        Self::new(FrameId::default(), image)
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.image.size()
    }
}

//! File bytes to pixels, as OpenCV 4.10 `imread` in colour mode reads them: 8 bits per sample, blue-green-red,
//! alpha dropped, grey expanded, the orientation tag applied. The kind of file is told from its content, never
//! from its name. One file per format; each takes the bytes and the limits and says in words what is wrong.
//!
//! Equal to OpenCV in every sample: PNG, BMP, WebP, TIFF but for YCbCr (by a level) and JPEG within it, and JPEG by default. A truncated
//! file, and damage that a decoder notices, is an error here also where OpenCV warns and returns what it could read; some damage
//! within the data of a JPEG goes unnoticed. What [`Decoder::nvjpeg`] decodes stays on its GPU, and was compared with nothing yet.

mod bmp;
mod jpeg;
mod nvjpeg;
mod orientation;
mod png;
mod tiff;
mod webp;

use super::frame::{ImageBuf, PixelFormat};
use super::geometry::Size;
use super::picture::Picture;
use crate::device::NvJpeg;
use crate::error::{Error, Result};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Which implementation reads JPEG files. Pixels differ by a few levels between them, hence a choice made by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JpegDecoder {
    /// `libjpeg-turbo-rs`, a port of the library OpenCV uses, with vector code of its own: the same samples. Files with stray bytes between
    /// segments, or with RGB or ink stored in part at half the resolution, it does not read; [`Zune`](Self::Zune) takes these.
    #[default]
    Turbo,
    /// `zune-jpeg`, which aims at memory safety before speed: up to a quarter of the samples differ from OpenCV's by some levels, where
    /// colours are stored at half the resolution, and at borders by more.
    Zune,
}

impl std::str::FromStr for JpegDecoder {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "turbo" => Ok(Self::Turbo),
            "zune" => Ok(Self::Zune),
            _ => Err(Error::config("JPEG decoder", format!("{name:?} is none of turbo, zune"))),
        }
    }
}

/// What an input may cost. Exceeding a limit is an error of that input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest width times height, checked from the header before pixels are allocated.
    pub max_pixels: u64,
    /// Largest file or download in bytes, checked before (files) or while (URLs) reading.
    pub max_file_bytes: u64,
}

impl Default for Limits {
    /// 180 million pixels (515 MiB once decoded) and 512 MiB.
    fn default() -> Self {
        Self { max_pixels: 180_000_000, max_file_bytes: 512 << 20 }
    }
}

/// Settings of decoding; cheap to clone, shared by threads.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    /// The JPEG implementation.
    pub jpeg: JpegDecoder,
    /// What a picture may cost.
    pub limits: Limits,
    /// Has the JPEG files that it can decode, whose pictures then lie in the memory of its GPU; `jpeg` has the others.
    pub nvjpeg: Option<Arc<NvJpeg>>,
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is within a decoder, whose panics become errors of their input.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Why a file cannot be decoded, without its name.
type Reason = String;

impl Decoder {
    /// As [`decode`](Self::decode), but a JPEG file that [`nvjpeg`](Self::nvjpeg) decodes becomes a picture in the memory of its GPU.
    /// What that refuses, or cannot do, is decoded here, and the log says why.
    pub fn picture(&self, bytes: &[u8], name: &str) -> Result<Picture> {
        if let (Some(decoder), Ok(FileFormat::Jpeg)) = (&self.nvjpeg, FileFormat::of(bytes)) {
            match nvjpeg::decode(bytes, decoder, &self.limits) {
                Ok(Ok(resident)) => return Ok(resident.into()),
                Ok(Err(reason)) => tracing::debug!("{name}: decoded on the host: {reason}"),
                Err(error) => tracing::warn!("{name}: decoded on the host: {error}"),
            }
        }
        self.decode(bytes, name).map(Picture::from)
    }

    /// Decodes the bytes of one file to a BGR picture in host memory. An error ([`Error::Input`]) names `name` and the reason: bytes
    /// of no known kind, damaged or cut off, a kind of pixel that OpenCV refuses too, or more pixels than allowed.
    pub fn decode(&self, bytes: &[u8], name: &str) -> Result<ImageBuf> {
        let format = FileFormat::of(bytes).map_err(|reason| Error::input(name, reason))?;
        // The decoders are written to return errors on any bytes; should one panic nevertheless, only this input fails.
        GUARDED.set(true);
        let pixels = catch_unwind(AssertUnwindSafe(|| self.pixels(format, bytes)));
        GUARDED.set(false);
        pixels
            .unwrap_or_else(|_| Err("the decoder gave up: the file is damaged, or of a kind that it does not know".into()))
            .and_then(|(bgr, size)| ImageBuf::new(bgr, size, PixelFormat::Bgr).map_err(|e| e.to_string()))
            .map_err(|reason| Error::input(name, format!("{}: {reason}", format.name())))
            .inspect(|_| {
                if format == FileFormat::Tiff && tiff::has_more_pages(bytes) {
                    tracing::warn!(
                        "{name}: a TIFF of several pages, of which the first is read; make the others files of their own, or a PDF"
                    );
                }
            })
    }

    fn pixels(&self, format: FileFormat, bytes: &[u8]) -> Result<(Vec<u8>, Size), Reason> {
        match format {
            FileFormat::Bmp => bmp::decode(bytes, &self.limits),
            FileFormat::Jpeg => jpeg::decode(bytes, self.jpeg, &self.limits),
            FileFormat::Png => png::decode(bytes, &self.limits),
            FileFormat::Tiff => tiff::decode(bytes, &self.limits),
            FileFormat::WebP => webp::decode(bytes, &self.limits),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileFormat {
    Bmp,
    Jpeg,
    Png,
    Tiff,
    WebP,
}

impl FileFormat {
    fn of(bytes: &[u8]) -> Result<Self, Reason> {
        Ok(match bytes {
            [] => return Err("the file is empty".into()),
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Self::Png,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::WebP,
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Self::Tiff,
            [b'B', b'M', ..] => Self::Bmp,
            bytes if has_pdf_header(bytes) => return Err("a PDF document has pages, it is no picture (open it as a source)".into()),
            _ => return Err("not a picture in JPEG, PNG, BMP, WebP or TIFF form, nor a PDF document (judged by its first bytes); videos are for `hpinfer stream`".into()),
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Bmp => "BMP",
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Tiff => "TIFF",
            Self::WebP => "WebP",
        }
    }
}

/// Whether the bytes are those of a PDF document: no picture, and the header within the first 1024, as PDF readers look for it.
pub fn is_pdf(bytes: &[u8]) -> bool {
    FileFormat::of(bytes).is_err() && has_pdf_header(bytes)
}

fn has_pdf_header(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(1024)].windows(5).any(|window| window == b"%PDF-")
}

/// Refuses sizes that are empty or beyond the limit, before anything of that size is allocated.
fn checked_size(width: u32, height: u32, limits: &Limits) -> Result<Size, Reason> {
    let size = Size::new(width, height);
    match size.area() {
        0 => Err(format!("a picture of {size} pixels")),
        // The second bound keeps byte counts of four samples per pixel inside 2^62.
        area if area > limits.max_pixels || area > 1 << 60 => {
            Err(format!("{size} is {area} pixels, the limit is {} (raise --max-pixels to read it)", limits.max_pixels))
        }
        _ => Ok(size),
    }
}

/// Bytes of a BGR picture.
fn bgr_len(size: Size) -> usize {
    size.area() as usize * 3
}

/// Grey or RGB samples, with or without alpha, to BGR.
fn row_to_bgr(from: &[u8], channels: usize, to: &mut [u8]) {
    let grey = channels <= 2;
    for (pixel, out) in from.chunks_exact(channels).zip(to.as_chunks_mut::<3>().0) {
        *out = if grey { [pixel[0]; 3] } else { [pixel[2], pixel[1], pixel[0]] };
    }
}

fn swap_red_blue(pixels: &mut [u8]) {
    for pixel in pixels.as_chunks_mut::<3>().0 {
        pixel.swap(0, 2);
    }
}

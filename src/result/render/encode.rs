//! Pixels to picture files.

use crate::image::mark::{Marking, append};
use crate::image::{ImageView, PixelFormat, Size, palette};
use crate::result::LabelMap;
use image::codecs::{bmp::BmpEncoder, jpeg::JpegEncoder, png as png_codec, tiff::TiffEncoder};
use image::{ExtendedColorType, ImageEncoder};
use std::borrow::Cow;
use std::io::{Seek, Write};

/// JPEG quality, 1..100: artefacts around letters are not seen at this value.
const JPEG_QUALITY: u8 = 95;
/// Sides of a JPEG are 16-bit numbers.
const JPEG_MAX_SIDE: u32 = 65_535;

/// A file format that pictures are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureFormat {
    /// Lossless, at the fastest compression.
    Png,
    /// Quality 95.
    Jpeg,
    /// Uncompressed.
    Bmp,
    /// Uncompressed.
    Tiff,
}

impl PictureFormat {
    /// Itself, or PNG for a picture that is larger than it can be.
    #[must_use]
    pub fn able(self, size: Size) -> Self {
        if self == Self::Jpeg && size.width.max(size.height) > JPEG_MAX_SIDE { Self::Png } else { self }
    }

    /// The format a file suffix (without dot, any case) stands for; `None` for those that are only read (WebP, PDF) and
    /// for unknown ones.
    pub fn from_suffix(suffix: &str) -> Option<Self> {
        match suffix.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "bmp" => Some(Self::Bmp),
            "tif" | "tiff" => Some(Self::Tiff),
            _ => None,
        }
    }
}

/// Writes a map of classes to `out` as a PNG with the palette of classes: the numbers of the classes are its samples.
pub fn encode_classes(map: &LabelMap, out: &mut impl Write) -> std::io::Result<()> {
    const PALETTE: [[u8; 3]; palette::CLASSES] = palette::palette();
    let mut encoder = png::Encoder::new(Marking::png(out), map.size().width, map.size().height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(PALETTE.as_flattened());
    encoder.write_header()?.write_image_data(map.labels())?;
    Ok(())
}

/// Writes `picture` to `out`, with the [mark](crate::image::mark) of what is saved. Errors come from the writer, or say that the format cannot hold a picture of this size.
pub fn encode(picture: ImageView<'_>, format: PictureFormat, out: &mut (impl Write + Seek)) -> std::io::Result<()> {
    let (data, colour) = match picture.format {
        PixelFormat::Rgb => (Cow::Borrowed(picture.data), ExtendedColorType::Rgb8),
        PixelFormat::Gray => (Cow::Borrowed(picture.data), ExtendedColorType::L8),
        PixelFormat::Bgr => {
            let mut data = picture.data.to_vec();
            data.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| pixel.reverse());
            (Cow::Owned(data), ExtendedColorType::Rgb8)
        }
    };
    let (width, height) = (picture.size.width, picture.size.height);
    let written = match format {
        PictureFormat::Png => {
            png_codec::PngEncoder::new_with_quality(Marking::png(&mut *out), png_codec::CompressionType::Fast, png_codec::FilterType::Up)
                .write_image(&data, width, height, colour)
        }
        _ if format.able(picture.size) != format => {
            return Err(std::io::Error::other(format!("a JPEG cannot be {} pixels", picture.size)));
        }
        PictureFormat::Jpeg => {
            JpegEncoder::new_with_quality(Marking::jpeg(&mut *out), JPEG_QUALITY).write_image(&data, width, height, colour)
        }
        PictureFormat::Bmp => BmpEncoder::new(&mut *out).write_image(&data, width, height, colour),
        PictureFormat::Tiff => TiffEncoder::new(&mut *out).write_image(&data, width, height, colour),
    };
    written.map_err(|error| match error {
        image::ImageError::IoError(error) => error,
        other => std::io::Error::other(other),
    })?;
    if matches!(format, PictureFormat::Bmp | PictureFormat::Tiff) { append(out) } else { Ok(()) }
}

//! JPEG: one walk over the markers (size, orientation, is it whole?), then the pixels by the chosen implementation.
//! Four-component files are decoded to ink values and converted as libjpeg and OpenCV do, in integers.

use super::{JpegDecoder, Limits, Reason, bgr_len, checked_size, orientation};
use crate::image::Size;
use memchr::memchr;
use std::borrow::Cow;
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};

pub(super) fn decode(bytes: &[u8], decoder: JpegDecoder, limits: &Limits) -> Result<(Vec<u8>, Size), Reason> {
    let header = Header::read(bytes)?;
    let size = header.size(limits)?;
    if let Some(reason) = header.is_beyond_both() {
        return Err(reason.into());
    }
    let bgr = match (decoder, header.is_beyond_turbo(), header.is_beyond_zune()) {
        (JpegDecoder::Turbo, false, _) => turbo(&header.with_colours_told(bytes), size)?,
        (_, false, Some(reason)) => return Err(format!("{reason}, which the decoder turbo reads")),
        (_, true, Some(reason)) => return Err(format!("{reason}, which is not supported in a file of this kind")),
        (.., None) => zune(&header.with_plain_transform(bytes), &header, size)?,
    };
    if bgr.len() != bgr_len(size) {
        return Err(format!("{} bytes decoded where {size} pixels were announced", bgr.len()));
    }
    Ok(orientation::apply(bgr, size, header.orientation.unwrap_or(1)))
}

/// What the markers say, before any pixel is decoded.
pub(super) struct Header {
    width: u16,
    height: u16,
    orientation: Option<u8>,
    /// Code of the marker that began the frame, and how many components it has, where it does not say two things.
    process: u8,
    components: Option<usize>,
    /// The transform that the last Adobe segment names, and where; 0 is none.
    transform: Option<(usize, u8)>,
    /// A JFIF segment says that three components are YCbCr, whatever an Adobe segment or their names say.
    jfif: bool,
    /// The components are called R, G and B.
    called_rgb: bool,
    /// Stray bytes stand between two segments; libjpeg skips them.
    padded: bool,
    /// Samples of each component across and down, of which the greatest are those of the picture.
    sampling: Vec<[u8; 2]>,
    /// A scan holds fewer components than the picture has.
    scanned_apart: bool,
    /// One of these holds more than one.
    scanned_in_groups: bool,
    /// Quantisation tables follow after a scan.
    tables_change: bool,
}

impl Header {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Reason> {
        let mut frame = None;
        let (mut exif, mut transform, mut jfif, mut padded, mut tables_change) = (None, None, false, false, false);
        let (mut at, mut scans) = (2, 0);
        let (mut sampling, mut scanned_apart, mut scanned_in_groups) = (Vec::new(), false, false);
        loop {
            // Markers are FF and a code; within entropy-coded data FF 00 is a sample byte and FF D0 to D7 are restarts.
            let skipped = memchr(0xff, &bytes[at..]).ok_or_else(cut_off)?;
            padded |= skipped > 0;
            at += skipped;
            let fill = bytes[at..].iter().position(|&b| b != 0xff).ok_or_else(cut_off)?;
            let code = bytes[at + fill];
            at += fill + 1;
            let length = match code {
                0xd9 => break,
                0xd8 => continue,
                0x00 | 0x01 | 0xd0..=0xd7 => {
                    padded = true;
                    continue;
                }
                _ => usize::from(u16::from_be_bytes(*bytes[at..].first_chunk().ok_or_else(cut_off)?)),
            };
            let body = bytes.get(at + 2..at + length.max(2)).ok_or_else(cut_off)?;
            match code {
                0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf if frame.is_none() => {
                    let [precision, h0, h1, w0, w1, count, ref components @ ..] = *body else {
                        return Err("the frame header is damaged".into());
                    };
                    if precision != 8 {
                        return Err(format!("{precision} bits per sample, only 8 are supported"));
                    }
                    sampling = components.as_chunks::<3>().0.iter().map(|[_, factors, _]| [factors >> 4, factors & 15]).collect();
                    let names = components.iter().step_by(3);
                    let count = Some(names.len()).filter(|&named| named == usize::from(count));
                    frame = Some((code, [[w0, w1], [h0, h1]].map(u16::from_be_bytes), count, names.eq(b"RGB")));
                }
                // OpenCV looks into the first segment of this kind only, even when it holds something else than EXIF.
                0xe1 => exif = exif.or(Some(body)),
                0xda => {
                    let of_scan = body.first().map_or(0, |&count| usize::from(count));
                    scanned_apart |= of_scan < sampling.len();
                    scanned_in_groups |= (2..sampling.len()).contains(&of_scan);
                }
                0xdb => tables_change |= scans > 0,
                // What follows a scan, or is too short, libjpeg does not heed.
                0xe0 if scans == 0 => jfif |= body.len() >= 14 && body.starts_with(b"JFIF\0"),
                0xee if scans == 0 && body.len() >= 12 && body.starts_with(b"Adobe") => transform = Some((at + 2 + 11, body[11])),
                _ => {}
            }
            at += length.max(2);
            if code == 0xda {
                scans += 1;
                if scans > MAX_SCANS {
                    return Err(format!("it has more than {MAX_SCANS} scans"));
                }
                at = end_of_scan(bytes, at)?;
            }
        }
        let (process, [width, height], components, called_rgb) = frame.ok_or("no frame header before the end marker")?;
        let orientation = exif.and_then(|body| body.strip_prefix(b"Exif\0\0")).and_then(orientation::of_exif);
        Ok(Self {
            width,
            height,
            orientation,
            process,
            components,
            transform,
            jfif,
            called_rgb,
            padded,
            sampling,
            scanned_apart,
            scanned_in_groups,
            tables_change,
        })
    }

    fn is_progressive(&self) -> bool {
        matches!(self.process, 0xc2 | 0xc6 | 0xca | 0xce)
    }

    /// As libjpeg takes it: JFIF wins over Adobe, and that over the names.
    fn is_rgb(&self) -> bool {
        self.components == Some(3) && !self.jfif && self.transform.map_or(self.called_rgb, |(_, transform)| transform == 0)
    }

    fn is_subsampled(&self) -> bool {
        self.sampling.windows(2).any(|pair| pair[0] != pair[1])
    }

    /// Version 0.8 of the port gives up on stray bytes and on RGB stored in part at another resolution, takes the resolution of the second
    /// component of ink for that of the third, knows one way only to a full resolution in height, and takes the last of several tables.
    fn is_beyond_turbo(&self) -> bool {
        let odd_ink =
            |first: &[u8; 2], second: &[u8; 2], third, last| first != last || second != third || *first == [second[0], 2 * second[1]];
        let is_odd = matches!(&self.sampling[..], [first, second, third, last] if odd_ink(first, second, third, last));
        self.padded || self.tables_change || is_odd || (self.is_rgb() && self.is_subsampled())
    }

    /// What `zune-jpeg` refuses in words of its own, or makes garbage of without a word.
    fn is_beyond_zune(&self) -> Option<&'static str> {
        [
            (self.scanned_apart && !self.is_progressive(), "its components have scans of their own"),
            (self.process >= 0xc9, "it is in arithmetic coding"),
            (self.called_rgb && !self.is_rgb(), "its components are called R, G and B, and hold other colours"),
            (self.is_rgb() && !self.called_rgb, "it is stored as RGB by the word of an Adobe segment alone"),
        ]
        .into_iter()
        .find_map(|(is_so, reason)| is_so.then_some(reason))
    }

    /// The file as one whose Adobe segment says what libjpeg takes its components for.
    fn with_plain_transform<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let (at, plain) = match (self.transform, self.components) {
            (Some((at, 0)), Some(3)) if self.jfif => (at, 1),
            (Some((at, transform)), Some(4)) if ![0, 2].contains(&transform) => (at, 2),
            _ => return bytes.into(),
        };
        let mut told = bytes.to_vec();
        told[at] = plain;
        told.into()
    }

    /// The same with an Adobe segment where names alone tell of RGB: the port does not go by names.
    fn with_colours_told<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        match self.is_rgb() && self.transform.is_none() {
            true => [&bytes[..2], b"\xff\xee\0\x0eAdobe\0d\0\0\0\0\0", &bytes[2..]].concat().into(),
            false => self.with_plain_transform(bytes),
        }
    }

    /// Why neither decoder reads the file as libjpeg does. Asked all the same, they call it damaged, or make garbage of it.
    fn is_beyond_both(&self) -> Option<&'static str> {
        let is_finer = |of: &[u8; 2]| self.sampling.first().is_some_and(|first| of[0] > first[0] || of[1] > first[1]);
        if self.scanned_in_groups && !self.is_progressive() {
            return Some("its scans hold two of its components each, which is not supported");
        }
        if self.sampling.len() == 1 && self.sampling != [[1, 1]] && self.process >= 0xc9 {
            return Some("it is grey in blocks of its own size in arithmetic coding, which is not supported");
        }
        self.sampling.iter().any(is_finer).then_some("its colours are stored finer than its brightness, which is not supported")
    }

    /// Width and height, within the limits.
    pub(super) fn size(&self, limits: &Limits) -> Result<Size, Reason> {
        checked_size(self.width.into(), self.height.into(), limits)
    }

    /// Why a decoder that knows no more than grey and YCbCr, upright and in one of the three usual processes, is not to have the file.
    pub(super) fn is_unusual(&self) -> Option<&'static str> {
        [
            (!matches!(self.components, Some(1 | 3)), "it is neither grey nor of three components"),
            (!matches!(self.process, 0xc0..=0xc2), "its process is neither sequential nor progressive Huffman coding"),
            (self.orientation.unwrap_or(1) != 1, "it is to be turned"),
            (self.is_rgb(), "it is stored as RGB"),
            (self.padded, "it has stray bytes between segments"),
            (self.scanned_apart && !self.is_progressive(), "its components have scans of their own"),
        ]
        .into_iter()
        .find_map(|(is_so, reason)| is_so.then_some(reason))
    }
}

/// Scans of a picture. Each takes the time of the whole picture; encoders write a dozen.
const MAX_SCANS: u32 = 100;

/// Where the marker that ends the entropy-coded data from `at` on begins.
fn end_of_scan(bytes: &[u8], mut at: usize) -> Result<usize, Reason> {
    loop {
        at += memchr(0xff, &bytes[at..]).ok_or_else(cut_off)?;
        match bytes.get(at + 1).ok_or_else(cut_off)? {
            0x00 | 0xd0..=0xd7 => at += 2,
            0xff => at += 1,
            _ => return Ok(at),
        }
    }
}

fn cut_off() -> Reason {
    "the file is cut off: no end-of-image marker".into()
}

fn zune(bytes: &[u8], header: &Header, size: Size) -> Result<Vec<u8>, Reason> {
    let native = |colour| {
        // Strict mode turns damage into an error; it also dislikes stray bytes, which harm nothing.
        let options = DecoderOptions::default()
            .set_max_width(usize::from(u16::MAX))
            .set_max_height(usize::from(u16::MAX))
            .set_strict_mode(!header.padded)
            .jpeg_set_out_colorspace(colour);
        zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options)
    };
    let mut probe = native(ColorSpace::BGR);
    probe.decode_headers().map_err(|e| e.to_string())?;
    let found = probe.input_colorspace().unwrap_or(ColorSpace::Unknown);
    let read = |colour: ColorSpace| native(colour).decode().map_err(|e| e.to_string());
    match found {
        ColorSpace::YCbCr => probe.decode().map_err(|e| e.to_string()),
        ColorSpace::RGB => {
            let mut pixels = read(ColorSpace::RGB)?;
            super::swap_red_blue(&mut pixels);
            Ok(pixels)
        }
        ColorSpace::Luma => Ok(read(ColorSpace::Luma)?.iter().flat_map(|&v| [v; 3]).collect()),
        ColorSpace::CMYK => Ok(ink_to_bgr(&read(ColorSpace::CMYK)?, size, |ink| ink)),
        ColorSpace::YCCK => Ok(ink_to_bgr(&read(ColorSpace::YCCK)?, size, ycck_to_cmyk)),
        other => Err(format!("colour space {other:?} is not supported")),
    }
}

fn turbo(bytes: &[u8], size: Size) -> Result<Vec<u8>, Reason> {
    use libjpeg_turbo_rs::{ColorSpace, Decoder, PixelFormat};
    let mut decoder = Decoder::new(bytes).map_err(|e| e.to_string())?;
    decoder.set_stop_on_warning(true);
    let stored = decoder.jpeg_color_space();
    decoder.set_output_format(match stored {
        ColorSpace::Cmyk | ColorSpace::Ycck => PixelFormat::Cmyk,
        // Asked for BGR, version 0.8 takes stored RGB for YCbCr.
        ColorSpace::Rgb => PixelFormat::Rgb,
        _ => PixelFormat::Bgr,
    });
    let mut pixels = decoder.decode_image().map_err(|e| e.to_string())?.data;
    match stored {
        ColorSpace::Cmyk | ColorSpace::Ycck => pixels = ink_to_bgr(&pixels, size, |ink| ink),
        ColorSpace::Rgb => super::swap_red_blue(&mut pixels),
        _ => {}
    }
    Ok(pixels)
}

/// OpenCV's conversion of the four stored samples. Adobe stores ink inverted, and the rule counts on it.
fn ink_to_bgr(samples: &[u8], size: Size, to_cmyk: impl Fn([u8; 4]) -> [u8; 4]) -> Vec<u8> {
    let mut bgr = vec![0; bgr_len(size)];
    for (to, from) in bgr.as_chunks_mut::<3>().0.iter_mut().zip(samples.as_chunks::<4>().0) {
        let [c, m, y, k] = to_cmyk(*from).map(i32::from);
        *to = [y, m, c].map(|ink| (k - (((255 - ink) * k) >> 8)) as u8);
    }
    bgr
}

fn ycck_to_cmyk([y, cb, cr, k]: [u8; 4]) -> [u8; 4] {
    let [r, g, b] = ycc_to_rgb([y, cb, cr]);
    [255 - r, 255 - g, 255 - b, k]
}

/// libjpeg's conversion in 16-bit fixed point.
pub(super) fn ycc_to_rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91_881 * cr + HALF) >> 16);
    let green = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16);
    let blue = y + ((116_130 * cb + HALF) >> 16);
    [red, green, blue].map(|v| v.clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_are_bounded() {
        let frame = [0xff, 0xc2, 0, 11, 8, 0, 16, 0, 16, 1, 1, 0x11, 0];
        let of =
            |scans: usize| [&[0xff, 0xd8][..], &frame, &[0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0, 0x2a].repeat(scans), &[0xff, 0xd9]].concat();
        assert!(Header::read(&of(100)).is_ok());
        assert!(Header::read(&of(101)).is_err_and(|reason| reason.contains("scans")));
    }
}

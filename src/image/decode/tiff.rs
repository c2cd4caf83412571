//! TIFF: the container and compressions by the `tiff` crate, the samples converted as libtiff's RGBA reader does,
//! which OpenCV uses in colour mode. Differences from the other formats follow from that: 16-bit colours are
//! rounded, `(v + 128) / 257` (grey keeps its high byte), and unassociated alpha multiplies the colours before it is dropped.
//! Of a file of several pages the first is read. Float and 32-bit samples are refused, as OpenCV refuses them.

use super::jpeg::ycc_to_rgb;
use super::{Limits, Reason, bgr_len, checked_size, orientation};
use crate::image::Size;
use ::tiff::ColorType;
use ::tiff::decoder::Decoder;
use ::tiff::tags::{ByteOrder, SampleFormat, Tag};
use std::borrow::Cow;
use std::io::Cursor;

const PHOTOMETRIC_PALETTE: u16 = 3;
const EXTRA_UNASSOCIATED_ALPHA: u16 = 2;
const FROM_LOW_BITS: u16 = 2;
/// Bit of a subfile that is a smaller form of another.
const REDUCED: u32 = 1;

/// Directories after the first in which a page is looked for.
const MOST_LOOKED_AT: u32 = 8;

type Reader<'a> = Decoder<Cursor<Cow<'a, [u8]>>>;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<(Vec<u8>, Size), Reason> {
    let bytes = &*bits_in_order(bytes)?;
    let mut reader = open(Cow::Borrowed(bytes))?;
    let (width, height) = reader.dimensions().map_err(reason)?;
    let size = checked_size(width, height, limits)?;
    let palette = match reader.find_tag_unsigned::<u16>(Tag::PhotometricInterpretation).map_err(reason)? {
        Some(PHOTOMETRIC_PALETTE) => {
            let colours = palette(&mut reader)?;
            reader = indices_as_grey(reader, bytes)?;
            Some(colours)
        }
        _ => None,
    };
    let turn = reader.find_tag_unsigned::<u16>(Tag::Orientation).ok().flatten();
    let samples = Samples::read(&mut reader, size)?;
    let bgr = samples.to_bgr(size, palette.as_deref())?;
    Ok(orientation::apply(bgr, size, turn.and_then(|t| u8::try_from(t).ok()).unwrap_or(1)))
}

/// Whether a file that was read has further pages; smaller forms of the first are none.
pub(super) fn has_more_pages(bytes: &[u8]) -> bool {
    let Ok(mut reader) = open(Cow::Borrowed(bytes)) else { return false };
    (0..MOST_LOOKED_AT).any(|_| {
        let kind = if reader.more_images() {
            reader.next_image().and_then(|()| reader.find_tag_unsigned::<u32>(Tag::NewSubfileType))
        } else {
            return false;
        };
        kind.is_ok_and(|kind| kind.unwrap_or_default() & REDUCED == 0)
    })
}

/// The file as one whose pixels begin at the high bits of its bytes. Fax programs begin at the low ones, which the `tiff` crate does not
/// know of; libtiff turns the bytes before it decodes them, but not those of JPEG.
fn bits_in_order(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Reason> {
    let mut reader = open(Cow::Borrowed(bytes))?;
    let tag = |reader: &mut Reader<'_>, tag| reader.find_tag_unsigned::<u16>(tag).ok().flatten();
    if tag(&mut reader, Tag::FillOrder) != Some(FROM_LOW_BITS) || matches!(tag(&mut reader, Tag::Compression), Some(6 | 7)) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut list = |strips, tiles| match reader.find_tag_unsigned_vec::<u64>(strips).map_err(reason)? {
        Some(list) => Ok(list),
        None => reader.find_tag_unsigned_vec::<u64>(tiles).map_err(reason).map(Option::unwrap_or_default),
    };
    let (starts, lengths) = (list(Tag::StripOffsets, Tag::TileOffsets)?, list(Tag::StripByteCounts, Tag::TileByteCounts)?);
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let mut ranges: Vec<_> =
        starts.into_iter().zip(lengths).map(|(start, length)| [start, start.saturating_add(length)].map(place)).collect();
    ranges.sort_unstable();
    let (mut turned, mut done) = (bytes.to_vec(), 0);
    for [start, end] in ranges {
        // Parts may share bytes, which are turned once.
        let rest = turned.get_mut(start.max(done)..end.max(done)).ok_or("the file is cut off")?;
        rest.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        done = done.max(end);
    }
    Ok(Cow::Owned(turned))
}

/// The crate's own limits bound what a damaged directory makes it allocate; a strip may be as long as the file.
fn open(bytes: Cow<'_, [u8]>) -> Result<Reader<'_>, Reason> {
    let mut limits = tiff::decoder::Limits::default();
    limits.intermediate_buffer_size = limits.intermediate_buffer_size.max(bytes.len());
    Ok(Decoder::new(Cursor::new(bytes)).map_err(reason)?.with_limits(limits))
}

/// The colours of a palette picture as BGR. Entries have 16 bits; files that fill only the low byte are common, and
/// libtiff takes the low byte when no entry exceeds it.
fn palette(reader: &mut Reader<'_>) -> Result<Vec<[u8; 3]>, Reason> {
    let map = reader.get_tag_u16_vec(Tag::ColorMap).map_err(reason)?;
    let shift = if map.iter().all(|&v| v < 256) { 0 } else { 8 };
    let colours = map.len() / 3;
    Ok((0..colours).map(|i| [2, 1, 0].map(|plane| (map[plane * colours + i] >> shift) as u8)).collect())
}

/// The `tiff` crate reads no palette pictures. Their indices are stored as grey values are, so a copy of the file
/// that says "grey" yields them.
fn indices_as_grey<'a>(mut reader: Reader<'a>, bytes: &[u8]) -> Result<Reader<'a>, Reason> {
    let big = bytes.get(2..4).is_some_and(|v| v.contains(&43));
    let (count_bytes, entry_bytes, value_at) = if big { (8, 20, 12) } else { (2, 12, 8) };
    let short = |value: u16| match reader.byte_order() {
        ByteOrder::LittleEndian => value.to_le_bytes(),
        ByteOrder::BigEndian => value.to_be_bytes(),
    };
    let (tag, grey) = (short(Tag::PhotometricInterpretation.to_u16()), short(1));
    let directory = reader.ifd_pointer().map_or(0, |at| at.0 as usize).saturating_add(count_bytes);
    let mut copy = bytes.to_vec();
    let entry = copy
        .get_mut(directory..)
        .and_then(|entries| entries.chunks_exact_mut(entry_bytes).find(|entry| entry[..2] == tag))
        .ok_or("the palette entry is damaged")?;
    entry[value_at..value_at + 2].copy_from_slice(&grey);
    open(Cow::Owned(copy))
}

/// Samples as stored: rows padded to whole bytes, 16-bit samples in the machine's byte order.
struct Samples {
    data: Vec<u8>,
    colour: ColorType,
    row_stride: usize,
    /// Distance between planes, when each colour has a plane of its own.
    plane_stride: Option<usize>,
    unassociated_alpha: bool,
}

impl Samples {
    fn read(reader: &mut Reader<'_>, size: Size) -> Result<Self, Reason> {
        let colour = reader.colortype().map_err(reason)?;
        let layout = reader.image_buffer_layout().map_err(reason)?;
        if !matches!(layout.sample_format, SampleFormat::Uint | SampleFormat::Int) || colour.bit_depth() > 16 {
            return Err(format!("{colour:?} with {:?} samples; only integers of up to 16 bits are read", layout.sample_format));
        }
        if layout.complete_len as u64 > size.area().saturating_mul(16) + 64 * u64::from(size.height) {
            return Err(format!("{colour:?} samples are not supported"));
        }
        let mut data = vec![0; layout.complete_len];
        reader.read_image_bytes(&mut data).map_err(reason)?;
        let stride = |bytes: Option<std::num::NonZeroUsize>| bytes.map_or(0, std::num::NonZeroUsize::get);
        Ok(Self {
            data,
            colour,
            row_stride: stride(layout.row_stride),
            plane_stride: (layout.planes > 1).then(|| stride(layout.plane_stride)),
            unassociated_alpha: reader
                .find_tag_unsigned_vec::<u16>(Tag::ExtraSamples)
                .ok()
                .flatten()
                .is_some_and(|extra| extra.first() == Some(&EXTRA_UNASSOCIATED_ALPHA)),
        })
    }

    fn to_bgr(&self, size: Size, palette: Option<&[[u8; 3]]>) -> Result<Vec<u8>, Reason> {
        let channels = usize::from(self.colour.num_samples());
        let convert: fn(&[u8], bool) -> [u8; 3] = match self.colour {
            ColorType::Gray(_) | ColorType::GrayA(_) | ColorType::Multiband { num_samples: 2, .. } => |s, _| [s[0]; 3],
            ColorType::RGB(_) => |s, _| [s[2], s[1], s[0]],
            ColorType::RGBA(_) => |s, multiply| {
                let weigh = |v: u8| if multiply { ((u32::from(v) * u32::from(s[3]) + 127) / 255) as u8 } else { v };
                [weigh(s[2]), weigh(s[1]), weigh(s[0])]
            },
            ColorType::CMYK(_) | ColorType::CMYKA(_) => |s, _| {
                let light = 255 - u32::from(s[3]);
                [s[2], s[1], s[0]].map(|ink| (light * (255 - u32::from(ink)) / 255) as u8)
            },
            ColorType::YCbCr(_) => |s, _| {
                let [r, g, b] = ycc_to_rgb([s[0], s[1], s[2]]);
                [b, g, r]
            },
            other => return Err(format!("{other:?} samples are not supported")),
        };
        let width = size.width as usize;
        let mut line = vec![0; width * channels];
        let mut bgr = vec![0; bgr_len(size)];
        for (y, out) in bgr.chunks_exact_mut(width * 3).enumerate() {
            self.row(y, &mut line, palette.is_some())?;
            for (to, from) in out.as_chunks_mut::<3>().0.iter_mut().zip(line.chunks_exact(channels)) {
                *to = match palette {
                    Some(colours) => *colours.get(usize::from(from[0])).ok_or("an index beyond the palette")?,
                    None => convert(from, self.unassociated_alpha),
                };
            }
        }
        Ok(bgr)
    }

    /// Row `y` as interleaved samples of 8 bits; palette indices keep their value.
    fn row(&self, y: usize, line: &mut [u8], indices: bool) -> Result<(), Reason> {
        let bits = self.colour.bit_depth();
        let channels = usize::from(self.colour.num_samples());
        let high_byte = channels <= 2;
        let (planes, step) = match self.plane_stride {
            Some(_) => (channels, channels),
            None => (1, 1),
        };
        for plane in 0..planes {
            let start = plane * self.plane_stride.unwrap_or(0) + y * self.row_stride;
            let row = self.data.get(start..start + self.row_stride).ok_or("fewer samples than the header says")?;
            let target = line.iter_mut().skip(plane).step_by(step);
            match bits {
                8 => target.zip(row).for_each(|(to, &from)| *to = from),
                16 => target.zip(row.as_chunks::<2>().0).for_each(|(to, &from)| {
                    let value = u32::from(u16::from_ne_bytes(from));
                    *to = if high_byte { value >> 8 } else { (value + 128) / 257 } as u8;
                }),
                1 | 2 | 4 => {
                    let (per_byte, highest) = (usize::from(8 / bits), (1u8 << bits) - 1);
                    let scale = if indices { 1 } else { 255 / highest };
                    for (i, to) in target.enumerate() {
                        let shift = 8 - usize::from(bits) * (i % per_byte + 1);
                        *to = (row.get(i / per_byte).copied().unwrap_or(0) >> shift & highest) * scale;
                    }
                }
                _ => return Err(format!("{bits} bits per sample are not supported")),
            }
        }
        Ok(())
    }
}

fn reason(error: ::tiff::TiffError) -> Reason {
    match error {
        ::tiff::TiffError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the file is cut off, or packed in a way that is not read (tiles in LZW)".into()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::tiff::encoder::{TiffEncoder, colortype::Gray8};

    /// A file of pages of two pixels, 0 and 1, of these kinds; their colours, if any, in a palette.
    fn file(kinds: &[u32], colours: Option<&[u16]>) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut file).unwrap();
        for kind in kinds {
            let mut page = encoder.new_image::<Gray8>(2, 1).unwrap();
            page.encoder().write_tag(Tag::NewSubfileType, *kind).unwrap();
            if let Some(colours) = colours {
                page.encoder().write_tag(Tag::PhotometricInterpretation, PHOTOMETRIC_PALETTE).unwrap();
                page.encoder().write_tag(Tag::ColorMap, colours).unwrap();
            }
            page.write_data(&[0, 1]).unwrap();
        }
        file.into_inner()
    }

    #[test]
    fn smaller_forms_of_a_page_are_no_further_pages() {
        for (kinds, expected) in [(&[0][..], false), (&[0, 1], false), (&[0, 1, 2], true), (&[0, 0], true)] {
            assert_eq!(has_more_pages(&file(kinds, None)), expected, "{kinds:?}");
        }
    }

    /// As libtiff has it: colours have 16 bits, unless none of them needs more than 8.
    #[test]
    fn colours_of_a_palette_have_eight_bits_where_none_has_more() {
        for (most, expected) in [(200, [1, 100, 200]), (200 << 8, [0, 0, 200])] {
            let mut map = vec![0; 3 * 256];
            (map[1], map[256 + 1], map[2 * 256 + 1]) = (most, 100, 1);
            let (bgr, size) = decode(&file(&[0], Some(&map)), &Limits::default()).unwrap();
            assert_eq!((&bgr[3..], size), (&expected[..], Size::new(2, 1)));
        }
    }
}

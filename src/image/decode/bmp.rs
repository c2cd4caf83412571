//! Windows bitmaps, read here because the rules are few and OpenCV's own: 5- and 6-bit samples are shifted up
//! without repeating their high bits, the masks of 32-bit pixels count only where the header holds them itself, and pixels
//! that run-length data skips get colour 0 of the palette.

use super::{Limits, Reason, bgr_len, checked_size};
use crate::image::Size;

const RGB: u32 = 0;
const RLE8: u32 = 1;
const RLE4: u32 = 2;
const BIT_FIELDS: u32 = 3;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<(Vec<u8>, Size), Reason> {
    let header = Header::read(bytes, limits)?;
    let body = bytes.get(header.data_at..).ok_or_else(cut_off)?;
    let width = header.size.width as usize;
    let mut bgr = vec![0; bgr_len(header.size)];
    match header.compression {
        RLE4 | RLE8 => runs(body, &header, &mut bgr)?,
        _ => {
            let stride = (width * usize::from(header.bits)).div_ceil(32) * 4;
            let rows = bgr.chunks_exact_mut(width * 3);
            // The last row may lack its padding.
            let needed = stride * (header.size.height as usize - 1) + (width * usize::from(header.bits)).div_ceil(8);
            if body.len() < needed {
                return Err(cut_off());
            }
            rows.zip(body.chunks(stride)).for_each(|(to, from)| header.row(from, to));
        }
    }
    if !header.top_down {
        flip(&mut bgr, width * 3);
    }
    Ok((bgr, header.size))
}

struct Header {
    size: Size,
    top_down: bool,
    bits: u16,
    compression: u32,
    /// 16-bit pixels have 6 bits of green instead of 5.
    six_green: bool,
    /// Which byte of a 32-bit pixel is blue, green, red.
    bytes: [usize; 3],
    /// BGR, 256 entries; those the file lacks are black.
    palette: Vec<[u8; 3]>,
    data_at: usize,
}

impl Header {
    fn read(bytes: &[u8], limits: &Limits) -> Result<Self, Reason> {
        let short = |at: usize| bytes.get(at..).and_then(|b| b.first_chunk()).map(|b| u16::from_le_bytes(*b)).ok_or_else(cut_off);
        let long = |at: usize| bytes.get(at..).and_then(|b| b.first_chunk()).map(|b| u32::from_le_bytes(*b)).ok_or_else(cut_off);
        let info = long(14)?;
        let core = info == 12;
        if !core && info < 36 {
            return Err(format!("a header of {info} bytes is not known"));
        }
        let (width, height, bits, compression, colours) = if core {
            (i32::from(short(18)?), i32::from(short(20)?), short(24)?, RGB, 0)
        } else {
            (long(18)? as i32, long(22)? as i32, short(28)?, long(30)?, long(46)?)
        };
        let size = checked_size(width.max(0) as u32, height.unsigned_abs(), limits)?;
        if !matches!((bits, compression), (1 | 4 | 8 | 16 | 24 | 32, RGB) | (16 | 32, BIT_FIELDS) | (4, RLE4) | (8, RLE8)) {
            return Err(format!("{bits} bits per pixel with compression {compression} are not supported"));
        }
        // Masks stand at the same place whether the header counts them as its own or they follow it.
        let six_green = match (bits, compression) {
            (16, BIT_FIELDS) => match [long(54)?, long(58)?, long(62)?] {
                [0x7c00, 0x3e0, 0x1f] => false,
                [0xf800, 0x7e0, 0x1f] => true,
                masks => return Err(format!("colour masks {masks:x?} are not supported, only 5-5-5 and 5-6-5")),
            },
            _ => false,
        };
        let bytes_of = |masks: [u32; 3]| masks.map(|mask| (mask.trailing_zeros() / 8) as usize);
        let bytes_at = match (bits, compression) {
            (32, BIT_FIELDS) if info >= 56 => match [long(62)?, long(58)?, long(54)?] {
                masks if masks.contains(&0) => [0, 1, 2],
                masks if masks.iter().all(|mask| [0xff, 0xff00, 0xff_0000, 0xff00_0000].contains(mask)) => bytes_of(masks),
                masks => return Err(format!("colour masks {masks:x?} are not supported, only those of whole bytes")),
            },
            _ => [0, 1, 2],
        };
        let mut palette = vec![[0; 3]; 256];
        if bits <= 8 {
            let entry_bytes = if core { 3 } else { 4 };
            let stored = if colours == 0 { 1 << bits } else { colours as usize };
            if stored > 256 {
                return Err(format!("a palette of {stored} colours"));
            }
            let entries = bytes.get(14 + info as usize..).and_then(|b| b.get(..stored * entry_bytes)).ok_or_else(cut_off)?;
            palette.iter_mut().zip(entries.chunks_exact(entry_bytes)).for_each(|(to, from)| to.copy_from_slice(&from[..3]));
        }
        let data_at = long(10)? as usize;
        Ok(Self { size, top_down: height < 0, bits, compression, six_green, bytes: bytes_at, palette, data_at })
    }

    fn row(&self, from: &[u8], to: &mut [u8]) {
        let pixels = to.as_chunks_mut::<3>().0;
        match self.bits {
            16 => pixels.iter_mut().zip(from.as_chunks::<2>().0).for_each(|(to, from)| {
                let v = u16::from_le_bytes(*from);
                *to = if self.six_green {
                    [(v << 3) as u8, (v >> 3) as u8 & 0xfc, (v >> 8) as u8 & 0xf8]
                } else {
                    [(v << 3) as u8, (v >> 2) as u8 & 0xf8, (v >> 7) as u8 & 0xf8]
                };
            }),
            24 => pixels.as_flattened_mut().iter_mut().zip(from).for_each(|(to, from)| *to = *from),
            32 => pixels.iter_mut().zip(from.as_chunks::<4>().0).for_each(|(to, from)| *to = self.bytes.map(|byte| from[byte])),
            bits => pixels.iter_mut().enumerate().for_each(|(x, to)| *to = self.palette[index(from, x, bits)]),
        }
    }
}

/// Palette index number `x` of a row of 1, 4 or 8 bits per pixel, the first in the high bits.
fn index(row: &[u8], x: usize, bits: u16) -> usize {
    let per_byte = 8 / usize::from(bits);
    let shift = 8 - usize::from(bits) * (x % per_byte + 1);
    usize::from(row[x / per_byte] >> shift) & ((1 << bits) - 1)
}

/// Run-length data: pairs of (count, value); a count of 0 starts an escape: 0 ends the row, 1 the picture, 2 moves right
/// and up, and anything above is a stretch of that many literal pixels padded to two bytes.
fn runs(data: &[u8], header: &Header, bgr: &mut [u8]) -> Result<(), Reason> {
    let (width, bits) = (header.size.width as usize, header.bits);
    let pixels = bgr.as_chunks_mut::<3>().0;
    pixels.fill(header.palette[0]);
    let (mut x, mut y, mut at) = (0, 0, 0);
    while y < header.size.height as usize {
        let [count, code] = *data.get(at..).and_then(|d| d.first_chunk()).ok_or_else(cut_off)?;
        at += 2;
        let (run, literal) = match (count, code) {
            (0, 0) => {
                (x, y) = (0, y + 1);
                continue;
            }
            (0, 1) => break,
            (0, 2) => {
                let [right, up] = *data.get(at..).and_then(|d| d.first_chunk()).ok_or_else(cut_off)?;
                (x, y, at) = (x + usize::from(right), y + usize::from(up), at + 2);
                continue;
            }
            (0, literal) => (usize::from(literal), true),
            (run, _) => (usize::from(run), false),
        };
        let source = if literal {
            let length = (run * usize::from(bits)).div_ceil(8);
            let stretch = data.get(at..at + length).ok_or_else(cut_off)?;
            at += length.next_multiple_of(2);
            stretch
        } else {
            &[code][..]
        };
        if x + run > width {
            return Err("a run of pixels goes beyond its row".into());
        }
        for (i, pixel) in pixels[y * width + x..][..run].iter_mut().enumerate() {
            let i = if literal { i } else { i % (8 / usize::from(bits)) };
            *pixel = header.palette[index(source, i, bits)];
        }
        x += run;
    }
    Ok(())
}

fn flip(pixels: &mut [u8], stride: usize) {
    let rows = pixels.len() / stride;
    let (top, bottom) = pixels.split_at_mut(rows / 2 * stride);
    top.chunks_exact_mut(stride).zip(bottom.rchunks_exact_mut(stride)).for_each(|(a, b)| a.swap_with_slice(b));
}

fn cut_off() -> Reason {
    "the file is cut off".into()
}

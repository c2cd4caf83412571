//! A mark in pictures that this program saves, by which a later run knows them from its inputs: text in the head of PNG and JPEG files, and behind
//! the end of BMP and TIFF files, whose readers go by what the head says.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// A `tEXt` chunk, behind the signature and the first chunk.
const PNG: &[u8] = b"\0\0\0\x17tEXtSoftware\0hpinfer result\xf9\x90\x03\xb8";
const PNG_AT: usize = 33;
/// A comment, behind the marker of the file and the segment of JFIF.
const JPEG: &[u8] = b"\xff\xfe\0\x10hpinfer result";
const JPEG_AT: usize = 20;

/// The last bytes of a BMP or TIFF file.
const LAST: &[u8] = b"hpinfer result";
/// How those begin.
const WITH_LAST: [&[u8]; 3] = [b"BM", b"II*\0", b"MM\0*"];

/// Whether the file at `path` is a picture with the mark.
pub fn is_marked(path: &Path) -> bool {
    let is_file = path.metadata().is_ok_and(|file| file.is_file()); // others may have nothing to read, for ever
    is_file && File::open(path).and_then(|mut file| has_mark(&mut file)).unwrap_or(false)
}

fn has_mark(file: &mut File) -> io::Result<bool> {
    let mut head = [0; PNG_AT + PNG.len()];
    file.read_exact(&mut head)?;
    if !WITH_LAST.iter().any(|start| head.starts_with(start)) {
        return Ok(head[PNG_AT..] == *PNG || head[JPEG_AT..].starts_with(JPEG));
    }
    let mut last = [0; LAST.len()];
    file.seek(SeekFrom::End(-(LAST.len() as i64)))?;
    file.read_exact(&mut last)?;
    Ok(last == *LAST)
}

/// Puts the mark behind a whole BMP or TIFF file.
pub fn append(out: &mut (impl Write + Seek)) -> io::Result<()> {
    out.seek(SeekFrom::End(0))?;
    out.write_all(LAST)
}

/// Passes a picture on, and puts the mark into it.
pub struct Marking<W> {
    out: W,
    /// Bytes until the mark is due.
    before: usize,
    mark: &'static [u8],
}

impl<W> Marking<W> {
    /// For a PNG file.
    pub fn png(out: W) -> Self {
        Self { out, before: PNG_AT, mark: PNG }
    }

    /// For a JPEG file.
    pub fn jpeg(out: W) -> Self {
        Self { out, before: JPEG_AT, mark: JPEG }
    }
}

impl<W: Write> Write for Marking<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.mark.is_empty() {
            return self.out.write(bytes);
        }
        let first = bytes.len().min(self.before);
        self.out.write_all(&bytes[..first])?;
        self.before -= first;
        if self.before == 0 {
            self.out.write_all(std::mem::take(&mut self.mark))?;
        }
        Ok(first)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::decode::Decoder;
    use image::codecs::{bmp::BmpEncoder, jpeg::JpegEncoder, png::PngEncoder, tiff::TiffEncoder};
    use image::{ExtendedColorType, ImageEncoder};
    use std::io::Cursor;

    #[test]
    fn marked_pictures_are_known_and_read_as_the_others() {
        let (folder, pixels) = (tempfile::tempdir().expect("a folder"), [1, 2, 3, 200, 100, 50]);
        let is_marked = |file: &[u8]| {
            let path = folder.path().join("a");
            std::fs::write(&path, file).expect("written");
            is_marked(&path)
        };
        let encoded = |jpeg: bool, out: &mut dyn Write| match jpeg {
            true => JpegEncoder::new(out).write_image(&pixels, 2, 1, ExtendedColorType::Rgb8).expect("encoded"),
            false => PngEncoder::new(out).write_image(&pixels, 2, 1, ExtendedColorType::Rgb8).expect("encoded"),
        };
        for jpeg in [false, true] {
            let mut plain = Vec::new();
            encoded(jpeg, &mut plain);
            // Whatever pieces it comes in.
            for piece in [1, 7, plain.len()] {
                let mut marked = Vec::new();
                let mut out = if jpeg { Marking::jpeg(&mut marked) } else { Marking::png(&mut marked) };
                plain.chunks(piece).for_each(|bytes| out.write_all(bytes).expect("written"));
                let pixels = |file: &[u8]| image::load_from_memory(file).expect("a picture").to_rgb8();
                assert_eq!(pixels(&marked), pixels(&plain));
                assert!(is_marked(&marked) && !is_marked(&plain) && !is_marked(&marked[..10]));
            }
        }
        for tiff in [false, true] {
            let mut file = Cursor::new(Vec::new());
            match tiff {
                true => TiffEncoder::new(&mut file).write_image(&pixels, 2, 1, ExtendedColorType::Rgb8).expect("encoded"),
                false => BmpEncoder::new(&mut file).write_image(&pixels, 2, 1, ExtendedColorType::Rgb8).expect("encoded"),
            }
            let plain = file.get_ref().clone();
            append(&mut file).expect("written");
            let marked = file.into_inner();
            let read = |file: &[u8]| Decoder::default().decode(file, "a").expect("a picture");
            assert_eq!(read(&marked).data(), read(&plain).data());
            assert!(is_marked(&marked) && !is_marked(&plain) && !is_marked(&marked[..marked.len() - 1]));
        }
    }
}

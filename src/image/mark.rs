//! A mark in pictures that this program saves, by which a later run knows them from its inputs: text in the head of PNG and JPEG files.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// A `tEXt` chunk, behind the signature and the first chunk.
const PNG: &[u8] = b"\0\0\0\x17tEXtSoftware\0hpinfer result\xf9\x90\x03\xb8";
const PNG_AT: usize = 33;
/// A comment, behind the marker of the file and the segment of JFIF.
const JPEG: &[u8] = b"\xff\xfe\0\x10hpinfer result";
const JPEG_AT: usize = 20;

/// Whether the file at `path` is a picture with the mark.
pub fn is_marked(path: &Path) -> bool {
    let mut head = [0; PNG_AT + PNG.len()];
    let is_file = path.metadata().is_ok_and(|file| file.is_file()); // others may have nothing to read, for ever
    let read = |head: &mut [u8]| File::open(path).and_then(|mut file| file.read_exact(head));
    is_file && read(&mut head).is_ok() && (head[PNG_AT..] == *PNG || head[JPEG_AT..].starts_with(JPEG))
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
    use image::codecs::{jpeg::JpegEncoder, png::PngEncoder};
    use image::{ExtendedColorType, ImageEncoder};

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
    }
}

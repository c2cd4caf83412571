//! Metadata of an ONNX file, read without reading the graph.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek};
use std::path::Path;

/// Field numbers of onnx.proto: `ModelProto.metadata_props`, and key and value of its entries.
const METADATA_PROPS: u64 = 14;
const KEY: u64 = 1;
const VALUE: u64 = 2;

/// No metadata entry is longer: bounds what a damaged length makes us read.
const LONGEST_ENTRY: u64 = 64 << 20;

/// The recognition dictionary in the file's metadata: the lines of the entry `character`, if it has one.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read or is not an ONNX file.
pub(super) fn characters_from_onnx(path: &Path) -> Result<Option<Vec<String>>> {
    let read = || -> io::Result<Option<Vec<String>>> {
        let mut model = Fields(BufReader::new(File::open(path)?));
        while let Some((number, length)) = model.next()? {
            if number != METADATA_PROPS {
                model.skip(length)?;
                continue;
            }
            let (mut key, mut value) = (Vec::new(), Vec::new());
            let entry = model.take(length)?;
            let mut entry = Fields(io::Cursor::new(entry));
            while let Some((number, length)) = entry.next()? {
                match number {
                    KEY => key = entry.take(length)?,
                    VALUE => value = entry.take(length)?,
                    _ => entry.skip(length)?,
                }
            }
            if key == b"character" {
                let text = String::from_utf8(value).map_err(|e| io::Error::new(ErrorKind::InvalidData, e))?;
                return Ok(Some(text.lines().map(str::to_owned).collect()));
            }
        }
        Ok(None)
    };
    read().map_err(Error::io("read the metadata of", path))
}

/// The fields of a protobuf message, one level deep.
struct Fields<R>(R);

impl<R: Read + Seek> Fields<R> {
    /// Number and length of the next field; `None` at the end. The caller takes or skips its bytes.
    fn next(&mut self) -> io::Result<Option<(u64, u64)>> {
        let tag = match self.varint() {
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            tag => tag?,
        };
        let length = match tag & 7 {
            0 => self.varint().map(|_| 0)?,
            1 => 8,
            2 => self.varint()?,
            5 => 4,
            wire => return Err(io::Error::new(ErrorKind::InvalidData, format!("not an ONNX file (wire type {wire})"))),
        };
        Ok(Some((tag >> 3, length)))
    }

    fn take(&mut self, length: u64) -> io::Result<Vec<u8>> {
        if length > LONGEST_ENTRY {
            return Err(io::Error::new(ErrorKind::InvalidData, format!("not an ONNX file (a field of {length} bytes)")));
        }
        let mut bytes = vec![0; length as usize];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let length = i64::try_from(length).map_err(|e| io::Error::new(ErrorKind::InvalidData, e))?;
        self.0.seek_relative(length)
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err(io::Error::new(ErrorKind::InvalidData, "not an ONNX file (an endless number)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
    }

    fn read(bytes: &[u8]) -> Result<Option<Vec<String>>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        characters_from_onnx(file.path())
    }

    #[test]
    fn the_dictionary_is_found_after_other_fields() {
        let entry = |key: &str, value: &str| field(14, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
        let other = [vec![0x08, 0xac, 0x02], field(7, &[0xff; 100]), entry("shape", "x")].concat();
        let with = [other.clone(), entry("character", "'\n疗\n\u{3000}\n z\n")].concat();
        assert_eq!(read(&with).unwrap().unwrap(), ["'", "疗", "\u{3000}", " z"]);
        assert_eq!(read(&other).unwrap(), None);
        assert_eq!(read(b"").unwrap(), None);
    }

    #[test]
    fn what_is_no_onnx_file_is_an_error() {
        for bytes in [&b"\x0f"[..], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x72\x7f", b"\x72\xff\xff\xff\xff\x7f"] {
            let message = read(bytes).unwrap_err().to_string();
            assert!(message.contains("cannot read the metadata of"), "{message}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }
    }
}

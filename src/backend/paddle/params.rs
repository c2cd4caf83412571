//! `inference.pdiparams`: the weights of a program, one tensor behind the other, in the order of their names. The converter takes what is
//! cut short as it is, so that it is looked through before.

use super::program::TensorDesc;
use crate::error::{Error, Result};
use prost::Message;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// The longest description of a tensor; more is damage.
const MOST_DESCRIPTION: u32 = 1 << 16;

/// Looks through the file at `path`, which is to hold `expected` tensors where that is known; no weight is read.
///
/// # Errors
/// [`Error::Input`] for a file that holds something else, or not all; [`Error::Io`] when it cannot be read.
pub fn check(path: &Path, expected: Option<usize>) -> Result<()> {
    let open = || -> io::Result<_> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok((BufReader::new(file), bytes))
    };
    let (mut file, bytes) = open().map_err(Error::io("read", path))?;
    let damaged = |reason: String| Error::input(path.display().to_string(), format!("{reason}; fetch or export the model again"));
    let (mut at, mut tensors) = (0, 0);
    while at < bytes {
        let end = tensor(&mut file, at).map_err(|reason| damaged(format!("tensor {tensors} at byte {at} is none: {reason}")))?;
        if end > bytes {
            return Err(damaged(format!("it is cut short: tensor {tensors} ends at byte {end}, the file at {bytes}")));
        }
        (at, tensors) = (end, tensors + 1);
    }
    match expected {
        Some(expected) if expected != tensors => Err(damaged(format!("it holds {tensors} tensors, the program has {expected}"))),
        _ => Ok(()),
    }
}

/// Where the tensor at byte `at` ends.
fn tensor(file: &mut (impl Read + Seek), at: u64) -> Result<u64, String> {
    let say = |e: io::Error| match e.kind() {
        io::ErrorKind::UnexpectedEof => "the file ends in it".to_owned(),
        _ => e.to_string(),
    };
    file.seek(SeekFrom::Start(at)).map_err(say)?;
    let mut head = [0; 12]; // version, levels of detail
    file.read_exact(&mut head).map_err(say)?;
    let mut end = at + 12;
    let [version, levels @ ..] = head.map(u64::from);
    if version != 0 || levels.iter().any(|&byte| byte != 0) {
        return Err("its head is not that of weights".into());
    }
    let mut sizes = [0; 8]; // version, length of the description
    file.read_exact(&mut sizes).map_err(say)?;
    let [version, length] = [0, 4].map(|i| u32::from_le_bytes([sizes[i], sizes[i + 1], sizes[i + 2], sizes[i + 3]]));
    if version != 0 || length > MOST_DESCRIPTION {
        return Err(format!("its description is of version {version} and {length} bytes"));
    }
    let mut description = vec![0; length as usize];
    file.read_exact(&mut description).map_err(say)?;
    end += 8 + u64::from(length);
    let TensorDesc { data_type, dims } = TensorDesc::decode(&description[..]).map_err(|e| e.to_string())?;
    let each: u64 = match data_type {
        0 | 20 | 21 => 1,
        1 | 4 | 22 => 2,
        2 | 5 => 4,
        3 | 6 | 19 | 23 => 8,
        24 => 16,
        other => return Err(format!("its type has the number {other}")),
    };
    let values = dims.iter().try_fold(each, |bytes, &dim| bytes.checked_mul(u64::try_from(dim).ok()?));
    values.and_then(|values| end.checked_add(values)).ok_or_else(|| format!("its dimensions are {dims:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8], expected: Option<usize>) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inference.pdiparams");
        std::fs::write(&path, bytes).unwrap();
        check(&path, expected).err().map(|e| e.to_string())
    }

    #[test]
    fn a_file_that_is_cut_anywhere_is_refused() {
        let whole = std::fs::read("tests/fixtures/miniatures/pdmodel/inference.pdiparams").unwrap();
        assert_eq!(message(&whole, Some(2)), None);
        for length in 0..whole.len() {
            assert!(message(&whole[..length], Some(2)).is_some(), "{length} of {} bytes", whole.len());
        }
        let cases: [(&[u8], Option<usize>, &str); 4] = [
            (&whole[..whole.len() - 4], None, "it is cut short: tensor 1 ends at byte"),
            (b"", Some(2), "it holds 0 tensors, the program has 2"),
            (&[whole.as_slice(), &whole].concat(), Some(2), "it holds 4 tensors"),
            (b"PK and some more of an archive", None, "tensor 0 at byte 0 is none"),
        ];
        for (bytes, expected, reason) in cases {
            let message = message(bytes, expected).unwrap();
            assert!(message.contains(reason) && message.contains("inference.pdiparams"), "{message}");
        }
    }
}

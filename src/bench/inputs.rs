//! The pictures of a benchmark: found once, decoded before anything is measured.

use super::report::FailedInput;
use super::resources::milliseconds;
use crate::cache::{sha256, sha256_file};
use crate::error::Result;
use crate::image::Frame;
use crate::image::decode::Decoder;
use crate::source::{InputItem, InputKind, Source};
use std::path::PathBuf;
use std::time::Instant;

/// A decoded picture.
pub struct Picture {
    /// The input as named by the user.
    pub name: String,
    /// Its pixels.
    pub frame: Frame,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Milliseconds to read and decode it.
    pub decode_ms: f64,
}

/// The files among the inputs. What is no file is left out and said why: the time of a download is the network's.
pub fn files(source: Source) -> (Vec<PathBuf>, Vec<FailedInput>) {
    let (mut files, mut failed) = (Vec::new(), Vec::new());
    for item in source {
        let reason = match item.kind {
            InputKind::File(path) => {
                files.push(path);
                continue;
            }
            InputKind::Url(_) => "benchmarks read files only; download it first and name the file".into(),
            InputKind::Bytes(_) | InputKind::Page { .. } => "benchmarks read pictures only; render the document's pages first".into(),
            InputKind::Refused(reason) => reason.to_string(),
        };
        let refused = FailedInput { name: item.name, reason };
        if failed.last() != Some(&refused) {
            failed.push(refused); // once for all pages of a document
        }
    }
    (files, failed)
}

/// SHA-256 over the contents of `files`, in order, as [`Inputs::of`](super::report::Inputs::of) has it.
///
/// # Errors
/// That of the first which cannot be read.
pub fn digest(files: &[PathBuf]) -> Result<String> {
    let digests: String = files.iter().map(|file| sha256_file(file)).collect::<Result<_>>()?;
    Ok(sha256(digests.as_bytes()))
}

/// Reads and decodes one file.
pub fn decode(path: PathBuf, decoder: &Decoder) -> Result<Picture> {
    let item = InputItem { name: path.to_string_lossy().into_owned(), kind: InputKind::File(path.clone()), relative_dir: PathBuf::new() };
    let start = Instant::now();
    let frame = item.load(decoder)?;
    let decode_ms = milliseconds(start.elapsed());
    Ok(Picture { name: item.name, frame, sha256: sha256_file(&path)?, decode_ms })
}

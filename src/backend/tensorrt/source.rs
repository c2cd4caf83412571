//! What engines are built of.

use crate::backend::Onnx;
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::time::SystemTime;

/// A model to build an engine of.
#[derive(Clone, Debug)]
pub struct Source {
    /// Name, for people.
    pub model: String,
    /// The network.
    pub onnx: Onnx,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Size of its file and when that was written last, when it was opened.
    as_of: Option<(u64, SystemTime)>,
}

impl Source {
    /// The network `onnx` as it is now, of the digest `sha256`.
    pub fn new(model: impl Into<String>, onnx: Onnx, sha256: String) -> Self {
        let as_of = as_of(&onnx);
        Self { model: model.into(), onnx, sha256, as_of }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that was written since: its engine would be filed under what was there before.
    pub(super) fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        let path = match &self.onnx {
            Onnx::File(path) => path,
            Onnx::Bytes(bytes) => return Ok(Cow::Borrowed(bytes)),
        };
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        if as_of(&self.onnx) != self.as_of {
            let reason = format!("model {}: it was written since it was opened; start again for its engine", self.model);
            return Err(Error::input(path.display().to_string(), reason));
        }
        Ok(Cow::Owned(bytes))
    }
}

fn as_of(onnx: &Onnx) -> Option<(u64, SystemTime)> {
    let Onnx::File(path) = onnx else { return None };
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.len(), meta.modified().ok()?))
}

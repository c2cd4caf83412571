//! What a child found out about a file, kept in the cache: that it is refused, or crashes who reads it, is as true the next time.

use crate::cache::write_json;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What libraries say when memory or threads are wanting.
const PASSING: [&str; 8] = [
    "bad_alloc",
    "memoryerror",
    "out of memory",
    "cannot allocate",
    "can't alloc",
    "failed to allocate",
    "failed to map segment",
    "resource temporarily unavailable",
];

/// The finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Verdict {
    /// Name of the model, for readers.
    pub model: String,
    /// Library and version.
    pub by: String,
    /// Why not; `None`: nothing speaks against it.
    pub refused: Option<String>,
}

impl Verdict {
    /// The finding that is kept at `path`.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Keeps it at `path`, unless it is one of this moment: that memory or threads were wanting.
    pub fn keep(&self, path: &Path) {
        let passing = |reason: &String| PASSING.iter().any(|word| reason.to_lowercase().contains(word));
        if self.refused.as_ref().is_some_and(passing) {
            return;
        }
        if let Err(e) = write_json(path, self) {
            tracing::warn!("what {} made of {} is not kept: {e}", self.by, self.model);
        }
    }

    /// Refuses as it did the first time; `path` is where it is kept.
    pub fn heed(self, path: &Path) -> Result<(), String> {
        match self.refused {
            None => Ok(()),
            Some(reason) => Err(format!("{reason} (found before; delete {} to try again)", path.display())),
        }
    }
}

//! Choices between backends that were measured, as they are kept in the cache: one file for all that a measurement depends on.

use super::BackendName;
use crate::cache::rooms::CHOICES;
use crate::cache::{Cache, warn_not_kept, write_json};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// How long a choice among those that were there and ran is good for.
pub(super) const TRY_AGAIN: Duration = Duration::from_secs(24 * 3600);

/// A measured choice.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    pub backend: BackendName,
    /// Milliseconds per candidate, for `doctor` and curious readers.
    pub milliseconds: BTreeMap<String, f64>,
    pub model: String,
    /// What it was measured for: device, streams and threads, precision. Earlier versions do not say.
    #[serde(default)]
    pub measured_for: String,
    /// Candidates that could not be had, loaded or run: for want of a library or of memory, perhaps, and that may pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<BackendName>,
}

impl Measured {
    /// Logs the choice, and the engine that the model's own description names where that is another.
    pub fn tell(&self, how: &str, hint: Option<BackendName>) {
        let Self { model, backend, milliseconds, .. } = self;
        let other = hint.filter(|hint| hint != backend);
        let other =
            other.map_or(String::new(), |hint| format!(" (its inference.yml names {hint}, a hint here: --backend and hpi_config choose)"));
        tracing::info!("{model}: {backend} {how}: {milliseconds:?} ms{other}");
    }

    /// The choice at `path`, while it is good; for good where another one could not be kept.
    pub fn read(path: &Path) -> Option<Self> {
        let known: Self = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        let age = path.metadata().and_then(|meta| meta.modified()).ok()?.elapsed().unwrap_or_default();
        let is_fixed = || std::fs::OpenOptions::new().append(true).open(path).is_err();
        (known.absent.is_empty() || age < TRY_AGAIN || is_fixed()).then_some(known)
    }

    /// Keeps it at `path`; where that cannot be written it warns.
    pub fn keep(&self, path: &Path) {
        if let Err(e) = write_json(path, self) {
            warn_not_kept(path.parent().unwrap_or(path), e);
        }
    }
}

/// The measurements kept in `cache`: model, chosen backend, milliseconds of each candidate and what they were measured for.
pub fn measured_choices(cache: &Cache) -> Vec<(String, BackendName, String)> {
    let files = std::fs::read_dir(cache.root().join(CHOICES)).into_iter().flatten().filter_map(|e| e.ok());
    let read = files.filter_map(|f| serde_json::from_slice::<Measured>(&std::fs::read(f.path()).ok()?).ok());
    let times = |m: &Measured| {
        let times = m.milliseconds.iter().map(|(name, ms)| format!("{name} {ms}")).collect::<Vec<_>>().join(", ");
        if m.measured_for.is_empty() { format!("{times} ms") } else { format!("{times} ms on {}", m.measured_for) }
    };
    let mut choices: Vec<_> = read.map(|m| (m.model.clone(), m.backend, times(&m))).collect();
    choices.sort_by(|a, b| (&a.0, &a.2).cmp(&(&b.0, &b.2)));
    choices
}

//! Choices between backends that were measured, as they are kept in the cache: one file for all that a measurement depends on.

use super::opened::Libraries;
use super::{BackendName, Precision};
use crate::cache::rooms::CHOICES;
use crate::cache::{Cache, sha256, warn_not_kept, write_json};
use crate::device::{CpuInfo, Device};
use crate::error::Result;
use crate::onnx::REWRITE_VERSION;
use crate::runtime::{self, Library, Origin};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::DirEntry;
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

/// A measurement that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasuredChoice {
    /// Name of the model.
    pub model: String,
    /// What was chosen.
    pub backend: BackendName,
    /// Milliseconds of each candidate, and what they were measured for.
    pub times: String,
    /// Whether a run goes by it; else it is of other libraries, threads or devices, or has to be made again.
    pub counts: bool,
}

/// The measurements kept in `cache`. Those count that a run in float32 with `threads` threads on one of `devices` goes by.
pub fn measured_choices(cache: &Cache, devices: &[Device], threads: usize) -> Vec<MeasuredChoice> {
    let now = |device| circumstances(device, cache, &Libraries::default(), threads, Precision::Float32).ok();
    let now: Vec<String> = devices.iter().filter_map(now).collect();
    let files = std::fs::read_dir(cache.root().join(CHOICES)).into_iter().flatten().filter_map(|e| e.ok());
    let read = |file: DirEntry| {
        let m: Measured = serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok()?;
        let times = m.milliseconds.iter().map(|(name, ms)| format!("{name} {ms}")).collect::<Vec<_>>().join(", ");
        let times = if m.measured_for.is_empty() { format!("{times} ms") } else { format!("{times} ms on {}", m.measured_for) };
        let counts = now.iter().any(|now| file.file_name().to_string_lossy().starts_with(now)) && Measured::read(&file.path()).is_some();
        Some(MeasuredChoice { model: m.model, backend: m.backend, times, counts })
    };
    let mut choices: Vec<_> = files.filter_map(read).collect();
    choices.sort_by(|a, b| (&a.model, &a.times).cmp(&(&b.model, &b.times)));
    choices
}

/// What a measurement holds for besides the network, 16 hexadecimal digits: device and processor, this program, the libraries, which are
/// looked for and not opened, threads in all, and arithmetic.
pub(super) fn circumstances(device: &Device, cache: &Cache, libraries: &Libraries, threads: usize, precision: Precision) -> Result<String> {
    let key = (device.identity(), CpuInfo::read().model, env!("CARGO_PKG_VERSION"), REWRITE_VERSION, threads, precision.to_string());
    let mut parts = format!("{key:?}");
    for library in [Library::OnnxRuntime, Library::OpenVino] {
        let found = runtime::locate(library, cache, libraries.named(library))?;
        // One of the cache is the same wherever that lies.
        parts.push_str(&format!("{:?}", found.map(|f| (f.version, Some(f.path).filter(|_| f.origin != Origin::Cache)))));
    }
    Ok(sha256(parts.as_bytes())[..16].to_owned())
}

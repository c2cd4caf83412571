//! Cache folders, locks, downloads and checksums: every write to the cache goes through here, but for the compiled
//! forms that OpenVINO files by itself. Native libraries ([`runtime`](crate::runtime)), models ([`model`](crate::model)),
//! rewritten graphs and measured choices live below one root. Nothing in it has to be kept: whatever is missing,
//! unfinished or damaged is made again.
//!
//! A reader that finds what it wants complete takes no lock and writes nothing, so a filled cache may be
//! read-only; what a run makes of models it makes anew then, with one warning, but for conversions of Paddle's own format. A writer takes the [`Lock`] of the thing it makes, builds it under a temporary name in the same
//! folder, flushes it and renames it: a process killed at any moment leaves either nothing or a finished thing.

mod atomic;
mod checksum;
mod contents;
mod digest;
mod fetch;
mod install;
mod lock;
mod pip;
mod progress;
pub mod rooms;
mod untar;
mod unzip;

pub use atomic::{folder_of, write_atomic, write_json};
pub(crate) use atomic::{publish, remove_aside, sync_folder};
pub use checksum::{sha256, sha256_file};
pub use fetch::{Download, hide_secrets, without_secrets};
pub use install::{Folder, Member, Package, Wheel};
pub use lock::{Lock, lock_file};
pub use progress::Progress;

use crate::error::{Error, Result};
use std::ffi::OsString;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io};

/// `name` as a part of file names: what file systems, and those who walk them, take for something else stands as `_`.
pub fn safe_name(name: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || "-_.+".contains(c) { c } else { '_' };
    name.chars().map(safe).collect()
}

/// What this program calls itself to servers.
pub const USER_AGENT: &str = concat!("hpinfer/", env!("CARGO_PKG_VERSION"));

/// Folders of what was fetched.
const FETCHED: [&str; 4] = [rooms::RUNTIME, rooms::MODELS, rooms::ARCHIVES, rooms::FONTS];

/// Whether downloads are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// What is missing is downloaded.
    #[default]
    Online,
    /// What is missing is an error (`--offline`).
    Offline,
}

/// What a folder that was unpacked is taken for whole by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whole {
    /// The lengths of its files, which every run looks at.
    #[default]
    ByLengths,
    /// Their contents, which takes as long as reading them.
    ByContents,
}

/// The cache of this machine, or one the user named.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
    network: Network,
    whole: Whole,
    python: PathBuf,
    engine_dir: Option<PathBuf>,
    engine_limit: Option<u64>,
}

impl Cache {
    /// The cache at `explicit`, else `$HPINFER_HOME`, else `$XDG_CACHE_HOME/hpinfer`, else `~/.cache/hpinfer`.
    /// Nothing is created yet. Downloads are allowed; they run `$HPINFER_PYTHON`, else `python3`. With `$HPINFER_ENGINE_DIR`
    /// all engines of TensorRT are kept in that folder; `$HPINFER_ENGINE_LIMIT` is the most gigabytes of them in a folder.
    ///
    /// # Errors
    /// [`Error::Config`] when none of the variables is set, the current folder of a relative path is gone, or the limit is no number.
    pub fn open(explicit: Option<&Path>) -> Result<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let root = root(explicit, set)?;
        let root = std::path::absolute(&root).map_err(Error::io("resolve", &root))?;
        let python = set("HPINFER_PYTHON").unwrap_or_else(|| "python3".into());
        let engine_dir = set("HPINFER_ENGINE_DIR").map(PathBuf::from);
        let engine_limit = set("HPINFER_ENGINE_LIMIT").map(|text| gigabytes(&text.to_string_lossy())).transpose()?;
        Ok(Self { root, network: Network::Online, whole: Whole::default(), python: python.into(), engine_dir, engine_limit })
    }

    /// The same cache with downloads allowed or not.
    #[must_use]
    pub fn with_network(self, network: Network) -> Self {
        Self { network, ..self }
    }

    /// The same cache, in which what is installed is whole by its contents: what is damaged is installed anew.
    #[must_use]
    pub fn comparing_contents(self) -> Self {
        Self { whole: Whole::ByContents, ..self }
    }

    /// What installed folders are taken for whole by.
    pub fn whole(&self) -> Whole {
        self.whole
    }

    /// The folder everything lies in; it need not exist.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The same cache with the engines of TensorRT in `folder`, and none beside their models.
    #[must_use]
    pub fn with_engine_dir(self, folder: &Path) -> Self {
        Self { engine_dir: Some(folder.to_owned()), ..self }
    }

    /// Where all engines of TensorRT are kept, if the user named a folder.
    pub fn engine_dir(&self) -> Option<&Path> {
        self.engine_dir.as_deref()
    }

    /// Bytes that the engines of a folder may take, if the user set a limit.
    pub fn engine_limit(&self) -> Option<u64> {
        self.engine_limit
    }

    /// Whether downloads are allowed.
    pub fn network(&self) -> Network {
        self.network
    }

    /// The Python the user named, else `python3`.
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// A folder of the cache, created when absent.
    ///
    /// # Errors
    /// [`Error::Config`] with the next step when the cache cannot be written.
    pub fn subdir(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        let folder = self.root.join(name);
        fs::create_dir_all(&folder).map_err(|e| self.refused("create", &folder, &e))?;
        Ok(folder)
    }

    /// A cache in `folder` that shares with this one what was fetched, and nothing that was made of it on this machine.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Io`] when a folder cannot be made.
    pub fn with_fetched_only(&self, folder: &Path) -> Result<Self> {
        for name in FETCHED {
            let (here, there) = (self.subdir(name)?, folder.join(name));
            std::os::unix::fs::symlink(here, &there).map_err(Error::io("link", &there))?;
        }
        Ok(Self { root: folder.to_owned(), ..self.clone() })
    }

    /// What to tell the user when the file system refuses a write to the cache.
    pub(crate) fn refused(&self, action: &str, path: &Path, error: &io::Error) -> Error {
        let next_step = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free some space there, or set HPINFER_HOME to a folder on another disk"
            }
            _ => "set HPINFER_HOME to a folder you can write to",
        };
        Error::config(format!("cache {}", self.root.display()), format!("cannot {action} {}: {error}; {next_step}", path.display()))
    }
}

/// Warns that `folder` takes nothing that is made of models, which runs do without: once, as all models of a run meet the same.
pub(crate) fn warn_not_kept(folder: &Path, reason: impl Display) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Ordering::Relaxed) {
        let next_step = "set HPINFER_HOME to a folder that you can write to and that has space";
        tracing::warn!("{}: what is made of models is not kept and is made anew by every run: {reason}; {next_step}", folder.display());
    }
}

/// Bytes in so many gigabytes.
fn gigabytes(text: &str) -> Result<u64> {
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    let number = number.ok_or_else(|| Error::config("HPINFER_ENGINE_LIMIT", format!("`{text}` is no number of gigabytes such as 20")))?;
    Ok((number * 1e9) as u64)
}

fn root(explicit: Option<&Path>, set: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    if let Some(path) = explicit {
        return Ok(path.to_owned());
    }
    if let Some(path) = set("HPINFER_HOME") {
        return Ok(path.into());
    }
    // The XDG specification asks to ignore a relative path.
    if let Some(path) = set("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()) {
        return Ok(path.join("hpinfer"));
    }
    match set("HOME") {
        Some(home) => Ok(Path::new(&home).join(".cache").join("hpinfer")),
        None => Err(Error::config(
            "cache",
            "none of HPINFER_HOME, XDG_CACHE_HOME and HOME is set; set HPINFER_HOME to a folder you can write to",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root_with(explicit: Option<&str>, variables: &[(&str, &str)]) -> Result<PathBuf> {
        root(explicit.map(Path::new), |name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into()))
    }

    #[test]
    fn the_root_is_the_first_that_is_named() {
        let all = [("HPINFER_HOME", "/hp"), ("XDG_CACHE_HOME", "/xdg"), ("HOME", "/home/u")];
        assert_eq!(root_with(Some("/explicit"), &all).unwrap(), Path::new("/explicit"));
        assert_eq!(root_with(None, &all).unwrap(), Path::new("/hp"));
        assert_eq!(root_with(None, &all[1..]).unwrap(), Path::new("/xdg/hpinfer"));
        assert_eq!(root_with(None, &all[2..]).unwrap(), Path::new("/home/u/.cache/hpinfer"));
        assert_eq!(root_with(None, &[("XDG_CACHE_HOME", "relative"), ("HOME", "/home/u")]).unwrap(), Path::new("/home/u/.cache/hpinfer"));
        assert!(root_with(None, &[]).unwrap_err().to_string().contains("HPINFER_HOME"));
    }

    #[test]
    fn a_cache_that_cannot_be_written_names_the_next_step() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cache = Cache::open(Some(file.path())).unwrap();
        let message = cache.subdir("models").unwrap_err().to_string();
        assert!(message.contains("cannot create") && message.contains("set HPINFER_HOME"), "{message}");
        let full = cache.refused("write", file.path(), &io::Error::from(io::ErrorKind::StorageFull)).to_string();
        assert!(full.contains("free some space"), "{full}");
    }

    #[test]
    fn opening_creates_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(&folder.path().join("new"))).unwrap();
        assert!(!cache.root().exists());
        assert!(cache.subdir("a/b").unwrap().is_dir());
    }
}

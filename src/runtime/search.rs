//! Looking for a library among the places a user may have put one.

use super::file::{defect, dotted};
use super::{Found, Library, Origin};
use crate::cache::Cache;
use crate::error::{Error, Result};
use std::cmp::Reverse;
use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

/// Where to look.
pub(super) struct Search<'a> {
    library: Library,
    cache: &'a Cache,
    /// Value of the library's variable.
    variable: Option<OsString>,
    /// Folders of the system's loader, in its order.
    folders: Vec<PathBuf>,
}

impl<'a> Search<'a> {
    /// The search on this machine, in this environment.
    pub fn here(library: Library, cache: &'a Cache) -> Self {
        Self { library, cache, variable: std::env::var_os(library.variable()).filter(|v| !v.is_empty()), folders: loader_folders() }
    }

    /// The first library that is there.
    pub fn run(&self, explicit: Option<&Path>) -> Result<Option<Found>> {
        if let Some(path) = explicit {
            return self.named(path, Origin::Explicit, self.library.name()).map(Some);
        }
        if let Some(path) = &self.variable {
            return self.named(Path::new(path), Origin::Environment, self.library.variable()).map(Some);
        }
        if let Some(found) = self.folders.iter().find_map(|folder| self.in_folder(folder)) {
            return Ok(Some(found));
        }
        Ok(self.cache.holds(&self.library.pin().folder()).then(|| self.library.installed(self.cache)))
    }

    /// A library the user named at `place`: usable or an error.
    fn named(&self, path: &Path, origin: Origin, place: &str) -> Result<Found> {
        let refuse = |reason: String| {
            let next_step =
                format!("set it to the path of {}, or leave it unset to let the program find or install one", self.library.stem());
            Error::config(place, format!("{} {reason}; {next_step}", path.display()))
        };
        if let Some(reason) = defect(path) {
            return Err(refuse(reason));
        }
        // The loader would look for a bare name in its own folders instead.
        let path = std::path::absolute(path).map_err(Error::io("resolve", path))?;
        let version = self.library.version(&path);
        match &version {
            Some(version) if version[..] < self.library.oldest()[..] => {
                Err(refuse(format!("is version {}, and the oldest that works is {}", dotted(version), dotted(&self.library.oldest()))))
            }
            _ => Ok(Found { path, version: version.as_deref().map(dotted), origin }),
        }
    }

    /// The newest usable library in a folder; files whose name tells no version come last.
    fn in_folder(&self, folder: &Path) -> Option<Found> {
        let entries = fs::read_dir(folder).ok()?.filter_map(std::io::Result::ok);
        let is_named_so = |entry: &DirEntry| {
            let name = entry.file_name();
            let suffix = name.to_str().and_then(|name| name.strip_prefix(self.library.stem()));
            suffix.is_some_and(|suffix| suffix.is_empty() || suffix.starts_with('.'))
        };
        let paths = entries.filter(is_named_so).map(|entry| entry.path()).filter(|path| defect(path).is_none());
        let mut candidates: Vec<_> = paths.map(|path| (Reverse(self.library.version(&path)), path)).collect();
        candidates.sort();
        candidates.into_iter().find_map(|(Reverse(version), path)| match version {
            Some(version) if version[..] < self.library.oldest()[..] => {
                tracing::info!("ignoring {}: the oldest version that works is {}", path.display(), dotted(&self.library.oldest()));
                None
            }
            version => Some(Found { path, version: version.as_deref().map(dotted), origin: Origin::System }),
        })
    }
}

impl Library {
    /// The copy in the cache, which is there.
    pub(super) fn installed(self, cache: &Cache) -> Found {
        let pin = self.pin();
        Found { path: pin.first(cache), version: Some(pin.wheel.version.to_owned()), origin: Origin::Cache }
    }
}

/// `LD_LIBRARY_PATH`, the folders of `/etc/ld.so.conf` and the usual ones.
fn loader_folders() -> Vec<PathBuf> {
    let variable = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    // An empty entry would mean the current folder: never look for libraries there.
    let mut folders: Vec<_> = std::env::split_paths(&variable).filter(|folder| folder.is_absolute()).collect();
    let mut files: Vec<_> = fs::read_dir("/etc/ld.so.conf.d").into_iter().flatten().filter_map(|e| Some(e.ok()?.path())).collect();
    files.sort();
    for file in std::iter::once(PathBuf::from("/etc/ld.so.conf")).chain(files) {
        let text = fs::read_to_string(file).unwrap_or_default();
        folders.extend(text.lines().map(|line| PathBuf::from(line.trim())).filter(|folder| folder.is_absolute()));
    }
    let usual = ["/usr/local/lib", "/usr/local/lib64", "/usr/lib64", "/usr/lib", "/lib64", "/lib"];
    folders.extend(usual.map(PathBuf::from));
    // Of many systems /lib is a link to /usr/lib.
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| folder.canonicalize().is_ok_and(|folder| seen.insert(folder)));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start of a shared library for this machine; enough for a search that loads nothing.
    fn plant(folder: &Path, name: &str) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let path = folder.join(name);
        let machine = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
        let mut head = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\0\0";
        head[18] = machine;
        fs::write(&path, head).unwrap();
        path
    }

    #[test]
    fn what_the_user_has_wins_in_order() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(&temp.path().join("cache"))).unwrap();
        let mut search = Search {
            library: Library::OnnxRuntime,
            cache: &cache,
            variable: None,
            folders: vec![temp.path().join("a"), temp.path().join("b")],
        };
        assert_eq!(search.run(None).unwrap(), None);

        let pin = Library::OnnxRuntime.pin();
        for member in pin.folder().members {
            let path = cache.root().join(pin.folder().path).join(member.to);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::File::create(&path).unwrap().set_len(member.bytes).unwrap();
        }
        let found = search.run(None).unwrap().unwrap();
        assert_eq!((found.origin, found.version.as_deref()), (Origin::Cache, Some("1.31.1")));

        // Too old, not a library, not this library: none of them is taken.
        plant(&temp.path().join("a"), "libonnxruntime.so.1.17.0");
        fs::write(temp.path().join("a/libonnxruntime.so.1.40.0"), "text").unwrap();
        plant(&temp.path().join("a"), "libonnxruntime_providers_shared.so");
        assert_eq!(search.run(None).unwrap().unwrap().origin, Origin::Cache);

        plant(&temp.path().join("b"), "libonnxruntime.so.1.9.0");
        plant(&temp.path().join("b"), "libonnxruntime.so.1.24.2");
        let newest = plant(&temp.path().join("b"), "libonnxruntime.so.1.30.0");
        let found = search.run(None).unwrap().unwrap();
        assert_eq!((found.origin, &found.path, found.version.as_deref()), (Origin::System, &newest, Some("1.30.0")));

        let mine = plant(&temp.path().join("mine"), "custom.so");
        search.variable = Some(mine.clone().into());
        assert_eq!(search.run(None).unwrap().unwrap(), Found { path: mine, version: None, origin: Origin::Environment });
        let explicit = search.run(Some(&newest)).unwrap().unwrap();
        assert_eq!(explicit.origin, Origin::Explicit);
    }

    #[test]
    fn a_named_path_that_cannot_be_used_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(temp.path())).unwrap();
        plant(&temp.path().join("system"), "libopenvino_c.so.2641");
        let mut search = Search { library: Library::OpenVino, cache: &cache, variable: None, folders: vec![temp.path().join("system")] };
        let old = plant(temp.path(), "libopenvino_c.so.2330");
        for (path, expected) in [
            (temp.path().join("absent"), "cannot be read"),
            (temp.path().into(), "folder"),
            (old, "is version 2023.3.0, and the oldest that works is 2025.1"),
        ] {
            let message = search.run(Some(&path)).unwrap_err().to_string();
            assert!(message.starts_with("openvino: ") && message.contains(expected), "{message}");
            search.variable = Some(path.into());
            let message = search.run(None).unwrap_err().to_string();
            assert!(message.starts_with("OPENVINO_LIB_PATH: ") && message.contains("leave it unset"), "{message}");
        }
    }
}

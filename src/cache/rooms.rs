//! What the cache consists of, for those who want to see what takes its space, or to have that back.

use super::{Cache, atomic};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::{fs, io};
use walkdir::WalkDir;

/// Folder of libraries.
pub const RUNTIME: &str = "runtime";
/// Folder of downloaded models.
pub const MODELS: &str = "official_models";
/// Folder of what the archives of models held.
pub const ARCHIVES: &str = "archives";
/// Folder of fonts.
pub const FONTS: &str = "fonts";
/// Folder of models converted to ONNX.
pub const CONVERTED: &str = "converted";
/// Folder of the forms of graphs that engines run fastest, and of what engines compile of them.
pub const COMPILED: &str = "compiled";
/// Folder of what the SHA-256 of files elsewhere was.
pub const DIGESTS: &str = "digests";
/// Folder of the engines of TensorRT.
pub const ENGINES: &str = "engines";
/// Folder of the engines that were measured as the fastest.
pub const CHOICES: &str = "choices";
/// Folder of what became of models that are opened in a process of their own first.
pub const TRIALS: &str = "trials";
/// Folder of downloads under way.
pub const DOWNLOADS: &str = "downloads";
/// Folder of locks: others may hold them, so they stay.
pub const LOCKS: &str = "locks";

/// How names begin of what is being written.
pub const TEMPORARY: &str = ".hpinfer-";

/// What engines lie below beside their models.
const BESIDE: &str = ".cache";

/// A part of the cache that can be removed alone.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Its folders, of which the first gives it its name.
    pub folders: &'static [&'static str],
    /// What is kept there.
    pub what: &'static str,
    /// Whether any run makes it again by itself of what else is here.
    pub is_made_here: bool,
}

/// All parts of the cache but its locks.
pub const ROOMS: [Room; 8] = [
    Room { folders: &[MODELS, ARCHIVES], what: "downloaded models", is_made_here: false },
    Room { folders: &[RUNTIME], what: "inference libraries", is_made_here: false },
    Room { folders: &[FONTS], what: "fonts of saved pictures", is_made_here: false },
    Room {
        folders: &[ENGINES, "converted/.cache"],
        what: "engines of TensorRT, but for those beside downloaded models",
        is_made_here: false,
    },
    Room { folders: &[DOWNLOADS], what: "downloads that did not end", is_made_here: false },
    Room { folders: &[CONVERTED, TRIALS], what: "models converted to ONNX by paddle2onnx", is_made_here: false },
    Room { folders: &[COMPILED, DIGESTS], what: "graphs rewritten and compiled for an engine", is_made_here: true },
    Room { folders: &[CHOICES], what: "which engine was measured as the fastest", is_made_here: true },
];

impl Room {
    /// What the user calls it.
    pub fn name(&self) -> &'static str {
        self.folders[0]
    }

    /// Files there, and the bytes they take.
    pub fn occupied(&self, cache: &Cache) -> (usize, u64) {
        let folders = self.folders.iter().map(|folder| cache.root().join(folder));
        let is_own = |entry: &walkdir::DirEntry| entry.depth() != 1 || entry.file_name() != BESIDE;
        let entries = folders.flat_map(|folder| WalkDir::new(folder).into_iter().filter_entry(is_own).flatten());
        let lengths = entries.filter_map(|entry| entry.metadata().ok().filter(fs::Metadata::is_file)).map(|meta| meta.len());
        lengths.fold((0, 0), |(files, bytes), length| (files + 1, bytes + length))
    }

    /// Removes all that is there. Where a folder of it is a link, nothing is removed, and the link is returned: others may use what lies
    /// behind it. A run that is under way may miss what it has not opened yet; one that installs something there fails.
    ///
    /// # Errors
    /// [`Error::Config`] for the first entry that cannot be removed.
    pub fn clear(&self, cache: &Cache) -> Result<Option<PathBuf>> {
        let mut below_root = self.folders.iter().flat_map(|folder| Path::new(folder).ancestors()).filter(|part| *part != Path::new(""));
        if let Some(linked) = below_root.find(|part| cache.root().join(part).is_symlink()) {
            return Ok(Some(cache.root().join(linked)));
        }
        for folder in self.folders.iter().map(|folder| cache.root().join(folder)).filter(|folder| folder.exists()) {
            for entry in fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
                let entry = entry.map_err(Error::io("read", &folder))?;
                if entry.file_name() != BESIDE {
                    atomic::remove(&entry.path()).map_err(|e| cache.refused("remove", &entry.path(), &e))?;
                }
            }
        }
        Ok(None)
    }
}

/// Refuses a folder with things that no cache of this program has: parts have everyday names, and a mistyped folder is not to lose them.
///
/// # Errors
/// [`Error::Config`] that names the first.
pub fn require_own(cache: &Cache) -> Result<()> {
    let root = cache.root();
    let of_the_system = |name: &str| name.starts_with(".nfs") || [".DS_Store", "CACHEDIR.TAG", "lost+found"].contains(&name);
    let is_ours = |name: &str| name == LOCKS || name.starts_with(TEMPORARY) || ROOMS.iter().any(|room| room.folders.contains(&name));
    let is_known = |name: &str| is_ours(name) || of_the_system(name);
    let entries = match fs::read_dir(root) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(Error::io("read", root))?,
    };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    match names.iter().find(|name| !is_known(name)) {
        Some(stranger) => {
            let reason = format!("`{stranger}` is none of ours, so nothing is removed there; move it away, or name the cache folder");
            Err(Error::config(format!("cache {}", root.display()), reason))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_counted_and_cleared_without_the_engines_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(folder.path())).unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, [0; 10]).unwrap();
        };
        ["converted/a.onnx", "converted/sub/b.onnx", "converted/.cache/tensorrt/c.engine", "locks/d.lock"].into_iter().for_each(write);
        let room = |name: &str| ROOMS.into_iter().find(|room| room.name() == name).unwrap();
        assert_eq!(room(CONVERTED).occupied(&cache), (2, 20));
        assert_eq!(room(ENGINES).occupied(&cache), (1, 10));
        room(CONVERTED).clear(&cache).unwrap();
        assert_eq!((room(CONVERTED).occupied(&cache), room(ENGINES).occupied(&cache)), ((0, 0), (1, 10)));
        ROOMS.iter().for_each(|room| assert_eq!(room.clear(&cache).unwrap(), None));
        assert!(ROOMS.iter().all(|room| room.occupied(&cache) == (0, 0)));
        assert!(folder.path().join("locks/d.lock").exists(), "others may hold it");
    }

    #[test]
    fn what_is_not_ours_stays() {
        let (folder, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cache = Cache::open(Some(folder.path())).unwrap();
        fs::write(shared.path().join("weights"), "x").unwrap();
        std::os::unix::fs::symlink(shared.path(), folder.path().join(MODELS)).unwrap();
        require_own(&cache).unwrap();
        fs::create_dir(folder.path().join(ARCHIVES)).unwrap();
        fs::write(folder.path().join(ARCHIVES).join("m.json"), "x").unwrap();
        assert_eq!(ROOMS[0].clear(&cache).unwrap().unwrap(), folder.path().join(MODELS));
        assert!(shared.path().join("weights").exists() && folder.path().join(ARCHIVES).join("m.json").exists());
        fs::create_dir(shared.path().join(BESIDE)).unwrap();
        fs::write(shared.path().join(BESIDE).join("engine"), "x").unwrap();
        std::os::unix::fs::symlink(shared.path(), folder.path().join(CONVERTED)).unwrap();
        assert!(ROOMS.iter().find(|room| room.name() == ENGINES).unwrap().clear(&cache).unwrap().is_some());
        assert!(shared.path().join(BESIDE).join("engine").exists());
        fs::create_dir(folder.path().join("Documents")).unwrap();
        let message = require_own(&cache).unwrap_err().to_string();
        assert!(message.contains("`Documents` is none of ours"), "{message}");
        require_own(&Cache::open(Some(&folder.path().join("none"))).unwrap()).unwrap();
    }
}

//! Installing parts of a pinned wheel: lock, download, check, unpack, rename.

use super::atomic::{publish, remove};
use super::fetch::Download;
use super::rooms::DOWNLOADS;
use super::{Cache, Network, Whole, contents, pip, sha256_file, untar, unzip};
use crate::error::{Error, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// One file on PyPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wheel<'a> {
    /// Project name.
    pub project: &'a str,
    /// Exact version.
    pub version: &'a str,
    /// Name of the wheel file.
    pub file: &'a str,
    /// SHA-256 of the wheel file.
    pub sha256: &'a str,
    /// Length of the wheel file.
    pub bytes: u64,
}

/// A file inside a wheel, or a folder with all below it.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Name in the archive; that of a folder ends in `/`.
    pub from: &'a str,
    /// Path below the [`Folder`] it is unpacked to.
    pub to: &'a str,
    /// Length when unpacked; of a folder, what it takes at most.
    pub bytes: u64,
    /// SHA-256 when unpacked, where it is known apart from that of the wheel.
    pub sha256: Option<&'a str>,
}

/// A folder of the cache that appears with all its members or not at all.
#[derive(Clone, Debug)]
pub struct Folder<'a> {
    /// Path below the root of the cache.
    pub path: PathBuf,
    /// What it holds.
    pub members: Vec<Member<'a>>,
}

/// A wheel, what is wanted of it, and how to speak of it in errors.
#[derive(Clone, Debug)]
pub struct Package<'a> {
    /// What the user misses: "ONNX Runtime 1.31.1".
    pub what: String,
    /// What to do when it cannot be downloaded: "run `...`, or set ...".
    pub next_step: String,
    /// Where it comes from.
    pub wheel: Wheel<'a>,
    /// Where it goes.
    pub folders: Vec<Folder<'a>>,
}

impl Member<'_> {
    /// Whether it stands for all below a folder.
    pub(super) fn is_folder(&self) -> bool {
        self.from.ends_with('/')
    }

    /// Whether it lies below `base`, with its length if it is a file. A folder appears by one rename with all it holds.
    fn is_in(&self, base: &Path) -> bool {
        fs::metadata(base.join(self.to)).is_ok_and(|meta| match self.is_folder() {
            true => meta.is_dir(),
            false => meta.is_file() && meta.len() == self.bytes,
        })
    }
}

impl Package<'_> {
    pub(super) fn missing(&self, reason: impl Into<String>) -> Error {
        Error::missing(&self.what, reason, &self.next_step)
    }
}

impl Cache {
    /// Whether every member of `folder` is there with its length. Cheap: no file is read.
    pub fn holds(&self, folder: &Folder<'_>) -> bool {
        let base = self.root.join(&folder.path);
        folder.members.iter().all(|member| member.is_in(&base))
    }

    /// What `folder` lacks, if it is not whole.
    fn lack(&self, folder: &Folder<'_>) -> Option<String> {
        match self.whole {
            _ if !self.holds(folder) => Some("it is not in the cache".into()),
            Whole::ByLengths => None,
            Whole::ByContents
                if self.network == Network::Offline && !contents::are_known(&self.root.join(&folder.path), &folder.members) =>
            {
                tracing::warn!("{}: nothing says what the files were; they are taken by their lengths", folder.path.display());
                None
            }
            Whole::ByContents => contents::fault(&self.root.join(&folder.path), &folder.members),
        }
    }

    /// Makes the folders of `package` whole. Returns at once, without a lock or a write, when they are.
    ///
    /// # Errors
    /// [`Error::Missing`] when something has to be downloaded and cannot be, or is not what was pinned;
    /// [`Error::Config`] when the cache cannot be written.
    pub fn install(&self, package: &Package<'_>) -> Result<()> {
        let Some(lack) = package.folders.iter().find_map(|folder| self.lack(folder)) else { return Ok(()) };
        let wheel = &package.wheel;
        if self.network == Network::Offline && !self.downloads().join(wheel.file).exists() {
            return Err(package.missing(format!("{lack} and downloads are off (--offline)")));
        }
        let _lock = self.lock(&format!("{}-{}", wheel.project, wheel.version))?;
        // Another process may have installed it while this one waited.
        let todo: Vec<_> = package.folders.iter().filter_map(|folder| Some((folder, self.lack(folder)?))).collect();
        if todo.is_empty() {
            return Ok(());
        }
        let archive = self.fetch(package)?;
        for (folder, lack) in todo {
            if self.holds(folder) {
                tracing::warn!("{}: {lack}; it is unpacked anew", package.what);
            }
            self.unpack(package, &archive, folder)?;
        }
        remove(&archive).map_err(|e| self.refused("remove", &archive, &e))
    }

    /// The wheel, checked. One that an earlier process finished downloading is taken as it is.
    fn fetch(&self, package: &Package<'_>) -> Result<PathBuf> {
        let wheel = &package.wheel;
        let target = self.downloads().join(wheel.file);
        // Held under the lock, so nobody else uses this name; what is in it was left by a killed process.
        let partial = self.downloads().join(format!("{}.partial", wheel.file));
        remove(&partial).map_err(|e| self.refused("remove", &partial, &e))?;
        if target.exists() {
            if sha256_file(&target)? == wheel.sha256 {
                return Ok(target);
            }
            remove(&target).map_err(|e| self.refused("remove", &target, &e))?;
        }
        if self.network == Network::Offline {
            return Err(package.missing("its download in the cache was damaged and downloads are off (--offline)"));
        }
        fs::create_dir_all(&partial).map_err(|e| self.refused("create", &partial, &e))?;
        let checked = self.download(package, &partial, &target);
        match (checked, remove(&partial)) {
            (Ok(()), Ok(())) => Ok(target),
            (Ok(()), Err(e)) => Err(self.refused("remove", &partial, &e)),
            (Err(e), _) => Err(e),
        }
    }

    fn download(&self, package: &Package<'_>, partial: &Path, target: &Path) -> Result<()> {
        let file = pip::download(self, package, partial)?;
        let found = sha256_file(&file)?;
        if found != package.wheel.sha256 {
            let reason =
                format!("the downloaded {} has SHA-256 {found}, expected {}; it was removed", package.wheel.file, package.wheel.sha256);
            return Err(package.missing(reason));
        }
        publish(&file, target).map_err(|e| self.refused("rename", &file, &e))
    }

    fn unpack(&self, package: &Package<'_>, archive: &Path, folder: &Folder<'_>) -> Result<()> {
        let target = self.root.join(&folder.path);
        self.in_place_of(&target, |partial| {
            let unpacked = unzip::unpack(archive, partial, &folder.members).and_then(|()| {
                contents::write_down(partial, &folder.members).map_err(|e| match e {
                    Error::Io { source, .. } => source,
                    e => io::Error::other(e),
                })
            });
            unpacked.map_err(|e| match e.kind() {
                io::ErrorKind::InvalidData => package.missing(format!("cannot unpack {}: {e}", package.wheel.file)),
                _ => self.refused("unpack to", &target, &e),
            })
        })
    }

    /// Has `fill` fill a folder beside `target` that then takes its place. Otherwise nothing of it stays.
    fn in_place_of(&self, target: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let partial = PathBuf::from([target.as_os_str(), ".partial".as_ref()].into_iter().collect::<OsString>());
        let refused = |e: io::Error| self.refused("unpack to", target, &e);
        let made = remove(&partial).and_then(|()| fs::create_dir_all(&partial)).map_err(refused);
        let made = made.and_then(|()| fill(&partial)).and_then(|()| publish(&partial, target).map_err(refused));
        if made.is_err() {
            // The error at hand is the one to report; the next run removes what cannot be removed now.
            let _ = remove(&partial);
        }
        made
    }

    /// Unpacks a downloaded tar file into `target`, which appears when `check`, given the folder and the names in it, has
    /// nothing against them; a folder that stands in the way is replaced. Otherwise nothing of it stays.
    ///
    /// # Errors
    /// [`Error::Missing`] when the archive is damaged or dishonest; what `check` reports; [`Error::Config`] when the cache
    /// cannot be written.
    pub fn unpack_tar(
        &self,
        download: &Download<'_>,
        archive: &Path,
        target: &Path,
        limit: u64,
        check: impl FnOnce(&Path, &[PathBuf]) -> Result<()>,
    ) -> Result<()> {
        self.in_place_of(target, |partial| {
            let names = untar::unpack(archive, partial, limit).map_err(|e| match e.kind() {
                io::ErrorKind::InvalidData => download.missing(format!("cannot unpack {}: {e}", download.place())),
                _ => self.refused("unpack to", target, &e),
            })?;
            check(partial, &names)
        })
    }

    fn downloads(&self) -> PathBuf {
        self.root.join(DOWNLOADS)
    }
}

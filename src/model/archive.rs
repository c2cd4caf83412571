//! The vendor's archives: fetched, unpacked, checked, and remembered. Nobody publishes their checksums, so those of the
//! first download are kept beside the models, and every later one is held against them.

use super::catalog::Known;
use super::folder;
use super::store::Integrity;
use crate::cache::rooms::ARCHIVES;
use crate::cache::{Cache, Download, Whole, sha256_file, write_json};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// No archive of the list is longer: the largest has 1.2 GB.
const LONGEST: u64 = 4 << 30;

/// What the first download of an archive was.
#[derive(Debug, Deserialize, Serialize)]
struct Record {
    url: String,
    archive: Sum,
    /// The files of the model folder, by their path in it.
    files: BTreeMap<String, Sum>,
}

#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Sum {
    bytes: u64,
    sha256: String,
}

impl Sum {
    fn of(path: &Path) -> Result<Self> {
        let bytes = fs::metadata(path).map_err(Error::io("read", path))?.len();
        Ok(Self { bytes, sha256: sha256_file(path)? })
    }
}

impl Record {
    fn path(cache: &Cache, model: &Known) -> PathBuf {
        cache.root().join(ARCHIVES).join(format!("{}.json", model.name))
    }

    /// What is remembered of a model; a record that cannot be read counts as none.
    fn read(cache: &Cache, model: &Known) -> Option<Self> {
        let path = Self::path(cache, model);
        let text = fs::read(&path).ok()?;
        serde_json::from_slice(&text).inspect_err(|e| tracing::warn!("{} cannot be read: {e}", path.display())).ok()
    }

    fn write(&self, cache: &Cache, model: &Known) -> Result<()> {
        write_json(&Self::path(cache, model), self)
    }
}

/// Fetches a model from `url` into `target`, which appears whole or not at all, unless it is whole already.
pub(super) fn install(cache: &Cache, model: &Known, url: &str, target: &Path) -> Result<()> {
    let file = model.archive_file();
    let download = Download {
        what: format!("model {}", model.name),
        next_step: format!(
            "try `hpinfer model pull {}` again later (HPINFER_MODEL_URL names a mirror), or fetch it elsewhere and unpack it to {}, or name a model folder",
            model.name,
            target.display()
        ),
        url,
        file: &file,
        limit: LONGEST,
    };
    let _lock = cache.lock(&format!("model-{}", model.name))?;
    let is_whole = match cache.whole() {
        Whole::ByLengths => is_here(cache, model, target),
        Whole::ByContents => check(cache, model, target)? == Integrity::Intact,
    };
    if is_whole {
        return Ok(()); // another process made it while this one waited
    }
    let archive = cache.fetch_url(&download)?;
    let installed = unpack(cache, model, &download, &archive, target);
    // Whatever it is, it is not worth keeping: a good one is unpacked, another one would be refused again.
    let removed = fs::remove_file(&archive).map_err(Error::io("remove", &archive));
    installed.and(removed)
}

fn unpack(cache: &Cache, model: &Known, download: &Download<'_>, archive: &Path, target: &Path) -> Result<()> {
    let found = Sum::of(archive)?;
    let known = Record::read(cache, model);
    if let Some(known) = known.filter(|known| known.archive != found) {
        let record = Record::path(cache, model);
        return Err(Error::missing(
            &download.what,
            format!("{} has SHA-256 {}, but had {} when it was first fetched", download.place(), found.sha256, known.archive.sha256),
            format!("if the new one is to be trusted, remove {} and try again", record.display()),
        ));
    }
    cache.unpack_tar(download, archive, target, LONGEST, |folder, names| {
        // The folder goes away: files are named as they stand in the archive.
        let refuse = |reason: &str| {
            let inside = reason.replace(&folder.display().to_string(), download.file);
            download.missing(format!("{} holds no whole model: {inside}", download.place()))
        };
        folder::open_known(folder, model).map_err(|e| refuse(&e.to_string()))?;
        if !folder::is_whole(folder) {
            return Err(refuse("its network or inference.yml is missing or empty"));
        }
        let sum = |name: &PathBuf| Ok((name.display().to_string(), Sum::of(&folder.join(name))?));
        let files = names.iter().map(sum).collect::<Result<_>>()?;
        Record { url: download.place(), archive: found, files }.write(cache, model)
    })
}

/// Whether the folder is whole, every remembered file with its length. Cheap: no file of the model is read.
pub(super) fn is_here(cache: &Cache, model: &Known, target: &Path) -> bool {
    let has_length = |(name, sum): (&String, &Sum)| fs::metadata(target.join(name)).is_ok_and(|meta| meta.len() == sum.bytes);
    folder::is_whole(target) && Record::read(cache, model).is_none_or(|record| record.files.iter().all(has_length))
}

/// Compares the files in `target` with what is remembered of them.
pub(super) fn check(cache: &Cache, model: &Known, target: &Path) -> Result<Integrity> {
    if !target.is_dir() {
        return Ok(Integrity::Absent);
    }
    let Some(record) = Record::read(cache, model) else {
        return Ok(if folder::is_whole(target) { Integrity::Unrecorded } else { Integrity::Damaged("a part of it is missing".into()) });
    };
    for (name, known) in &record.files {
        let path = target.join(name);
        if !path.is_file() {
            return Ok(Integrity::Damaged(format!("{} is missing", path.display())));
        }
        let found = Sum::of(&path)?;
        if found != *known {
            return Ok(Integrity::Damaged(format!("{} has SHA-256 {}, expected {}", path.display(), found.sha256, known.sha256)));
        }
    }
    Ok(Integrity::Intact)
}

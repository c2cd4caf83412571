//! SHA-256 of files that others put on this machine, remembered: to read a network takes a third as long as to load it.

use super::Cache;
use super::atomic::write_atomic;
use super::checksum::{sha256, sha256_reader};
use super::rooms::DIGESTS;
use crate::error::{Error, Result};
use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{self, Path};
use std::time::{Duration, SystemTime};

/// A file that was changed less than this before it is read may be changed again without another time on it: some file systems count
/// in two seconds.
const SETTLED: Duration = Duration::from_secs(3);

impl Cache {
    /// SHA-256 of a file's contents, as [`sha256_file`](super::sha256_file) has it. The file is read again when its place, its length or a
    /// time of it is another than when that was written down. The system sets the time of the last change (`ctime`) at every write, and
    /// nobody else can.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read.
    pub fn digest(&self, path: &Path) -> Result<String> {
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        let meta = file.metadata().map_err(Error::io("read", path))?;
        let place = path::absolute(path).map_err(Error::io("resolve", path))?;
        let name = &sha256(place.as_os_str().as_encoded_bytes())[..16];
        let (kept, state) = (self.root().join(DIGESTS).join(name), state(&meta));
        if let Some((digest, of)) = fs::read_to_string(&kept).ok().as_deref().and_then(|text| text.split_once(' '))
            && of == state
        {
            return Ok(digest.to_owned());
        }
        let is_settled = is_settled(&meta);
        let digest = sha256_reader(&mut file).map_err(Error::io("read", path))?;
        if is_settled && let Err(e) = write_atomic(&kept, format!("{digest} {state}").as_bytes()) {
            tracing::debug!("{}: its SHA-256 is not remembered: {e}", path.display()); // nothing else is lost
        }
        Ok(digest)
    }
}

/// What is another after any write to a file.
fn state(meta: &Metadata) -> String {
    let (changed, modified) = ((meta.ctime(), meta.ctime_nsec()), (meta.mtime(), meta.mtime_nsec()));
    format!("{:?}", (meta.dev(), meta.ino(), meta.len(), changed, modified))
}

/// Whether a write from now on shows in the times of the file. Some file systems tell none.
fn is_settled(meta: &Metadata) -> bool {
    let Ok(seconds @ 1..) = u64::try_from(meta.ctime()) else { return false };
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds + 1);
    changed.elapsed().is_ok_and(|age| age >= SETTLED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::sha256_file;

    /// What is written down for the only file that was read.
    fn kept(cache: &Cache) -> Option<path::PathBuf> {
        Some(fs::read_dir(cache.root().join(DIGESTS)).ok()?.next()?.ok()?.path())
    }

    #[test]
    fn a_digest_is_remembered_until_the_file_changes() {
        let temp = tempfile::tempdir().unwrap();
        let (cache, old) = (Cache::open(Some(&temp.path().join("cache"))).unwrap(), Path::new("/bin/sh"));
        let settled = fs::metadata(old).is_ok_and(|meta| is_settled(&meta));
        let digest = cache.digest(old).unwrap();
        assert_eq!(digest, sha256_file(old).unwrap());
        let Some(place) = kept(&cache) else { return assert!(!settled, "nothing is kept of a file that has just been made") };
        let text = fs::read_to_string(&place).unwrap();
        fs::write(&place, text.replace(&digest, "remembered")).unwrap();
        assert_eq!(cache.digest(old).unwrap(), "remembered");
        for other in [text.replace(')', "0)"), text[..70].to_owned(), String::new()] {
            fs::write(&place, other).unwrap();
            assert_eq!(cache.digest(old).unwrap(), digest, "of another state, or damaged");
            assert_eq!(fs::read_to_string(&place).unwrap(), text, "written down anew");
        }
    }

    #[test]
    fn what_may_still_change_unseen_is_read_each_time() {
        let temp = tempfile::tempdir().unwrap();
        let (cache, file) = (Cache::open(Some(&temp.path().join("cache"))).unwrap(), temp.path().join("inference.onnx"));
        for text in ["a", "b"] {
            fs::write(&file, text).unwrap();
            assert_eq!((cache.digest(&file).unwrap(), kept(&cache)), (sha256(text.as_bytes()), None));
        }
    }
}

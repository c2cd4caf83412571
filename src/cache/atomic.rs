//! Files and folders that appear complete or not at all.

use crate::error::{Error, Result};
use serde::Serialize;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Writes `bytes` to `path` by way of a temporary file in the same folder, which is created when absent. The
/// bytes are on the disk before the name appears; a file already there is replaced in one step.
///
/// # Errors
/// [`Error::Io`] naming the path.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    try_write(path, bytes).map_err(Error::io("write", path))
}

/// Writes `value` as JSON to `path`, as [`write_atomic`] does.
///
/// # Errors
/// Those of [`write_atomic`].
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec_pretty(value).map_err(|e| Error::internal("JSON", e.to_string()))?;
    write_atomic(path, &text)
}

/// The folder that the file at `path` lies in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn try_write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    fs::create_dir_all(folder)?;
    // The umask applies to the mode; the default of temporary files would hide the result from other users.
    let mut file = tempfile::Builder::new()
        .prefix(super::rooms::TEMPORARY)
        .suffix(".tmp")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder)
}

/// Renames a finished folder or file, whose contents were flushed, and makes the new name durable. What a rename does not
/// replace is set aside before and removed after it.
pub(crate) fn publish(from: &Path, to: &Path) -> io::Result<()> {
    remove_aside(to)?;
    let is_in_the_way = (from.is_dir() || to.is_dir()) && to.symlink_metadata().is_ok();
    if is_in_the_way {
        fs::rename(to, aside(to))?;
    }
    fs::rename(from, to).inspect_err(|_| drop(is_in_the_way.then(|| fs::rename(aside(to), to))))?;
    to.parent().map_or(Ok(()), sync_folder)?;
    remove_aside(to)
}

/// Removes what a process that was killed while it published `path` may have set aside.
pub(crate) fn remove_aside(path: &Path) -> io::Result<()> {
    remove(&aside(path))
}

fn aside(path: &Path) -> PathBuf {
    let name = [".".as_ref(), path.file_name().unwrap_or_default(), ".damaged".as_ref()];
    path.with_file_name(name.into_iter().collect::<OsString>())
}

/// Flushes the names in a folder. File systems that cannot do that say so with `InvalidInput`.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

/// Removes a file or a folder with all it holds; nothing there is no error.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_no_temporary_name_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/choice.json");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_refused_write_names_the_file_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("inside"), b"x").unwrap();
        let message = write_atomic(&taken, b"one").unwrap_err().to_string();
        assert!(message.contains("cannot write") && message.contains("taken"), "{message}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_may_be_read_by_whoever_may_read_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let [plain, atomic] = ["plain", "atomic"].map(|name| folder.path().join(name));
        fs::write(&plain, b"x").unwrap();
        write_atomic(&atomic, b"x").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&atomic), mode(&plain));
    }

    #[test]
    fn what_cannot_be_replaced_stays() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("done");
        fs::create_dir(&to).unwrap();
        publish(&folder.path().join("missing"), &to).unwrap_err();
        assert!(to.is_dir());
    }

    #[test]
    fn publishing_replaces_a_folder_or_a_file_and_what_was_left_aside() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("new"), folder.path().join("done"));
        for in_the_way in ["folder", "file", "nothing"] {
            fs::create_dir(&from).unwrap();
            fs::write(from.join("good"), b"x").unwrap();
            fs::create_dir(folder.path().join(".done.damaged")).unwrap();
            match in_the_way {
                "folder" => fs::create_dir(&to).and_then(|()| fs::write(to.join("stale"), b"x")).unwrap(),
                "file" => fs::write(&to, b"x").unwrap(),
                _ => {}
            }
            publish(&from, &to).unwrap();
            assert!(to.join("good").exists() && !to.join("stale").exists(), "{in_the_way}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{in_the_way}");
            remove(&to).unwrap();
            remove(&to).unwrap();
        }
    }
}

//! Files that a command is asked to write, looked at before it works for them.

use crate::error::{Error, Result};
use crate::source::NamedInputs;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Refuses files, each behind its flag, that are among `inputs`, or the same as one before, or that cannot be written.
///
/// # Errors
/// [`Error::Config`] with the flag and the reason.
pub(super) fn check<I: AsRef<OsStr>>(files: &[(&str, Option<&Path>)], inputs: &[I]) -> Result<()> {
    let named = NamedInputs::new(inputs);
    let mut seen: Vec<(&str, PathBuf)> = Vec::new();
    for &(flag, path) in files {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else { continue };
        let refused = |reason: &str| Err(Error::config(flag, format!("{}: {reason}; give another name", path.display())));
        if path.exists() && !path.is_file() {
            return refused("there is something that is no regular file");
        }
        if named.contains(path) {
            return refused("an input, which would be written over");
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let place = fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder)).and_then(|_| folder.canonicalize());
        let place = match (place, path.file_name()) {
            (Ok(folder), Some(name)) => folder.join(name),
            (Err(e), _) => return refused(&format!("nothing can be written there: {e}")),
            (_, None) => return refused("no name of a file"),
        };
        if let Some((other, _)) = seen.iter().find(|(_, earlier)| *earlier == place) {
            return refused(&format!("{other} writes to the same file"));
        }
        seen.push((flag, place));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_lost_or_cannot_be_written_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("in.png"), "").unwrap();
        fs::create_dir(at("folder")).unwrap();
        let checked = |a: &Path, b: &Path| check(&[("--a", Some(a)), ("--b", Some(b)), ("--c", None)], &[at("in.png")]);
        let message = |a: &Path, b: &Path| checked(a, b).unwrap_err().to_string();
        checked(&at("x"), &at("new/y")).unwrap();
        checked(Path::new("-"), Path::new("-")).unwrap();
        assert!(message(&at("x"), &at("in.png")).contains("--b: ") && message(&at("in.png"), &at("x")).contains("an input"));
        assert!(message(&at("new/y"), &at("new/../new/y")).contains("--a writes to the same file"));
        assert!(
            message(&at("folder"), &at("x")).contains("no regular file")
                && message(Path::new("/dev/null"), &at("x")).contains("no regular")
        );
        assert!(message(Path::new("/proc/x"), &at("x")).contains("nothing can be written there"));
    }
}

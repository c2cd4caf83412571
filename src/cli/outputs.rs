//! Files that a command is asked to write, looked at before it works for them.

use crate::error::{Error, Result};
use crate::source::NamedInputs;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Refuses files, each behind its flag, that are among `inputs`, or the same as one before, or that cannot be written.
///
/// # Errors
/// [`Error::Config`] with the flag and the reason.
pub(super) fn check<I: AsRef<OsStr>>(files: &[(&str, Option<&Path>)], inputs: &[I]) -> Result<()> {
    let named = NamedInputs::new(inputs);
    let mut seen: Vec<(&str, PathBuf)> = Vec::new();
    for &(flag, path) in files {
        let Some(path) = path.filter(|path| flag != "--json" || *path != Path::new("-")) else { continue };
        let refused = |reason: &str| Err(Error::config(flag, format!("{}: {reason}; give another name", path.display())));
        if path.exists() && !path.is_file() {
            return refused("there is something that is no regular file");
        }
        if path == Path::new("-") {
            return refused("no name of a file; --json can go to standard output");
        }
        let node = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
        let is_input = |input: &I| node(path).is_some_and(|known| node(Path::new(input)) == Some(known));
        if named.contains(path) || inputs.iter().any(is_input) {
            return refused("an input, which would be written over");
        }
        // Folders that are not there yet are made, or told of, by who writes.
        let there = path.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
        let place = match tempfile::tempfile_in(there).and_then(|_| there.canonicalize()) {
            Ok(folder) => folder.join(path.strip_prefix(there).unwrap_or(path)),
            Err(e) => return refused(&format!("nothing can be written there: {e}")),
        };
        if let Some((other, _)) = seen.iter().find(|(_, earlier)| *earlier == place) {
            return refused(&format!("{other} writes to the same file"));
        }
        seen.push((flag, place));
    }
    Ok(())
}

/// Suffixes of files that are written beside others, or by a redirection.
const NO_FOLDERS: [&str; 5] = ["xlsx", "html", "md", "jsonl", "csv"];

/// Refuses the name of a folder to be made, behind `flag`, that was meant for a file.
///
/// # Errors
/// [`Error::Config`] with the flag and the next step.
pub(super) fn check_folder(flag: &str, folder: &Path) -> Result<()> {
    let suffix = folder.extension().and_then(OsStr::to_str).unwrap_or_default();
    if folder.exists() || !NO_FOLDERS.iter().any(|known| suffix.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    let reason =
        "no such file is written by itself; give a folder for all files of the results; their lines go to standard output (> FILE)";
    Err(Error::config(flag, format!("{}: {reason}", folder.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_is_not_named_as_a_file_of_results() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("there.md")).unwrap();
        let checked = |name: &str| check_folder("--save_path", &folder.path().join(name)).map_err(|e| e.to_string());
        assert!(["out", "there.md", "v1.2", "a.json", "a.png"].iter().all(|name| checked(name).is_ok()));
        for name in ["a.xlsx", "A.HTML", "b/a.md", "a.jsonl", "a.csv"] {
            let message = checked(name).unwrap_err();
            assert!(message.starts_with("--save_path: ") && message.contains("give a folder"), "{message}");
        }
    }

    #[test]
    fn what_would_be_lost_or_cannot_be_written_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("in.png"), "").unwrap();
        fs::create_dir(at("folder")).unwrap();
        let checked = |a: &Path, b: &Path| check(&[("--a", Some(a)), ("--b", Some(b)), ("--c", None)], &[at("in.png")]);
        let message = |a: &Path, b: &Path| checked(a, b).unwrap_err().to_string();
        checked(&at("x"), &at("new/y")).unwrap();
        check(&[("--json", Some(Path::new("-")))], &[at("in.png")]).unwrap();
        fs::hard_link(at("in.png"), at("link")).unwrap();
        assert!(message(Path::new("-"), &at("x")).contains("standard output") && message(&at("link"), &at("x")).contains("an input"));
        assert!(message(&at("x"), &at("in.png")).contains("--b: ") && message(&at("in.png"), &at("x")).contains("an input"));
        assert!(message(&at("folder/y"), &at("folder/../folder/y")).contains("--a writes to the same file"));
        assert!(
            message(&at("folder"), &at("x")).contains("no regular file")
                && message(Path::new("/dev/null"), &at("x")).contains("no regular")
        );
        assert!(message(Path::new("/proc/x"), &at("x")).contains("nothing can be written there"));
    }
}

//! What the files of an unpacked folder were: their SHA-256 as pinned or, where nobody pinned it, as it was when they were unpacked.

use super::{Member, sha256_file, write_atomic};
use crate::error::{Error, Result};
use std::fs;
use std::path::Path;
use walkdir::WalkDir;

/// Name of the list in an unpacked folder, which `sha256sum -c` reads too.
const LIST: &str = "SHA256SUMS";

/// Writes the list of all files below `folder`, unless those of its `members` are pinned.
pub(super) fn write_down(folder: &Path, members: &[Member<'_>]) -> Result<()> {
    if pinned(members).is_some() {
        return Ok(());
    }
    let mut text = String::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.map_err(|e| Error::io("read", folder)(e.into()))?;
        if entry.file_type().is_file() {
            let name = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            text.push_str(&format!("{}  {}\n", sha256_file(entry.path())?, name.display()));
        }
    }
    write_atomic(&folder.join(LIST), text.as_bytes())
}

/// Whether something says what the files of `folder` were.
pub(super) fn are_known(folder: &Path, members: &[Member<'_>]) -> bool {
    pinned(members).or_else(|| listed(folder)).is_some()
}

/// What is wrong with the files of `folder`, if anything is. Reads all of them.
pub(super) fn fault(folder: &Path, members: &[Member<'_>]) -> Option<String> {
    let Some(sums) = pinned(members).or_else(|| listed(folder)) else {
        return Some(format!("nothing says what the files of {} were", folder.display()));
    };
    let differs = |(name, sum): &&(String, String)| sha256_file(&folder.join(name)).ok().as_ref() != Some(sum);
    sums.iter().find(differs).map(|(name, _)| format!("{} is damaged", folder.join(name).display()))
}

/// Name and checksum of every member, where all are pinned.
fn pinned(members: &[Member<'_>]) -> Option<Vec<(String, String)>> {
    members.iter().map(|member| Some((member.to.to_owned(), member.sha256?.to_owned()))).collect()
}

/// What the list says; a damaged one says nothing.
fn listed(folder: &Path) -> Option<Vec<(String, String)>> {
    let text = fs::read_to_string(folder.join(LIST)).ok()?;
    let line = |line: &str| line.split_once("  ").map(|(sum, name)| (name.to_owned(), sum.to_owned()));
    text.lines().map(line).collect::<Option<Vec<_>>>().filter(|sums| !sums.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_or_missing_file_is_a_fault_and_so_is_a_lost_list() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("lib/a.so");
        fs::create_dir(temp.path().join("lib")).unwrap();
        fs::write(&file, "abc").unwrap();
        let member = Member { from: "lib/", to: "lib/", bytes: 9, sha256: None };
        let fault = || fault(temp.path(), &[member]).unwrap_or_default();
        assert!(fault().contains("nothing says what"));
        write_down(temp.path(), &[member]).unwrap();
        assert_eq!(fault(), "");
        fs::write(&file, "abd").unwrap();
        assert!(fault().contains("lib/a.so is damaged"));
        fs::remove_file(&file).unwrap();
        assert!(fault().contains("lib/a.so is damaged"));
        fs::write(temp.path().join(LIST), "").unwrap();
        assert!(fault().contains("nothing says what"));
    }
}

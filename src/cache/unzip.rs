//! Unpacking chosen members of a zip file, without trust in its names or sizes.

use super::{Member, Progress};
use crate::cache::sha256_file;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path};
use zip::ZipArchive;

type Archive = ZipArchive<BufReader<File>>;

/// Unpacks `members` of `archive` below `folder` and flushes them. An archive with a name that would leave the
/// folder is refused whole; so is a member of another size or checksum than pinned.
pub(super) fn unpack(archive: &Path, folder: &Path, members: &[Member<'_>]) -> io::Result<()> {
    let mut zip = ZipArchive::new(BufReader::new(File::open(archive)?)).map_err(refuse)?;
    for name in zip.file_names() {
        let name = name.map_err(refuse)?;
        if !stays_inside(&name) {
            return Err(refuse(format!("the archive holds `{name}`, which leaves the folder")));
        }
    }
    let progress = Progress::bytes("unpacking", members.iter().map(|m| m.bytes).sum());
    let mut done = 0;
    for member in members {
        if !stays_inside(member.to) {
            return Err(refuse(format!("`{}` leaves the folder", member.to)));
        }
        let target = folder.join(member.to);
        let written = if member.is_folder() { tree(&mut zip, &target, member)? } else { file(&mut zip, &target, member)? };
        done += written;
        progress.set(done);
    }
    Ok(())
}

/// Unpacks one file, of exactly the pinned length.
fn file(zip: &mut Archive, target: &Path, member: &Member<'_>) -> io::Result<u64> {
    // One byte more than pinned is enough to notice a wrong size.
    let written = entry(zip, member.from, target, member.bytes + 1)?;
    if written != member.bytes {
        return Err(refuse(format!("member `{}` is not the pinned {} bytes long", member.from, member.bytes)));
    }
    if let Some(expected) = member.sha256 {
        let found = sha256_file(target).map_err(io::Error::other)?;
        if found != expected {
            return Err(refuse(format!("member `{}` has SHA-256 {found}, expected {expected}", member.from)));
        }
    }
    Ok(written)
}

/// Unpacks all files below a folder of the archive, of at most the pinned length together.
fn tree(zip: &mut Archive, target: &Path, member: &Member<'_>) -> io::Result<u64> {
    let is_file_below = |name: &str| name.starts_with(member.from) && !name.ends_with('/');
    let names: Vec<String> = zip.file_names().filter_map(|name| Some(name.ok()?.into_owned())).filter(|name| is_file_below(name)).collect();
    if names.is_empty() {
        return Err(refuse(format!("member `{}`: the archive has no such folder", member.from)));
    }
    let mut written = 0;
    for name in names {
        written += entry(zip, &name, &target.join(&name[member.from.len()..]), member.bytes - written + 1)?;
        if written > member.bytes {
            return Err(refuse(format!("member `{}` is longer than the pinned {} bytes", member.from, member.bytes)));
        }
    }
    Ok(written)
}

/// Writes one entry to `target` and flushes it; never more than `limit` bytes, whatever its header says.
fn entry(zip: &mut Archive, name: &str, target: &Path, limit: u64) -> io::Result<u64> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut entry = zip.by_name(name).map_err(|e| refuse(format!("member `{name}`: {e}")))?;
    let mut file = File::create_new(target)?;
    let written = io::copy(&mut entry.by_ref().take(limit), &mut file)?;
    file.sync_all()?;
    Ok(written)
}

/// Whether a name inside an archive means a place below the folder it is unpacked to, on any system.
pub(super) fn stays_inside(name: &str) -> bool {
    !name.contains(['\\', '\0', ':']) && Path::new(name).components().all(|c| matches!(c, Component::Normal(_)))
}

fn refuse(reason: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    fn archive(folder: &Path, entries: &[(&str, &[u8])]) -> std::path::PathBuf {
        let path = folder.join("a.whl");
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        for (name, bytes) in entries {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        path
    }

    fn member(path: &'static str, bytes: u64) -> Member<'static> {
        Member { from: path, to: path, bytes, sha256: None }
    }

    #[test]
    fn only_the_asked_members_are_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let path = archive(folder.path(), &[("p/lib/a.so", b"aaa"), ("p/b.py", b"b")]);
        let to = folder.path().join("out");
        unpack(&path, &to, &[member("p/lib/a.so", 3)]).unwrap();
        assert_eq!(fs::read(to.join("p/lib/a.so")).unwrap(), b"aaa");
        assert!(!to.join("p/b.py").exists());
    }

    #[test]
    fn a_folder_is_unpacked_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path =
            archive(folder.path(), &[("p/lib/a.so", b"aaa"), ("p/lib/sub/b.so", b"bb"), ("p/library/c.so", b"c"), ("p/lib/sub/", b"")]);
        let to = folder.path().join("out");
        unpack(&path, &to, &[member("p/lib/", 5)]).unwrap();
        assert_eq!(fs::read(to.join("p/lib/sub/b.so")).unwrap(), b"bb");
        assert!(!to.join("p/library").exists());
        for (name, bytes, expected) in [("p/lib/", 4, "longer than the pinned 4"), ("p/none/", 9, "no such folder")] {
            let message = unpack(&path, &folder.path().join(expected), &[member(name, bytes)]).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn archives_that_leave_the_folder_are_refused() {
        for name in ["../evil", "p/../../evil", "/evil", "..\\evil", "c:evil"] {
            let folder = tempfile::tempdir().unwrap();
            let path = archive(folder.path(), &[("good", b"good"), (name, b"evil")]);
            let to = folder.path().join("out");
            let message = unpack(&path, &to, &[member("good", 4)]).unwrap_err().to_string();
            assert!(message.contains("leaves the folder"), "{name}: {message}");
            assert!(!to.exists() && !folder.path().join("evil").exists());
        }
        let folder = tempfile::tempdir().unwrap();
        let path = archive(folder.path(), &[("good", b"good")]);
        let astray = Member { from: "good", to: "../evil", bytes: 4, sha256: None };
        assert!(unpack(&path, &folder.path().join("out"), &[astray]).is_err());
        assert!(!folder.path().join("evil").exists());
    }

    #[test]
    fn wrong_sizes_checksums_and_names_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = archive(folder.path(), &[("a", b"aaa")]);
        let other = Some("0000000000000000000000000000000000000000000000000000000000000000");
        let cases = [
            (member("a", 2), "pinned 2 bytes"),
            (member("a", 4), "pinned 4 bytes"),
            (Member { sha256: other, ..member("a", 3) }, "expected 0000"),
            (member("absent", 1), "member `absent`"),
        ];
        for (i, (member, expected)) in cases.into_iter().enumerate() {
            let message = unpack(&path, &folder.path().join(i.to_string()), &[member]).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        fs::write(&path, b"no zip file").unwrap();
        assert!(unpack(&path, &folder.path().join("none"), &[member("a", 3)]).is_err());
    }
}

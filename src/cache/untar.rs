//! Unpacking a tar file, without trust in its names, kinds or sizes.

use super::unzip::stays_inside;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use tar::{Archive, EntryType};

/// No model archive has more entries.
const MOST_ENTRIES: usize = 1000;

/// A long name, or other notes on a file, stand in entries of their own, which are read whole. Model archives have shorter ones.
const LONGEST_NOTE: u64 = 1 << 16;

/// Unpacks the files of `archive`, which lie in one folder of it or at its top, into `folder`, and flushes them. Returns
/// their names. Refused whole, with nothing promised about what was written before: an entry that would leave the folder, a
/// link or device, a name that comes twice, more than [`MOST_ENTRIES`] entries, more than `limit` bytes, a note longer than [`LONGEST_NOTE`].
pub(super) fn unpack(archive: &Path, folder: &Path, limit: u64) -> io::Result<Vec<PathBuf>> {
    require_short_notes(archive)?;
    let mut tar = Archive::new(BufReader::new(File::open(archive)?));
    let (mut names, mut left) = (Vec::new(), limit);
    for (count, entry) in tar.entries().map_err(refuse)?.enumerate() {
        let mut entry = entry.map_err(refuse)?;
        let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if count >= MOST_ENTRIES {
            return Err(refuse(format!("it holds more than {MOST_ENTRIES} entries")));
        }
        let name = shown.trim_start_matches("./").trim_end_matches('/');
        if !name.is_empty() && !stays_inside(name) {
            return Err(refuse(format!("it holds `{shown}`, which leaves the folder")));
        }
        match entry.header().entry_type() {
            EntryType::Directory | EntryType::XGlobalHeader => continue,
            EntryType::Regular | EntryType::Continuous => {}
            kind => return Err(refuse(format!("it holds `{shown}`, which is no plain file ({kind:?})"))),
        }
        let Some(name) = inner(name) else { continue };
        left = left.checked_sub(entry.size()).ok_or_else(|| refuse(format!("its files are longer than {limit} bytes together")))?;
        let target = folder.join(&name);
        // The folder was empty: what a name meets there comes out of the archive, too.
        let mut file = target.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create_new(&target)).map_err(|e| {
            use io::ErrorKind::{AlreadyExists, InvalidFilename, NotADirectory};
            match e.kind() {
                AlreadyExists => refuse(format!("it holds `{shown}` twice, or as file and folder")),
                NotADirectory | InvalidFilename => refuse(format!("it holds `{shown}`, which cannot be made: {e}")),
                _ => e,
            }
        })?;
        let expected = entry.size();
        if io::copy(&mut entry, &mut file)? != expected {
            return Err(refuse(format!("it ends within `{shown}`")));
        }
        file.sync_all()?;
        names.push(name);
    }
    Ok(names)
}

/// Looks at the headers alone, as the notes are read with the files. One that gives a file another size would make other entries of
/// the same bytes then; only files of more than 8 GB need that.
fn require_short_notes(archive: &Path) -> io::Result<()> {
    for (count, entry) in Archive::new(File::open(archive)?).entries_with_seek().map_err(refuse)?.raw(true).enumerate() {
        let mut entry = entry.map_err(|e| if count == 0 { no_archive(archive) } else { refuse(e) })?;
        let kind = entry.header().entry_type();
        let is_note = kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions() || kind.is_pax_global_extensions();
        if count >= 3 * MOST_ENTRIES {
            return Err(refuse(format!("it has more than {MOST_ENTRIES} entries and their notes")));
        }
        if is_note && entry.size() > LONGEST_NOTE {
            return Err(refuse(format!("a note in it ({kind:?}) is longer than {LONGEST_NOTE} bytes")));
        }
        if kind.is_pax_local_extensions()
            && let Some(notes) = entry.pax_extensions().map_err(refuse)?
            && notes.flatten().any(|note| note.key_bytes() == b"size")
        {
            return Err(refuse("a note in it gives a file another size"));
        }
    }
    Ok(())
}

/// The path of a file below the one folder that archives of models consist of. Files of an operating system's own are none.
fn inner(name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    let file = path.file_name()?.to_string_lossy();
    if file.starts_with("._") || file == ".DS_Store" {
        return None;
    }
    let mut parts = path.components();
    match path.components().count() {
        1 => Some(path.to_owned()),
        _ => {
            parts.next();
            Some(parts.as_path().to_owned())
        }
    }
}

/// What is said of a file that does not even begin as an archive: the page of a proxy, as often as not.
fn no_archive(path: &Path) -> io::Error {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(24).read_to_end(&mut start));
    read.map_or_else(|e| e, |_| refuse(format!("it is no tar archive, but begins with {:?}", String::from_utf8_lossy(&start))))
}

fn refuse(reason: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::{Builder, Header};

    /// A tar file of these entries: name as it stands in the header, kind, contents.
    fn archive(path: &Path, entries: &[(&str, EntryType, &[u8])]) {
        let mut tar = Builder::new(File::create(path).unwrap());
        for (name, kind, bytes) in entries {
            let mut header = Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            header.set_mode(0o777);
            if *kind == EntryType::Symlink {
                header.as_gnu_mut().unwrap().linkname[..4].copy_from_slice(b"/etc");
            }
            header.set_cksum();
            tar.append(&header, *bytes).unwrap();
        }
        tar.finish().unwrap();
    }

    const FILE: EntryType = EntryType::Regular;

    fn unpacked(entries: &[(&str, EntryType, &[u8])]) -> (io::Result<Vec<PathBuf>>, tempfile::TempDir) {
        let temp = tempfile::tempdir().unwrap();
        archive(&temp.path().join("a.tar"), entries);
        let to = temp.path().join("to");
        fs::create_dir(&to).unwrap();
        (unpack(&temp.path().join("a.tar"), &to, 100), temp)
    }

    #[test]
    fn the_folder_of_an_archive_is_left_out() {
        let entries: [(&str, EntryType, &[u8]); 5] = [
            ("./m_infer/", EntryType::Directory, b""),
            ("./m_infer/a.yml", FILE, b"a"),
            ("m_infer/._a.yml", FILE, b"x"),
            ("m_infer/sub/b", FILE, b"bb"),
            ("c", FILE, b"ccc"),
        ];
        let (names, temp) = unpacked(&entries);
        assert_eq!(names.unwrap(), ["a.yml", "sub/b", "c"].map(PathBuf::from));
        assert_eq!(fs::read(temp.path().join("to/sub/b")).unwrap(), b"bb");
        assert_eq!(fs::read(temp.path().join("to/a.yml")).unwrap(), b"a");
    }

    #[test]
    fn what_is_no_honest_archive_is_refused() {
        type Entry<'a> = (&'a str, EntryType, &'a [u8]);
        const LONG: &str = concat!(
            "a_file_name_of_which_no_file_system_takes_as_many_characters_as_there_are_in_it_and_so_the_archive_is_at_fault_for_it_and_not_the_disk_",
            "nor_the_folder_that_the_user_chose_for_models_and_libraries_which_is_a_good_one_and_can_be_written_to_by_anybody_who_is_allowed_to_do_so"
        );
        let cases: [(&[Entry], &str); 14] = [
            (&[("../evil", FILE, b"x")], "leaves the folder"),
            (&[("m/../../evil", FILE, b"x")], "leaves the folder"),
            (&[("/evil", FILE, b"x")], "leaves the folder"),
            (&[("m\\..\\evil", FILE, b"x")], "leaves the folder"),
            (&[("m/link", EntryType::Symlink, b"")], "no plain file"),
            (&[("m/link", EntryType::Link, b"")], "no plain file"),
            (&[("m/pipe", EntryType::Fifo, b"")], "no plain file"),
            (&[("m/a", FILE, b"x"), ("m/a", FILE, b"y")], "twice"),
            (&[("m/a", FILE, b"x"), ("m/a/b", FILE, b"y")], "`m/a/b`"),
            (&[("m/a/b/c", FILE, b"x"), ("m/a/b", FILE, b"y")], "`m/a/b`"),
            (&[("././@LongLink", EntryType::GNULongName, LONG.as_bytes()), ("m", FILE, b"x")], "cannot be made"),
            (&[("././@LongLink", EntryType::GNULongName, &[b'a'; (LONGEST_NOTE + 1) as usize]), ("m", FILE, b"x")], "longer than"),
            (&[("pax", EntryType::XHeader, b"10 size=9\n"), ("m", FILE, b"x")], "another size"),
            (&[("m/a", FILE, &[0; 60]), ("m/b", FILE, &[0; 60])], "longer than 100 bytes"),
        ];
        for (entries, expected) in cases {
            let (names, temp) = unpacked(entries);
            let message = names.unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(!temp.path().join("evil").exists());
        }
    }

    #[test]
    fn damage_is_noticed() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a.tar");
        archive(&path, &[("m/a", FILE, &[7; 90])]);
        let whole = fs::read(&path).unwrap();
        for bytes in [&whole[..550], &b"no tar file at all, but longer than one block of it".repeat(20)] {
            fs::write(&path, bytes).unwrap();
            let to = tempfile::tempdir().unwrap();
            assert_eq!(unpack(&path, to.path(), 1000).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        fs::write(&path, "<html>log in to this network</html>".repeat(40)).unwrap();
        let message = unpack(&path, temp.path(), 1000).unwrap_err().to_string();
        assert_eq!(message, "it is no tar archive, but begins with \"<html>log in to this net\"");
    }
}

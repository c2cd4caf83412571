//! The file of an engine: magic, lengths, SHA-256, description as JSON, plan. Read only when nobody but its owner, who is
//! this user or root, can have written it.

use super::cache::Description;
use crate::cache::sync_folder;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

const MAGIC: &[u8; 8] = b"HPENGIN1";
/// Magic, length of the description, length of the plan, SHA-256 of both.
const HEADER: usize = 8 + 8 + 8 + 32;
/// Descriptions are a few kilobytes; more is damage.
const MOST_DESCRIPTION: u64 = 1 << 20;
/// Others may read engines, and nobody may write them.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// What the names of files end with while they are written.
const PARTIAL: &str = ".partial";
/// A file that was last written to longer ago than this is of a process that is no more.
const WRITTEN_WITHIN: Duration = Duration::from_secs(600);

/// Why a file is not used.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is not there.
    Absent,
    /// It cannot be read.
    Unreadable(io::Error),
    /// Somebody else could have written it.
    Untrusted(String),
    /// It is not what was written.
    Damaged(&'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("it is not there"),
            Self::Unreadable(e) => write!(f, "it cannot be read: {e}"),
            Self::Untrusted(why) => write!(f, "it is not loaded, for a plan is code: {why}"),
            Self::Damaged(what) => write!(f, "it is damaged: {what}"),
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(e: io::Error) -> Self {
        if e.kind() == ErrorKind::NotFound { Self::Absent } else { Self::Unreadable(e) }
    }
}

/// Description and plan of an engine that only this user or root can have written.
pub(super) fn read(path: &Path) -> Result<(Description, Vec<u8>), Refusal> {
    let file = open_trusted(path)?;
    read_open(file)
}

/// The same for a file that the user names and vouches for.
pub(super) fn read_untrusted(path: &Path) -> Result<(Description, Vec<u8>), Refusal> {
    read_open(open(path)?)
}

/// The description alone; the checksum, which covers the plan too, is not looked at.
pub(super) fn read_description(path: &Path) -> Result<Description, Refusal> {
    let mut file = open(path)?;
    let header = Header::read(&mut file)?;
    header.description(&mut file).map(|(description, _)| description)
}

struct Header {
    description_bytes: u64,
    plan_bytes: u64,
    sha256: [u8; 32],
}

impl Header {
    fn read(file: &mut File) -> Result<Self, Refusal> {
        let mut bytes = [0; HEADER];
        file.read_exact(&mut bytes)
            .map_err(|e| if e.kind() == ErrorKind::UnexpectedEof { Refusal::Damaged("cut off") } else { e.into() })?;
        if &bytes[..8] != MAGIC {
            return Err(Refusal::Damaged("not an engine of this program"));
        }
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let header = Self { description_bytes: number(8), plan_bytes: number(16), sha256: std::array::from_fn(|i| bytes[24 + i]) };
        let whole = (HEADER as u64).checked_add(header.description_bytes).and_then(|n| n.checked_add(header.plan_bytes));
        if header.description_bytes > MOST_DESCRIPTION || whole != Some(file.metadata()?.len()) {
            return Err(Refusal::Damaged("its length is not the one it states"));
        }
        Ok(header)
    }

    fn description(&self, file: &mut File) -> Result<(Description, Vec<u8>), Refusal> {
        let mut bytes = vec![0; self.description_bytes as usize];
        file.read_exact(&mut bytes)?;
        let description = serde_json::from_slice(&bytes).map_err(|_| Refusal::Damaged("its description cannot be read"))?;
        Ok((description, bytes))
    }
}

fn read_open(mut file: File) -> Result<(Description, Vec<u8>), Refusal> {
    let header = Header::read(&mut file)?;
    let (description, text) = header.description(&mut file)?;
    let mut plan = Vec::new();
    // A file may state more than it has blocks for.
    plan.try_reserve_exact(header.plan_bytes as usize).map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
    file.read_to_end(&mut plan)?;
    let mut hash = Sha256::new();
    hash.update(&text);
    hash.update(&plan);
    if hash.finalize()[..] != header.sha256 {
        return Err(Refusal::Damaged("its checksum differs"));
    }
    Ok((description, plan))
}

/// Opens a file, and nothing else: a pipe would be waited for.
fn open(path: &Path) -> Result<File, Refusal> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(Refusal::Damaged("it is no file")) }
}

/// Opens a file that this user or root owns and nobody else can write, in a folder of which the same is true.
fn open_trusted(path: &Path) -> Result<File, Refusal> {
    let file = open(path)?;
    trust("the file", &file.metadata()?)?;
    trust_folder(path)?;
    Ok(file)
}

/// Refuses a place in a folder that others can write: what lies there is never loaded. One that is not there yet will be made.
pub(super) fn trust_folder(path: &Path) -> Result<(), Refusal> {
    let path = std::path::absolute(path)?; // a bare name has no folder
    match fs::metadata(path.parent().ok_or(Refusal::Absent)?) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        meta => trust("its folder", &meta?),
    }
}

fn trust(what: &str, meta: &fs::Metadata) -> Result<(), Refusal> {
    let me = fs::metadata("/proc/self").map(|m| m.uid()).ok();
    if meta.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(Refusal::Untrusted(format!("others can write {what} (mode {:o})", meta.mode() & 0o7777)));
    }
    if meta.uid() != 0 && Some(meta.uid()) != me {
        return Err(Refusal::Untrusted(format!("{what} belongs to user {}", meta.uid())));
    }
    Ok(())
}

/// Writes an engine. The temporary name is one of its own: users of another cache folder may share the place and not the lock.
pub(super) fn write(path: &Path, description: &Description, plan: &[u8]) -> io::Result<()> {
    let text = serde_json::to_vec(description).map_err(io::Error::other)?;
    let mut hash = Sha256::new();
    hash.update(&text);
    hash.update(plan);
    let lengths = [text.len() as u64, plan.len() as u64].map(u64::to_le_bytes).concat();
    write_parts(path, &[MAGIC, &lengths, &hash.finalize(), &text, plan])
}

/// Writes the sidecar of an engine. It is for people: an engine without one is as good.
pub(super) fn explain(path: &Path, description: &Description) {
    let _ = serde_json::to_vec_pretty(description).map(|text| write_parts(&path.with_extension("json"), &[&text, b"\n"]));
}

/// Removes the sidecar of an engine, if what has its name is one.
pub(super) fn forget(path: &Path) {
    let sidecar = path.with_extension("json");
    if fs::read(&sidecar).is_ok_and(|text| serde_json::from_slice::<Description>(&text).is_ok()) {
        let _ = fs::remove_file(sidecar);
    }
}

/// Bytes with a checksum behind them, if they are whole and trusted.
pub(super) fn read_bytes(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    open_trusted(path).ok()?.read_to_end(&mut bytes).ok()?;
    let sum = bytes.split_off(bytes.len().checked_sub(32)?);
    (Sha256::digest(&bytes)[..] == sum).then_some(bytes)
}

/// Writes bytes with a checksum behind them.
pub(super) fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_parts(path, &[bytes, &Sha256::digest(bytes)])
}

/// A file that appears whole or not at all.
fn write_parts(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let path = &std::path::absolute(path)?; // a bare name has no folder
    let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
    fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    let prefix = format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy());
    remove_left(folder, &prefix);
    let permissions = fs::Permissions::from_mode(FILE_MODE);
    let mut file = tempfile::Builder::new().prefix(&prefix).suffix(PARTIAL).permissions(permissions).tempfile_in(folder)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    sync_folder(folder)
}

/// Removes what killed processes left of a file with this `prefix`.
fn remove_left(folder: &Path, prefix: &str) {
    for file in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let name = file.file_name();
        let is_old = || file.metadata().and_then(|meta| meta.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age > WRITTEN_WITHIN));
        if name.to_str().is_some_and(|name| name.starts_with(prefix) && name.ends_with(PARTIAL)) && is_old() {
            let _ = fs::remove_file(file.path()); // in a folder that is not ours the next step says so
        }
    }
}

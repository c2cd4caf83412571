//! `hpinfer cache list | clear`.

use super::table::{write_json, write_table, write_text};
use crate::cache::Cache;
use crate::cache::rooms::{ROOMS, Room, require_own};
use crate::error::Result;
use crate::trace::plural;
use serde_json::json;
use std::io::Write;

/// What to do with the cache folder.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum CacheCommand {
    /// List what the cache folder holds, and the space it takes
    List {
        /// Print a JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Remove what any run makes again by itself, or the named parts of the cache; runs under way may fail for want of those
    Clear {
        /// Parts, as `cache list` names them [default: compiled, choices]
        #[arg(value_name = "PART", value_parser = room)]
        parts: Vec<Room>,
        /// Remove everything: the next run downloads again what it needs
        #[arg(long, conflicts_with = "parts")]
        all: bool,
    },
}

fn room(name: &str) -> Result<Room, String> {
    let unknown = || format!("the cache has no such part; known: {}", ROOMS.map(|room| room.name()).join(", "));
    ROOMS.into_iter().find(|room| room.name() == name).ok_or_else(unknown)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

impl CacheCommand {
    /// Runs the command on `cache` and writes what it found or removed to `out`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) when something cannot be removed; [`Error::Io`](crate::Error::Io) when `out` cannot be
    /// written.
    pub fn run(&self, cache: &Cache, out: &mut impl Write) -> Result<()> {
        match self {
            Self::List { json } => {
                let rooms = ROOMS.map(|room| (room, room.occupied(cache)));
                if *json {
                    let entry = |(room, (files, bytes)): &(Room, (usize, u64))| {
                        let Room { what, is_made_here, .. } = room;
                        json!({"name": room.name(), "files": files, "bytes": bytes, "made_here": is_made_here, "what": what})
                    };
                    return write_json(out, &rooms.iter().map(entry).collect::<Vec<_>>());
                }
                let total: u64 = rooms.iter().map(|(_, (_, bytes))| bytes).sum();
                let row = |(room, (files, bytes)): &(Room, (usize, u64))| {
                    [room.name().to_owned(), files.to_string(), mebibytes(*bytes), room.what.to_owned()]
                };
                write_table(out, ["PART", "FILES", "SIZE", "WHAT"], &rooms.iter().map(row).collect::<Vec<_>>())?;
                write_text(out, &format!("{} in {}\n", mebibytes(total), cache.root().display()))
            }
            Self::Clear { parts, all } => {
                require_own(cache)?;
                let asked = |room: &Room| *all || parts.iter().any(|part| part.name() == room.name());
                let usual = |room: &Room| parts.is_empty() && room.is_made_here;
                for room in ROOMS.iter().filter(|room| asked(room) || usual(room)) {
                    let (files, bytes) = room.occupied(cache);
                    let said = match room.clear(cache)? {
                        Some(link) => format!("{} is a link: left alone", link.display()),
                        None => format!("{}, {} removed", plural(files, "file"), mebibytes(bytes)),
                    };
                    write_text(out, &format!("{}: {said}\n", room.name()))?;
                }
                Ok(())
            }
        }
    }
}

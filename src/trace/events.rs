//! Events on a time line, as a file that Perfetto (<https://ui.perfetto.dev>) and Chrome's `about:tracing` show: the JSON array
//! form of the Trace Event Format. Its closing bracket may be missing: what a run that was cut off has written is readable too.

use super::{Stage, StageTimes, Transfers};
use crate::error::{Error, Result};
use serde_json::{Map, Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A row of the file. Rows stand in groups, which the format calls processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The number of the group.
    pub group: u64,
    /// The number of the row in it.
    pub row: u64,
}

/// A file being written. What goes wrong is said at the end.
pub struct EventFile {
    path: PathBuf,
    out: BufWriter<File>,
    began: Instant,
    written: io::Result<()>,
}

impl EventFile {
    /// A new file at `path`, replacing one that is there. Times count from `began`. It begins with a note of this version.
    pub fn create(path: &Path, began: Instant) -> Result<Self> {
        let mut file = Self::of(File::create(path), path, began)?;
        let labels = concat!("hpinfer ", env!("CARGO_PKG_VERSION"));
        let note = json!({"ph": "M", "name": "process_labels", "pid": 0, "args": {"labels": labels}});
        file.written = write!(file.out, "[\n{note}");
        Ok(file)
    }

    /// The file at `path` that another call, or process, has created and [left open](Self::leave_open).
    pub fn append(path: &Path, began: Instant) -> Result<Self> {
        Self::of(OpenOptions::new().append(true).open(path), path, began)
    }

    fn of(file: io::Result<File>, path: &Path, began: Instant) -> Result<Self> {
        let file = file.map_err(Error::io("write", path))?;
        Ok(Self { path: path.to_owned(), out: BufWriter::new(file), began, written: Ok(()) })
    }

    /// Names a group of rows.
    pub fn name_group(&mut self, group: u64, name: &str) {
        self.put(&json!({"ph": "M", "name": "process_name", "pid": group, "args": {"name": name}}));
    }

    /// Names a row.
    pub fn name_row(&mut self, row: Row, name: &str) {
        self.put(&json!({"ph": "M", "name": "thread_name", "pid": row.group, "tid": row.row, "args": {"name": name}}));
    }

    /// Something that took from one moment to another.
    pub fn slice(&mut self, row: Row, name: &str, (from, to): (Instant, Instant), args: Map<String, Value>) {
        let (ts, dur) = (self.us(from), us(to.duration_since(from)));
        self.put(&json!({"ph": "X", "name": name, "pid": row.group, "tid": row.row, "ts": ts, "dur": dur, "args": args}));
    }

    /// Any event.
    pub fn put(&mut self, event: &Value) {
        if self.written.is_ok() {
            self.written = write!(self.out, ",\n{event}");
        }
    }

    /// Microseconds since the beginning.
    pub fn us(&self, moment: Instant) -> f64 {
        us(moment.duration_since(self.began))
    }

    /// Writes what is there; more is to come.
    pub fn leave_open(mut self) -> Result<()> {
        self.written.and_then(|()| self.out.flush()).map_err(Error::io("write", &self.path))
    }

    /// Closes the array.
    pub fn finish(mut self) -> Result<()> {
        self.written = self.written.and_then(|()| self.out.write_all(b"\n]\n"));
        self.leave_open()
    }
}

/// Microseconds.
pub fn us(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e3
}

/// The arguments of a slice: milliseconds per stage after decoding, which is no part of `times`, and what was moved to and from a
/// device, if anything.
pub fn stage_args(times: &StageTimes, stages: &[Stage]) -> Map<String, Value> {
    let stages = stages.iter().filter(|stage| **stage != Stage::Decode).map(|stage| (format!("{}_ms", stage.as_str()), times.ms(*stage)));
    let moved = if times.transfers == Transfers::default() { None } else { Some(times.transfers.entries()) };
    let moved = moved.into_iter().flatten().map(|(name, count)| (name.to_owned(), count));
    stages.chain(moved).map(|(name, value)| (name, Value::from(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn arguments_are_times_and_what_was_moved() {
        let mut times = StageTimes::default();
        times.add(Stage::DetPre, Duration::from_micros(1500));
        let args = |times: &StageTimes| Value::from(stage_args(times, &[Stage::Decode, Stage::DetPre]));
        assert_eq!(args(&times), json!({"det_pre_ms": 1.5}));
        times.transfers = Transfers { frames: 1.0, uploads: 2.5, uploaded_bytes: 300.0, downloads: 1.0 / 3.0, downloaded_bytes: 40.0 };
        let moved = json!({"det_pre_ms": 1.5, "frames": 1.0, "uploads": 2.5, "uploaded_bytes": 300.0, "downloads": 0.333, "downloaded_bytes": 40.0});
        assert_eq!(args(&times), moved);
    }
}

//! When each measured picture of a case was worked on. It is kept in memory meanwhile and written after the case: writing would
//! show in what is measured.

use super::inputs::Picture;
use super::resources::milliseconds;
use crate::error::Result;
use crate::trace::events::{EventFile, Row, stage_args};
use crate::trace::{Stage, StageTimes};
use serde_json::Value;
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// A part of the measurement. Each has rows of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// Latency.
    OneAtATime,
    /// Throughput.
    Overlapped,
    /// An offered rate, of what the pipeline does at most.
    Load(f64),
}

/// A picture's turn.
struct Call {
    part: Part,
    thread: ThreadId,
    picture: usize,
    waited: Duration,
    span: (Instant, Instant),
    times: StageTimes,
}

/// What was worked on so far, where that is wanted.
pub struct Calls(Option<Mutex<Vec<Call>>>);

impl Calls {
    /// None so far. Where they are not `wanted` nothing is kept.
    pub fn new(wanted: bool) -> Self {
        Self(wanted.then(Mutex::default))
    }

    /// Takes a picture, by its place, on which this thread worked for `span` after it had `waited`.
    pub fn add(&self, part: Part, picture: usize, waited: Duration, span: (Instant, Instant), times: &StageTimes) {
        let Some(calls) = &self.0 else { return };
        let call = Call { part, thread: thread::current().id(), picture, waited, span, times: *times };
        calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    /// Writes all of it into the file that was begun at `path`, as a group of rows named `case`. Times count from `began`.
    pub fn write(self, path: &Path, case: &str, began: Instant, pictures: &[Picture], stages: &[Stage]) -> Result<()> {
        let mut file = EventFile::append(path, began)?;
        let group = u64::from(std::process::id());
        file.name_group(group, case);
        let mut rows: Vec<(Part, ThreadId)> = Vec::new();
        let calls = self.0.map(Mutex::into_inner).unwrap_or(Ok(Vec::new())).unwrap_or_else(PoisonError::into_inner);
        for call in calls {
            let known = rows.iter().position(|row| *row == (call.part, call.thread));
            let row = Row { group, row: known.unwrap_or(rows.len()) as u64 + 1 };
            if known.is_none() {
                let worker = rows.iter().filter(|(part, _)| *part == call.part).count();
                rows.push((call.part, call.thread));
                let name = if call.part == Part::OneAtATime { call.part.to_string() } else { format!("{}, worker {worker}", call.part) };
                file.name_row(row, &name);
            }
            let mut args = stage_args(&call.times, stages);
            if let Part::Load(_) = call.part {
                args.insert("waited_ms".into(), Value::from(milliseconds(call.waited)));
            }
            file.slice(row, &pictures[call.picture].name, call.span, args);
        }
        file.leave_open()
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneAtATime => f.write_str("one at a time"),
            Self::Overlapped => f.write_str("throughput"),
            Self::Load(part) => write!(f, "load {:.0} %", part * 100.0),
        }
    }
}

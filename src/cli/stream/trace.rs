//! Where the time of each frame went, as a file that Perfetto (<https://ui.perfetto.dev>) and Chrome's `about:tracing` show: a
//! row per thread of each pool with what it worked on, and a row per frame from its source to its line. The JSON array form
//! of the Trace Event Format, in which the closing bracket may be missing: a run that was cut off is readable too.

use super::stages::{FrameStages, Output};
use crate::error::{Error, Result};
use crate::schedule::graph::{Delivery, Span};
use crate::trace::Stage;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Rows of the file, by the number of their group.
const GROUPS: [&str; 4] = ["streams", "decode pool", "workers", "finishing pool"];
const STREAMS: usize = 0;

/// A trace being written.
pub(super) struct Trace {
    path: PathBuf,
    out: BufWriter<File>,
    began: Instant,
    stages: &'static [Stage],
    written: io::Result<()>,
}

impl Trace {
    /// A new file at `path`, replacing one that is there. `stages` are those of the pipeline.
    pub fn new(path: &Path, stages: &'static [Stage]) -> Result<Self> {
        let file = File::create(path).map_err(Error::io("write", path))?;
        let mut trace = Self { path: path.to_owned(), out: BufWriter::new(file), began: Instant::now(), stages, written: Ok(()) };
        trace.written = trace.out.write_all(b"[\n");
        for (group, name) in GROUPS.iter().enumerate() {
            trace.put(json!({"ph": "M", "name": "process_name", "pid": group, "args": {"name": name}}));
        }
        Ok(trace)
    }

    /// Takes the next frame that comes to the sink.
    pub fn add(&mut self, delivery: &Delivery<FrameStages<'_>>) {
        let (stream, timeline, frame_id) = (delivery.stream, delivery.timeline, delivery.tag.moment.frame_id);
        let arrived = self.us(timeline.arrived);
        let name = format!("stream {stream}, frame {frame_id}");
        let Some(output) = &delivery.output else {
            self.put(json!({"ph": "i", "s": "t", "name": format!("{name} dropped"), "pid": STREAMS, "tid": stream, "ts": arrived}));
            return;
        };
        let us = |d: Duration| d.as_nanos() as f64 / 1e3;
        for (phase, ts) in [("b", arrived), ("e", arrived + us(delivery.latency))] {
            self.put(json!({"ph": phase, "cat": "frame", "id": format!("{stream}.{frame_id}"), "name": name, "pid": STREAMS, "tid": stream, "ts": ts}));
        }
        let mut of_stages = Map::new();
        if let Output::Result(looked) = output {
            let ms = looked.times.to_ms(self.stages, Duration::ZERO).into_iter().filter(|(stage, _)| *stage != "total");
            of_stages.extend(ms.map(|(stage, ms)| (format!("{stage}_ms"), Value::from(ms))));
        }
        let parts = [(timeline.decode, Map::new()), (timeline.work, of_stages), (timeline.finish, Map::new())];
        for (group, (span, args)) in (1..).zip(parts) {
            if let Some(Span { thread, from, to }) = span {
                let (ts, dur) = (self.us(from), us(to.duration_since(from)));
                self.put(json!({"ph": "X", "name": name, "pid": group, "tid": thread, "ts": ts, "dur": dur, "args": args}));
            }
        }
    }

    /// Closes the file.
    pub fn finish(mut self) -> Result<()> {
        // Every other event has a comma behind it.
        let last = json!({"ph": "M", "name": "process_labels", "pid": STREAMS, "args": {"labels": concat!("hpinfer ", env!("CARGO_PKG_VERSION"))}});
        self.written.and_then(|()| writeln!(self.out, "{last}\n]")).and_then(|()| self.out.flush()).map_err(Error::io("write", &self.path))
    }

    /// Microseconds since the beginning.
    fn us(&self, moment: Instant) -> f64 {
        moment.duration_since(self.began).as_nanos() as f64 / 1e3
    }

    fn put(&mut self, event: Value) {
        if self.written.is_ok() {
            self.written = writeln!(self.out, "{event},");
        }
    }
}

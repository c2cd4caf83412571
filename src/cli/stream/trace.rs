//! Where the time of each frame went: a row per thread of each pool with what it worked on, and a row per frame from its
//! source to its line.

use super::stages::{FrameStages, Output};
use crate::error::Result;
use crate::schedule::graph::{Delivery, Span};
use crate::trace::Stage;
use crate::trace::events::{EventFile, Row, stage_args, us};
use serde_json::{Map, json};
use std::path::Path;
use std::time::Instant;

/// Groups of rows, by their number.
const GROUPS: [&str; 4] = ["streams", "decode pool", "workers", "finishing pool"];
const STREAMS: u64 = 0;

/// A trace being written.
pub(super) struct Trace {
    file: EventFile,
    stages: &'static [Stage],
}

impl Trace {
    /// A new file at `path`, replacing one that is there. `stages` are those of the pipeline.
    pub fn new(path: &Path, stages: &'static [Stage]) -> Result<Self> {
        let mut file = EventFile::create(path, Instant::now())?;
        for (group, name) in (STREAMS..).zip(GROUPS) {
            file.name_group(group, name);
        }
        Ok(Self { file, stages })
    }

    /// Takes the next frame that comes to the sink.
    pub fn add(&mut self, delivery: &Delivery<FrameStages<'_>>) {
        let (stream, timeline, frame_id) = (delivery.stream, delivery.timeline, delivery.tag.moment.frame_id);
        let arrived = self.file.us(timeline.arrived);
        let name = format!("stream {stream}, frame {frame_id}");
        let Some(output) = &delivery.output else {
            self.file.put(&json!({"ph": "i", "s": "t", "name": format!("{name} dropped"), "pid": STREAMS, "tid": stream, "ts": arrived}));
            return;
        };
        if matches!(output, Output::Ended) {
            return;
        }
        for (phase, ts) in [("b", arrived), ("e", arrived + us(delivery.latency))] {
            let id = format!("{stream}.{frame_id}");
            self.file.put(&json!({"ph": phase, "cat": "frame", "id": id, "name": name, "pid": STREAMS, "tid": stream, "ts": ts}));
        }
        let of_stages = match output {
            Output::Result(looked) => stage_args(&looked.times, self.stages),
            Output::SameAs(..) | Output::Failed(..) | Output::Ended => Map::new(),
        };
        let parts = [(timeline.decode, Map::new()), (timeline.work, of_stages), (timeline.finish, Map::new())];
        for (group, (span, args)) in (STREAMS + 1..).zip(parts) {
            if let Some(Span { thread, from, to }) = span {
                self.file.slice(Row { group, row: thread as u64 }, &name, (from, to), args);
            }
        }
    }

    /// Closes the file.
    pub fn finish(self) -> Result<()> {
        self.file.finish()
    }
}

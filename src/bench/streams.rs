//! How many streams a pipeline keeps up with: frames come at the steady rate of cameras, and the number of streams is raised until
//! frames are dropped or late.

use super::footage::{Footage, Shown};
use super::machine::Machine;
use super::report::Latency;
use super::resources::milliseconds;
use super::watch::{Watch, Watched, held_back};
use crate::error::{Error, Result};
use crate::image::Frame;
use crate::pipeline::{EngineStreams, Pipeline};
use crate::result::RunRecord;
use crate::schedule::gauges::Gauges;
use crate::schedule::graph::{self, Feed, Offer, Settings, Stages};
use crate::schedule::stop::Stop;
use crate::schedule::{Batching, DropPolicy};
use crate::trace::plural;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

/// Streams are not raised beyond this number.
pub const MOST: usize = 1024;

/// What is asked of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Aim {
    /// Frames of each stream a second.
    pub fps: f64,
    /// Bound of the 99th percentile of the latency, from the moment a frame was due to its result.
    pub p99_ms: f64,
    /// How long each number of streams is tried.
    pub seconds: f64,
}

/// What one number of streams gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// Streams at once.
    pub streams: usize,
    /// Frames that came.
    pub offered: usize,
    /// Of these dropped, because their stream had a later one.
    pub dropped: usize,
    /// Frames finished a second.
    pub finished_per_s: f64,
    /// Of the frames that were finished.
    pub latency: Latency,
    /// Whether nothing was dropped, and the bound of the latency holds.
    pub kept_up: bool,
}

/// What all numbers gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The most streams that were kept up with; 0 when not even one was.
    pub most: usize,
    /// All that were tried, in turn.
    pub tried: Vec<Tried>,
    /// The GPUs of the machine, as they were right after each try; reports of earlier versions have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<Watched>,
}

/// What was measured, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StreamsReport {
    /// Version of the program.
    pub hpinfer: String,
    /// When it began, UTC.
    pub date: String,
    /// Where it ran.
    pub machine: Machine,
    /// Pipeline name; for a pipeline file its name and SHA-256.
    pub pipeline: String,
    /// Flags that decide what is computed, where they are given, by their names. Early reports have none, nor the next.
    pub settings: Option<BTreeMap<String, String>>,
    /// The pictures or videos.
    pub inputs: Vec<String>,
    /// SHA-256 over the contents of their files, in order.
    pub sha256: Option<String>,
    /// Who decodes the frames: nobody, as pictures are decoded `beforehand`, or as they come the `host` or the `gpu`.
    pub decode: String,
    /// Of the frames, as far as they are known before the first try: each once.
    pub sizes: Vec<String>,
    /// Cores.
    pub threads: usize,
    /// What ran.
    pub models: Vec<RunRecord>,
    /// SHA-256 of the networks, by their models; reports of earlier versions have none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, String>,
    /// What was asked.
    #[serde(flatten)]
    pub aim: Aim,
    /// What was found.
    #[serde(flatten)]
    pub found: Found,
}

impl StreamsReport {
    /// What was measured, how and where, for people.
    pub fn heading(&self) -> String {
        let (what, decoded) = match self.decode.as_str() {
            "beforehand" => ("picture", "decoded beforehand".to_owned()),
            who => ("video", format!("decoded as they come by the {who}")),
        };
        let frames = format!("{}, frames of {}, {decoded}", plural(self.inputs.len(), what), self.sizes.join(" and "));
        let what = format!("{}, {}; streams of {frames}", self.pipeline, plural(self.threads, "thread"));
        let how = format!("{} frames a second each, {} s a try", self.aim.fps, self.aim.seconds);
        format!("{what}; {how}\nhpinfer {}, {}\n{}", self.hpinfer, self.date, self.machine)
    }

    /// That a GPU on which models ran was held back, for people.
    pub fn held_back(&self) -> Option<String> {
        held_back(&self.found.gpus, |device| self.models.iter().any(|run| run.device == device))
    }

    /// How many there may be, for people.
    pub fn outcome(&self) -> String {
        let more = if self.found.most == MOST { " and maybe more" } else { "" };
        let bound = format!("no frame dropped, and 99 of 100 within {} ms", self.aim.p99_ms);
        match self.found.most {
            0 => format!("not even one stream: a frame was dropped, or 1 of 100 took more than {} ms", self.aim.p99_ms),
            most => format!("{}{more} at once: {bound}", plural(most, "stream")),
        }
    }
}

/// Finds the most streams of `footage` that `pipeline` keeps up with on `threads` cores: doubled until it is too much, then halved
/// in between.
///
/// # Errors
/// The first that a frame gives.
pub fn most(pipeline: &dyn Pipeline, footage: &Footage, threads: usize, aim: Aim) -> Result<Found> {
    // Sessions and buffers of all workers are there before anything counts.
    let warm_up = Aim { fps: 1e3, seconds: 4e-3 * threads as f64, ..aim };
    attempt(pipeline, footage, threads, warm_up, 1, DropPolicy::BLOCK)?;
    let (mut kept, mut over, mut tried, mut watch) = (0, MOST + 1, Vec::new(), Watch::new());
    while over - kept > 1 {
        let streams = if over > MOST { (2 * kept).clamp(1, MOST) } else { kept.midpoint(over) };
        let outcome = attempt(pipeline, footage, threads, aim, streams, DropPolicy::LATEST)?;
        watch.look();
        if outcome.kept_up {
            kept = streams;
        } else {
            over = streams;
        }
        tried.push(outcome);
    }
    Ok(Found { most: kept, tried, gpus: watch.seen() })
}

fn attempt(pipeline: &dyn Pipeline, footage: &Footage, threads: usize, aim: Aim, streams: usize, policy: DropPolicy) -> Result<Tried> {
    let interval = Duration::from_secs_f64(1.0 / aim.fps);
    let each = (aim.fps * aim.seconds).ceil().max(1.0) as u32;
    let shown: Vec<Shown<'_>> = thread::scope(|scope| {
        let opened: Vec<_> = (0..streams).map(|stream| scope.spawn(move || footage.stream(stream, streams))).collect();
        opened.into_iter().map(|stream| stream.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let start = Instant::now();
    let feeds = shown.into_iter().enumerate().map(|(stream, shown)| {
        // Cameras do not tick together.
        let phase = interval.mul_f64(stream as f64 / streams as f64);
        let offers = (0..each).zip(shown).map(move |(n, frame)| {
            let due = start + phase + interval * n;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            match frame {
                Ok(frame) => Offer::Item(due, frame),
                Err(error) => Offer::Output(due, Err(error)),
            }
        });
        Feed { offers: Box::new(offers), policy }
    });
    let batching = Batching { items: pipeline.batch_size(), ..Batching::default() };
    let (gauges, stop) = (Gauges::new(streams), Stop::default());
    let (mut samples, mut dropped, mut failure) = (Vec::new(), 0, None);
    graph::run(
        &Frames(pipeline, footage),
        feeds.collect(),
        &Settings::latest(threads, batching).at_most(pipeline.groups_at_once()),
        &gauges,
        &stop,
        |delivery| match delivery.output {
            Some(Ok(())) => samples.push(milliseconds(delivery.tag.elapsed())),
            Some(Err(e)) => {
                failure.get_or_insert(e);
                stop.set();
            }
            None => dropped += 1,
        },
    );
    if let Some(error) = failure {
        return Err(error);
    }
    let latency = Latency::of(&samples);
    let finished_per_s = samples.len() as f64 / start.elapsed().as_secs_f64();
    let kept_up = dropped == 0 && latency.p99_ms <= aim.p99_ms;
    Ok(Tried { streams, offered: samples.len() + dropped, dropped, finished_per_s, latency, kept_up })
}

/// A pipeline on decoded frames, whose results count only as done.
struct Frames<'a>(&'a dyn Pipeline, &'a Footage);

impl Stages for Frames<'_> {
    /// When the frame was due.
    type Tag = Instant;
    type Raw = Frame;
    type Ready = Frame;
    type Done = Result<()>;
    type Out = Result<()>;
    type Worker = ();

    fn decode(&self, _: &mut Instant, frame: Frame) -> Result<Frame, Self::Out> {
        Ok(frame)
    }

    fn decoded_before(&self) -> Option<Duration> {
        self.1.ffmpeg_time()
    }

    fn engine_streams(&self) -> Option<&EngineStreams> {
        self.0.engine_streams()
    }

    fn cost(&self, frame: &Frame) -> u64 {
        frame.size().area()
    }

    fn worker(&self, _: usize) -> Result<()> {
        Ok(())
    }

    fn work(&self, (): &mut (), batch: &[Frame]) -> Vec<Self::Done> {
        self.0.process(batch).into_iter().map(|outcome| outcome.map(drop)).collect()
    }

    fn finish(&self, _: &Instant, _: Frame, done: Self::Done) -> Self::Out {
        done
    }

    fn fault(&self, _: &Instant, reason: String) -> Self::Out {
        Err(Error::internal("streams", reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{FrameId, ImageBuf, PixelFormat, Size};
    use crate::pipeline::Pipeline;
    use crate::result::{Header, OcrResult, PipelineResult, RunRecord};
    use crate::trace::{Stage, StageTimes};

    /// Takes so long for a frame, on one thread.
    struct Sleeping(Duration, rayon::ThreadPool);

    impl Pipeline for Sleeping {
        fn process(&self, frames: &[Frame]) -> Vec<Result<(PipelineResult, StageTimes)>> {
            let one = |frame: &Frame| {
                std::thread::sleep(self.0);
                match frame.id.input_path {
                    None => Err(Error::input("a frame", "no name")),
                    Some(_) => {
                        let result = OcrResult { header: Header::new(&frame.id, &[]), ..OcrResult::default() };
                        Ok((result.into(), StageTimes::default()))
                    }
                }
            };
            self.1.install(|| frames.iter().map(one).collect())
        }

        fn run_records(&self) -> &[RunRecord] {
            &[]
        }

        fn workers(&self) -> &rayon::ThreadPool {
            &self.1
        }

        fn stages(&self) -> &'static [Stage] {
            &Stage::OCR
        }
    }

    fn sleeping(ms: u64) -> Sleeping {
        Sleeping(Duration::from_millis(ms), rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread"))
    }

    fn frame(name: Option<&str>) -> Frame {
        let image = ImageBuf::new(vec![0; 3], Size::new(1, 1), PixelFormat::Bgr).expect("a pixel");
        Frame::new(FrameId { input_path: name.map(Into::into), page_index: None }, image)
    }

    /// 10 ms a frame on one thread serve 100 frames a second at most; the machine may be too busy for that many, never for more.
    #[test]
    fn streams_are_raised_until_frames_are_dropped_or_late() {
        let aim = Aim { fps: 20.0, p99_ms: 1e4, seconds: 1.0 };
        let footage = Footage::Pictures(vec![frame(Some("a"))]);
        let found = most(&sleeping(10), &footage, 1, aim).expect("frames are worked on");
        assert!((1..=5).contains(&found.most), "{found:?}");
        for tried in &found.tried {
            assert_eq!(tried.offered, tried.streams * 20, "{tried:?}");
            assert_eq!(tried.kept_up, tried.dropped == 0, "{tried:?}");
            assert_eq!(tried.kept_up, tried.streams <= found.most, "{tried:?}");
            assert!(tried.latency.min_ms >= 10.0, "{tried:?}");
        }
        let late = most(&sleeping(10), &footage, 1, Aim { p99_ms: 5.0, ..aim }).expect("frames are worked on");
        assert_eq!((late.most, late.tried.len()), (0, 1), "no frame is done within 5 ms");
    }

    #[test]
    fn a_frame_that_fails_ends_the_measurement() {
        let aim = Aim { fps: 100.0, p99_ms: 100.0, seconds: 0.1 };
        assert!(most(&sleeping(0), &Footage::Pictures(vec![frame(None)]), 1, aim).is_err());
    }
}

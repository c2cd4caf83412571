//! What a benchmark found: one object per command, one entry per case, one per picture of a case.
//! Milliseconds throughout. No number stands without machine, models, versions, precision and threads.

use super::cases::{Case, Variant};
use super::load::Load;
use super::machine::Machine;
use super::stats::{geometric_mean, median, percentile};
use super::watch::{Watched, held_back};
use crate::cache::sha256;
use crate::result::RunRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the form of reports; `compare` reads its own only.
pub const SCHEMA_VERSION: u32 = 1;

/// A benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of the program.
    pub hpinfer: String,
    /// When it began, UTC.
    pub date: String,
    /// Where it ran.
    pub machine: Machine,
    /// Pipeline name; for a pipeline file its name and SHA-256.
    pub pipeline: String,
    /// Flags that decide what is computed, where they are given, by their names; those of engines are not among them. Reports of
    /// earlier versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<BTreeMap<String, String>>,
    /// What decoded JPEG files; reports of earlier versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jpeg_decoder: Option<String>,
    /// Measured rounds over all pictures.
    pub repeat: usize,
    /// Rounds before those.
    pub warmup: usize,
    /// What was read.
    pub inputs: Inputs,
    /// SHA-256 of the networks that ran, by their models; reports of earlier versions have none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, String>,
    /// What was found.
    pub cases: Vec<CaseReport>,
}

/// The pictures of a benchmark.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// Pictures measured.
    pub count: usize,
    /// Their names, in order.
    pub names: Vec<String>,
    /// Their pixels together, in millions.
    pub megapixels: f64,
    /// SHA-256 over the contents of their files, in order.
    pub sha256: String,
    /// Inputs left out.
    pub failed: Vec<FailedInput>,
}

/// An input that could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedInput {
    /// The input as named by the user.
    pub name: String,
    /// Why not.
    pub reason: String,
}

/// One case: one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// Engine.
    #[serde(rename = "case")]
    pub variant: Variant,
    /// Cores.
    pub threads: usize,
    /// What ran.
    pub models: Vec<RunRecord>,
    /// Opening the pipeline.
    pub open_ms: f64,
    /// From the start of the process's work to the first picture's result: opening and decoding included.
    pub first_result_ms: f64,
    /// Reading and decoding all pictures once, on one core.
    pub decode_ms: f64,
    /// One picture at a time, decoded picture to result, over all pictures and rounds.
    pub latency: Latency,
    /// Decoded pictures a second, overlapped and in groups as a run over many inputs has them.
    pub images_per_s: f64,
    /// Sum over the pictures of their medians, one picture at a time; stages on several cores add up.
    pub stages_ms: BTreeMap<String, f64>,
    /// Most resident memory up to the end of the overlapped rounds.
    pub peak_memory_mib: Option<f64>,
    /// The decoded pictures' share of it: all are held at once, which no other run does.
    pub decoded_mib: f64,
    /// Latency at rising rates, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// Against the engines alone.
    pub floor: Floor,
    /// Per picture.
    pub pictures: Vec<PictureReport>,
    /// Inputs that could not be decoded.
    pub failed: Vec<FailedInput>,
    /// The GPUs of the machine, as they were right after the last of the calls that were timed; reports of earlier versions have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<Watched>,
}

/// Summary of latencies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Median.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Least.
    pub min_ms: f64,
    /// Geometric mean: a small picture counts as much as a large one.
    pub geomean_ms: f64,
}

impl Latency {
    /// The summary of `samples_ms`.
    pub fn of(samples_ms: &[f64]) -> Self {
        Self {
            p50_ms: median(samples_ms),
            p95_ms: percentile(samples_ms, 95.0),
            p99_ms: percentile(samples_ms, 99.0),
            min_ms: percentile(samples_ms, 0.0),
            geomean_ms: geometric_mean(samples_ms),
        }
    }
}

/// Time that a piece of work took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Processor time of all threads; `None` where the kernel does not tell.
    pub cpu_ms: Option<f64>,
    /// Wall time.
    pub wall_ms: f64,
}

impl Cost {
    /// Both, one after the other.
    pub fn plus(self, other: Self) -> Self {
        Self { cpu_ms: self.cpu_ms.zip(other.cpu_ms).map(|(a, b)| a + b), wall_ms: self.wall_ms + other.wall_ms }
    }

    /// The lesser of each.
    pub fn least(self, other: Self) -> Self {
        Self { cpu_ms: self.cpu_ms.zip(other.cpu_ms).map(|(a, b)| a.min(b)), wall_ms: self.wall_ms.min(other.wall_ms) }
    }
}

/// The pipeline against its engines alone: one worker thread, same tensors, runs in turn; least of the rounds. Of pictures that
/// share runs each has its share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgainstFloor {
    /// Decoded picture to result.
    pub end_to_end: Cost,
    /// The engine runs of it alone.
    pub engine: Cost,
    /// Preparation and interpretation within `end_to_end`, wall time: every stage that is no engine run.
    pub pre_post_ms: f64,
}

impl AgainstFloor {
    /// `part` (0 to 1) of each time.
    pub fn share(self, part: f64) -> Self {
        let of = |cost: Cost| Cost { cpu_ms: cost.cpu_ms.map(|ms| ms * part), wall_ms: cost.wall_ms * part };
        Self { end_to_end: of(self.end_to_end), engine: of(self.engine), pre_post_ms: self.pre_post_ms * part }
    }

    /// The same without processor times.
    pub fn by_the_clock(self) -> Self {
        let of = |cost: Cost| Cost { cpu_ms: None, ..cost };
        Self { end_to_end: of(self.end_to_end), engine: of(self.engine), ..self }
    }

    /// End to end over engine, in processor time where that is told, else in wall time.
    pub fn ratio(&self) -> f64 {
        let ratio = self.end_to_end.cpu_ms.zip(self.engine.cpu_ms).map(|(all, engine)| all / engine);
        ratio.unwrap_or(self.end_to_end.wall_ms / self.engine.wall_ms)
    }
}

/// Sums over pictures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FloorSum {
    /// Pictures summed.
    pub pictures: usize,
    /// The sums.
    #[serde(flatten)]
    pub sum: AgainstFloor,
    /// End to end over engine; `None` without pictures.
    pub ratio: Option<f64>,
}

impl FloorSum {
    /// The sum over `pictures`.
    pub fn of<'a>(pictures: impl IntoIterator<Item = &'a PictureReport>) -> Self {
        let nothing = Cost { cpu_ms: Some(0.0), wall_ms: 0.0 };
        let mut sum = AgainstFloor { end_to_end: nothing, engine: nothing, pre_post_ms: 0.0 };
        let mut count = 0;
        for PictureReport { floor, .. } in pictures {
            sum.end_to_end = sum.end_to_end.plus(floor.end_to_end);
            sum.engine = sum.engine.plus(floor.engine);
            sum.pre_post_ms += floor.pre_post_ms;
            count += 1;
        }
        Self { pictures: count, sum, ratio: (count > 0).then(|| sum.ratio()) }
    }
}

/// The floor of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// What ran: a choice left to the program may fall out differently on one thread.
    pub models: Vec<RunRecord>,
    /// All pictures.
    pub all: FloorSum,
    /// Those with two lines or more: on the others the fixed costs of a call are all there is.
    pub several_lines: FloorSum,
}

impl Floor {
    /// The floor under `pictures`, measured with `models`.
    pub fn of(pictures: &[PictureReport], models: Vec<RunRecord>) -> Self {
        Self { models, all: FloorSum::of(pictures), several_lines: FloorSum::of(pictures.iter().filter(|p| p.lines >= 2)) }
    }
}

/// One picture of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PictureReport {
    /// The input as named by the user.
    pub name: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Text lines found; 0 from pipelines that read none.
    pub lines: usize,
    /// Reading and decoding, once.
    pub decode_ms: f64,
    /// One picture at a time.
    pub latency: Latency,
    /// Medians per stage, one picture at a time.
    pub stages_ms: BTreeMap<String, f64>,
    /// Engine runs of all networks, for the group of pictures where several share a run.
    pub engine_runs: usize,
    /// Against the engines alone.
    pub floor: AgainstFloor,
}

impl Inputs {
    /// The inputs that `case` measured, with those that were refused before.
    pub fn of(case: &CaseReport, mut refused: Vec<FailedInput>) -> Self {
        refused.extend(case.failed.iter().cloned());
        let digests: String = case.pictures.iter().map(|p| p.sha256.as_str()).collect();
        let pixels: u64 = case.pictures.iter().map(|p| u64::from(p.width) * u64::from(p.height)).sum();
        Self {
            count: case.pictures.len(),
            names: case.pictures.iter().map(|p| p.name.clone()).collect(),
            megapixels: (pixels as f64 / 1e3).round() / 1e3,
            sha256: sha256(digests.as_bytes()),
            failed: refused,
        }
    }
}

impl CaseReport {
    /// What was measured.
    pub fn case(&self) -> Case {
        Case { variant: self.variant, threads: self.threads }
    }

    /// That a GPU on which it ran was held back, for people.
    pub fn held_back(&self) -> Option<String> {
        held_back(&self.gpus, |device| self.models.iter().any(|run| run.device == device))
    }
}

/// The engines of `models`: `openvino 2026.4.1 float32`, neighbours that are alike once.
pub fn engines(models: &[RunRecord]) -> String {
    let mut engines: Vec<String> = models.iter().map(|m| format!("{} {} {}", m.backend, m.version, m.precision)).collect();
    engines.dedup();
    engines.join(" + ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_the_percentiles_that_they_are_called() {
        let samples: Vec<f64> = (0..=100).map(f64::from).collect();
        let Latency { p50_ms, p95_ms, p99_ms, min_ms, .. } = Latency::of(&samples);
        assert_eq!([p50_ms, p95_ms, p99_ms, min_ms], [50.0, 95.0, 99.0, 0.0]);
        assert!((Latency::of(&[1.0, 4.0, 16.0]).geomean_ms - 4.0).abs() < 1e-12);
    }

    #[test]
    fn several_lines_are_two_and_more() {
        let (cost, latency) = (Cost { cpu_ms: None, wall_ms: 1.0 }, Latency::default());
        let floor = AgainstFloor { end_to_end: cost, engine: cost, pre_post_ms: 0.0 };
        let (name, sha256, stages_ms) = Default::default();
        let one = PictureReport { name, width: 1, height: 1, sha256, lines: 0, decode_ms: 0.0, latency, stages_ms, engine_runs: 1, floor };
        let pictures: Vec<_> = (0..4).map(|lines| PictureReport { lines, ..one.clone() }).collect();
        let floor = Floor::of(&pictures, Vec::new());
        assert_eq!((floor.all.pictures, floor.several_lines.pictures), (4, 2));
    }
}

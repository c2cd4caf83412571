//! One case, measured inside the process started for it: opening, first result, latency one picture at a time,
//! throughput as a run over many inputs has it, memory, and last, because it needs memory of its own, the floor.

use super::cases::Case;
use super::floor::{self, PictureFloor};
use super::inputs::{self, Picture};
use super::load;
use super::report::{CaseReport, FailedInput, Floor, Latency, PictureReport};
use super::resources::{milliseconds, peak_memory_mib};
use super::stats::median;
use super::trace::{Calls, Part};
use super::watch::Watch;
use crate::backend::record::Recording;
use crate::cache::Cache;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::image::decode::Decoder;
use crate::image::{Frame, PixelFormat};
use crate::modules::LoaderOptions;
use crate::pipeline::{Pipeline, PipelineConfig, process_one};
use crate::result::PipelineResult;
use crate::schedule;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How the pipeline of a case is opened, and its pictures are decoded.
pub struct PipelineSource {
    /// Models and thresholds.
    pub config: PipelineConfig,
    /// What it runs on.
    pub devices: Vec<Device>,
    /// Engines.
    pub loader: LoaderOptions,
    /// What decodes its pictures.
    pub decoder: Decoder,
    /// Folder of libraries and models.
    pub cache: Cache,
}

impl PipelineSource {
    /// Opens the pipeline on `threads` cores; the inputs of engine runs go to `recording`.
    pub fn open_with(&self, threads: usize, recording: Option<Recording>) -> Result<Box<dyn Pipeline>> {
        let options = LoaderOptions { threads, recording, ..self.loader.clone() };
        self.config.open_on(&self.devices, &self.cache, &options)
    }
}

/// How long and on what.
pub struct Workload {
    /// The files, in order.
    pub files: Vec<PathBuf>,
    /// Measured rounds over all pictures.
    pub repeat: usize,
    /// Rounds before those.
    pub warmup: usize,
    /// Seconds for which each rate of a rising load is offered; `None` offers none.
    pub load_seconds: Option<f64>,
    /// File, begun already, for when each measured picture was worked on.
    pub trace: Option<PathBuf>,
}

/// What the rounds of one picture gave.
#[derive(Clone, Default)]
struct Samples {
    lines: usize,
    latency_ms: Vec<f64>,
    stages_ms: BTreeMap<&'static str, Vec<f64>>,
}

/// Measures `case`; `started` is when the process began its work.
pub fn measure(case: Case, source: PipelineSource, workload: Workload, started: Instant) -> Result<CaseReport> {
    let source = PipelineSource { loader: case.apply(source.loader.clone()), ..source };
    let pipeline = source.open_with(case.threads, None)?;
    let open_ms = milliseconds(started.elapsed());
    let mut first_result_ms = None;
    let (mut pictures, mut failed) = (Vec::new(), Vec::new());
    for file in workload.files {
        let name = file.to_string_lossy().into_owned();
        match inputs::decode(file, &source.decoder) {
            Ok(picture) => {
                if first_result_ms.is_none() {
                    process_one(pipeline.as_ref(), &picture.frame)?;
                    first_result_ms = Some(milliseconds(started.elapsed()));
                }
                pictures.push(picture);
            }
            Err(Error::Input { reason, .. }) => failed.push(FailedInput { name, reason }),
            Err(e) => failed.push(FailedInput { name, reason: e.to_string() }),
        }
    }
    let Some(first_result_ms) = first_result_ms else {
        let reasons: Vec<String> = failed.into_iter().map(|f| format!("{}: {}", f.name, f.reason)).collect();
        return Err(Error::input("--input", format!("no picture to measure: {}", reasons.join("; "))));
    };
    for _ in 0..workload.warmup {
        pictures.iter().try_for_each(|p| process_one(pipeline.as_ref(), &p.frame).map(drop))?;
    }
    let calls = Calls::new(workload.trace.is_some());
    let mut watch = Watch::new();
    let samples = latencies(pipeline.as_ref(), &pictures, workload.repeat, &calls)?;
    watch.look();
    let images_per_s = throughput(pipeline.as_ref(), &pictures, case.threads, workload.repeat, &calls)?;
    watch.look();
    let offered = |seconds| load::sweep(pipeline.as_ref(), &pictures, case.threads, images_per_s, seconds, &calls);
    let load = workload.load_seconds.map(offered).transpose()?;
    load.iter().for_each(|_| watch.look());
    let (models, peak_memory_mib) = (pipeline.run_records().to_vec(), peak_memory_mib());
    if let Some(path) = &workload.trace {
        calls.write(path, &case.to_string(), started, &pictures, pipeline.stages())?;
    }
    drop(pipeline);
    let (floors, floor_models) = floor::measure(&source, &pictures, workload.repeat)?;
    let all_ms: Vec<f64> = samples.iter().flat_map(|s| s.latency_ms.iter().copied()).collect();
    let rows = pictures.iter().zip(&samples).zip(floors);
    let reports: Vec<PictureReport> = rows.map(|((picture, samples), floor)| picture_report(picture, samples, floor)).collect();
    Ok(CaseReport {
        variant: case.variant,
        threads: case.threads,
        models,
        open_ms,
        first_result_ms,
        decode_ms: pictures.iter().map(|p| p.decode_ms).sum(),
        latency: Latency::of(&all_ms),
        images_per_s,
        stages_ms: sum_of_stages(&reports),
        peak_memory_mib,
        decoded_mib: pictures.iter().map(|p| p.frame.size().area() as usize * PixelFormat::Bgr.bytes()).sum::<usize>() as f64
            / f64::from(1 << 20),
        load,
        floor: Floor::of(&reports, floor_models),
        pictures: reports,
        failed,
        gpus: watch.seen(),
    })
}

/// Rounds over all pictures, one picture at a time.
fn latencies(pipeline: &dyn Pipeline, pictures: &[Picture], repeat: usize, calls: &Calls) -> Result<Vec<Samples>> {
    let mut samples = vec![Samples::default(); pictures.len()];
    for _ in 0..repeat {
        for (place, (picture, samples)) in pictures.iter().zip(&mut samples).enumerate() {
            let start = Instant::now();
            let (result, times) = process_one(pipeline, &picture.frame)?;
            let end = Instant::now();
            samples.latency_ms.push(milliseconds(end - start));
            calls.add(Part::OneAtATime, place, Duration::ZERO, (start, end), &times);
            samples.lines = lines(&result);
            for (stage, ms) in times.to_ms(pipeline.stages(), Duration::ZERO) {
                samples.stages_ms.entry(stage).or_default().push(ms);
            }
        }
    }
    Ok(samples)
}

/// All rounds as one stream of pictures, overlapped as a run over many inputs is; pictures a second.
fn throughput(pipeline: &dyn Pipeline, pictures: &[Picture], threads: usize, repeat: usize, calls: &Calls) -> Result<f64> {
    let frames = (0..repeat).flat_map(|_| pictures.iter().map(|p| p.frame.clone()).enumerate());
    let work = |group: Vec<(usize, Frame)>| {
        let (places, frames): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let from = Instant::now();
        let outcomes = pipeline.process(&frames);
        let span = (from, Instant::now());
        let done = |(place, outcome): (usize, Result<(_, _)>)| match outcome {
            Ok((_, times)) => {
                calls.add(Part::Overlapped, place, Duration::ZERO, span, &times);
                None
            }
            Err(error) => Some(error),
        };
        places.into_iter().zip(outcomes).map(done).collect()
    };
    let mut failure = None;
    let start = Instant::now();
    schedule::ordered(
        frames,
        schedule::Limits::for_threads(threads).at_most(pipeline.groups_at_once()).with_batch(pipeline.batch_size()),
        work,
        |error| failure = failure.take().or(error),
    );
    let seconds = start.elapsed().as_secs_f64();
    failure.map_or(Ok((repeat * pictures.len()) as f64 / seconds), Err)
}

/// Lines of text found.
fn lines(result: &PipelineResult) -> usize {
    match result {
        PipelineResult::Ocr(result) => result.rec_text.len(),
        PipelineResult::Seals(result) => result.seals.iter().map(|seal| seal.text.rec_text.len()).sum(),
        PipelineResult::Tables(result) => result.ocr.rec_text.len(),
        PipelineResult::Page(result) => result.ocr.rec_text.len(),
        _ => 0,
    }
}

fn picture_report(picture: &Picture, samples: &Samples, floor: PictureFloor) -> PictureReport {
    // Decoding has a row of its own, and the total is the latency.
    let stages = samples.stages_ms.iter().filter(|(stage, _)| !["decode", "total"].contains(stage));
    let size = picture.frame.size();
    PictureReport {
        name: picture.name.clone(),
        width: size.width,
        height: size.height,
        sha256: picture.sha256.clone(),
        lines: samples.lines,
        decode_ms: picture.decode_ms,
        latency: Latency::of(&samples.latency_ms),
        stages_ms: stages.map(|(stage, ms)| ((*stage).to_owned(), median(ms))).collect(),
        engine_runs: floor.engine_runs,
        floor: floor.against,
    }
}

fn sum_of_stages(pictures: &[PictureReport]) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for (stage, ms) in pictures.iter().flat_map(|p| &p.stages_ms) {
        *sums.entry(stage.clone()).or_insert(0.0) += ms;
    }
    sums
}

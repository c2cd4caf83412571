//! `hpinfer bench streams`: how many streams this machine keeps up with, of pictures or of videos.

use super::subject::Subject;
use super::{ReportFiles, networks, one_decoder, pipeline_identity, settings};
use crate::bench::footage::Footage;
use crate::bench::machine::{Machine, utc};
use crate::bench::streams::{Aim, StreamsReport, most};
use crate::bench::{csv, inputs, page, table};
use crate::cli::args::GlobalArgs;
use crate::cli::engine::models_of;
use crate::cli::nvjpeg;
use crate::cli::plan::{self, Plan};
use crate::cli::table::{write_table, write_text};
use crate::error::{Error, Result};
use crate::source::video::{VideoOptions, names_video};
use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

/// Least rate, bound and length of a measurement.
const LEAST: f64 = 0.01;

/// `hpinfer bench streams`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct StreamsArgs {
    #[command(flatten)]
    subject: Subject,
    /// Frames of each stream a second
    #[arg(long, value_name = "N", default_value_t = 25.0)]
    fps: f64,
    /// Bound of the 99th percentile of the latency in milliseconds, from the moment a frame is due to its result
    #[arg(long, value_name = "MS", default_value_t = 200.0)]
    p99: f64,
    /// How long each number of streams is tried
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    seconds: f64,
    /// The ffmpeg program that decodes videos
    #[arg(long, value_name = "PATH", env = "HPINFER_FFMPEG", default_value = "ffmpeg")]
    ffmpeg: PathBuf,
    #[command(flatten)]
    files: ReportFiles,
}

impl StreamsArgs {
    /// The names of what is shown, and what that is: all of `files` pictures, or all of them videos.
    fn footage(&self, files: Vec<PathBuf>, plan: &Plan, global: &GlobalArgs) -> Result<(Vec<String>, Footage)> {
        let cache = plan::cache(global)?;
        if !files.iter().any(|file| names_video(file)) {
            let decoder = one_decoder(&self.subject.pictures, plan, &cache)?;
            let pictures = files.into_iter().map(|file| inputs::decode(file, &decoder)).collect::<Result<Vec<_>>>()?;
            let (names, frames) = pictures.into_iter().map(|picture| (picture.name, picture.frame)).unzip();
            return Ok((names, Footage::Pictures(frames)));
        }
        if let Some(picture) = files.iter().find(|file| !names_video(file)) {
            return Err(Error::config("--input", format!("{} is a picture beside videos; measure them apart", picture.display())));
        }
        let max_pixels = self.subject.pictures.limits().max_pixels;
        let (ffmpeg, nvjpeg) = (self.ffmpeg.clone(), nvjpeg::installed(&cache));
        let options = VideoOptions { ffmpeg, nvjpeg, threads: plan.loader.threads, max_pixels, ..VideoOptions::default() };
        tracing::info!("videos are decoded by {}", options.ffmpeg_version()?);
        let files: Vec<_> = files.iter().map(|file| file.to_string_lossy().into_owned()).collect();
        Ok((files.clone(), Footage::Videos { files, options, gpus: plan.gpus() }))
    }
}

/// Runs the command.
pub(super) fn run(args: &StreamsArgs, global: &GlobalArgs, out: &mut impl Write) -> Result<u8> {
    let aim = Aim { fps: args.fps, p99_ms: args.p99, seconds: args.seconds };
    for (flag, value, most) in [("--fps", aim.fps, 1e4), ("--p99", aim.p99_ms, 6e5), ("--seconds", aim.seconds, 3600.0)] {
        if !(LEAST..=most).contains(&value) {
            return Err(Error::config(flag, format!("{value}; give {LEAST} to {most}")));
        }
    }
    args.files.check(&args.subject.input, None)?;
    let (date, plan) = (utc(SystemTime::now()), args.subject.plan()?);
    let files = args.subject.files(global)?;
    let (inputs, footage) = args.footage(files.clone(), &plan, global)?;
    let sha256 = inputs::digest(&files)?;
    let (mut sizes, mut decode) = (Vec::new(), "");
    // Every stream begins with the next of the inputs.
    for first in (0..inputs.len()).filter_map(|stream| footage.stream(stream, 1).next()) {
        let first = first?;
        decode = footage.decoded_by(&first);
        let size = format!("{}x{}", first.size().width, first.size().height);
        if !sizes.contains(&size) {
            sizes.push(size);
        }
    }
    let pipeline = plan.open(global)?;
    let networks = networks(models_of(plan.config), &plan::cache(global)?, pipeline.run_records())?;
    let threads = plan.loader.threads;
    let found = most(pipeline.as_ref(), &footage, threads, aim)?;
    let report = StreamsReport {
        hpinfer: env!("CARGO_PKG_VERSION").into(),
        date,
        machine: Machine::read(),
        pipeline: pipeline_identity(args.subject.pipeline()?)?,
        settings: Some(settings(&args.subject.engine)?),
        inputs,
        sha256: Some(sha256),
        decode: decode.into(),
        sizes,
        threads,
        models: pipeline.run_records().to_vec(),
        networks,
        aim,
        found,
    };
    args.files.write(&report, csv::streams, page::streams, out, |out| {
        write_text(out, &format!("{}\n\n", report.heading()))?;
        write_table(out, table::STREAMS, &report.found.tried.iter().map(table::streams).collect::<Vec<_>>())?;
        report.held_back().iter().try_for_each(|how| write_text(out, &format!("{how}\n")))?;
        write_text(out, &format!("\n{}\n", report.outcome()))
    })
}

//! `hpinfer bench streams`: how many streams this machine keeps up with.

use super::subject::Subject;
use super::{ReportFiles, one_decoder};
use crate::bench::machine::{Machine, utc};
use crate::bench::streams::{Aim, StreamsReport, most};
use crate::bench::{csv, inputs, page, table};
use crate::cli::args::GlobalArgs;
use crate::cli::plan;
use crate::cli::table::{write_table, write_text};
use crate::error::{Error, Result};
use std::io::Write;
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
    #[command(flatten)]
    files: ReportFiles,
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
    let decoder = one_decoder(&args.subject.pictures, &plan, &plan::cache(global)?)?;
    let pictures = args.subject.files(global)?.into_iter().map(|file| inputs::decode(file, &decoder));
    let pictures = pictures.collect::<Result<Vec<_>>>()?;
    let frames: Vec<_> = pictures.iter().map(|picture| picture.frame.clone()).collect();
    let mut sizes: Vec<String> = Vec::new();
    for size in frames.iter().map(|frame| frame.image.size()) {
        let size = format!("{}x{}", size.width, size.height);
        if !sizes.contains(&size) {
            sizes.push(size);
        }
    }
    let pipeline = plan.open(global)?;
    let threads = plan.loader.threads;
    let found = most(pipeline.as_ref(), &frames, threads, aim)?;
    let report = StreamsReport {
        hpinfer: env!("CARGO_PKG_VERSION"),
        date,
        machine: Machine::read(),
        pipeline: args.subject.pipeline()?.to_owned(),
        inputs: pictures.into_iter().map(|picture| picture.name).collect(),
        sizes,
        threads,
        models: pipeline.run_records().to_vec(),
        aim,
        found,
    };
    args.files.write(&report, csv::streams, page::streams, out, |out| {
        write_text(out, &format!("{}\n\n", report.heading()))?;
        write_table(out, table::STREAMS, &report.found.tried.iter().map(table::streams).collect::<Vec<_>>())?;
        write_text(out, &format!("\n{}\n", report.outcome()))
    })
}

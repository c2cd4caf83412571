//! `hpinfer bench streams`: how many streams this machine keeps up with.

use super::subject::Subject;
use crate::bench::inputs;
use crate::bench::machine::{Machine, utc};
use crate::bench::streams::{Aim, Found, MOST, most};
use crate::cli::ALL_DONE;
use crate::cli::args::GlobalArgs;
use crate::cli::table::{write_json, write_table, write_text};
use crate::error::{Error, Result};
use crate::image::decode::Decoder;
use crate::result::RunRecord;
use serde::Serialize;
use std::io::Write;
use std::time::SystemTime;

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
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// What was measured, and where.
#[derive(Serialize)]
struct Report<'a> {
    hpinfer: &'static str,
    date: String,
    machine: Machine,
    pipeline: &'a str,
    inputs: Vec<String>,
    /// Of the frames, which are decoded before the first try: each once.
    sizes: Vec<String>,
    threads: usize,
    models: &'a [RunRecord],
    #[serde(flatten)]
    aim: Aim,
    #[serde(flatten)]
    found: Found,
}

/// Runs the command.
pub(super) fn run(args: &StreamsArgs, global: &GlobalArgs, out: &mut impl Write) -> Result<u8> {
    let aim = Aim { fps: args.fps, p99_ms: args.p99, seconds: args.seconds };
    let within = |value: f64, most: f64| value > 0.0 && value <= most;
    for (flag, value, most) in [("--fps", aim.fps, 1e4), ("--p99", aim.p99_ms, 6e5), ("--seconds", aim.seconds, 3600.0)] {
        if !within(value, most) {
            return Err(Error::config(flag, format!("{value}; give more than 0 and at most {most}")));
        }
    }
    let (date, plan) = (utc(SystemTime::now()), args.subject.plan()?);
    let pictures = args.subject.files(global)?.into_iter().map(|file| inputs::decode(file, &Decoder::default()));
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
    let report = Report {
        hpinfer: env!("CARGO_PKG_VERSION"),
        date,
        machine: Machine::read(),
        pipeline: args.subject.pipeline()?,
        inputs: pictures.into_iter().map(|picture| picture.name).collect(),
        sizes,
        threads,
        models: pipeline.run_records(),
        aim,
        found,
    };
    if args.json {
        write_json(out, &report)?;
    } else {
        show(&report, out)?;
    }
    Ok(ALL_DONE)
}

fn show(report: &Report, out: &mut impl Write) -> Result<()> {
    let Report { pipeline, inputs, sizes, threads, aim, found, machine, .. } = report;
    let frames = format!("{} pictures, frames of {}, decoded beforehand", inputs.len(), sizes.join(" and "));
    let what = format!("{pipeline}, {threads} threads; streams of {frames}");
    let how = format!("{} frames a second each, {} s a try", aim.fps, aim.seconds);
    write_text(out, &format!("{what}; {how}\nhpinfer {}, {}\n{machine}\n\n", report.hpinfer, report.date))?;
    let rows = found.tried.iter().map(|tried| {
        let kept = if tried.kept_up { "yes" } else { "no" };
        let [p50, p99] = [tried.latency.p50_ms, tried.latency.p99_ms].map(|ms| format!("{ms:.1}"));
        let rate = format!("{:.1}", tried.finished_per_s);
        [tried.streams.to_string(), tried.offered.to_string(), tried.dropped.to_string(), rate, p50, p99, kept.into()]
    });
    write_table(out, ["STREAMS", "FRAMES", "DROPPED", "FINISHED/s", "p50 ms", "p99 ms", "KEPT UP"], &rows.collect::<Vec<_>>())?;
    let more = if found.most == MOST { " or more" } else { "" };
    let bound = format!("no frame dropped, and 99 of 100 within {} ms", aim.p99_ms);
    write_text(out, &format!("\n{}{more} streams at once: {bound}\n", found.most))
}

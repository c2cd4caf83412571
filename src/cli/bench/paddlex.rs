//! PaddleX's benchmark by its variables: where `PADDLE_PDX_INFER_BENCHMARK` or `PADDLE_PDX_PIPELINE_BENCHMARK` is set, a run measures as `hpinfer bench` does and gives
//! no results. Two of them have another name in later releases.

use super::{DEFAULT_REPEAT, DEFAULT_WARMUP, MeasureArgs, ReportFiles, measured};
use crate::bench::cases::Variant;
use crate::cli::args::{GlobalArgs, PredictArgs};
use crate::error::{Error, Result};
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

const ASKED: [&str; 2] = ["PADDLE_PDX_INFER_BENCHMARK", "PADDLE_PDX_PIPELINE_BENCHMARK"];
const ITERS: &[&str] = &["PADDLE_PDX_INFER_BENCHMARK_ITER", "PADDLE_PDX_INFER_BENCHMARK_ITERS"];
const WARMUP: &[&str] = &["PADDLE_PDX_INFER_BENCHMARK_WARMUP"];
const OUTPUT_DIR: &[&str] = &["PADDLE_PDX_INFER_BENCHMARK_OUTPUT", "PADDLE_PDX_INFER_BENCHMARK_OUTPUT_DIR"];

/// Whether the variables ask for a benchmark.
pub fn asked() -> bool {
    let is_set = |variable| std::env::var(variable).is_ok_and(|value| ["true", "1"].contains(&value.to_ascii_lowercase().as_str()));
    ASKED.into_iter().any(is_set)
}

/// Measures what `args` would run.
pub fn run(args: &PredictArgs, global: &GlobalArgs, out: &mut impl Write) -> Result<u8> {
    let folder = set(OUTPUT_DIR).map(|(_, folder)| PathBuf::from(folder));
    if let Some(folder) = &folder {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    }
    let file = |name| folder.as_ref().map(|folder| folder.join(name));
    let measure = MeasureArgs {
        pipeline: args.pipeline.clone(),
        input: args.read.input.clone(),
        case: vec![Variant::Default],
        threads: args.read.threads.into_iter().collect(),
        repeat: rounds(ITERS, DEFAULT_REPEAT)?,
        warmup: rounds(WARMUP, DEFAULT_WARMUP)?,
        load: None,
        trace: None,
        files: ReportFiles { json: file("benchmark.json"), csv: file("benchmark.csv"), html: None },
        pictures: args.read.pictures.clone(),
        engine: args.read.engine.clone(),
    };
    let (repeat, warmup) = (measure.repeat, measure.warmup);
    tracing::warn!(
        "PaddleX's benchmark variable is set: measuring as `hpinfer bench --repeat {repeat} --warmup {warmup}` does; no results are given or saved"
    );
    measured(&measure, global, out)
}

/// The first of `variables` that says something, and what.
fn set<'a>(variables: &[&'a str]) -> Option<(&'a str, OsString)> {
    variables.iter().find_map(|&name| Some((name, std::env::var_os(name).filter(|value| !value.is_empty())?)))
}

fn rounds(variables: &[&str], default: usize) -> Result<usize> {
    let Some((name, value)) = set(variables) else { return Ok(default) };
    let rounds = value.to_str().and_then(|value| value.parse().ok());
    rounds.ok_or_else(|| Error::config(name, format!("`{}` is no number of rounds over all pictures", value.display())))
}

//! Running a pipeline over inputs: one result per input, in input order, as soon as it is there.

use super::args::{GlobalArgs, JpegArg, OutputForm, PredictArgs, SchemaArg};
use super::plan::{self, Plan};
use super::report::Report;
use super::{ALL_DONE, NOTHING_RAN, SOME_FAILED};
use crate::error::{Error, Result};
use crate::image::decode::{Decoder, JpegDecoder, Limits};
use crate::pipeline::Ocr;
use crate::pipeline::config::OCR_YAML;
use crate::result::OcrResult;
use crate::result::json::Schema;
use crate::result::render::font::Fonts;
use crate::result::render::save::{Saver, Slot};
use crate::runtime;
use crate::schedule;
use crate::source::{InputItem, Source, SourceOptions};
use crate::trace::{Stage, StageTimes};
use clap::CommandFactory;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// An input with the names its files will have.
struct Job {
    item: InputItem,
    slot: Option<Slot>,
}

/// What became of an input.
pub struct Outcome {
    /// The input as named by the user.
    pub name: String,
    /// Result or error.
    pub result: Result<OcrResult>,
}

/// `hpinfer --pipeline … --input …`, and the other top-level flags.
pub fn run(args: &PredictArgs, global: &GlobalArgs) -> Result<u8> {
    if args.serve {
        return Err(Error::config("--serve", "serving over HTTP is not in this version"));
    }
    if args.install.is_some() {
        let reason = "PaddleX's plugin installer is not in this version; libraries and models install themselves (see `hpinfer runtime`)";
        return Err(Error::config("--install", reason));
    }
    if let Some(name) = &args.get_pipeline_config {
        return write_pipeline_config(name, args.save_path.as_deref());
    }
    if args.pipeline.is_none() && args.input.is_empty() {
        eprint!("{}", super::args::Cli::command().render_help());
        return Ok(NOTHING_RAN);
    }
    let plan = Plan::new(plan::required_pipeline(args.pipeline.as_deref())?, args.threads, &args.engine)?;
    if args.input.is_empty() {
        return Err(Error::config("--input", "no input; give a file, folder, glob or URL, or - for a list on standard input"));
    }
    predict(args, global, &plan)
}

fn predict(args: &PredictArgs, global: &GlobalArgs, plan: &Plan) -> Result<u8> {
    let schema = match args.schema {
        SchemaArg::V3Beta1 => Schema::V3Beta1,
        SchemaArg::V3 => Schema::V3,
    };
    let decoder = Decoder {
        jpeg: match args.jpeg_decoder {
            JpegArg::Zune => JpegDecoder::Zune,
            JpegArg::Turbo => JpegDecoder::Turbo,
        },
        limits: Limits {
            max_pixels: args.max_pixels.saturating_mul(1_000_000),
            max_file_bytes: args.max_file_size.saturating_mul(1 << 20),
        },
    };
    let fonts = fonts(args, global)?;
    let saver = args.save_path.as_deref().map(|path| Saver::new(path, fonts, schema)).transpose()?;
    let source = Source::new(&args.input, SourceOptions { offline: global.offline, ..SourceOptions::default() });
    let ocr = plan.open(global)?;
    for run in ocr.run_records() {
        tracing::info!("{} runs on {} {} ({}, {})", run.model, run.backend, run.version, run.device, run.precision);
    }
    let jobs = source.map(|item| {
        let slot = saver.as_ref().map(|s| s.reserve(&item.frame_id(), &item.relative_dir));
        Job { item, slot }
    });
    let work = |jobs: Vec<Job>| jobs.into_iter().map(|job| run_job(&ocr, job, &decoder, saver.as_ref(), args.timings)).collect();
    let form = args.format.unwrap_or(if io::stdout().is_terminal() { OutputForm::Text } else { OutputForm::Jsonl });
    let mut report = Report::new(form, schema, global.quiet);
    let failed = AtomicBool::new(false);
    schedule::ordered(jobs, schedule::Limits::for_threads(plan.loader.threads), work, |outcome: Outcome| {
        failed.fetch_or(outcome.result.is_err(), Ordering::Relaxed);
        if let Err(e) = report.show(&outcome) {
            // Nobody reads any further: a closed pipe is a reader that has what it wanted.
            report.clear();
            let code = if e.kind() == io::ErrorKind::BrokenPipe { ALL_DONE } else { SOME_FAILED };
            if code != ALL_DONE {
                tracing::error!("cannot write to standard output: {e}; the rest of the inputs is left out");
            }
            std::process::exit(code.into());
        }
    });
    report.clear();
    Ok(if failed.into_inner() { SOME_FAILED } else { ALL_DONE })
}

fn run_job(ocr: &Ocr, job: Job, decoder: &Decoder, saver: Option<&Saver>, timings: bool) -> Outcome {
    let name = job.item.name.clone();
    let result = (|| {
        let start = Instant::now();
        let mut decode = StageTimes::default();
        let frame = decode.measure(Stage::Decode, || ocr.workers().install(|| job.item.load(decoder)))?;
        let frames = [frame];
        let only = ocr.predict_timed(&frames).pop();
        let (mut result, mut times) = only.unwrap_or_else(|| Err(Error::internal("ocr", "no result for a frame")))?;
        if timings {
            times.add_share(&decode, 1.0);
            result.timings_ms = Some(times.to_ms(start.elapsed()));
        }
        if let (Some(saver), Some(slot)) = (saver, &job.slot) {
            ocr.workers().install(|| saver.write(slot, &result, frames[0].image.view()))?;
        }
        Ok(result)
    })();
    Outcome { name, result }
}

fn fonts(args: &PredictArgs, global: &GlobalArgs) -> Result<Fonts> {
    let cache = plan::cache(global)?;
    Ok(Fonts::new(args.font.as_deref())?.with_installer(Box::new(move || runtime::font::install(&cache))))
}

/// Writes the shipped configuration; asks before it replaces a file, as the reference does.
fn write_pipeline_config(name: &str, folder: Option<&Path>) -> Result<u8> {
    plan::check_pipeline(name)?;
    let folder = folder.unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let path = folder.join(format!("{name}.yaml"));
    if path.exists() && !confirmed(&format!("{} exists; replace it? [y/N] ", path.display())) {
        return Err(Error::config("--get-pipeline-config", format!("{} exists and was left as it is", path.display())));
    }
    crate::cache::write_atomic(&path, OCR_YAML.as_bytes())?;
    eprintln!("hpinfer: wrote {}", path.display());
    Ok(ALL_DONE)
}

fn confirmed(question: &str) -> bool {
    eprint!("{question}");
    let _ = io::stderr().flush();
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

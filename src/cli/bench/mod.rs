//! `hpinfer bench`: measures a pipeline, each case in a process of its own; `bench compare` sets two reports side by side.
//! Its other forms have a file each, `subject` is what those of a pipeline have in common.

mod cold;
mod compare;
mod official;
pub mod paddlex;
mod streams;
mod subject;

use self::cold::ColdArgs;
use self::official::OfficialArgs;
use self::streams::StreamsArgs;
use super::args::{EngineArgs, GlobalArgs, counted};
use super::engine::models_of;
use super::outputs;
use super::pictures::PictureArgs;
use super::plan::{self, Plan};
use super::table::{write_json, write_table, write_text};
use super::{ALL_DONE, SOME_FAILED, end_with_parent};
use crate::bench::cases::{Case, Variant};
use crate::bench::cold::first_result;
use crate::bench::machine::{Machine, utc};
use crate::bench::ops::{self, Effort};
use crate::bench::report::{CaseReport, Inputs, Report, SCHEMA_VERSION};
use crate::bench::run::{PipelineSource, Workload, measure};
use crate::bench::table;
use crate::bench::{csv, inputs, page};
use crate::cache::{Cache, sha256_file, write_atomic};
use crate::device::{self, Device, DeviceSpec};
use crate::error::{Error, Result};
use crate::image::decode::Decoder;
use crate::model::{ModelInfo, Store};
use crate::modules::loader::ModelChoice;
use crate::result::RunRecord;
use crate::source::{Source, SourceOptions};
use crate::trace::events::EventFile;
use crate::trace::{plural, say};
use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime};

/// `hpinfer bench`.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchCommand {
    #[command(subcommand)]
    action: Option<BenchAction>,
    #[command(flatten)]
    measure: MeasureArgs,
}

/// Rounds over all pictures: measured, and before those.
const DEFAULT_REPEAT: usize = 5;
const DEFAULT_WARMUP: usize = 1;

/// Seconds of each rate of `bench throughput`.
const LOAD_SECONDS: f64 = 10.0;

#[derive(Clone, Debug, clap::Subcommand)]
enum BenchAction {
    /// One picture after the other, the next when the last is done: what `bench` does without a name
    Latency(Box<MeasureArgs>),
    /// Pictures at a rising steady rate until the pipeline no longer keeps up: `bench --load`
    Throughput(Box<MeasureArgs>),
    /// Set two reports of latency, throughput, streams, cold or official side by side; exit status 1 when something became worse
    Compare {
        /// Report before the change
        #[arg(value_name = "A.json")]
        before: PathBuf,
        /// Report after it
        #[arg(value_name = "B.json")]
        after: PathBuf,
        /// How much worse is a regression, in percent
        #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
        threshold: f64,
    },
    /// Kernels of a GPU by themselves: time, bandwidth against a copy, and whether results equal the processor's; exit status
    /// 1 when some do not
    Ops {
        /// The GPU
        #[arg(long, value_name = "gpu:N", default_value = "gpu")]
        device: DeviceSpec,
        /// Samples of each operation
        #[arg(long, value_name = "N", default_value_t = 20)]
        repeat: usize,
        /// Runs in each sample
        #[arg(long, value_name = "N", default_value_t = 10)]
        launches: usize,
        /// Only operations with one of these in their names: resize-1080p, crops, db, ctc, nms, classes
        #[arg(long, value_name = "TEXT,...", value_delimiter = ',')]
        only: Vec<String>,
        #[command(flatten)]
        files: ReportFiles,
    },
    /// Networks alone, one picture at a time in float32, beside the times published of them, and which parts of PaddleX's test
    /// environment this machine has
    Official(OfficialArgs),
    /// How many streams this machine keeps up with: their number is raised until frames are dropped or late
    Streams(Box<StreamsArgs>),
    /// From the start of the program to its first result: with libraries and models only, with engines of TensorRT that
    /// were imported, and with all that is cached
    Cold(Box<ColdArgs>),
    /// Measures one case, described on standard input; a step of `bench` itself
    #[command(hide = true)]
    RunCase,
    /// Works on one picture, described on standard input; a step of `bench cold` itself
    #[command(hide = true)]
    RunCold,
}

#[derive(Clone, Debug, clap::Args)]
struct MeasureArgs {
    /// Pipeline name or pipeline file; a path that exists wins over a name
    #[arg(long, value_name = "NAME|FILE")]
    pipeline: Option<String>,
    /// File, folder or glob; may be given several times
    #[arg(short, long, value_name = "PATH", num_args = 1..)]
    input: Vec<OsString>,
    /// Variants to measure, each with every count of --threads
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "default")]
    case: Vec<Variant>,
    /// Counts of cores to measure [default: all this process may use]
    #[arg(long, value_name = "N,...", value_delimiter = ',', env = "HPINFER_THREADS", value_parser = counted())]
    threads: Vec<usize>,
    /// Measured rounds over all pictures
    #[arg(long, value_name = "N", default_value_t = DEFAULT_REPEAT)]
    repeat: usize,
    /// Rounds before those
    #[arg(long, value_name = "N", default_value_t = DEFAULT_WARMUP)]
    warmup: usize,
    /// Also offer pictures at a rising steady rate, each for so many seconds: latency from the moment a picture is due
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "10")]
    load: Option<f64>,
    /// Write to this file when each measured picture was worked on, to be opened in Perfetto or Chrome. A process there is a case, with
    /// times from its start; it has a row for the pictures one at a time, and one for each thread that worked for the throughput or
    /// for a rate of --load, where pictures of a batch lie on each other. Each picture has its stages as arguments: of them only sums
    /// over all threads are known
    #[arg(long, value_name = "FILE.json")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    files: ReportFiles,
    #[command(flatten)]
    pictures: PictureArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Where a report goes besides the tables.
#[derive(Clone, Debug, clap::Args)]
struct ReportFiles {
    /// Write the whole report as JSON to this file; `-`, or no file: to standard output, in place of the tables
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// Write a line per case and picture, network, number of streams, start, or operation as comma-separated values to this file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write tables and plots as one HTML page to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl ReportFiles {
    /// Refuses files that cannot be written, or would be written over inputs or each other, `trace` among them.
    fn check<I: AsRef<OsStr>>(&self, inputs: &[I], trace: Option<&Path>) -> Result<()> {
        let files =
            [("--trace", trace), ("--json", self.json.as_deref()), ("--csv", self.csv.as_deref()), ("--html", self.html.as_deref())];
        outputs::check(&files, inputs)
    }

    /// Writes `report` in the forms that are asked for, and shows it by `tables` unless standard output has the JSON. What cannot be
    /// written is told, and no reason to lose what was measured: the exit status says so.
    fn write<R: Serialize, W: Write>(
        &self,
        report: &R,
        csv: fn(&R) -> String,
        html: fn(&R) -> String,
        out: &mut W,
        tables: impl FnOnce(&mut W) -> Result<()>,
    ) -> Result<u8> {
        let mut code = ALL_DONE;
        let mut told = |written: Result<()>| {
            if let Err(error) = written {
                tracing::error!("{error}");
                code = SOME_FAILED;
            }
        };
        for (path, text) in [(&self.csv, csv), (&self.html, html)] {
            told(path.as_ref().map_or(Ok(()), |path| write_atomic(path, text(report).as_bytes())));
        }
        match self.json.as_deref() {
            Some(path) if path == Path::new("-") => write_json(out, report)?,
            json => {
                told(json.map_or(Ok(()), |path| crate::cache::write_json(path, report)));
                tables(out)?;
            }
        }
        Ok(code)
    }
}

/// What the process of a case is told.
#[derive(Serialize, Deserialize)]
struct Job {
    case: Case,
    pipeline: String,
    engine: EngineArgs,
    pictures: PictureArgs,
    files: Vec<PathBuf>,
    repeat: usize,
    warmup: usize,
    load_seconds: Option<f64>,
    trace: Option<PathBuf>,
}

impl Job {
    /// The one on standard input.
    fn read() -> Result<Self> {
        serde_json::from_reader(std::io::stdin().lock()).map_err(|e| Error::internal("bench job", e.to_string()))
    }

    /// As the process reads it.
    fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|e| Error::config("--input, --trace", format!("a path that benchmarks cannot name: {e}")))
    }

    /// How its pipeline is opened and its pictures are decoded.
    fn source(&self, global: &GlobalArgs) -> Result<PipelineSource> {
        let (plan, cache) = (Plan::new(&self.pipeline, Some(self.case.threads), &self.engine)?, plan::cache(global)?);
        let decoder = one_decoder(&self.pictures, &plan, &cache)?;
        let Plan { config, devices, loader, .. } = plan;
        Ok(PipelineSource { config, devices, loader, decoder, cache })
    }
}

/// The decoder of `plan`'s pictures: a measurement is of one device.
fn one_decoder(pictures: &PictureArgs, plan: &Plan, cache: &Cache) -> Result<Decoder> {
    let first = pictures.decoders(plan, cache)?.into_iter().next();
    first.ok_or_else(|| Error::internal("bench", "no decoder for pictures"))
}

/// Runs the command.
pub fn run(command: &BenchCommand, global: &GlobalArgs, out: &mut impl Write) -> Result<u8> {
    match &command.action {
        None => measured(&command.measure, global, out),
        Some(BenchAction::Latency(args)) => measured(args, global, out),
        Some(BenchAction::Throughput(args)) => {
            let load = args.load.or(Some(LOAD_SECONDS));
            measured(&MeasureArgs { load, ..MeasureArgs::clone(args) }, global, out)
        }
        Some(BenchAction::Compare { before, after, threshold }) => compare::run(before, after, *threshold, out),
        Some(BenchAction::Ops { device, repeat, launches, only, files }) => {
            let opened = Device::open_one(device)?;
            let Some(gpu) = opened.gpu() else {
                return Err(Error::config("--device", "these are the kernels of a GPU; give gpu, or run `cargo bench --bench ops`"));
            };
            if *repeat == 0 || *launches == 0 {
                return Err(Error::config("--repeat, --launches", "0 runs; give 1 or more"));
            }
            files.check::<&str>(&[], None)?;
            let report = ops::measure(gpu, &Effort { repeat: *repeat, launches: *launches, only: only.clone() })?;
            let code = files.write(&report, csv::ops, page::ops, out, |out| {
                write_text(out, &format!("{}\n\n", report.heading()))?;
                write_table(out, table::OPS, &report.rows.iter().map(table::op).collect::<Vec<_>>())
            })?;
            Ok(if report.rows.iter().all(|row| row.differences == 0) { code } else { SOME_FAILED })
        }
        Some(BenchAction::Official(args)) => official::run(args, global, out),
        Some(BenchAction::Streams(args)) => streams::run(args, global, out),
        Some(BenchAction::Cold(args)) => cold::run(args, global, out),
        Some(BenchAction::RunCold) => {
            end_with_parent();
            let job = Job::read()?;
            let file = job.files.first().cloned().ok_or_else(|| Error::internal("bench cold", "no file"))?;
            let first = first_result(&job.source(global)?, job.case.threads, file)?;
            write_line(out, &first)?;
            Ok(ALL_DONE)
        }
        Some(BenchAction::RunCase) => {
            end_with_parent();
            let started = Instant::now();
            let job = Job::read()?;
            let source = job.source(global)?;
            let Job { case, files, repeat, warmup, load_seconds, trace, .. } = job;
            write_line(out, &measure(case, source, Workload { files, repeat, warmup, load_seconds, trace }, started)?)?;
            Ok(ALL_DONE)
        }
    }
}

fn write_line(out: &mut impl Write, answer: &impl Serialize) -> Result<()> {
    let line = serde_json::to_string(answer).map_err(|e| Error::internal("answer as JSON", e.to_string()))?;
    write_text(out, &(line + "\n"))
}

fn measured(args: &MeasureArgs, global: &GlobalArgs, out: &mut impl Write) -> Result<u8> {
    let report = run_cases(args, global)?;
    let code = args.files.write(&report, csv::text, page::html, out, |out| show(&report, out))?;
    Ok(if report.inputs.failed.is_empty() { code } else { SOME_FAILED })
}

fn run_cases(args: &MeasureArgs, global: &GlobalArgs) -> Result<Report> {
    let date = utc(SystemTime::now());
    let pipeline = plan::required_pipeline(args.pipeline.as_deref())?;
    let threads = if args.threads.is_empty() { vec![device::available_threads()] } else { args.threads.clone() };
    let mut models = Vec::new();
    for &threads in &threads {
        // What is wrong with the flags is said before anything starts.
        let plan = Plan::new(pipeline, Some(threads), &args.engine)?;
        one_decoder(&args.pictures, &plan, &plan::cache(global)?)?;
        models = models_of(plan.config);
    }
    subject::of_one_engine(&args.engine)?;
    args.files.check(&args.input, args.trace.as_deref())?;
    if args.repeat == 0 {
        return Err(Error::config("--repeat", "0 rounds; give 1 or more"));
    }
    if args.load.is_some_and(|seconds| !(seconds > 0.0 && seconds <= 3600.0)) {
        return Err(Error::config("--load", "give more than 0 and at most 3600 seconds"));
    }
    let (files, refused) = inputs::files(Source::new(&args.input, SourceOptions { offline: global.offline, ..SourceOptions::default() }));
    if files.is_empty() {
        let reasons: Vec<String> = refused.iter().map(|f| format!("{}: {}", f.name, f.reason)).collect();
        let reasons = if reasons.is_empty() { "give files, folders or globs".into() } else { reasons.join("; ") };
        return Err(Error::config("--input", format!("no picture to measure: {reasons}")));
    }
    let trace = |open: fn(&Path, Instant) -> Result<EventFile>| args.trace.as_deref().map(|path| open(path, Instant::now())).transpose();
    trace(EventFile::create)?.map_or(Ok(()), EventFile::leave_open)?; // each case adds to it
    let mut cases: Vec<CaseReport> = Vec::new();
    for case in Case::product(&args.case, &threads) {
        if !global.quiet {
            say(format_args!("hpinfer: measuring {case}"));
        }
        let MeasureArgs { engine, pictures, repeat, warmup, load, trace, .. } = args.clone();
        let (pipeline, files) = (pipeline.to_owned(), files.clone());
        let job = Job { case, pipeline, engine, pictures, files, repeat, warmup, load_seconds: load, trace };
        cases.push(case.run_in(step_command(global, "run-case")?, &job.to_json()?)?);
    }
    trace(EventFile::append)?.map_or(Ok(()), EventFile::finish)?;
    Ok(Report {
        schema_version: SCHEMA_VERSION,
        hpinfer: env!("CARGO_PKG_VERSION").into(),
        date,
        machine: Machine::read(),
        pipeline: pipeline_identity(pipeline)?,
        settings: Some(settings(&args.engine)?),
        jpeg_decoder: Some(args.pictures.jpeg_name()),
        repeat: args.repeat,
        warmup: args.warmup,
        networks: networks(models, &plan::cache(global)?, cases.iter().flat_map(|case| &case.models))?,
        inputs: cases.first().map(|case| Inputs::of(case, refused)).unwrap_or_default(),
        cases,
    })
}

/// Flags that decide what is computed, as far as they are given.
fn settings(engine: &EngineArgs) -> Result<BTreeMap<String, String>> {
    /// Which engines compute it is said elsewhere.
    const OTHER: [&str; 4] = ["device", "backend", "hpi_config", "engine_build"];
    #[derive(clap::Parser)]
    struct NoFlags {
        #[command(flatten)]
        engine: EngineArgs,
    }
    let flags = |engine: &EngineArgs| serde_json::to_value(engine).map_err(|e| Error::internal("flags as JSON", e.to_string()));
    let usual = NoFlags::try_parse_from([""]).map_err(|e| Error::internal("no flags", e.to_string()))?;
    let (given, usual) = (flags(engine)?, flags(&usual.engine)?);
    let given = given.as_object().into_iter().flatten().filter(|(flag, value)| usual[flag.as_str()] != **value);
    let shown = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => (number.as_f64().unwrap_or_default() as f32).to_string(),
        other => other.to_string(),
    };
    Ok(given.filter(|(flag, _)| !OTHER.contains(&flag.as_str())).map(|(flag, value)| (flag.clone(), shown(value))).collect())
}

/// SHA-256 of the networks of those `models` that `ran`, by their names; several of one name stand side by side. One that cannot be
/// read any more has none.
fn networks<'a>(models: Vec<ModelChoice>, cache: &Cache, ran: impl IntoIterator<Item = &'a RunRecord>) -> Result<BTreeMap<String, String>> {
    let (store, ran) = (Store::new(cache), ran.into_iter().map(|run| &*run.model).collect::<BTreeSet<_>>());
    let mut networks: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for model in models {
        if let Ok(ModelInfo { name, files: Some(files), .. }) = store.describe(&model.name_or_dir)
            && ran.contains(&*name)
            && let Ok(sha256) = files.sha256(cache)
        {
            networks.entry(name).or_default().insert(sha256);
        }
    }
    Ok(networks.into_iter().map(|(name, found)| (name, found.into_iter().collect::<Vec<_>>().join(" + "))).collect())
}

/// This program again, for a step in a process of its own.
fn step_command(global: &GlobalArgs, step: &str) -> Result<Command> {
    let program = std::env::current_exe().map_err(Error::io("find", Path::new("the running program")))?;
    let mut command = Command::new(program);
    command.args(["bench", step]);
    if let Some(dir) = &global.cache_dir {
        command.arg("--cache-dir").arg(dir);
    }
    if let Some(form) = global.log_format.to_possible_value() {
        command.args(["--log-format", form.get_name()]);
    }
    command.args(global.offline.then_some("--offline"));
    command.args(global.quiet.then_some("--quiet"));
    command.args((0..global.verbose).map(|_| "-v"));
    Ok(command)
}

/// A name as it is; a pipeline file by its name and contents.
fn pipeline_identity(pipeline: &str) -> Result<String> {
    let path = Path::new(pipeline);
    if !path.is_file() {
        return Ok(pipeline.to_owned());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("{name}, SHA-256 {}", sha256_file(path)?))
}

fn show(report: &Report, out: &mut impl Write) -> Result<()> {
    let (machine, inputs) = (&report.machine, &report.inputs);
    let rounds = format!("{} rounds after {} of warm-up", report.repeat, report.warmup);
    write_text(
        out,
        &format!(
            "{}: {}, {:.1} megapixels; {rounds}; hpinfer {}, {}\n{machine}\n\n",
            report.pipeline,
            plural(inputs.count, "picture"),
            inputs.megapixels,
            report.hpinfer,
            report.date,
        ),
    )?;
    write_table(out, table::SUMMARY, &report.cases.iter().map(table::summary).collect::<Vec<_>>())?;
    report.cases.iter().filter_map(table::held_back).try_for_each(|how| write_text(out, &format!("{how}\n")))?;
    write_text(out, "\nStages, ms over all pictures, one at a time:\n")?;
    let (headings, rows) = table::stages(&report.cases);
    write_table(out, headings, &rows)?;
    write_text(out, "\nEnd to end against the engines alone, one thread, ms over all pictures (processor time, wall time):\n")?;
    let floors = report.cases.iter().flat_map(table::floors);
    write_table(out, table::FLOORS, &floors.collect::<Vec<_>>())?;
    let loads: Vec<_> = report.cases.iter().flat_map(table::load).collect();
    if !loads.is_empty() {
        write_text(out, "\nLatency under a steady load, from the moment a picture is due:\n")?;
        write_table(out, table::LOAD, &loads)?;
        for case in &report.cases {
            case.load.iter().try_for_each(|load| write_text(out, &format!("{}: {}\n", case.case(), load.knee())))?;
        }
    }
    for failed in &inputs.failed {
        write_text(out, &format!("left out: {}: {}\n", failed.name, failed.reason))?;
    }
    Ok(())
}

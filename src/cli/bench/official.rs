//! `hpinfer bench official`: networks beside the times published of them.

use super::ReportFiles;
use crate::backend::select::{Libraries, Selector};
use crate::backend::{LoadOptions, Parallelism};
use crate::bench::machine::{Machine, utc};
use crate::bench::official::{GPU_TIMES, OfficialReport, Row, comparable, environment, loaded_files};
use crate::bench::watch::Watch;
use crate::bench::{csv, page, table};
use crate::cache::Cache;
use crate::cli::SOME_FAILED;
use crate::cli::args::{GlobalArgs, counted};
use crate::cli::plan;
use crate::cli::table::{write_table, write_text};
use crate::cli::verify::{backends_of, cut_on, usual_size};
use crate::device::{self, Device, DeviceSpec};
use crate::error::{Error, Result};
use crate::model::{ModelStatus, Store};
use crate::modules::loader::load_options;
use crate::trace::say;
use crate::verify::report::{Feed, RunReport, verify};
use std::io::Write;
use std::time::SystemTime;

/// Seed of the inputs: engines take the same time for any, within what they are built for.
const SEED: u64 = 1;

/// `hpinfer bench official`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct OfficialArgs {
    /// Models by name [default: all on this machine]
    #[arg(long, value_name = "NAME", num_args = 1..)]
    model: Vec<String>,
    /// Device to run them on: cpu, gpu, gpu:0; on a GPU detectors end before suppression, as they are run there
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: DeviceSpec,
    /// Cores to work on; published are 8 [default: all this process may use]
    #[arg(long, value_name = "N", env = "HPINFER_THREADS", value_parser = counted())]
    threads: Option<usize>,
    /// Timed runs of each engine
    #[arg(long, value_name = "N", default_value_t = 20)]
    repeat: usize,
    #[command(flatten)]
    files: ReportFiles,
}

/// Runs the command. Models that could not be run are named in the end, and the exit status says so.
pub(super) fn run(args: &OfficialArgs, global: &GlobalArgs, out: &mut impl Write) -> Result<u8> {
    args.files.check::<&str>(&[], None)?;
    let threads = args.threads.unwrap_or_else(device::available_threads);
    if threads == 0 || args.repeat == 0 {
        return Err(Error::config("--threads, --repeat", "0; give 1 or more"));
    }
    let device = Device::open_one(&args.device)?;
    let (cache, date) = (plan::cache(global)?, utc(SystemTime::now()));
    let store = Store::new(&cache);
    let known = store.list()?;
    let models: Vec<&ModelStatus> = match &args.model[..] {
        [] => known.iter().filter(|model| model.folder.is_some()).collect(),
        names => {
            let find = |name: &String| known.iter().find(|model| model.name == *name);
            let unknown =
                |name: &String| Error::config("--model", format!("nothing was published of {name}; `hpinfer model list` has the names"));
            names.iter().map(|name| find(name).ok_or_else(|| unknown(name))).collect::<Result<_>>()?
        }
    };
    if models.is_empty() {
        return Err(Error::config("--model", "no known model is on this machine; name some, or fetch them by `hpinfer model pull`"));
    }
    let selector = Selector::on(device.clone(), cache.clone(), Libraries::default());
    let networks = Networks { selector, store: &store, cache: &cache, device: &device, threads, repeat: args.repeat };
    let (mut rows, mut left_out, mut watch) = (Vec::new(), Vec::new(), Watch::new());
    for model in models {
        if !global.quiet {
            say(format_args!("hpinfer: measuring {}", model.name));
        }
        match networks.fastest(model) {
            Ok(row) => rows.push(row),
            Err(e) => left_out.push(e),
        }
        watch.look();
    }
    let environment = environment(threads, &loaded_files());
    let device = device.to_string();
    let (machine, comparable) = (Machine::read(), comparable(&environment, &device));
    let hpinfer = env!("CARGO_PKG_VERSION").into();
    let (repeat, gpu_times) = (args.repeat, GPU_TIMES.into());
    let gpus = watch.seen();
    let report = OfficialReport { hpinfer, date, machine, device, threads, repeat, environment, comparable, gpu_times, rows, gpus };
    let code = args.files.write(&report, csv::official, page::official, out, |out| show(&report, out))?;
    for error in &left_out {
        tracing::error!("left out: {error}");
    }
    Ok(if left_out.is_empty() { code } else { SOME_FAILED })
}

/// How networks are measured.
struct Networks<'a> {
    selector: Selector,
    store: &'a Store,
    cache: &'a Cache,
    device: &'a Device,
    threads: usize,
    repeat: usize,
}

impl Networks<'_> {
    /// The fastest engine of `model`.
    fn fastest(&self, model: &ModelStatus) -> Result<Row> {
        let resolved = self.store.resolve(&model.name)?;
        let feed = Feed::Random { usual: usual_size(&resolved.spec), seed: SEED };
        let parallelism = Parallelism { streams: 1, threads_per_stream: self.threads };
        let options = LoadOptions { cut: cut_on(self.device), ..load_options(self.cache, &resolved, parallelism)? };
        let report = verify(&self.selector, &backends_of(self.device), &options, &feed, self.repeat)?;
        let timed = |run: &RunReport| Some((run.run_ms?, run.ran.clone()?));
        let fastest = report.runs.iter().filter_map(timed).min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((run_ms, info)) = fastest else {
            let reasons: Vec<&str> = report.runs.iter().filter_map(|run| run.reason.as_deref()).collect();
            return Err(Error::input(&model.name, format!("no engine runs it: {}", reasons.join("; "))));
        };
        let inputs: Vec<String> =
            report.inputs.values().map(|dims| dims.iter().map(usize::to_string).collect::<Vec<_>>().join("x")).collect();
        Ok(Row {
            model: model.name.clone(),
            sha256: Some(options.model_sha256),
            engine: format!("{} {} ({})", info.backend, info.version, info.precision),
            inputs: inputs.join(" "),
            run_ms,
            published_cpu_ms: model.published.cpu_ms,
            published_gpu_ms: model.published.gpu_ms,
        })
    }
}

fn show(report: &OfficialReport, out: &mut impl Write) -> Result<()> {
    write_text(out, &format!("{}\n\n", report.heading()))?;
    write_table(out, table::ENVIRONMENT, &report.environment.iter().map(table::part).collect::<Vec<_>>())?;
    write_text(out, &format!("\n{}\n{}\n\n", report.comparable, report.gpu_times))?;
    write_table(out, table::OFFICIAL, &report.rows.iter().map(table::official).collect::<Vec<_>>())?;
    report.held_back().iter().try_for_each(|how| write_text(out, &format!("{how}\n")))
}

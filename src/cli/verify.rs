//! `hpinfer verify`: runs networks on every backend with the same inputs and compares what comes out.

use super::args::GlobalArgs;
use super::plan;
use super::table::{write_json, write_table, write_text};
use super::{ALL_DONE, SOME_FAILED};
use crate::backend::select::{BACKENDS, Libraries, Selector};
use crate::backend::tensorrt::find;
use crate::backend::{BackendName, Format, LoadOptions, Parallelism};
use crate::device::{Device, DeviceSpec};
use crate::error::Result;
use crate::model::{ModelSpec, Store};
use crate::modules::loader::load_options;
use crate::onnx::Cut;
use crate::runtime::PaddlePart;
use crate::verify::compare::{Difference, Share};
use crate::verify::report::{Feed, ModelReport, RunReport, Verdict, verify};
use serde_json::json;
use std::io::Write;
use std::iter;
use std::time::SystemTime;

/// `hpinfer verify`.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("models").required(true))]
pub struct VerifyArgs {
    /// Models to verify: names or model folders
    #[arg(long, value_name = "NAME|FOLDER", num_args = 1.., group = "models")]
    model: Vec<String>,
    /// Every model known by name that can be had
    #[arg(long, group = "models")]
    all: bool,
    /// Backends to run; the first that does, on the graph as it is, is the reference [default: Paddle Inference where it is installed and
    /// the model is in its form, ONNX Runtime, OpenVINO; on a GPU ONNX Runtime, and TensorRT where it is installed]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    backend: Vec<String>,
    /// Device to run them on: cpu, gpu, gpu:0; on a GPU detectors are compared as they are run there, before suppression
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: DeviceSpec,
    /// Cores to work on [default: all this process may use]
    #[arg(long, value_name = "N", env = "HPINFER_THREADS", value_parser = super::args::counted())]
    threads: Option<usize>,
    /// Seed of the inputs [default: the clock's]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Timed runs of each
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = super::args::one_or_more())]
    repeat: usize,
    /// One JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// Runs the command. Models that could not be found or fed are named in the end; the exit status counts them as failed.
pub fn run(args: &VerifyArgs, global: &GlobalArgs, out: &mut impl Write) -> Result<u8> {
    let cache = plan::cache(global)?;
    let device = Device::open_one(&args.device)?;
    let backends = match args.backend.iter().map(|name| name.parse()).collect::<Result<Vec<BackendName>>>()? {
        // Paddle Inference is the vendor's own: the others are held against it where it is there and the model is in its form.
        given if given.is_empty() => {
            let vendors = (device.gpu().is_none() && PaddlePart::Inference.locate(&cache).is_ok_and(|part| part.is_some()))
                .then_some(BackendName::PaddleInfer);
            vendors.into_iter().chain(backends_of(&device)).collect()
        }
        given => given,
    };
    let threads = plan::cores(args.threads)?;
    let clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let seed = args.seed.unwrap_or_else(clock);
    let store = Store::new(&cache);
    let models = if args.all { store.list()?.into_iter().map(|model| model.name).collect() } else { args.model.clone() };
    let cut = cut_on(&device);
    let selector = Selector::on(device, cache.clone(), Libraries::default());
    if !args.json {
        write_text(out, &format!("seed {seed}, {threads} cores\n"))?;
    }
    let (mut reports, mut refused) = (Vec::new(), Vec::new());
    for model in &models {
        let made = store.resolve(model).and_then(|model| {
            let usual = usual_size(&model.spec);
            let reads =
                |backend: &BackendName| !args.backend.is_empty() || *backend != BackendName::PaddleInfer || model.files.paddle.is_some();
            let backends: Vec<_> = backends.iter().copied().filter(reads).collect();
            verify(
                &selector,
                &backends,
                &LoadOptions { cut, ..load_options(&cache, &model, Parallelism { streams: 1, threads_per_stream: threads })? },
                &Feed::Random { usual, seed },
                args.repeat,
            )
        });
        match made {
            Ok(report) => {
                if !args.json {
                    show(&report, out)?;
                }
                reports.push(report);
            }
            Err(e) if models.len() == 1 => return Err(e),
            Err(e) => refused.push(json!({ "model": model, "reason": e.to_string() })),
        }
    }
    let runs = || reports.iter().flat_map(|report| &report.runs);
    let good = reports.iter().filter(|report| report.is_good()).count();
    if args.json {
        write_json(out, &json!({ "seed": seed, "threads": threads, "models": reports, "refused": refused }))?;
    } else {
        for refused in &refused {
            write_text(out, &format!("\nleft out: {}\n", refused["reason"].as_str().unwrap_or_default()))?;
        }
        let ran: Vec<BackendName> =
            backends.into_iter().filter(|name| runs().any(|run| run.verdict != Verdict::Failed && run.backend == *name)).collect();
        let on = if ran.is_empty() { String::new() } else { format!(" on {}", names(&ran)) };
        write_text(out, &format!("\n{good} of {} models agree{on}\n", models.len()))?;
    }
    Ok(if good == models.len() { ALL_DONE } else { SOME_FAILED })
}

/// Height and width of a picture for a network that takes any: what pages and photographs are brought to, or nearly.
pub(super) fn usual_size(spec: &ModelSpec) -> [usize; 2] {
    match spec {
        ModelSpec::TextRecognition(spec) => [spec.image_shape[1] as usize, spec.image_shape[2] as usize],
        ModelSpec::Table(spec) => [spec.canvas.height as usize, spec.canvas.width as usize],
        ModelSpec::Segmentation(_) | ModelSpec::Unwarping(_) => [512; 2],
        ModelSpec::Classification(_) => [224; 2],
        ModelSpec::Detection(_) | ModelSpec::TextDetection(_) => [640; 2],
    }
}

/// What graphs are run without on `device`.
pub(super) fn cut_on(device: &Device) -> Cut {
    if device.gpu().is_some() { Cut::Detections } else { Cut::Nothing }
}

/// The backends that may run on `device`.
pub(super) fn backends_of(device: &Device) -> Vec<BackendName> {
    match device.gpu() {
        None => BACKENDS.to_vec(),
        Some(_) => iter::once(BackendName::OnnxRuntime).chain(find::open(None).ok().map(|_| BackendName::TensorRt)).collect(),
    }
}

fn names(backends: &[BackendName]) -> String {
    backends.iter().map(|backend| backend.as_str()).collect::<Vec<_>>().join(", ")
}

fn show(report: &ModelReport, out: &mut impl Write) -> Result<()> {
    let inputs: Vec<String> = report.inputs.iter().map(|(name, dims)| format!("{name} {dims:?}")).collect();
    write_text(out, &format!("\n{} on {}\n", report.model, inputs.join(", ")))?;
    let headings = ["BACKEND", "GRAPH", "LOAD ms", "RUN ms", "ERROR", "RELATIVE", "LABELS", "BOXES", "VERDICT"];
    write_table(out, headings, &report.runs.iter().map(row).collect::<Vec<_>>())?;
    for run in &report.runs {
        if let Some(reason) = &run.reason {
            write_text(out, &format!("{}: {reason}\n", run.backend))?;
        }
    }
    Ok(())
}

fn row(run: &RunReport) -> [String; 9] {
    let ms = |value: Option<f64>| value.map_or("-".into(), |ms| format!("{ms:.1}"));
    let greatest = |of: fn(&Difference) -> f64| {
        let greatest = run.differences.iter().map(of).reduce(f64::max);
        greatest.map_or("-".into(), |greatest| format!("{greatest:.1e}"))
    };
    let share = |of: fn(&Difference) -> Option<Share>| {
        let shares: Vec<String> = run.differences.iter().filter_map(of).map(|share| format!("{}/{}", share.equal, share.of)).collect();
        if shares.is_empty() { "-".into() } else { shares.join(" ") }
    };
    let backend = match &run.ran {
        Some(info) => format!("{} {} ({}, {})", run.backend, info.version, info.device, info.precision),
        None => run.backend.to_string(),
    };
    let verdict = match run.verdict {
        Verdict::Reference => "reference",
        Verdict::Agrees => "agrees",
        Verdict::Differs => "differs",
        Verdict::Failed => "failed",
    };
    [
        backend,
        match &run.ran {
            Some(info) if info.format != Format::Onnx => info.format.to_string(),
            _ if run.rewritten => "rewritten".into(),
            _ => "as it is".into(),
        },
        ms(run.load_ms),
        ms(run.run_ms.or(run.first_ms)),
        greatest(|d| d.max_abs),
        greatest(|d| d.max_rel),
        share(|d| d.labels),
        share(|d| d.boxes),
        verdict.into(),
    ]
}

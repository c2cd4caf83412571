//! `hpinfer doctor`: what this machine has, which backend would run, and what to do about what is missing.

mod gpu;
mod library;

pub use library::serve as try_library;

use super::ALL_DONE;
use super::args::{DoctorArgs, GlobalArgs};
use super::plan;
use super::table::write_text;
use crate::backend::select::{MeasuredChoice, measured_choices};
use crate::cache::Cache;
use crate::cache::rooms::ROOMS;
use crate::device::{self, CpuInfo, Device, DeviceSpec};
use crate::error::Result;
use crate::model::Store;
use crate::runtime::{self, PaddlePart};
use serde::Serialize;
use serde_json::json;
use std::io::Write;
use std::time::Duration;

/// Processor features that engines and operations ask for.
const FEATURES: [&str; 6] = ["avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "f16c"];

/// One line of the diagnosis: what was looked at, what was found, and what to do when that is not enough.
#[derive(Serialize)]
struct Finding {
    topic: &'static str,
    name: String,
    ok: bool,
    found: String,
    next_step: Option<String>,
}

impl Finding {
    fn new(topic: &'static str, name: impl Into<String>, ok: bool, found: impl Into<String>) -> Self {
        Self { topic, name: name.into(), ok, found: found.into(), next_step: None }
    }

    fn or(self, next_step: impl Into<Option<String>>) -> Self {
        Self { next_step: next_step.into(), ..self }
    }
}

/// Prints the diagnosis as text, or as one JSON object.
pub fn run(args: &DoctorArgs, global: &GlobalArgs, out: &mut impl Write) -> Result<u8> {
    let asked: DeviceSpec = args.device.as_deref().unwrap_or("cpu").parse()?;
    let cache = plan::cache(global)?;
    let time = Duration::from_secs(args.library_timeout);
    let mut findings = processor();
    findings.extend(gpu::findings(&asked, &cache));
    for status in runtime::list(&cache) {
        let (name, version) = (status.library.to_string(), status.library.pinned_version());
        findings.push(match status.found {
            Ok(Some(found)) => library::finding(status.library, &found, time, &cache),
            Ok(None) => {
                let next_step = format!("the first run installs {version}; or `hpinfer runtime install {name}`");
                Finding::new("library", name, false, "not on this machine").or(next_step)
            }
            Err(e) => Finding::new("library", name, false, e.to_string()),
        });
    }
    findings.push(library::tensorrt(time, &cache));
    findings.extend(PaddlePart::ALL.map(|part| paddle(part, &cache)));
    // Those that are here, and those that a first run of OCR fetches.
    for model in Store::new(&cache).list()?.into_iter().filter(|model| model.folder.is_some() || model.pinned.is_some()) {
        let ok = model.folder.is_some();
        let next_step = (!ok).then(|| format!("the first run fetches it; or `hpinfer model pull {}`", model.name));
        let found = model.folder.map_or_else(|| "not on this machine".into(), |folder| folder.display().to_string());
        findings.push(Finding::new("model", model.name, ok, found).or(next_step));
    }
    let font = runtime::font::locate(&cache);
    let found = font.map_or_else(|| "not in the cache; installed when a saved picture needs it".into(), |path| path.display().to_string());
    // Only for saved pictures, and only where the system has none with the glyphs.
    findings.push(Finding::new("font", "Noto Sans SC", true, found));
    findings.extend(choices(&asked, &cache, plan::cores(args.threads)?, global.verbose > 0));
    findings.push(match std::fs::create_dir_all(cache.root()).and_then(|()| tempfile::tempfile_in(cache.root())) {
        Ok(_) => Finding::new("cache", "folder", true, occupied(&cache)),
        Err(error) => {
            let found = format!("{}: nothing can be written there: {error}", cache.root().display());
            Finding::new("cache", "folder", false, found).or("name another with HPINFER_HOME or --cache-dir".to_owned())
        }
    });
    let text = match args.json {
        true => json!({"version": env!("CARGO_PKG_VERSION"), "findings": findings}).to_string() + "\n",
        false => to_text(&findings),
    };
    write_text(out, &text)?;
    Ok(ALL_DONE)
}

fn processor() -> Vec<Finding> {
    let cpu = CpuInfo::read();
    let features: Vec<&str> = FEATURES.into_iter().filter(|f| cpu.has(f)).collect();
    let bf16 = if cpu.has_bfloat16() {
        "in hardware: --fast uses it where it is the faster"
    } else {
        "not in hardware: --fast computes in float32"
    };
    vec![
        Finding::new("cpu", "model", true, cpu.model),
        Finding::new("cpu", "cores for this process", true, device::available_threads().to_string()),
        Finding::new("cpu", "features", !features.is_empty(), features.join(" ")),
        Finding::new("cpu", "bfloat16", true, bf16),
    ]
}

/// The measured choices that a run goes by; with `all` of them also others.
fn choices(asked: &DeviceSpec, cache: &Cache, threads: usize, all: bool) -> Vec<Finding> {
    // One that cannot be used is told of elsewhere.
    let devices = Device::open(asked).unwrap_or_default();
    let (counting, others): (Vec<_>, Vec<_>) = measured_choices(cache, &devices, threads).into_iter().partition(|choice| choice.counts);
    let none = counting.is_empty().then(|| {
        let found = "the first run of a model measures which engine is faster here, and keeps it";
        Finding::new("choice", "none yet", true, found)
    });
    let finding = |choice: MeasuredChoice| {
        let why = if choice.counts { "" } else { ", which counts under other circumstances only" };
        Finding::new("choice", choice.model, true, format!("{}, measured {}{why}", choice.backend, choice.times))
    };
    let others = others.into_iter().filter(|_| all);
    none.into_iter().chain(counting.into_iter().chain(others).map(finding)).collect()
}

/// Paddle's own libraries: nothing is wrong while no model needs them.
fn paddle(part: PaddlePart, cache: &Cache) -> Finding {
    let (name, version) = (part.name(), part.version());
    let (ok, found) = match part.locate(cache) {
        Ok(Some(found)) => (true, format!("{version}, {}", found.module.display())),
        Ok(None) => {
            (true, format!("not in the cache; {version} is installed when a model needs it, or by `hpinfer runtime install {name}`"))
        }
        Err(e) => (false, format!("cannot be had here: {e}")),
    };
    Finding::new("library", name, ok, found)
}

fn occupied(cache: &Cache) -> String {
    let bytes: u64 = ROOMS.iter().map(|room| room.occupied(cache).1).sum();
    format!("{}, {:.0} MiB (see `hpinfer cache list`)", cache.root().display(), bytes as f64 / f64::from(1 << 20))
}

fn to_text(findings: &[Finding]) -> String {
    let mut out = String::new();
    let width = findings.iter().map(|f| f.name.len()).max().unwrap_or(0);
    for f in findings {
        let mark = if f.ok { "ok" } else { "--" };
        out += &format!("{mark}  {:<8} {:<width$}  {}\n", f.topic, f.name, f.found);
        if let Some(step) = &f.next_step {
            out += &format!("    {:<8} {:<width$}  -> {step}\n", "", "");
        }
    }
    out
}

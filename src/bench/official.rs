//! Networks by themselves beside the times that were published of them: one picture, float32, the network alone. The published
//! times are those of plain Paddle Inference in PaddleX's own test environment; a report says which parts of it this machine has,
//! and so what may be compared.

use super::machine::Machine;
use super::watch::{Watched, held_back};
use crate::device::{self, CpuInfo};
use crate::trace::plural;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The processor of the published times, and the threads they used.
const PROCESSOR: &str = "Xeon(R) Gold 5117";
const THREADS: usize = 8;

/// What may be said of the published times of the graphics processor.
pub const GPU_TIMES: &str = "what this program runs on GPUs starts with driver R525 and TensorRT 10, and the published times were taken \
     with CUDA 11.8 and TensorRT 8.5: those of the T4 are a reference, not a like-for-like comparison";

/// A part of the test environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which one.
    pub part: Cow<'static, str>,
    /// In PaddleX's test environment.
    pub official: Cow<'static, str>,
    /// Here.
    pub here: String,
    /// Whether they are the same.
    pub same: bool,
}

/// A network's times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its model.
    pub model: String,
    /// SHA-256 of the network; reports of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What ran it: library, version, precision.
    pub engine: String,
    /// Shapes of its inputs.
    pub inputs: String,
    /// The median milliseconds of a run here.
    pub run_ms: f64,
    /// Published milliseconds on 8 threads of a Xeon Gold 5117.
    pub published_cpu_ms: Option<f64>,
    /// Published milliseconds on a Tesla T4.
    pub published_gpu_ms: Option<f64>,
}

/// What was measured, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OfficialReport {
    /// Version of the program.
    pub hpinfer: String,
    /// When it began, UTC.
    pub date: String,
    /// Where it ran.
    pub machine: Machine,
    /// What the networks ran on.
    pub device: String,
    /// Cores an engine worked on.
    pub threads: usize,
    /// Timed runs.
    pub repeat: usize,
    /// The environment, part by part.
    pub environment: Vec<Part>,
    /// What the environment allows to say.
    pub comparable: String,
    /// [`GPU_TIMES`].
    pub gpu_times: String,
    /// The fastest engine of each network.
    pub rows: Vec<Row>,
    /// The GPUs of the machine, as they were right after each network; reports of earlier versions have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<Watched>,
}

impl OfficialReport {
    /// That the GPU was held back, for people.
    pub fn held_back(&self) -> Option<String> {
        held_back(&self.gpus, |device| device == self.device)
    }

    /// On what and where it was measured, for people.
    pub fn heading(&self) -> String {
        let what = format!("networks on {}, {}, {} each", self.device, plural(self.threads, "thread"), plural(self.repeat, "run"));
        format!("{what}; hpinfer {}, {}\n{}", self.hpinfer, self.date, self.machine)
    }
}

/// The files that are mapped into this process: of what runs load, as long as it stays loaded.
pub fn loaded_files() -> Vec<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut files: Vec<String> = maps.lines().filter_map(|line| Some(line.rsplit_once('/')?.1.to_owned())).collect();
    files.dedup();
    files
}

/// Those of the `loaded` files that are cuDNN or TensorRT, whose names end with a version.
fn nvidia(loaded: &[String]) -> String {
    let is_one = |file: &&String| ["libcudnn.so", "libnvinfer.so", "libtensorrt_rtx.so"].iter().any(|name| file.starts_with(name));
    let found: BTreeSet<&str> = loaded.iter().filter(is_one).map(String::as_str).collect();
    if found.is_empty() { "not loaded by these runs".into() } else { found.into_iter().collect::<Vec<_>>().join(", ") }
}

/// The environment here against the official one, with `threads` cores to work on and these files `loaded` by the runs.
pub fn environment(threads: usize, loaded: &[String]) -> Vec<Part> {
    let cpu = CpuInfo::read().model;
    let (gpu, cuda) = match device::probe() {
        Ok(gpus) => (gpus.devices.iter().map(|gpu| gpu.name.as_str()).collect::<Vec<_>>().join(", "), gpus.cuda.to_string()),
        Err(_) => ("none".into(), "none".into()),
    };
    let part = |part: &'static str, official: &'static str, here, same| Part { part: part.into(), official: official.into(), here, same };
    vec![
        part("processor", "Intel Xeon Gold 5117 at 2.00 GHz", cpu.clone(), cpu.contains(PROCESSOR)),
        part("threads", "8", threads.to_string(), threads == THREADS),
        part("graphics processor", "NVIDIA Tesla T4", gpu.clone(), gpu.contains("Tesla T4")),
        part("CUDA", "11.8", cuda, false),
        part("cuDNN, TensorRT", "8.6, 8.5", nvidia(loaded), false),
        part("engine", "Paddle Inference", "the faster of those below".into(), false),
        part("precision", "float32", "float32".into(), true),
    ]
}

/// In words, what `environment` allows to say of the published times of the processor and those on `device`.
pub fn comparable(environment: &[Part], device: &str) -> String {
    if device != "cpu" {
        return format!("the networks ran on {device}: their times say nothing against the published ones of the processor");
    }
    let same = |name: &str| environment.iter().any(|part| part.part == name && part.same);
    match (same("processor"), same("threads")) {
        (true, true) => "times may be compared with the published ones of the processor: the same hardware, another engine".into(),
        (true, false) => format!("times may not be compared: published are {THREADS} threads; give --threads {THREADS}"),
        (false, _) => "times say nothing against the published ones: another processor; only ratios between models may be compared".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_loaded_is_named_by_its_files() {
        let files =
            ["libnvinfer.so.10.8.0", "libc.so.6", "libcudnn.so.9", "libcudnn_ops.so.9", "libnvinfer.so.10.8.0", "libnvinfer_plugin.so.10"];
        assert_eq!(nvidia(&files.map(String::from)), "libcudnn.so.9, libnvinfer.so.10.8.0");
        assert_eq!(nvidia(&["libc.so.6".into()]), "not loaded by these runs");
        assert!(loaded_files().iter().any(|file| file.starts_with("libc.so") || file.starts_with("libc-")), "this test has it");
    }

    #[test]
    fn only_the_published_hardware_may_be_compared() {
        let with = |cpu: bool, threads: bool| {
            let part = |part: &'static str, same| Part { part: part.into(), official: "".into(), here: String::new(), same };
            comparable(&[part("processor", cpu), part("threads", threads), part("precision", true)], "cpu")
        };
        assert!(with(true, true).starts_with("times may be compared") && with(true, false).contains("--threads 8"));
        assert!(with(false, true).contains("another processor") && with(false, false).contains("another processor"));
        assert!(comparable(&[], "gpu:1").contains("ran on gpu:1"));
        let threads = |count| environment(count, &[]).into_iter().find(|part| part.part == "threads").is_some_and(|part| part.same);
        assert!(threads(8) && !threads(3));
    }
}

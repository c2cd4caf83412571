//! Which backend runs a model: the one asked for; else the fastest on this machine by a measurement, made
//! once and kept; of nearly equal ones the one that the makers of the model chose, else the more frugal. A choice that was asked for and cannot be honoured is an error; a candidate of a
//! measurement that cannot run is left out with a warning.

use super::opened::Backends;
use super::paddle::convert::{Converted, to_onnx};
use super::tensorrt::background::Builds;
use super::{BackendName, Engine, EngineBuild, LoadOptions, Onnx, PaddleProgram, Parallelism, Precision, Session};
use crate::cache::Cache;
use crate::device::{CpuInfo, Device};
use crate::error::{Error, Result};
use crate::onnx::Cut;
use crate::runtime::{self, Library};
use crate::tensor::Shape;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

pub use super::opened::Libraries;
pub use super::wanted::{Adjustment, Wanted};

/// The backends that this build runs networks on.
pub const BACKENDS: [BackendName; 2] = [BackendName::OnnxRuntime, BackendName::OpenVino];

/// A later candidate is chosen over an earlier one when it takes less than this part of its time: below that, a
/// measurement of a second does not tell them apart.
const WORTH_CHANGING: f64 = 0.85;

/// Folder of the cache that holds measurements.
const CHOICES: &str = "choices";

/// What one run of a measurement feeds: inputs by name, all elements of one value.
#[derive(Clone, Debug)]
pub struct Probe(Vec<(&'static str, Shape, f32)>);

impl Probe {
    /// One input, whatever its name.
    pub fn only(shape: Shape) -> Self {
        Self(vec![("", shape, 0.5)])
    }

    /// Inputs by name, the first that fits counts: an empty name fits all. Those that a network does not have are left out.
    pub fn named(inputs: Vec<(&'static str, Shape, f32)>) -> Self {
        Self(inputs)
    }

    fn feed(&self, engine: &dyn Engine, session: &mut dyn Session) -> Result<()> {
        for (index, input) in engine.io().inputs.iter().enumerate() {
            let known = self.0.iter().find(|(name, ..)| name.is_empty() || *name == input.name);
            let &(_, shape, value) = known.ok_or_else(|| {
                let reason = format!("no value for input `{}` of model {}", input.name, engine.info().model);
                Error::internal("measuring backends", reason)
            })?;
            session.input(index, shape)?.fill(value);
        }
        Ok(())
    }
}

/// Opens backends at first need and chooses between them.
pub struct Selector {
    backends: Arc<Backends>,
    builds: Builds,
    /// Held while backends are timed.
    measuring: Mutex<()>,
}

/// A measured choice, as kept in the cache folder.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    backend: BackendName,
    /// Milliseconds per candidate, for `doctor` and curious readers.
    milliseconds: BTreeMap<String, f64>,
    model: String,
}

impl Selector {
    /// A selector for networks on the processor that keeps measurements in `cache` and prefers the files of `libraries`.
    pub fn new(cache: Cache, libraries: Libraries) -> Self {
        Self::on(Device::Cpu, cache, libraries)
    }

    /// A selector for networks on `device`.
    pub fn on(device: Device, cache: Cache, libraries: Libraries) -> Self {
        let (builds, measuring) = Default::default();
        Self { backends: Arc::new(Backends::new(device, cache, libraries)), builds, measuring }
    }

    /// Lets engines be built when `engine_build` says, instead of before the first request.
    #[must_use]
    pub fn building(self, engine_build: EngineBuild) -> Self {
        Self { builds: Builds::new(engine_build), ..self }
    }

    /// Loads a model on the backend the user wants, else on the fastest one for the inputs of `probe`. A model that is in
    /// Paddle's own format only is converted first, once, unless the backend asked for reads it as it is. Without such a wish, what
    /// cannot be converted runs on OpenVINO where that reads it.
    pub fn load(&self, wanted: impl Into<Wanted>, options: &LoadOptions, probe: &[Probe]) -> Result<Arc<dyn Engine>> {
        let mut wanted = wanted.into();
        if wanted.backend == Some(BackendName::PaddleTensorRt) {
            tracing::warn!(
                "{}: paddle_tensorrt is tensorrt here: it runs the whole graph, with the same shapes and precision",
                options.model
            );
            wanted.backend = Some(BackendName::TensorRt);
        }
        let wanted = &wanted;
        let options = &match (&options.onnx, &options.paddle) {
            (None, Some(program)) if !wanted.reads(&options.model, program) => match self.converted(options, program) {
                Err(e) if wanted.backend.is_none() => return self.load_unconverted(wanted, options, program, e),
                converted => converted?,
            },
            _ => options.clone(),
        };
        if let Some(name) = wanted.backend {
            tracing::info!("{}: {name}, as asked for", options.model);
            let told = wanted.adjusted(name, options);
            return match name {
                BackendName::TensorRt => self.load_tensorrt(wanted, &told),
                _ => self.backends.open(name)?.load(&told),
            };
        }
        let candidates = wanted.candidates(&self.backends.device);
        if let [only] = candidates[..] {
            tracing::info!("{}: {only}, the only backend on {}", options.model, self.backends.device);
            return self.backends.open(only)?.load(&wanted.adjusted(only, options));
        }
        if let Some(known) = self.known(wanted, options) {
            match self.backends.open(known.backend).and_then(|b| b.load(&wanted.adjusted(known.backend, options))) {
                Ok(engine) => {
                    tracing::info!("{}: {} was measured as the fastest here: {:?} ms", options.model, known.backend, known.milliseconds);
                    return Ok(engine);
                }
                Err(e) => tracing::warn!("{e}; measuring the backends again"),
            }
        }
        // One at a time: two would measure each other.
        let measuring = self.measuring.lock().unwrap_or_else(PoisonError::into_inner);
        let (engine, measured) = self.measure(wanted, &candidates, options, probe)?;
        drop(measuring);
        if let Some(measured) = measured {
            tracing::info!("{}: {} is the fastest here: {:?} ms", options.model, measured.backend, measured.milliseconds);
            self.remember(wanted, options, &measured);
        }
        Ok(engine)
    }

    /// `options` with the network as ONNX.
    fn converted(&self, options: &LoadOptions, program: &PaddleProgram) -> Result<LoadOptions> {
        let Converted { onnx, key } = to_onnx(&self.backends.cache, &options.model, &program.files, &options.model_sha256)?;
        Ok(LoadOptions { onnx: Some(Onnx::File(onnx)), model_sha256: key, ..options.clone() })
    }

    /// The one engine to choose for a model that `why` is not converted: OpenVINO, where it reads the program itself.
    fn load_unconverted(&self, wanted: &Wanted, options: &LoadOptions, program: &PaddleProgram, why: Error) -> Result<Arc<dyn Engine>> {
        let name = BackendName::OpenVino;
        if program.files.for_openvino().is_err() || !wanted.candidates(&self.backends.device).contains(&name) {
            return Err(why);
        }
        match self.backends.open(name).and_then(|backend| backend.load(&wanted.adjusted(name, options))) {
            Ok(engine) => {
                tracing::warn!("{why}; {name} runs it, which reads it as it is");
                Ok(engine)
            }
            Err(e) => {
                tracing::warn!("{e}");
                Err(why)
            }
        }
    }

    /// An engine of TensorRT, built when the user wants it to be. Until then, and for shapes that it does not take, the first of the
    /// other candidates runs.
    fn load_tensorrt(&self, wanted: &Wanted, options: &LoadOptions) -> Result<Arc<dyn Engine>> {
        let first = wanted.candidates(&self.backends.device)[0];
        // The engine of a recogniser gives what the whole graph gives.
        let cut = if options.cut == Cut::Detections { options.cut } else { Cut::Nothing };
        let whole = LoadOptions { cut, precision: Precision::Float32, ..wanted.adjusted(first, options) };
        let backends = self.backends.clone();
        let stand_in = Box::new(move || backends.open(first)?.load(&whole));
        self.builds.load(self.backends.tensorrt()?.prepare(options)?, stand_in)
    }

    fn measure(
        &self,
        wanted: &Wanted,
        candidates: &[BackendName],
        options: &LoadOptions,
        probe: &[Probe],
    ) -> Result<(Arc<dyn Engine>, Option<Measured>)> {
        let mut milliseconds = BTreeMap::new();
        let mut best: Option<(f64, BackendName, Arc<dyn Engine>)> = None;
        let mut failures = Vec::new();
        for &name in candidates {
            let loaded = self.backends.open(name).and_then(|b| b.load(&wanted.adjusted(name, options)));
            let timed = loaded.and_then(|engine| Ok((run_time_ms(&*engine, probe, options.parallelism)?, engine)));
            match timed {
                Ok((ms, engine)) => {
                    milliseconds.insert(name.to_string(), (ms * 100.0).round() / 100.0);
                    if best.as_ref().is_none_or(|(least, ..)| ms < least * WORTH_CHANGING) {
                        best = Some((ms, name, engine));
                    }
                }
                Err(e) => failures.push(e),
            }
        }
        match best {
            Some((_, backend, engine)) => {
                for e in &failures {
                    tracing::warn!("{e}; this backend is left out");
                }
                let measured = Measured { backend, milliseconds, model: options.model.clone() };
                Ok((engine, failures.is_empty().then_some(measured)))
            }
            None => Err(failures.pop().unwrap_or_else(|| Error::internal("backend choice", "no candidates"))),
        }
    }

    fn known(&self, wanted: &Wanted, options: &LoadOptions) -> Option<Measured> {
        let text = std::fs::read(self.file(wanted, options).ok()?).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn remember(&self, wanted: &Wanted, options: &LoadOptions, measured: &Measured) {
        let written = self.file(wanted, options).and_then(|path| {
            let text = serde_json::to_vec_pretty(measured).map_err(|e| Error::internal("measured choice", e.to_string()))?;
            crate::cache::write_atomic(&path, &text)
        });
        if let Err(e) = written {
            tracing::warn!("the measured choice of a backend is not kept: {e}");
        }
    }

    /// Where the measurement is kept. The name holds all it depends on: model, candidates, arithmetic, threads,
    /// processor and libraries. Locating a library is a look at the file system; nothing is opened.
    fn file(&self, wanted: &Wanted, options: &LoadOptions) -> Result<PathBuf> {
        let mut hash = Sha256::new();
        let candidates = wanted.candidates(&self.backends.device);
        let threads: Vec<_> = candidates.iter().map(|&name| wanted.adjusted(name, options).parallelism).collect();
        let key = (
            &options.model_sha256,
            candidates,
            options.cut,
            options.precision.to_string(),
            threads,
            (self.backends.device.identity(), CpuInfo::read().model),
            env!("CARGO_PKG_VERSION"),
        );
        hash.update(format!("{key:?}"));
        for library in [Library::OnnxRuntime, Library::OpenVino] {
            let found = runtime::locate(library, &self.backends.cache, self.backends.libraries.named(library))?;
            hash.update(format!("{:?}", found.map(|f| (f.version, f.path))));
        }
        let name: String = hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect();
        Ok(self.backends.cache.subdir(CHOICES)?.join(format!("{name}.json")))
    }
}

/// The measurements kept in `cache`: model, chosen backend, milliseconds of each candidate.
pub fn measured_choices(cache: &Cache) -> Vec<(String, BackendName, String)> {
    let files = std::fs::read_dir(cache.root().join(CHOICES)).into_iter().flatten().filter_map(|e| e.ok());
    let read = files.filter_map(|f| serde_json::from_slice::<Measured>(&std::fs::read(f.path()).ok()?).ok());
    let times = |m: &Measured| m.milliseconds.iter().map(|(name, ms)| format!("{name} {ms}")).collect::<Vec<_>>().join(", ");
    let mut choices: Vec<_> = read.map(|m| (m.model.clone(), m.backend, times(&m))).collect();
    choices.sort_by(|a, b| (&a.0, &a.2).cmp(&(&b.0, &b.2)));
    choices
}

/// Milliseconds for one run on each of `probe` but the first, which warms up. Every shape is met for the first time, as
/// pictures bring them: an engine that compiles for each new shape pays for it here too.
///
/// With one thread a run the processor's time counts: other programs make it hardly longer, and the choice is kept for good.
fn run_time_ms(engine: &dyn Engine, probe: &[Probe], parallelism: Parallelism) -> Result<f64> {
    let mut session = engine.session()?;
    let clock = Clock { processor: parallelism.threads_per_stream == 1 };
    let mut total = 0.0;
    for (index, probe) in probe.iter().enumerate() {
        probe.feed(engine, session.as_mut())?;
        let start = clock.now();
        session.run()?;
        if index > 0 {
            total += (clock.now() - start) * 1e3;
        }
    }
    Ok(total)
}

/// Seconds of processor time of this process, or of the wall.
struct Clock {
    processor: bool,
}

impl Clock {
    fn now(&self) -> f64 {
        let id = if self.processor { ClockId::ProcessCPUTime } else { ClockId::Monotonic };
        let time = clock_gettime(id);
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    }
}

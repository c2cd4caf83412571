//! Which backend runs a model: the one asked for; else the fastest on this machine by a measurement, made
//! once and kept; of nearly equal ones the one that the makers of the model chose, else the more frugal. A choice that was asked for and cannot be honoured is an error; a candidate of a
//! measurement that cannot run is left out with a warning.

use super::choices::{Measured, circumstances};
use super::opened::Backends;
use super::paddle::convert::{Converted, to_onnx};
use super::probe::{Answer, run_time_ms};
use super::reference::{self, difference};
use super::tensorrt::background::Builds;
use super::tensorrt::cache::EngineCache;
use super::tensorrt::session::Prepared;
use super::{BackendName, Engine, EngineBuild, LoadOptions, Onnx, PaddleProgram, Precision};
use crate::cache::rooms::CHOICES;
use crate::cache::{Cache, sha256};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::onnx::Cut;
use crate::trace::plural;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

pub use super::choices::{MeasuredChoice, measured_choices};
pub use super::opened::Libraries;
pub use super::probe::Probe;
pub use super::wanted::{Adjustment, Wanted};

/// The backends that this build runs networks on.
pub const BACKENDS: [BackendName; 2] = [BackendName::OnnxRuntime, BackendName::OpenVino];

/// A later candidate is chosen over an earlier one when it takes less than this part of its time: below that, a
/// measurement of a second does not tell them apart.
const WORTH_CHANGING: f64 = 0.85;

/// Opens backends at first need and chooses between them.
pub struct Selector {
    backends: Arc<Backends>,
    builds: Builds,
    /// Held while backends are timed.
    measuring: Mutex<()>,
}

/// What a model may run on.
struct Choice<'a> {
    wanted: &'a Wanted,
    options: &'a LoadOptions,
    /// In order of preference.
    names: Vec<BackendName>,
    /// TensorRT's part, where the engine of the model was built before, and what that is filed under.
    built: Option<(Arc<Prepared>, String)>,
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
    ///
    /// # Errors
    /// Those of the backend, of a conversion and of reading the files; damaged ones with the remedy of `options`.
    pub fn load(&self, wanted: impl Into<Wanted>, options: &LoadOptions, probe: &[Probe]) -> Result<Arc<dyn Engine>> {
        self.load_network(wanted.into(), options, probe).map_err(|e| e.with_next_step(options.remedy.as_deref()))
    }

    fn load_network(&self, mut wanted: Wanted, options: &LoadOptions, probe: &[Probe]) -> Result<Arc<dyn Engine>> {
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
                // What is damaged is damaged for all of them.
                Err(e) if wanted.backend.is_none() && !matches!(e, Error::Input { .. }) => {
                    return self.load_unconverted(wanted, options, program, e);
                }
                converted => converted?,
            },
            _ => options.clone(),
        };
        if let Some(name) = wanted.backend {
            tracing::info!("{}: {name}, as asked for", options.model);
            return self.load_on(name, &Choice { wanted, options, names: Vec::new(), built: None });
        }
        let built = self.built(wanted, options);
        let choice = Choice { wanted, options, names: wanted.candidates(&self.backends.device, built.is_some()), built };
        if let [only] = choice.names[..] {
            tracing::info!("{}: {only}, the only backend on {}", options.model, self.backends.device);
            return self.load_on(only, &choice);
        }
        if let Some(known) = self.file(&choice).ok().and_then(|path| Measured::read(&path)) {
            match self.load_on(known.backend, &choice) {
                Ok(engine) => {
                    known.tell("was measured as the fastest here", wanted.hint);
                    return Ok(engine);
                }
                Err(e) => tracing::warn!("{e}; measuring the backends again"),
            }
        }
        // One at a time: two would measure each other.
        let measuring = self.measuring.lock().unwrap_or_else(PoisonError::into_inner);
        let (engine, measured) = self.measure(&choice, probe)?;
        drop(measuring);
        if let Some(measured) = measured {
            measured.tell("is the fastest here", wanted.hint);
            // Named after the libraries, which may have come with the measurement.
            match self.file(&choice) {
                Ok(path) => measured.keep(&path),
                Err(e) => tracing::warn!("the measured choice of a backend is not kept: {e}"),
            }
        }
        Ok(engine)
    }

    /// `options` with the network as ONNX.
    fn converted(&self, options: &LoadOptions, program: &PaddleProgram) -> Result<LoadOptions> {
        let Converted { onnx, key } = to_onnx(&self.backends.cache, &options.model, &program.files, &options.model_sha256)?;
        Ok(LoadOptions { onnx: Some(Onnx::File(onnx)), model_sha256: key, is_pinned: false, ..options.clone() })
    }

    /// The one engine to choose for a model that `why` is not converted: OpenVINO, where it reads the program itself.
    fn load_unconverted(&self, wanted: &Wanted, options: &LoadOptions, program: &PaddleProgram, why: Error) -> Result<Arc<dyn Engine>> {
        let name = BackendName::OpenVino;
        if program.files.for_openvino().is_err() || !wanted.candidates(&self.backends.device, false).contains(&name) {
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

    /// What TensorRT has to do for a model, if its engine was built before, and what that is filed under.
    fn built(&self, wanted: &Wanted, options: &LoadOptions) -> Option<(Arc<Prepared>, String)> {
        let folder = match &options.onnx {
            Some(Onnx::File(path)) => path.parent(),
            _ => None,
        };
        let Backends { device, cache, libraries, .. } = &*self.backends;
        let asked_for = device.gpu().is_some() || libraries.tensorrt.is_some();
        if !asked_for || !EngineCache::new(cache.clone()).has_any(folder) {
            return None;
        }
        match self.backends.tensorrt().and_then(|tensorrt| tensorrt.prepare(&wanted.adjusted(BackendName::TensorRt, options))) {
            Ok(prepared) => prepared.filed().map(|filed| (Arc::new(prepared), filed)),
            Err(e) => {
                tracing::debug!("{e}; tensorrt is no candidate");
                None
            }
        }
    }

    /// The model on this backend.
    fn load_on(&self, name: BackendName, choice: &Choice<'_>) -> Result<Arc<dyn Engine>> {
        let told = choice.wanted.adjusted(name, choice.options);
        if name != BackendName::TensorRt {
            return self.backends.open(name)?.load(&told);
        }
        let prepared = match &choice.built {
            Some((prepared, _)) => prepared.clone(),
            None => Arc::new(self.backends.tensorrt()?.prepare(&told)?),
        };
        let (first, whole) = self.reference(choice);
        let backends = self.backends.clone();
        self.builds.load(prepared, Box::new(move || backends.open(first)?.load(&whole)))
    }

    /// What runs until the engine of TensorRT is built, and for shapes that it does not take: the first of the other candidates, with the
    /// graph that the engine is made of.
    fn reference(&self, Choice { wanted, options, .. }: &Choice<'_>) -> (BackendName, LoadOptions) {
        let name = wanted.candidates(&self.backends.device, false)[0];
        // The engine of a recogniser gives what the whole graph gives.
        let cut = if options.cut == Cut::Detections { options.cut } else { Cut::Nothing };
        (name, LoadOptions { cut, precision: Precision::Float32, ..wanted.adjusted(name, options) })
    }

    /// Refuses an engine whose outputs are further from those of the others than its arithmetic explains.
    fn check_agreement(&self, choice: &Choice<'_>, engine: &dyn Engine, probe: &[Probe]) -> Result<()> {
        let (Some((prepared, _)), Some(probe)) = (&choice.built, probe.first()) else { return Ok(()) };
        let (name, whole) = self.reference(choice);
        let feeds = [probe.print(engine)?];
        let expected = reference::answers(&*self.backends.open(name)?.load(&whole)?, &feeds)?;
        let error = difference(&expected, &reference::answers(engine, &feeds)?);
        if error <= prepared.tolerance() {
            return Ok(());
        }
        let reason = format!("model {}: its outputs differ from those of {name} by {error:.1e} of the greatest", whole.model);
        Err(Error::backend("tensorrt", reason, "build its engine again, or report this"))
    }

    fn measure(&self, choice: &Choice<'_>, probe: &[Probe]) -> Result<(Arc<dyn Engine>, Option<Measured>)> {
        let options = choice.options;
        let (mut timed, mut failures) = (Vec::new(), Vec::new());
        for &name in &choice.names {
            let one = self.load_on(name, choice).and_then(|engine| {
                let of_tensorrt = name == BackendName::TensorRt;
                if of_tensorrt {
                    self.check_agreement(choice, &*engine, probe)?;
                }
                let ms = run_time_ms(&*engine, probe, options.parallelism, &self.backends.device)?;
                let answer = probe.first().filter(|_| !of_tensorrt).map(|probe| Answer::of(&*engine, probe)).transpose()?;
                Ok((name, ms, engine, answer))
            });
            match one {
                Ok(one) => timed.push(one),
                // Its library cannot be used, whatever the model.
                Err(e) if self.backends.is_named(name) && self.backends.open(name).is_err() => return Err(e),
                Err(e) => failures.push((name, e)),
            }
        }
        let absent = failures.iter().map(|(name, _)| *name).collect();
        let reference = timed.iter().position(|(name, ..)| *name == BackendName::OnnxRuntime);
        let reference = reference.and_then(|at| timed[at].3.take());
        let mut milliseconds = BTreeMap::new();
        let mut best: Option<(f64, BackendName, Arc<dyn Engine>)> = None;
        for (name, ms, engine, answer) in timed {
            if let (Some(answer), Some(reference)) = (&answer, &reference)
                && let Err(e) = answer.check(reference)
            {
                failures.push((name, e));
                continue;
            }
            milliseconds.insert(name.to_string(), (ms * 100.0).round() / 100.0);
            if best.as_ref().is_none_or(|(least, ..)| ms < least * WORTH_CHANGING) {
                best = Some((ms, name, engine));
            }
        }
        let tell = |failures: &[(BackendName, Error)], what: &str| {
            for (name, e) in failures {
                tracing::warn!("{}: {name} {what} (-vv says all of it): {}", options.model, gist(&e.to_string()));
                tracing::debug!("{e}");
            }
        };
        match best {
            Some((_, backend, engine)) => {
                tell(&failures, "is left out");
                let super::Parallelism { streams, threads_per_stream } = options.parallelism;
                let cores = format!("{} of {}", plural(streams, "stream"), plural(threads_per_stream, "thread"));
                let measured_for = format!("{}, {cores}, {}", self.backends.device, options.precision);
                let measured = Measured { backend, milliseconds, model: options.model.clone(), measured_for, absent };
                // An engine of TensorRT may be built again and be right then; what another library gets wrong stays so.
                let is_for_good = failures.iter().all(|(name, _)| *name != BackendName::TensorRt);
                Ok((engine, is_for_good.then_some(measured)))
            }
            None => {
                // The one that others are compared with says best what is wrong with a network, if it could look at it.
                let saw_it = |(name, _): &(BackendName, Error)| *name == BackendName::OnnxRuntime && self.backends.open(*name).is_ok();
                let told = failures.iter().position(saw_it).unwrap_or_default();
                if failures.is_empty() {
                    return Err(Error::internal("backend choice", "no candidates"));
                }
                let (_, told) = failures.remove(told);
                tell(&failures, "does not run it either");
                Err(told)
            }
        }
    }

    /// Where the measurement is kept. The name holds all it depends on: the circumstances, then model, candidates, arithmetic,
    /// threads, and the engine of TensorRT.
    fn file(&self, Choice { wanted, options, names, built }: &Choice<'_>) -> Result<PathBuf> {
        let Backends { device, cache, libraries, .. } = &*self.backends;
        let super::Parallelism { streams, threads_per_stream } = options.parallelism;
        let circumstances = circumstances(device, cache, libraries, streams * threads_per_stream, options.precision)?;
        let threads: Vec<_> = names.iter().map(|&name| wanted.adjusted(name, options).parallelism).collect();
        let key = (&options.model_sha256, names, options.cut, threads, built.as_ref().map(|(_, filed)| filed));
        let network = sha256(format!("{key:?}").as_bytes());
        Ok(cache.root().join(CHOICES).join(format!("{circumstances}-{}.json", &network[..16])))
    }
}

/// The line of an engine's message that says what is wrong: OpenVINO says first where in its sources that was found, and sums
/// up at the end.
fn gist(message: &str) -> &str {
    let lines = || message.lines().map(str::trim).filter(|line| !line.is_empty());
    let places = ["Exception from ", " failed at src/", "FrontEnd API", "Loading input model", "While validating node"];
    let is_place = |line: &&str| places.iter().any(|place| line.contains(place));
    let summary = lines().rfind(|line| line.starts_with("-- ") && !line.ends_with(':'));
    summary.or_else(|| lines().find(|line| !is_place(line))).or_else(|| lines().next()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::choices::TRY_AGAIN;
    use crate::backend::fake::FakeEngine;
    use crate::backend::{Backend, Parallelism};
    use crate::tensor::Shape;
    use std::fs::File;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::SystemTime;

    /// Both candidates.
    #[derive(Default)]
    struct Double {
        is_short: AtomicBool,
        loads: AtomicUsize,
    }

    impl Backend for Double {
        fn name(&self) -> BackendName {
            BackendName::Fake
        }

        fn load(&self, options: &LoadOptions) -> Result<Arc<dyn Engine>> {
            let earlier = self.loads.fetch_add(1, Ordering::SeqCst);
            match self.is_short.load(Ordering::SeqCst) && earlier % 2 == 1 {
                true => Err(Error::backend("double", "no memory", "wait")),
                false => Ok(Arc::new(FakeEngine::new(&options.model, |inputs| Ok(inputs[0].clone())))),
            }
        }
    }

    fn load(home: &Path, double: &Arc<Double>) -> Result<Arc<dyn Engine>> {
        load_with(home, double, &LoadOptions::new("m"))
    }

    fn load_with(home: &Path, double: &Arc<Double>, options: &LoadOptions) -> Result<Arc<dyn Engine>> {
        let selector = Selector::new(Cache::open(Some(home)).unwrap(), Libraries::default());
        for name in BACKENDS {
            selector.backends.opened.lock().unwrap().insert(name.as_str(), double.clone());
        }
        selector.load(None, options, &[1, 2].map(|rows| Probe::only(Shape::new(&[rows, 3, 8, 8]))))
    }

    #[test]
    fn each_way_to_run_a_network_is_measured_for_itself() {
        let (home, double) = (tempfile::tempdir().unwrap(), Arc::<Double>::default());
        let parallelism = Parallelism { streams: 1, threads_per_stream: 3 };
        let ways = [
            LoadOptions::new("m"),
            LoadOptions { parallelism, ..LoadOptions::new("m") },
            LoadOptions { model_sha256: "another".into(), ..LoadOptions::new("m") },
            LoadOptions { cut: Cut::Softmax, ..LoadOptions::new("m") },
            LoadOptions { precision: Precision::Bfloat16, ..LoadOptions::new("m") },
        ];
        for expected in [2, 1] {
            for way in &ways {
                load_with(home.path(), &double, way).unwrap();
                assert_eq!(double.loads.swap(0, Ordering::SeqCst), expected, "{way:?}");
            }
        }
    }

    #[test]
    fn measurements_that_a_run_goes_by_are_told_from_others() {
        let (home, double) = (tempfile::tempdir().unwrap(), Arc::<Double>::default());
        let count = |devices: &[Device], threads| {
            let choices = measured_choices(&Cache::open(Some(home.path())).unwrap(), devices, threads);
            (choices.len(), choices.iter().filter(|choice| choice.counts).count())
        };
        assert_eq!(count(&[Device::Cpu], 1), (0, 0));
        double.is_short.store(true, Ordering::SeqCst);
        load(home.path(), &double).unwrap();
        assert_eq!((count(&[Device::Cpu], 1), count(&[Device::Cpu], 2), count(&[], 1)), ((1, 1), (1, 0), (1, 0)));
        let kept = home.path().join(CHOICES).read_dir().unwrap().next().unwrap().unwrap().path();
        File::options().append(true).open(kept).unwrap().set_modified(SystemTime::now() - TRY_AGAIN).unwrap();
        assert_eq!(count(&[Device::Cpu], 1), (1, 0), "it is to be made again");
        load_with(home.path(), &double, &LoadOptions { precision: Precision::Bfloat16, ..LoadOptions::new("m") }).unwrap();
        assert_eq!(count(&[Device::Cpu], 1), (2, 0));
    }

    #[test]
    fn what_failed_in_a_measurement_is_tried_again_after_a_day() {
        let (home, double) = (tempfile::tempdir().unwrap(), Arc::<Double>::default());
        double.is_short.store(true, Ordering::SeqCst);
        let loads = |expected: usize| {
            load(home.path(), &double).unwrap();
            assert_eq!(double.loads.swap(0, Ordering::SeqCst), expected);
        };
        loads(2);
        double.is_short.store(false, Ordering::SeqCst);
        loads(1);
        let age = || {
            let kept = home.path().join(CHOICES).read_dir().unwrap().next().unwrap().unwrap().path();
            File::options().append(true).open(kept).unwrap().set_modified(SystemTime::now() - TRY_AGAIN).unwrap();
        };
        age();
        loads(2);
        age();
        loads(1); // both ran: that is for good
    }

    /// Refuses everything, in words of its own.
    struct Refusing(&'static str);

    impl Backend for Refusing {
        fn name(&self) -> BackendName {
            BackendName::Fake
        }

        fn load(&self, _: &LoadOptions) -> Result<Arc<dyn Engine>> {
            Err(Error::input("m", self.0))
        }
    }

    #[test]
    fn where_no_engine_takes_a_model_onnx_runtime_says_why() {
        let home = tempfile::tempdir().unwrap();
        for hint in BACKENDS {
            let selector = Selector::new(Cache::open(Some(home.path())).unwrap(), Libraries::default());
            let engines = [(BackendName::OnnxRuntime, "bad operator"), (BackendName::OpenVino, "Exception from a.cpp:1:")];
            for (name, says) in engines {
                selector.backends.opened.lock().unwrap().insert(name.as_str(), Arc::new(Refusing(says)));
            }
            let wanted = Wanted { hint: Some(hint), ..Wanted::from(None) };
            let Err(error) = selector.load(wanted, &LoadOptions::new("m"), &[Probe::only(Shape::new(&[1, 3, 8, 8]))]) else {
                panic!("loaded")
            };
            assert!(error.to_string().contains("bad operator"), "{hint} first: {error}");
        }
    }

    #[test]
    fn what_an_engine_says_is_told_by_the_line_that_matters() {
        let openvino = "openvino: model m: general error: Exception from src/inference/src/cpp/core.cpp:84:\n\
            Check 'false' failed at src/frontends/common_translators/src/unconverted_ops_report.cpp:151:\n\
            FrontEnd API failed with OpConversionFailure:\nModel wasn't fully converted.\n\
            -- Conv-12 with a message:\nThe rank has to be known\n\nSummary:\n-- No conversion rule found for operations: acme.Soft-1\n\n; run";
        assert_eq!(gist(openvino), "-- No conversion rule found for operations: acme.Soft-1");
        assert_eq!(gist("Exception from a.cpp:1:\nCannot clone\n"), "Cannot clone");
        assert_eq!(gist("one line"), "one line");
        assert_eq!((gist("Exception from a.cpp:1:"), gist("")), ("Exception from a.cpp:1:", ""));
    }

    #[test]
    fn where_nothing_can_be_kept_each_run_measures() {
        let (file, double) = (tempfile::NamedTempFile::new().unwrap(), Arc::<Double>::default());
        (0..2).for_each(|_| drop(load(file.path(), &double).unwrap()));
        assert_eq!(double.loads.load(Ordering::SeqCst), 4);
    }
}

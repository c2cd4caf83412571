//! TensorRT behind the common seam: the engine of a model, loaded or built at first use, and shared by sessions.

use super::builder::{Builder, Made, Source};
use super::cache::{EngineCache, EngineKey, Origin};
use super::ffi::{BuildOptions, Element, Engine, Io, Range};
use super::find;
use super::gpu_session::OnGpu;
use super::memory::HostMemory;
use super::outside::Counter;
use super::parts::CutLoop;
use super::profile::Profiles;
use super::recipe::{self, Arithmetic, Recipe};
use super::worker::Worker;
use crate::backend::joined::Joined;
use crate::backend::reference;
use crate::backend::{self, Backend, BackendName, EngineSpec, IoSpec, LoadOptions, OpenReference, Precision, RunInfo, TensorSpec};
use crate::cache::Cache;
use crate::device::{Device, Gpu, Stream};
use crate::error::{Error, Result};
use crate::onnx::{Cut, Model, OutputKind};
use crate::tensor::{DType, Shape};
use std::cell::RefCell;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

/// Sessions of an engine on a GPU at one time: while one waits for its results the others keep the device busy.
const SESSIONS: usize = 3;

/// Greatest difference of outputs in float32 from those of another library, as a part of the greatest.
const FLOAT32_ERROR: f32 = 1e-3;

/// TensorRT on one device.
pub struct TensorRt {
    builder: Builder,
    device: Device,
}

impl TensorRt {
    /// TensorRT on `device` as `library` names it or as it is found on this machine, with engines kept in `cache`.
    ///
    /// # Errors
    /// [`Error::Backend`] that says why it cannot be used.
    pub fn open(device: Device, library: Option<&Path>, cache: Cache) -> Result<Self> {
        // First, as the library takes the GPU that is current, or starts another one.
        device.gpu().map(|gpu| gpu.make_current()).transpose()?;
        let library = find::open(library)?;
        if device.gpu().is_none() && !library.versions().host_memory {
            return Err(needs_gpu());
        }
        let number = device.gpu().map_or(0, |gpu| gpu.info().number);
        Ok(Self::new(Builder::new(library, number, EngineCache::new(cache))?, device))
    }

    /// Engines of `builder` that run on `device`; the processor is for test doubles of the library.
    pub fn new(builder: Builder, device: Device) -> Self {
        Self { builder, device }
    }

    /// Lets `reference` open ONNX Runtime, where engines in float16 are compared with it.
    #[must_use]
    pub fn comparing_with(self, reference: OpenReference) -> Self {
        Self { builder: self.builder.comparing_with(reference), ..self }
    }
}

impl Backend for TensorRt {
    fn name(&self) -> BackendName {
        BackendName::TensorRt
    }

    fn load(&self, options: &LoadOptions) -> Result<Arc<dyn backend::Engine>> {
        self.prepare(options)?.engine()
    }
}

/// All that an engine of a model is made of. What cannot be is refused before; only the library's work is left to do.
pub struct Prepared {
    builder: Builder,
    device: Device,
    source: Source,
    build: BuildOptions,
    arithmetic: Arithmetic,
    /// Names of the outputs that the engine has to have.
    outputs: Vec<String>,
    /// The parts that engines are built of instead of the whole.
    cut: Option<CutLoop>,
    /// What goes into the network.
    inputs: Vec<recipe::Input>,
    /// What the engine computes with.
    precision: Precision,
}

impl TensorRt {
    /// Reads the graph and the recipe of a model.
    ///
    /// # Errors
    /// Those of [`load`](Backend::load), as far as the library has no say in them.
    pub fn prepare(&self, options: &LoadOptions) -> Result<Prepared> {
        let onnx = options.require_onnx(BackendName::TensorRt)?;
        let model = match onnx {
            backend::Onnx::File(path) => Model::read(path)?,
            backend::Onnx::Bytes(bytes) => Model::decode(bytes, &options.model)?,
        };
        let module = if options.kind.module.is_empty() { Recipe::ANY } else { &options.kind.module };
        let recipe = Recipe::for_module(module)?;
        let arithmetic = recipe.arithmetic(options.precision)?;
        let inputs = recipe::inputs(&model);
        let build = recipe.options_for(&inputs, options.kind.size, &options.shapes)?;
        let outputs = if options.cut == Cut::Detections { Vec::new() } else { model.io().1 };
        let source = Source::new(&options.model, onnx.clone(), options.model_sha256.clone());
        let cut = self.builder.cut(&source, &model, &build)?;
        let precision = match arithmetic.precision() {
            Precision::Float32 if self.builder.has_half_products(&model, &build) => Precision::HalfProducts,
            precision => precision,
        };
        let (builder, device) = (self.builder.apart(), self.device.clone());
        Ok(Prepared { builder, device, source, build, arithmetic, outputs, cut, inputs, precision })
    }
}

impl Prepared {
    /// The engine if it was built before.
    ///
    /// # Errors
    /// That there is none, or why what is there is not used.
    pub fn kept(&self) -> Result<Arc<dyn backend::Engine>> {
        self.enter()?;
        self.opened(|source, options| self.builder.kept(source, options, &self.arithmetic))
    }

    /// What the engine, or one that stands for it, is filed under, if it was built before.
    pub fn filed(&self) -> Option<String> {
        self.engines().into_iter().map(|(source, options)| self.builder.filed(source, options, &self.arithmetic)).collect()
    }

    /// What each engine of the network is made of: the whole, or the parts that it was cut into.
    fn engines(&self) -> Vec<(&Source, &BuildOptions)> {
        match &self.cut {
            None => vec![(&self.source, &self.build)],
            Some(cut) => cut.parts.iter().map(|part| (&part.source, &part.options)).collect(),
        }
    }

    /// How far outputs may be from those of ONNX Runtime, as a part of the greatest.
    pub fn tolerance(&self) -> f32 {
        match &self.arithmetic {
            Arithmetic::Float32 => FLOAT32_ERROR,
            Arithmetic::Float16(rules) => rules.error,
        }
    }

    /// The engine, loaded or built now. One that was built now is run first, beside `reference`: what gives nothing but zeros is removed and
    /// refused, what does not run is refused; what is further from it than its arithmetic explains is said.
    ///
    /// # Errors
    /// What the library says; that the engine is not used.
    pub fn tried(&self, reference: &dyn Fn() -> Result<Arc<dyn backend::Engine>>) -> Result<Arc<dyn backend::Engine>> {
        let built = RefCell::new(Vec::new());
        self.enter()?;
        let engine = self.opened(|source, options| {
            let made = self.builder.usable(source, options, &self.arithmetic)?;
            if made.origin == Origin::Built {
                built.borrow_mut().push(made.file.clone());
            }
            Ok(made)
        })?;
        let built = built.into_inner();
        if !built.is_empty() {
            self.try_out(&*engine, reference, || built.iter().flatten().for_each(|file| self.builder.forget(file)))?;
        }
        Ok(engine)
    }

    fn try_out(
        &self,
        engine: &dyn backend::Engine,
        reference: &dyn Fn() -> Result<Arc<dyn backend::Engine>>,
        forget: impl FnOnce(),
    ) -> Result<()> {
        let (feeds, model) = (reference::feeds(&self.inputs, &self.build)?, &self.source.model);
        let unfit = |what: String| Error::backend("tensorrt", format!("model {model}: {what}"), "choose onnx_runtime for this model");
        let found = reference::answers(engine, &feeds).map_err(|e| unfit(format!("the engine built now does not run: {e}")))?;
        let is_nothing =
            |runs: &[Vec<reference::Output>]| runs.iter().flatten().flat_map(|(_, values)| values).all(|v| *v == 0.0 || v.is_nan());
        let (name, expected) = match reference().and_then(|other| Ok((other.info().backend, reference::answers(&*other, &feeds)?))) {
            Ok(answer) => answer,
            Err(e) if is_nothing(&found) => {
                return Err(unfit(format!("the engine built now gives zeros, and nothing says that it should: {e}")));
            }
            Err(e) => {
                tracing::warn!("{model}: the engine built now is compared with nothing: {e}");
                return Ok(());
            }
        };
        if is_nothing(&found) && !is_nothing(&expected) {
            forget();
            return Err(unfit(format!("the engine built now gives zeros where {name} gives numbers")));
        }
        let (error, allowed) = (reference::difference(&expected, &found), self.tolerance());
        match error <= allowed {
            true => tracing::info!("{model}: the engine differs from {name} by {error:.1e} of the greatest"),
            false => tracing::warn!(
                "{model}: the engine built now differs from {name} by {error:.1e} of the greatest, where {allowed:.1e} is usual; `hpinfer verify --model` shows where"
            ),
        }
        Ok(())
    }

    /// The engine, loaded or built now.
    ///
    /// # Errors
    /// What the library says.
    pub fn engine(&self) -> Result<Arc<dyn backend::Engine>> {
        self.enter()?;
        self.opened(|source, options| self.builder.usable(source, options, &self.arithmetic))
    }

    /// Set to stop a build.
    pub fn stop(&self) -> Arc<AtomicBool> {
        self.builder.cancelled()
    }

    /// What the engine will be.
    pub fn info(&self) -> RunInfo {
        let engines = self.engines().into_iter();
        let keys: Vec<_> = engines.map(|(source, options)| self.builder.key(source, options, &self.arithmetic)).collect();
        RunInfo {
            precision: self.precision,
            engines: keys.iter().map(EngineKey::name).collect(),
            profiles: keys.iter().flat_map(|key| key.options.profiles.iter().map(|ranges| describe(ranges))).collect(),
            ..RunInfo::new(&self.source.model, BackendName::TensorRt, self.builder.library().versions(), &self.device)
        }
    }

    /// Most sessions that are worth having.
    pub fn most_sessions(&self) -> usize {
        most_sessions(&self.device)
    }

    fn enter(&self) -> Result<()> {
        self.device.gpu().map_or(Ok(()), |gpu| gpu.make_current())
    }

    /// The engine of what `get` gives for the whole, or for each part.
    fn opened(&self, get: impl Fn(&Source, &BuildOptions) -> Result<Made>) -> Result<Arc<dyn backend::Engine>> {
        let get = |source: &Source, options: &BuildOptions| {
            let _loading = self.device.gpu().map(|gpu| gpu.for_loading());
            get(source, options)
        };
        let Some(CutLoop { parts, rules }) = &self.cut else { return self.whole(get(&self.source, &self.build)?) };
        let [encoder, step] = parts.each_ref().map(|part| self.loaded(get(&part.source, &part.options)?));
        let (encoder, step) = (encoder?, step?);
        let engines = [&encoder, &step].map(|part| part.spec.info.engines.clone()).concat();
        let info = RunInfo { engines, ..self.info() };
        Ok(Arc::new(Joined::new(Arc::new(encoder), Arc::new(step), rules, info)?))
    }

    fn whole(&self, made: Made) -> Result<Arc<dyn backend::Engine>> {
        let loaded = self.loaded(made)?;
        // What is cut off is done behind the engine by whoever has asked for that.
        if let Some(missing) = self.outputs.iter().find(|name| loaded.spec.io.outputs.iter().all(|output| output.name != **name)) {
            let reason = format!("model {}: the engine ends before output `{missing}`, which no engine gives", self.source.model);
            return Err(Error::backend("tensorrt", reason, "choose onnx_runtime for this model"));
        }
        Ok(Arc::new(loaded))
    }

    fn loaded(&self, made: Made) -> Result<Loaded> {
        tracing::info!(
            "{}: TensorRT engine {:?}, {}, {}, {} profiles",
            made.key.model,
            made.origin,
            made.key.precision,
            made.file.as_ref().map_or("in memory".into(), |f| f.display().to_string()),
            made.engine.profiles()
        );
        let info = RunInfo { engines: vec![made.name()], ..self.info() };
        Loaded::new(&self.device, info, made)
    }
}

struct Loaded {
    engine: Arc<Engine>,
    device: Device,
    spec: EngineSpec,
    profiles: Profiles,
    outside: Counter,
    /// Made when the engine was loaded, with its memory; the first worker takes it.
    first: Mutex<Option<Box<dyn backend::Session>>>,
}

impl Loaded {
    fn new(device: &Device, info: RunInfo, made: Made) -> Result<Self> {
        let model = &info.model;
        let spec = |io: &Io| {
            let name = io.name.to_string_lossy().into_owned();
            match io.dtype {
                Some(Element::F32) => Ok(DType::F32),
                Some(Element::I32) if !io.is_input => Ok(DType::I32),
                Some(Element::I64) if !io.is_input => Ok(DType::I64),
                other => {
                    let reason = format!("model {model}: tensor `{name}` is of type {other:?}");
                    Err(Error::backend("tensorrt", reason, "choose onnx_runtime for this model"))
                }
            }
            .map(|dtype| TensorSpec { name, dtype, dims: io.dims.clone() })
        };
        let specs = |inputs: bool| made.engine.io().iter().filter(|io| io.is_input == inputs).map(spec).collect::<Result<Vec<_>>>();
        let io = IoSpec { inputs: specs(true)?, outputs: specs(false)? };
        let (profiles, outside) = (Profiles::of(&made.engine), Counter::new(model, made.file));
        let first = Mutex::new(Some(session(&made.engine, device, &info.model)?));
        let spec = EngineSpec { io, info, output: OutputKind::Original };
        Ok(Self { engine: made.engine, device: device.clone(), spec, profiles, outside, first })
    }
}

impl backend::Engine for Loaded {
    fn spec(&self) -> &EngineSpec {
        &self.spec
    }

    fn session(&self) -> Result<Box<dyn backend::Session>> {
        match self.first.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(first) => Ok(first),
            None => session(&self.engine, &self.device, &self.spec.info.model),
        }
    }

    fn most_sessions(&self) -> usize {
        most_sessions(&self.device)
    }

    fn refuses(&self, shapes: &[Shape]) -> Option<String> {
        let taken = self.profiles.choose(shapes.iter()).is_some();
        (!taken).then(|| self.profiles.refusal(shapes.iter()))
    }

    fn profile_of(&self, shapes: &[Shape]) -> Option<usize> {
        self.profiles.choose(shapes.iter())
    }

    fn passed_on(&self, shapes: &[Shape]) {
        self.outside.count(self.spec.io.inputs.iter().map(|spec| spec.name.as_str()).zip(shapes));
    }
}

/// One profile, for people.
fn describe(ranges: &[Range]) -> String {
    ranges.iter().map(Range::to_string).collect::<Vec<_>>().join(", ")
}

fn most_sessions(device: &Device) -> usize {
    device.gpu().map_or(usize::MAX, |_| SESSIONS)
}

/// A session of `engine` on `device`, on a stream of its own there.
pub(super) fn session(engine: &Arc<Engine>, device: &Device, model: &str) -> Result<Box<dyn backend::Session>> {
    Ok(match device {
        Device::Cpu if engine.is_on_host() => Box::new(Worker::new(engine, HostMemory, model)?),
        Device::Cpu => return Err(needs_gpu()),
        Device::Gpu(gpu) => Box::new(on_gpu(engine, gpu, model)?),
    })
}

/// The same on `gpu`.
pub(super) fn on_gpu(engine: &Arc<Engine>, gpu: &Arc<Gpu>, model: &str) -> Result<OnGpu> {
    let _loading = gpu.for_loading();
    Ok(OnGpu::new(Worker::new(engine, Stream::new(gpu)?, model)?))
}

fn needs_gpu() -> Error {
    Error::backend("tensorrt", "its engines run on GPUs, not on the processor", "use --device gpu:0, or choose onnx_runtime")
}

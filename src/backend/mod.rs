//! Inference engines behind one seam. A [`Backend`] turns a model file into an [`Engine`], which
//! workers share; each worker takes a [`Session`] of its own from it. No image appears here: a session
//! has named inputs and outputs, lends the buffers of its inputs, runs, and shows its outputs in place,
//! so that no tensor is copied between an operation and the engine. `select` chooses the backend of a model, `stand_in` runs one until the
//! engine of another is built and for shapes that it does not take, `rewrite` keeps the form of its graph that an engine runs fastest, `joined`
//! runs the two parts of one that decodes step by step. Modules stand
//! above, [`crate::onnx`] and [`crate::runtime`] below; operations are unknown here.

mod choices;
pub mod fake;
pub mod host;
mod io;
pub mod joined;
pub mod onnxruntime;
mod opened;
pub mod openvino;
pub mod paddle;
mod probe;
pub mod record;
pub(crate) mod reference;
mod rewrite;
pub(crate) mod sample;
pub mod select;
mod shapes;
pub mod stand_in;
pub mod tensorrt;
mod wanted;

use crate::device::{DeviceSliceMut, Stream};
use crate::error::{Error, Result};
use crate::onnx::{Cut, OutputKind};
use crate::tensor::device::DeviceTensor;
use crate::tensor::{Shape, TensorRef};
use crate::trace::EngineSet;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use io::TYPES;
pub use io::{IoSpec, TensorSpec};
pub use paddle::{PaddleFiles, PaddleProgram, PaddleRunMode};
pub use shapes::{DynamicShapes, ShapeRange};
pub use tensorrt::recipe::FixedSize;

/// The engines this build knows, by PaddleX's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BackendName {
    /// ONNX Runtime.
    OnnxRuntime,
    /// OpenVINO.
    #[serde(rename = "openvino")]
    OpenVino,
    /// TensorRT.
    #[serde(rename = "tensorrt")]
    TensorRt,
    /// Paddle Inference.
    PaddleInfer,
    /// Paddle Inference with TensorRT for the parts that it takes.
    #[serde(rename = "paddle_tensorrt")]
    PaddleTensorRt,
    /// Test double.
    Fake,
}

impl BackendName {
    /// The names that a user can give.
    pub const PUBLIC: [Self; 5] = [Self::PaddleInfer, Self::PaddleTensorRt, Self::OpenVino, Self::OnnxRuntime, Self::TensorRt];

    /// The name as PaddleX writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "onnx_runtime",
            Self::OpenVino => "openvino",
            Self::TensorRt => "tensorrt",
            Self::PaddleInfer => "paddle_infer",
            Self::PaddleTensorRt => "paddle_tensorrt",
            Self::Fake => "fake",
        }
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for BackendName {
    type Err = Error;

    /// PaddleX's names, and the spellings of its later releases.
    fn from_str(s: &str) -> Result<Self> {
        let lower = s.to_ascii_lowercase();
        let known = Self::PUBLIC.iter().find(|name| name.as_str() == lower);
        match (known, &lower[..]) {
            (Some(name), _) => Ok(*name),
            (None, "onnxruntime") => Ok(Self::OnnxRuntime),
            (None, "paddle") => Ok(Self::PaddleInfer),
            (None, word) => {
                let meant = match word {
                    "ort" | "onnx" => ", you may mean onnx_runtime",
                    "trt" => ", you may mean tensorrt",
                    "mkldnn" | "paddle_mkldnn" | "onednn" => ", you may mean paddle_infer with run_mode mkldnn in its hpi_config",
                    _ => "",
                };
                Err(Error::config(
                    "backend",
                    format!("`{s}` is not a backend{meant}; known: {}", Self::PUBLIC.map(Self::as_str).join(", ")),
                ))
            }
        }
    }
}

impl<'de> Deserialize<'de> for BackendName {
    /// From a text that [`FromStr`](std::str::FromStr) takes.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(|e| match e {
            Error::Config { reason, .. } => serde::de::Error::custom(reason),
            e => serde::de::Error::custom(e),
        })
    }
}

/// Arithmetic of an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floats throughout: the reference.
    #[default]
    Float32,
    /// bfloat16 where the engine judges it faster; float32 inputs and outputs.
    Bfloat16,
    /// float16 wherever it changes outputs little enough; float32 inputs and outputs.
    Float16,
    /// 32-bit floats but for matrix products, of which the library has none in float32 for the GPU.
    HalfProducts,
}

/// Format of a network's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Format {
    /// ONNX.
    #[default]
    Onnx,
    /// `.pdmodel`, Paddle 2's own.
    Pdmodel,
    /// The JSON of PIR, Paddle 3's own.
    Pir,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Onnx => "onnx",
            Self::Pdmodel => "pdmodel",
            Self::Pir => "pir",
        })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
            Self::Float16 => "float16",
            Self::HalfProducts => "float32, products in float16",
        })
    }
}

/// How an engine spreads its work over processor cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Parallelism {
    /// Sessions that run at the same time.
    pub streams: usize,
    /// Threads inside one run.
    pub threads_per_stream: usize,
}

/// What ran: part of every result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunInfo {
    /// Model name.
    pub model: String,
    /// Engine.
    pub backend: BackendName,
    /// Version of the engine's library.
    pub version: String,
    /// Device, as in `--device`.
    pub device: String,
    /// Arithmetic.
    pub precision: Precision,
    /// What the engine read.
    pub format: Format,
    /// `tight` where lines of text were read on inputs of other widths than the reference's, as `--fast` does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub widths: Option<&'static str>,
    /// Names of TensorRT's engines, as `hpinfer engine` takes them.
    pub engines: Vec<String>,
    /// What inputs these are made for.
    pub profiles: Vec<String>,
    /// What runs in its place until it is built, and for shapes that it does not take.
    #[serde(skip)]
    pub stand_in: Option<Box<StandIn>>,
    /// What runs of the network are told by, in a pipeline.
    #[serde(skip)]
    pub network: EngineSet,
}

impl RunInfo {
    /// A network read from ONNX and run in float32.
    pub fn new(model: &str, backend: BackendName, version: impl fmt::Display, device: impl fmt::Display) -> Self {
        Self {
            model: model.into(),
            backend,
            version: version.to_string(),
            device: device.to_string(),
            precision: Precision::Float32,
            format: Format::Onnx,
            widths: None,
            engines: Vec::new(),
            profiles: Vec::new(),
            stand_in: None,
            network: EngineSet::default(),
        }
    }
}

/// An engine that runs in the place of one that is being built or does not take a shape, and how runs of the two are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// What it is, once it was needed.
    pub info: Arc<OnceLock<RunInfo>>,
    /// Its number.
    pub own: EngineSet,
    /// That of the engine it stands in for.
    pub built: EngineSet,
    /// Those of its first profiles.
    pub profiles: [EngineSet; PROFILES],
}

/// Profiles of an engine that are told apart in results.
pub const PROFILES: usize = 4;

/// When engines that take minutes to build are built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineBuild {
    /// While the pipeline runs on another backend, which the engine then replaces.
    Background,
    /// First, then the pipeline runs.
    #[default]
    Blocking,
    /// Not at all: the engine is there, or it is an error.
    Never,
}

/// An ONNX model: a file, or the bytes of one.
#[derive(Clone)]
pub enum Onnx {
    /// A file on this machine.
    File(PathBuf),
    /// The contents of a file.
    Bytes(Arc<Vec<u8>>),
}

impl fmt::Display for Onnx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Bytes(bytes) => write!(f, "{} bytes in memory", bytes.len()),
        }
    }
}

impl fmt::Debug for Onnx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is known of a network besides its graph: engines that are built for ranges of shapes have recipes for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkKind {
    /// PaddleX's name of its module, such as `text_detection`; empty where it is not known.
    pub module: String,
    /// Size of its pictures, where its specification states one.
    pub size: FixedSize,
}

/// What to load and how.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Model name, for messages and [`RunInfo`].
    pub model: String,
    /// What it is.
    pub kind: NetworkKind,
    /// The network as ONNX. `None` where a model has only Paddle's own format: the [selector](select) converts that
    /// for backends that need it.
    pub onnx: Option<Onnx>,
    /// The network in Paddle's own format.
    pub paddle: Option<PaddleProgram>,
    /// SHA-256 of the network, in hexadecimal: what cached forms and measurements are filed under.
    pub model_sha256: String,
    /// Whether that is what it ought to be, and was not computed: the file is held against it when a form of it is made.
    pub is_pinned: bool,
    /// What to do where its files are damaged.
    pub remedy: Option<String>,
    /// Whether the graph may be rewritten into the form that the engine runs fastest. Results change by rounding only.
    pub rewrite: bool,
    /// Arithmetic.
    pub precision: Precision,
    /// Threads and streams.
    pub parallelism: Parallelism,
    /// What may be left out at the end of the graph; [`Engine::output_kind`] says what came of it.
    pub cut: Cut,
    /// Shapes to build an engine for, by input; empty leaves them to the backend. Backends that take any shape have no use for it.
    pub shapes: DynamicShapes,
    /// Folder for rewritten and compiled forms of a model that is a file; `None` keeps nothing.
    pub cache_dir: Option<PathBuf>,
}

impl LoadOptions {
    /// A network called `model`, to be named still: in float32 by one stream of one thread, rewritten, whole, in any shape,
    /// and nothing of it kept.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            kind: NetworkKind::default(),
            onnx: None,
            paddle: None,
            model_sha256: String::new(),
            is_pinned: false,
            remedy: None,
            rewrite: true,
            precision: Precision::Float32,
            parallelism: Parallelism { streams: 1, threads_per_stream: 1 },
            cut: Cut::Nothing,
            shapes: DynamicShapes::new(),
            cache_dir: None,
        }
    }

    /// The network as ONNX, which `backend` needs.
    fn require_onnx(&self, backend: BackendName) -> Result<&Onnx> {
        self.onnx.as_ref().ok_or_else(|| {
            let reason = format!("model {} is in Paddle's own format, which it does not read", self.model);
            Error::backend(backend.as_str(), reason, "convert it with `hpinfer model convert`, or choose paddle_infer")
        })
    }
}

/// Opens the ONNX Runtime that other engines are made and compared with.
pub type OpenReference = Arc<dyn Fn() -> Result<Arc<dyn Backend>> + Send + Sync>;

/// A library that runs networks.
pub trait Backend: Send + Sync {
    /// Its name.
    fn name(&self) -> BackendName;
    /// Loads a model. An option that cannot be honoured is an error.
    fn load(&self, options: &LoadOptions) -> Result<Arc<dyn Engine>>;
}

/// What an engine takes, gives and is.
#[derive(Clone, Debug)]
pub struct EngineSpec {
    /// Inputs and outputs.
    pub io: IoSpec,
    /// What runs.
    pub info: RunInfo,
    /// What the first output holds.
    pub output: OutputKind,
}

/// A loaded network, shared by workers.
pub trait Engine: Send + Sync {
    /// What it takes, gives and is.
    fn spec(&self) -> &EngineSpec;
    /// Inputs and outputs.
    fn io(&self) -> &IoSpec {
        &self.spec().io
    }
    /// What runs.
    fn info(&self) -> &RunInfo {
        &self.spec().info
    }
    /// What the first output holds, after what was left out at the end of the graph.
    fn output_kind(&self) -> &OutputKind {
        &self.spec().output
    }
    /// A session for one worker.
    fn session(&self) -> Result<Box<dyn Session>>;
    /// Most sessions that are worth having at one time: each takes memory of a device.
    fn most_sessions(&self) -> usize {
        usize::MAX
    }
    /// Why inputs of these shapes, in graph order, cannot be run.
    fn refuses(&self, _shapes: &[Shape]) -> Option<String> {
        None
    }
    /// The profile, by its number in [`RunInfo::profiles`], that inputs of these shapes run in, where it is known.
    fn profile_of(&self, _shapes: &[Shape]) -> Option<usize> {
        None
    }
    /// Whether inputs of these shapes run here, and not on an engine that stands in for this one.
    fn runs_itself(&self, shapes: &[Shape]) -> bool {
        self.refuses(shapes).is_none()
    }
    /// Told of every run on another engine of what this one refuses.
    fn passed_on(&self, _shapes: &[Shape]) {}
}

/// Exclusive use of a network. Call [`input`](Self::input) for every input, then [`run`](Self::run), then [`output`](Self::output).
/// An input that is not lent again holds what it held.
pub trait Session: Send {
    /// Lends the buffer of float input `index`, made `shape`; what it holds is left over from earlier runs.
    fn input(&mut self, index: usize, shape: Shape) -> Result<&mut [f32]>;
    /// Runs the network on the inputs lent last.
    fn run(&mut self) -> Result<()>;
    /// Output `index` of the last run, in place.
    fn output(&self, index: usize) -> Result<TensorRef<'_>>;
    /// Told when all inputs will be lent again before the next run, and no output is read before: what they lie in may serve others.
    fn rest(&mut self) {}
    /// This session where inputs and outputs are memory of a GPU; `None` for an engine that works on the host.
    fn on_gpu(&mut self) -> Option<&mut dyn GpuSession> {
        None
    }
    /// The number of the engine that did the last run, where that changes.
    fn ran(&self) -> EngineSet {
        EngineSet::default()
    }
}

/// Exclusive use of a network on a GPU, in the order of a stream: inputs are filled by work that is put into the stream before
/// [`run`](Self::run), and outputs are there for work that is put into it afterwards.
pub trait GpuSession {
    /// The stream.
    fn stream(&self) -> &Stream;
    /// Lends the memory of float input `index`, made `shape`.
    fn input(&mut self, index: usize, shape: Shape) -> Result<DeviceSliceMut<'_, f32>>;
    /// Puts a run of the network on the inputs lent last into the stream.
    fn run(&mut self) -> Result<()>;
    /// The first `count` outputs of the last run, in graph order, in place.
    fn outputs(&mut self, count: usize) -> Result<Vec<DeviceTensor<'_>>>;
}

/// Idle things of one kind, lent to whichever worker asks: sessions with their buffers.
/// Grows to the greatest number in use at one time and never shrinks.
/// With a limit on that number, whoever comes later waits.
pub struct Pool<T> {
    idle: Mutex<Idle<T>>,
    given_back: Condvar,
    most: usize,
    make: Box<dyn Fn() -> Result<T> + Send + Sync>,
}

struct Idle<T> {
    things: Vec<T>,
    lent: usize,
}

impl<T> Pool<T> {
    /// An empty pool that makes what it lacks with `make`.
    pub fn new(make: impl Fn() -> Result<T> + Send + Sync + 'static) -> Self {
        Self::with_most(usize::MAX, make)
    }

    /// An empty pool that lends no more than `most` things at one time (at least one).
    pub fn with_most(most: usize, make: impl Fn() -> Result<T> + Send + Sync + 'static) -> Self {
        let idle = Mutex::new(Idle { things: Vec::new(), lent: 0 });
        Self { idle, given_back: Condvar::new(), most: most.max(1), make: Box::new(make) }
    }

    /// Lends an idle thing, or a new one, to `work`. After an error it is dropped: its state is not to be trusted.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while idle.lent >= self.most {
            idle = self.given_back.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
        idle.lent += 1;
        let known = idle.things.pop();
        drop(idle);
        // Also when `work` panics, somebody may be waiting.
        let mut lent = Lent { pool: self, thing: None };
        let mut thing = match known {
            Some(thing) => thing,
            None => (self.make)()?,
        };
        let out = work(&mut thing)?;
        lent.thing = Some(thing);
        Ok(out)
    }
}

/// A place in the pool, given back with the thing that is still good.
struct Lent<'a, T> {
    pool: &'a Pool<T>,
    thing: Option<T>,
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.lent -= 1;
        idle.things.extend(self.thing.take());
        self.pool.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_pool_lends_no_more_than_its_limit() {
        let (made, at_once, most_at_once) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0), AtomicUsize::new(0));
        let counted = made.clone();
        let pool = Pool::with_most(2, move || Ok(counted.fetch_add(1, Ordering::SeqCst)));
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let (pool, at_once, most_at_once) = (&pool, &at_once, &most_at_once);
                scope.spawn(move || {
                    for round in 0..50 {
                        let _ = pool.with(|_| {
                            most_at_once.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            std::thread::yield_now();
                            at_once.fetch_sub(1, Ordering::SeqCst);
                            // What failed is not lent again, and its place is free.
                            if worker == 0 && round % 10 == 0 { Err(Error::internal("test", "")) } else { Ok(()) }
                        });
                    }
                });
            }
        });
        assert!(most_at_once.into_inner() <= 2);
        assert!((1..=7).contains(&made.load(Ordering::SeqCst)), "{made:?}");
    }

    #[test]
    fn names_of_all_releases_are_read() {
        for name in BackendName::PUBLIC {
            assert_eq!(name.as_str().parse::<BackendName>().unwrap(), name);
            assert_eq!(serde_json::to_string(&name).unwrap(), format!("\"{name}\""));
        }
        assert_eq!("paddle".parse::<BackendName>().unwrap(), BackendName::PaddleInfer);
        assert_eq!("onnxruntime".parse::<BackendName>().unwrap(), BackendName::OnnxRuntime);
        assert_eq!("OpenVINO".parse::<BackendName>().unwrap(), BackendName::OpenVino, "as those of devices, whatever the letters");
        let message = "trt".parse::<BackendName>().unwrap_err().to_string();
        assert!(
            message.contains("you may mean tensorrt; known: paddle_infer, paddle_tensorrt, openvino, onnx_runtime, tensorrt"),
            "{message}"
        );
    }
}

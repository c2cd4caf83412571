//! ONNX Runtime, opened at run time through the `ort` crate. The graph is rewritten first (see [`crate::onnx`]):
//! the library leaves many element-wise chains of these models unfused. One native session serves all workers;
//! with one thread a stream the work runs on the calling thread.

mod blocks;
mod ffi;
mod gpu;

use super::rewrite::{self, Graph, Loops};
use super::{Backend, BackendName, Engine, EngineSpec, IoSpec, LoadOptions, Onnx, Precision, RunInfo, Session, TensorSpec};
use crate::device::{Gpu, loader_says, without_path};
use crate::error::{Error, Result};
use crate::onnx::Target;
use crate::onnx::surgery::no_run;
use crate::runtime::Found;
use crate::tensor::{DType, Data, Shape, TensorRef};
use ort::LoadDynamicError;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::memory::Allocator;
use ort::session::Session as OrtSession;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{DynValue, Outlet, Tensor, TensorElementType, ValueType};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Why the library at `path` was not loaded: in the loader's own words, which are behind those of the error.
fn not_loaded(error: &LoadDynamicError, path: &Path) -> String {
    let reason = match error {
        LoadDynamicError::Dlopen { error, .. } => loader_says(error),
        error => error.to_string(),
    };
    without_path(&reason, path)
}

/// The library and its environment, of which `ort` allows a process one, once.
static OPENED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// The opened library.
pub struct OnnxRuntime {
    environment: Environment,
    version: String,
    /// Where networks run, if not on the processor.
    gpu: Option<gpu::Target>,
}

impl OnnxRuntime {
    /// Opens the library at `path`, of version `version`. Its telemetry is turned off; a program that wants none of its files in the
    /// user's home either sets `ORT_DISABLE_TELEMETRY` to 1 before it starts threads, as the command does.
    pub fn open(path: &Path, version: Option<&str>) -> Result<Self> {
        let unusable = |reason: String| {
            Error::backend(
                "onnx_runtime",
                format!("{}: {reason}", path.display()),
                "`hpinfer runtime install onnx_runtime` compares and repairs the one in the cache; ORT_DYLIB_PATH names another, of 1.24 or later",
            )
        };
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        let environment = match &*opened {
            Some((first, environment)) if first == path => environment.clone(),
            Some((first, _)) => return Err(unusable(format!("this process runs {} already", first.display()))),
            None => {
                let builder = ort::init_from(path).map_err(|e| unusable(not_loaded(&e, path)))?;
                let environment = builder.with_telemetry(false).with_logger(Arc::new(log)).build().map_err(|e| unusable(e.to_string()))?;
                environment.set_log_level(LogLevel::Warning);
                ffi::share_memory(&environment).map_err(unusable)?;
                opened.insert((path.to_owned(), environment)).1.clone()
            }
        };
        Ok(Self { environment, version: version.unwrap_or("unknown").to_owned(), gpu: None })
    }

    /// The library that was found, for networks on the processor.
    pub fn on_processor(found: &Found) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(Self::open(&found.path, found.version.as_deref())?))
    }

    /// The same for networks on `gpu`, by the library's CUDA provider, which is given the libraries `before`.
    pub fn on(self, gpu: Arc<Gpu>, before: Vec<PathBuf>) -> Self {
        Self { gpu: Some(gpu::Target { gpu, before, emulated: false }), ..self }
    }

    /// The same on a `gpu` that is an emulation in the memory of the host: the library works on that by its provider for processors.
    #[doc(hidden)]
    pub fn on_emulation(self, gpu: Arc<Gpu>) -> Self {
        Self { gpu: Some(gpu::Target { gpu, before: Vec::new(), emulated: true }), ..self }
    }

    fn commit(&self, options: &LoadOptions, onnx: &Onnx) -> ort::Result<OrtSession> {
        let p = options.parallelism;
        let mut builder = OrtSession::builder(&self.environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(p.threads_per_stream)?
            .with_inter_threads(1)?
            // A pattern is kept for every input shape, and lines and pages bring new ones for ever.
            .with_memory_pattern(false)?
            .with_intra_op_spinning(false)?
            // What one network leaves is there for the next: each with memory of its own holds on to its greatest run.
            .with_env_allocators()?;
        match onnx {
            Onnx::File(path) => builder.commit_from_file(path),
            Onnx::Bytes(bytes) => builder.commit_from_memory(bytes),
        }
    }
}

/// What the library says by itself. The errors among that come back from its functions too.
fn log(_: LogLevel, _: &str, _: &str, place: &str, message: &str) {
    tracing::debug!("ONNX Runtime: {} ({place})", message.trim_end());
}

impl Backend for OnnxRuntime {
    fn name(&self) -> BackendName {
        BackendName::OnnxRuntime
    }

    fn load(&self, options: &LoadOptions) -> Result<Arc<dyn Engine>> {
        if options.precision != Precision::Float32 {
            let next_step = "leave the precision out, or choose openvino";
            return Err(Error::backend("onnx_runtime", format!("it runs float32 only, not {}", options.precision), next_step));
        }
        let (target, loops) = match self.gpu {
            Some(_) => (Target::Cuda, Loops::Whole),
            None => (Target::OnnxRuntime, Loops::InSteps),
        };
        rewrite::load(options, target, loops, &no_run, |graph| graph.engine(|graph| self.engine(options, graph)))
    }
}

impl OnnxRuntime {
    fn engine(&self, options: &LoadOptions, graph: Graph) -> Result<Arc<dyn Engine>> {
        if let Some(target) = &self.gpu {
            return gpu::load(&self.environment, &self.version, target, options, graph);
        }
        let session = self.commit(options, &graph.onnx).map_err(|e| {
            let next_step = match options.is_pinned {
                true => "check the file with `hpinfer model verify`, or choose another backend",
                false => {
                    "see that all its files are there and that this version knows its IR version and operators, or choose another backend"
                }
            };
            Error::backend("onnx_runtime", format!("model {} ({}): {e}", options.model, graph.onnx), next_step)
        })?;
        let specs = |outlets: &[Outlet]| outlets.iter().map(|o| spec_of(&options.model, o)).collect::<Result<Vec<_>>>();
        let io = graph.io(IoSpec { inputs: specs(session.inputs())?, outputs: specs(session.outputs())? });
        io.require_float_inputs(BackendName::OnnxRuntime, &options.model)?;
        let shared = ffi::SharedSession::new(session)?;
        let info = RunInfo::new(&options.model, BackendName::OnnxRuntime, &self.version, "cpu");
        let info = RunInfo { precision: options.precision, ..info };
        Ok(Arc::new(OrtEngine { session: Arc::new(shared), spec: EngineSpec { io, info, output: graph.output } }))
    }
}

fn spec_of(model: &str, outlet: &Outlet) -> Result<TensorSpec> {
    let unsupported = |what: String| Error::backend("onnx_runtime", format!("model {model}: `{}` is {what}", outlet.name()), super::TYPES);
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
        return Err(unsupported("not a tensor".into()));
    };
    let dtype = match ty {
        TensorElementType::Float32 => DType::F32,
        TensorElementType::Int32 => DType::I32,
        TensorElementType::Int64 => DType::I64,
        other => return Err(unsupported(format!("of type {other}"))),
    };
    Ok(TensorSpec { name: outlet.name().to_owned(), dtype, dims: shape.iter().map(|&d| usize::try_from(d).ok()).collect() })
}

struct OrtEngine {
    session: Arc<ffi::SharedSession>,
    spec: EngineSpec,
}

impl Engine for OrtEngine {
    fn spec(&self) -> &EngineSpec {
        &self.spec
    }

    fn session(&self) -> Result<Box<dyn Session>> {
        let EngineSpec { io, info, .. } = &self.spec;
        let inputs = io.inputs.iter().map(|_| None).collect();
        let (model, device) = (info.model.clone(), info.device.clone());
        let memory = self.session.memory();
        let memory = memory.map_err(|e| Error::internal("onnx_runtime memory", e.to_string()))?;
        Ok(Box::new(OrtWorker { session: self.session.clone(), memory, model, device, inputs, outputs: Vec::new() }))
    }
}

struct OrtWorker {
    session: Arc<ffi::SharedSession>,
    model: String,
    device: String,
    /// Of inputs.
    memory: Allocator,
    inputs: Vec<Option<(Shape, Tensor<f32>)>>,
    outputs: Vec<DynValue>,
}

impl OrtWorker {
    fn fault(&self, reason: impl std::fmt::Display) -> Error {
        let shapes: Vec<String> = self.inputs.iter().flatten().map(|(shape, _)| shape.to_string()).collect();
        Error::device(
            format!("{} (onnx_runtime)", self.device),
            format!("model {} on {}", self.model, shapes.join(", ")),
            reason.to_string(),
        )
    }
}

impl Session for OrtWorker {
    fn input(&mut self, index: usize, shape: Shape) -> Result<&mut [f32]> {
        let count = self.inputs.len();
        let Some(input) = self.inputs.get_mut(index) else {
            return Err(Error::internal("onnx_runtime input", format!("input {index} of {count}")));
        };
        if input.as_ref().is_none_or(|(known, _)| *known != shape) {
            *input = None; // given back first
            let dims: Vec<i64> = shape.dims().iter().map(|&d| d as i64).collect();
            let made = Tensor::new(&self.memory, dims).map_err(|e| self.fault(e))?;
            self.inputs[index] = Some((shape, made));
        }
        match &mut self.inputs[index] {
            Some((shape, tensor)) if shape.elements() > 0 => Ok(tensor.extract_tensor_mut().1),
            _ => Ok(&mut []),
        }
    }

    fn run(&mut self) -> Result<()> {
        self.outputs.clear(); // given back before the run, which can then use them again
        let inputs = self.inputs.iter().map(|input| input.as_ref().map(|(_, tensor)| tensor));
        let inputs: Vec<_> = inputs.collect::<Option<_>>().ok_or_else(|| self.fault("an input was not lent"))?;
        self.outputs = self.session.run(&inputs).map_err(|e| self.fault(e))?;
        Ok(())
    }

    fn rest(&mut self) {
        self.inputs.fill_with(|| None);
        self.outputs.clear();
    }

    fn output(&self, index: usize) -> Result<TensorRef<'_>> {
        let value = self.outputs.get(index).ok_or_else(|| self.fault(format!("output {index} of {}", self.outputs.len())))?;
        let dims = |shape: &ort::value::Shape| {
            let dims: Vec<usize> = shape.iter().map(|&d| d as usize).collect();
            Shape::try_from_slice(&dims)
        };
        if let Ok((shape, data)) = value.try_extract_tensor::<f32>() {
            return Ok(TensorRef { shape: dims(shape)?, data: Data::F32(data) });
        }
        if let Ok((shape, data)) = value.try_extract_tensor::<i32>() {
            return Ok(TensorRef { shape: dims(shape)?, data: Data::I32(data) });
        }
        let (shape, data) = value.try_extract_tensor::<i64>().map_err(|e| self.fault(e))?;
        Ok(TensorRef { shape: dims(shape)?, data: Data::I64(data) })
    }
}

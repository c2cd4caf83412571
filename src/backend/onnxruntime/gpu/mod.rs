//! Networks on a GPU by ONNX Runtime's CUDA provider: inputs and outputs are bound where they lie, and the library works in the
//! stream of its session, in order with the operations around it. A provider that does not load is an error; the processor is
//! never taken in its place. Not run on hardware yet.
//!
//! Runs are not recorded as CUDA graphs, as those of TensorRT are. The provider's own recording (`enable_cuda_graph`) forbids
//! every thread of the process what is unsafe while one records (`cudaStreamCaptureModeGlobal`), keeps a graph for each thread,
//! waits for the stream after each launch, and ends the process where a recording fails; recording its runs from outside ends the
//! process in 1.31 (microsoft/onnxruntime, pull request 32081: an allocation of pinned memory is freed within the run).

mod ffi;

use crate::backend::rewrite::Graph;
use crate::backend::{BackendName, Engine, EngineSpec, GpuSession, IoSpec, LoadOptions, Onnx, RunInfo, Session};
use crate::device::{DeviceBuffer, DeviceSliceMut, Gpu, Stream};
use crate::error::{Error, Result};
use crate::tensor::device::DeviceTensor;
use crate::tensor::{Shape, TensorRef};
use ort::environment::Environment;
use ort::ep::ArenaExtendStrategy;
use ort::ep::cuda::ConvAlgorithmSearch;
use ort::session::Session as OrtSession;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Outlet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Sessions at one time: while one waits for its results the others keep the device busy.
const SESSIONS: usize = 3;

/// Where networks run.
pub(super) struct Target {
    pub gpu: Arc<Gpu>,
    /// Libraries of CUDA that the provider finds only once they are loaded.
    pub before: Vec<PathBuf>,
    /// Whether that is an emulation in the memory of the host, on which the library's provider for processors works.
    pub emulated: bool,
}

/// Loads a network.
pub(super) fn load(
    environment: &Environment,
    version: &str,
    target: &Target,
    options: &LoadOptions,
    graph: Graph,
) -> Result<Arc<dyn Engine>> {
    for library in &target.before {
        ffi::keep_loaded(library).map_err(|reason| unusable(&target.gpu, &options.model, reason))?;
    }
    let (gpu, emulated) = (target.gpu.clone(), target.emulated);
    let recipe = Recipe { environment: environment.clone(), gpu, emulated, onnx: graph.onnx.clone(), model: options.model.clone() };
    // The first shows what the network has, and whether all of this works at all.
    let first = recipe.commit()?;
    let session = &first.session;
    let specs = |outlets: &[Outlet]| outlets.iter().map(|o| super::spec_of(&options.model, o)).collect::<Result<Vec<_>>>();
    let io = graph.io(IoSpec { inputs: specs(session.inputs())?, outputs: specs(session.outputs())? });
    io.require_float_inputs(BackendName::OnnxRuntime, &options.model)?;
    let info = RunInfo::new(&options.model, BackendName::OnnxRuntime, version, &target.gpu);
    let info = RunInfo { precision: options.precision, ..info };
    let first = Mutex::new(Some(first));
    Ok(Arc::new(CudaEngine { recipe, first, spec: EngineSpec { io, info, output: graph.output } }))
}

fn unusable(gpu: &Gpu, model: &str, reason: impl std::fmt::Display) -> Error {
    let next_step = "run `hpinfer runtime install gpu`, see `hpinfer doctor --device gpu`, or use --device cpu";
    Error::backend("onnx_runtime", format!("model {model} on {gpu}: {reason}"), next_step)
}

/// How a session is made.
struct Recipe {
    environment: Environment,
    gpu: Arc<Gpu>,
    emulated: bool,
    onnx: Onnx,
    model: String,
}

impl Recipe {
    /// A session that works in a stream of its own.
    fn commit(&self) -> Result<Committed> {
        let stream = Stream::new(&self.gpu)?;
        let cuda = ort::ep::CUDA::default()
            .with_device_id(self.gpu.info().number as i32)
            // Lines and pages bring new shapes for ever, and at each change the library plans every convolution anew: by rules in some
            // milliseconds, by a search over all algorithms in seconds. What it calls its default gives much slower kernels.
            .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic)
            // As much as is asked for: several sessions share the memory with TensorRT and our own pools.
            .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
            // float32 throughout, as on the processor.
            .with_tf32(false);
        let provider = (!self.emulated).then(|| ffi::in_stream(cuda, &stream).build().error_on_failure());
        let built = || -> ort::Result<OrtSession> {
            let mut builder = OrtSession::builder(&self.environment)?
                .with_optimization_level(GraphOptimizationLevel::All)?
                .with_intra_threads(1)?
                .with_inter_threads(1)?
                .with_memory_pattern(false)?
                // Weights in the arena would keep its memory from being given back.
                .with_config_entry("session.use_device_allocator_for_initializers", "1")?
                .with_execution_providers(provider.as_slice())?;
            match &self.onnx {
                Onnx::File(path) => builder.commit_from_file(path),
                Onnx::Bytes(bytes) => builder.commit_from_memory(bytes),
            }
        };
        let _loading = self.gpu.for_loading();
        let session = built().map_err(|e| unusable(&self.gpu, &self.model, e))?;
        Ok(Committed { session, stream })
    }
}

/// A session and its stream, which has to outlive it: the fields go in this order.
struct Committed {
    session: OrtSession,
    stream: Stream,
}

struct CudaEngine {
    recipe: Recipe,
    /// Made when the network was loaded; the first worker takes it.
    first: Mutex<Option<Committed>>,
    spec: EngineSpec,
}

impl Engine for CudaEngine {
    fn spec(&self) -> &EngineSpec {
        &self.spec
    }

    fn session(&self) -> Result<Box<dyn Session>> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Committed { session, stream } = match first {
            Some(first) => first,
            None => self.recipe.commit()?,
        };
        let Recipe { gpu, emulated, .. } = &self.recipe;
        let number = (!emulated).then(|| gpu.info().number);
        let types = self.spec.io.outputs.iter().map(|output| output.dtype).collect();
        let bound = ffi::Bound::new(session, number, types).map_err(|e| unusable(gpu, &self.spec.info.model, e))?;
        let inputs: Vec<_> = self.spec.io.inputs.iter().map(|_| None).collect();
        let (waits, model) = (*emulated || inputs.len() > 1, self.spec.info.model.clone());
        Ok(Box::new(CudaSession { bound, inputs, waits, changed: true, stream, model }))
    }

    fn most_sessions(&self) -> usize {
        SESSIONS
    }
}

/// A session with the memory of its inputs. The fields go in this order: the library's part before what it uses.
struct CudaSession {
    bound: ffi::Bound,
    inputs: Vec<Option<(Shape, DeviceBuffer<f32>)>>,
    /// Whether the library may read an input on the host before our work on it is done: it takes there what it wants there, as the
    /// scale of a detector.
    waits: bool,
    /// Whether an input has another shape than in the run before.
    changed: bool,
    stream: Stream,
    model: String,
}

impl CudaSession {
    fn fault(&self, reason: impl std::fmt::Display) -> Error {
        let shapes: Vec<String> = self.inputs.iter().flatten().map(|(shape, _)| shape.to_string()).collect();
        let device = format!("{} (onnx_runtime)", self.stream.gpu());
        Error::device(device, format!("model {} on {}", self.model, shapes.join(", ")), reason.to_string())
    }
}

impl GpuSession for CudaSession {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn input(&mut self, index: usize, shape: Shape) -> Result<DeviceSliceMut<'_, f32>> {
        let count = self.inputs.len();
        let Some(input) = self.inputs.get_mut(index) else {
            return Err(Error::internal("onnx_runtime input", format!("input {index} of {count}")));
        };
        let elements = shape.elements();
        self.changed |= input.as_ref().is_none_or(|(known, _)| *known != shape);
        if input.as_ref().is_none_or(|(_, buffer)| buffer.len() < elements) {
            *input = None; // its memory is free for another use
            *input = Some((shape, self.stream.alloc(elements)?));
        }
        match input {
            Some((known, buffer)) => {
                *known = shape;
                buffer.slice_mut().split_off(elements)
            }
            None => Err(Error::internal("onnx_runtime input", "no memory")),
        }
    }

    fn run(&mut self) -> Result<()> {
        let inputs: Option<Vec<_>> =
            self.inputs.iter().map(|input| input.as_ref().map(|(shape, buffer)| (*shape, buffer.slice()))).collect();
        let inputs = inputs.ok_or_else(|| self.fault("an input was not filled"))?;
        if self.waits {
            self.stream.wait()?;
        }
        // The arena grows with every new shape, and by itself gives nothing back.
        let shrink = std::mem::take(&mut self.changed) && self.stream.gpu().is_scarce();
        let ran = self.bound.run(&inputs, shrink).or_else(|reason| {
            tracing::debug!("{}: once more, with the memory that nobody uses: {reason}", self.model);
            self.stream.gpu().trim();
            self.bound.run(&inputs, false)
        });
        ran.map_err(|e| self.fault(e))
    }

    fn outputs(&mut self, count: usize) -> Result<Vec<DeviceTensor<'_>>> {
        (0..count).map(|index| self.bound.output(index).map_err(|e| self.fault(e))).collect()
    }
}

/// The host's side of the seam, which is not to be had on a GPU.
impl Session for CudaSession {
    fn input(&mut self, _index: usize, _shape: Shape) -> Result<&mut [f32]> {
        Err(self.fault("its inputs are in device memory, not in host memory"))
    }

    fn run(&mut self) -> Result<()> {
        GpuSession::run(self)
    }

    fn output(&self, _index: usize) -> Result<TensorRef<'_>> {
        Err(self.fault("its outputs are in device memory, not in host memory"))
    }

    fn on_gpu(&mut self) -> Option<&mut dyn GpuSession> {
        Some(self)
    }
}

//! Paddle Inference, the engine the models were made with and so the one the others are compared with.
//!
//! It runs in a child process per session, on tensors in shared memory. Its library is an extension module of CPython,
//! without a C interface: in this process it would need libpython of its own minor version among the global symbols, its
//! copies of OpenMP, oneDNN and OpenVINO beside ours, and a C++ shim against declarations of our own; and what goes wrong in
//! it ends the process. A child needs none of that: a crash is the error of one run, and its session is
//! given up for a new one with a child of its own. The price is a second to start, 0.3 GB per session before the weights, and
//! one copy of inputs and outputs.
//!
//! The same kind of child converts Paddle's formats to ONNX ([`convert`]), and finds out whether OpenVINO reads a program (`trial`).

mod child;
pub mod convert;
mod ffi;
mod params;
mod program;
mod region;
pub(super) mod trial;
mod verdict;
mod worker;

pub use program::{PaddleFiles, read_io};

use super::{Backend, BackendName, Engine, EngineSpec, Format, IoSpec, LoadOptions, Precision, RunInfo, Session, TensorSpec};
use crate::device::available_memory;
use crate::error::{Error, Result};
use crate::onnx::OutputKind;
use crate::runtime::PaddleRuntime;
use crate::tensor::{Data, Shape, TensorRef};
use child::Fault;
use region::Region;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use worker::{Names, Place, Start, Worker};

/// Whether Paddle Inference uses oneDNN, in PaddleX's terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaddleRunMode {
    /// Its own kernels. oneDNN does not run every program of paddlepaddle 3.3.1: one with lists of float64 attributes,
    /// as every text detector has, is refused.
    #[default]
    Paddle,
    /// oneDNN, which is about three times as fast where it runs.
    Mkldnn,
}

/// A network in Paddle's own format, and how Paddle Inference runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaddleProgram {
    /// The files.
    pub files: PaddleFiles,
    /// With or without oneDNN.
    pub run_mode: PaddleRunMode,
}

impl From<PaddleFiles> for PaddleProgram {
    fn from(files: PaddleFiles) -> Self {
        Self { files, run_mode: PaddleRunMode::default() }
    }
}

/// Paddle Inference, ready to be started.
pub struct PaddleInfer {
    runtime: PaddleRuntime,
}

impl PaddleInfer {
    /// The engine of `runtime`. Nothing is started yet.
    pub fn new(runtime: PaddleRuntime) -> Self {
        Self { runtime }
    }
}

impl Backend for PaddleInfer {
    fn name(&self) -> BackendName {
        BackendName::PaddleInfer
    }

    fn load(&self, options: &LoadOptions) -> Result<Arc<dyn Engine>> {
        if options.precision != Precision::Float32 {
            let next_step = "leave the precision out, or choose openvino";
            return Err(Error::backend("paddle_infer", format!("{} is not offered", options.precision), next_step));
        }
        let Some(PaddleProgram { files, run_mode }) = &options.paddle else {
            let reason = format!("model {} is there as ONNX only", options.model);
            return Err(Error::backend("paddle_infer", reason, "name a folder with the model in Paddle's format, or choose onnx_runtime"));
        };
        let io = read_io(files.require_program()?)?;
        io.require_float_inputs(self.name(), &options.model)?;
        let start = Start {
            runtime: self.runtime.clone(),
            files: files.clone(),
            mode: *run_mode,
            threads: options.parallelism.threads_per_stream,
            model: options.model.clone(),
        };
        let (worker, names) = Worker::start(&start)?;
        let format = if files.pir.is_some() { Format::Pir } else { Format::Pdmodel };
        let info = RunInfo { format, ..RunInfo::new(&options.model, BackendName::PaddleInfer, self.runtime.version, "cpu") };
        let spec = EngineSpec { io: in_order(io, names)?, info, output: OutputKind::Original };
        Ok(Arc::new(PaddleEngine { start: Arc::new(start), spec, first: Mutex::new(Some(worker)) }))
    }
}

/// Inputs and outputs as the engine orders them.
fn in_order(mut io: IoSpec, names: Names) -> Result<IoSpec> {
    let sort = |specs: &mut Vec<TensorSpec>, names: Vec<String>| {
        let take = |name: String| {
            let at = specs.iter().position(|spec| spec.name == name);
            let at = at.ok_or_else(|| Error::internal("paddle program", format!("the engine has `{name}`, which the program has not")))?;
            Ok(specs.swap_remove(at))
        };
        names.into_iter().map(take).collect::<Result<Vec<_>>>()
    };
    Ok(IoSpec { inputs: sort(&mut io.inputs, names.inputs)?, outputs: sort(&mut io.outputs, names.outputs)? })
}

/// Memory of a process before its weights, and how often it holds those.
const PROCESS_BYTES: u64 = 300 << 20;
const COPIES_OF_WEIGHTS: u64 = 2;

struct PaddleEngine {
    start: Arc<Start>,
    spec: EngineSpec,
    /// The worker that showed that the network loads, for the first session.
    first: Mutex<Option<Worker>>,
}

impl Engine for PaddleEngine {
    fn spec(&self) -> &EngineSpec {
        &self.spec
    }

    /// As many processes as an eighth of the memory holds: a pipeline has several such engines.
    fn most_sessions(&self) -> usize {
        let weights = self.start.files.params.metadata().map_or(0, |meta| meta.len());
        available_memory().map_or(usize::MAX, |bytes| (bytes / 8 / (PROCESS_BYTES + COPIES_OF_WEIGHTS * weights)).max(1) as usize)
    }

    fn session(&self) -> Result<Box<dyn Session>> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let inputs = self.spec.io.inputs.iter().map(|_| Region::new()).collect::<Result<Vec<_>>>()?;
        let shapes = vec![Shape::new(&[0]); self.spec.io.inputs.len()];
        let (mut worker, results) = (first.map_or_else(|| Worker::start(&self.start).map(|(worker, _)| worker), Ok)?, Region::new()?);
        worker.share(&inputs, &results).map_err(|e| fault(&self.start.model, &shapes, e.reason()))?;
        Ok(Box::new(PaddleSession { start: self.start.clone(), worker, inputs, shapes, results, places: Vec::new() }))
    }
}

struct PaddleSession {
    start: Arc<Start>,
    worker: Worker,
    inputs: Vec<Region>,
    shapes: Vec<Shape>,
    results: Region,
    places: Vec<Place>,
}

impl PaddleSession {
    fn fault(&self, reason: impl std::fmt::Display) -> Error {
        fault(&self.start.model, &self.shapes, reason)
    }
}

fn fault(model: &str, shapes: &[Shape], reason: impl std::fmt::Display) -> Error {
    let shapes: Vec<String> = shapes.iter().map(ToString::to_string).collect();
    Error::device("cpu (paddle_infer)", format!("model {model} on {}", shapes.join(", ")), reason.to_string())
}

impl Session for PaddleSession {
    fn input(&mut self, index: usize, shape: Shape) -> Result<&mut [f32]> {
        let count = self.inputs.len();
        let Some(region) = self.inputs.get_mut(index) else {
            return Err(Error::internal("paddle_infer input", format!("input {index} of {count}")));
        };
        self.shapes[index] = shape;
        let bytes = region.bytes_mut(shape.elements() * size_of::<f32>())?;
        bytemuck::try_cast_slice_mut(bytes).map_err(|e| Error::internal("paddle_infer input", e.to_string()))
    }

    fn run(&mut self) -> Result<()> {
        self.places.clear();
        let shapes: Vec<&[usize]> = self.shapes.iter().map(Shape::dims).collect();
        self.places = self.worker.run(&shapes).map_err(|e| match e {
            Fault::Refused(reason) => self.fault(reason),
            Fault::Lost(reason) | Fault::Crashed(reason) => self.fault(format!("its process was lost: {reason}")),
        })?;
        let ends = self.places.iter().map(|place| place.range(&self.start.model).map(|range| range.end));
        let end = ends.collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or(0);
        self.results.refresh(end)
    }

    fn output(&self, index: usize) -> Result<TensorRef<'_>> {
        let place = self.places.get(index).ok_or_else(|| self.fault(format!("output {index} of {}", self.places.len())))?;
        let odd = |e: bytemuck::PodCastError| Error::internal("paddle_infer output", e.to_string());
        let bytes = self.results.bytes().get(place.range(&self.start.model)?);
        let bytes = bytes.ok_or_else(|| Error::internal("paddle_infer output", "it lies outside the shared memory"))?;
        let data = match place.dtype.as_str() {
            "float32" => Data::F32(bytemuck::try_cast_slice(bytes).map_err(odd)?),
            "int32" => Data::I32(bytemuck::try_cast_slice(bytes).map_err(odd)?),
            _ => Data::I64(bytemuck::try_cast_slice(bytes).map_err(odd)?), // the range has refused all others
        };
        Ok(TensorRef { shape: Shape::try_from_slice(&place.shape)?, data })
    }
}

//! TensorRT behind the common seam. An engine is shared; every session has a context, a stream, scratch memory and buffers of
//! its own. Addresses are bound when a buffer grows and shapes set when they change: a run on the shapes of the run
//! before is transfers and one call, and allocates nothing.

use super::builder::{Builder, Made, Source};
use super::cache::EngineCache;
use super::ffi::{Context, Element, Engine, Io, Stream};
use super::find;
use super::memory::{Memory, memory_of};
use super::profile::Profiles;
use super::recipe::{self, FixedSize, Recipe};
use crate::backend::{self, Backend, BackendName, IoSpec, LoadOptions, Precision, RunInfo, TensorSpec};
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::onnx::{Model, OutputKind};
use crate::tensor::{DType, Data, Shape, TensorRef};
use std::sync::Arc;

/// TensorRT on one device.
pub struct TensorRt {
    builder: Builder,
    memory: Arc<dyn Memory>,
}

impl TensorRt {
    /// TensorRT as it is found on this machine, with engines kept in `cache`.
    ///
    /// # Errors
    /// [`Error::Backend`] that says why it cannot be used.
    pub fn open(cache: Cache) -> Result<Self> {
        let builder = Builder::new(find::open(None)?, 0, EngineCache::new(cache))?;
        let memory = memory_of(builder.library())?;
        Ok(Self { builder, memory })
    }

    /// Engines of `builder` that work on `memory`.
    pub fn new(builder: Builder, memory: Arc<dyn Memory>) -> Self {
        Self { builder, memory }
    }

    /// Loads or builds the engine of a model by a recipe. `size` is what the model's specification says of its inputs.
    ///
    /// # Errors
    /// [`Error::Backend`] with what the library said; [`Error::Config`] for a recipe that does not fit.
    pub fn load_with(&self, options: &LoadOptions, recipe: &Recipe, size: FixedSize) -> Result<Arc<dyn backend::Engine>> {
        if options.precision != Precision::Float32 {
            let reason = format!("{} is not to be had from TensorRT here", options.precision);
            return Err(Error::backend("tensorrt", reason, "leave the precision out"));
        }
        let onnx = options.require_onnx(BackendName::TensorRt)?;
        let model = match onnx {
            backend::Onnx::File(path) => Model::read(path)?,
            backend::Onnx::Bytes(bytes) => Model::decode(bytes, &options.model)?,
        };
        let build = recipe.options_for(&recipe::inputs(&model), size, &options.shapes)?;
        drop(model);
        let source = Source { model: options.model.clone(), onnx: onnx.clone(), sha256: options.model_sha256.clone() };
        let made = self.builder.engine(&source, &build, &options.precision.to_string(), &[])?;
        tracing::info!(
            "{}: TensorRT engine {:?}, {}, {} profiles",
            options.model,
            made.origin,
            made.file.as_ref().map_or("in memory".into(), |f| f.display().to_string()),
            made.engine.profiles()
        );
        Ok(Arc::new(Loaded::new(self, &options.model, made)?))
    }
}

impl Backend for TensorRt {
    fn name(&self) -> BackendName {
        BackendName::TensorRt
    }

    fn load(&self, options: &LoadOptions) -> Result<Arc<dyn backend::Engine>> {
        self.load_with(options, &Recipe::for_module("any")?, FixedSize::default())
    }
}

struct Loaded {
    engine: Arc<Engine>,
    memory: Arc<dyn Memory>,
    io: IoSpec,
    info: RunInfo,
}

impl Loaded {
    fn new(backend: &TensorRt, model: &str, made: Made) -> Result<Self> {
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
        let info = RunInfo {
            model: model.to_owned(),
            backend: BackendName::TensorRt,
            version: made.key.library.clone(),
            device: backend.memory.device(),
            precision: Precision::Float32,
        };
        Ok(Self { engine: made.engine, memory: backend.memory.clone(), io, info })
    }
}

impl backend::Engine for Loaded {
    fn io(&self) -> &IoSpec {
        &self.io
    }

    fn info(&self) -> &RunInfo {
        &self.info
    }

    fn output_kind(&self) -> &OutputKind {
        &OutputKind::Original
    }

    fn session(&self) -> Result<Box<dyn backend::Session>> {
        Ok(Box::new(Worker::new(&self.engine, &self.memory, &self.info.model)?))
    }
}

/// An input or output of a session.
struct Tensor {
    /// Its index among all tensors of the engine.
    place: usize,
    dtype: Element,
    shape: Shape,
}

impl Tensor {
    fn bytes(&self) -> usize {
        self.shape.elements() * self.dtype.bytes()
    }
}

/// A session: one run at a time.
pub(super) struct Worker {
    context: Context,
    memory: Arc<dyn Memory>,
    stream: Stream,
    profiles: Profiles,
    model: String,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    /// The profile in use.
    profile: Option<usize>,
    /// Whether an input has another shape than in the run before.
    changed: bool,
}

impl Worker {
    /// A session of an engine on `memory`.
    pub(super) fn new(engine: &Arc<Engine>, memory: &Arc<dyn Memory>, model: &str) -> Result<Self> {
        let scratch = engine.scratch_bytes().map(|bytes| memory.buffer(bytes)).transpose()?;
        let tensors = |inputs: bool| {
            let places = engine.io().iter().enumerate().filter(|(_, io)| io.is_input == inputs);
            places.map(|(place, io)| Tensor { place, dtype: io.dtype.unwrap_or(Element::F32), shape: Shape::new(&[0]) }).collect()
        };
        Ok(Self {
            context: engine.context(scratch)?,
            stream: memory.stream()?,
            memory: memory.clone(),
            profiles: Profiles::of(engine),
            model: model.to_owned(),
            inputs: tensors(true),
            outputs: tensors(false),
            profile: None,
            changed: true,
        })
    }

    /// Sets shapes and gets memory for outputs.
    fn prepare(&mut self) -> Result<()> {
        let shapes = self.inputs.iter().map(|t| &t.shape);
        let Some(profile) = self.profiles.choose(shapes.clone()) else {
            let shapes = shapes.map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let reason = format!("model {}: the engine takes inputs of {}, not of {shapes}", self.model, self.profiles.describe());
            return Err(Error::backend("tensorrt", reason, "run these on another backend, or widen the recipe"));
        };
        if self.profile != Some(profile) {
            self.context.set_profile(profile, self.stream)?;
            self.profile = Some(profile);
        }
        for tensor in &self.inputs {
            self.context.set_shape(tensor.place, tensor.shape.dims())?;
        }
        self.context.infer_shapes()?;
        for tensor in &mut self.outputs {
            let dims: Option<Vec<usize>> = self.context.shape(tensor.place)?.into_iter().collect();
            let dims = dims.ok_or_else(|| Error::internal("tensorrt", "an output has no size before the run"))?;
            tensor.shape = Shape::try_from_slice(&dims)?;
            grow(&mut self.context, &*self.memory, tensor)?;
        }
        self.context.prepare()?;
        self.changed = false;
        Ok(())
    }
}

/// Binds larger memory to a tensor where what it has is too small.
fn grow(context: &mut Context, memory: &dyn Memory, tensor: &Tensor) -> Result<()> {
    if context.buffer(tensor.place).is_none_or(|b| b.bytes() < tensor.bytes()) {
        context.bind(tensor.place, memory.buffer(tensor.bytes())?)?;
    }
    Ok(())
}

impl backend::Session for Worker {
    fn input(&mut self, index: usize, shape: Shape) -> Result<&mut [f32]> {
        let count = self.inputs.len();
        let Some(tensor) = self.inputs.get_mut(index) else {
            return Err(Error::internal("tensorrt input", format!("input {index} of {count}")));
        };
        if tensor.shape != shape {
            tensor.shape = shape;
            self.changed = true;
            grow(&mut self.context, &*self.memory, tensor)?;
        }
        let bytes = tensor.bytes();
        let place = tensor.place;
        let buffer = self.context.buffer_mut(place).ok_or_else(|| Error::internal("tensorrt input", "no memory"))?;
        Ok(bytemuck::cast_slice_mut(&mut buffer.host_mut()[..bytes]))
    }

    fn run(&mut self) -> Result<()> {
        if self.changed {
            self.prepare()?;
        }
        for tensor in &self.inputs {
            if let Some(buffer) = self.context.buffer_mut(tensor.place) {
                buffer.upload(tensor.bytes(), self.stream)?;
            }
        }
        let ran = self.context.enqueue(self.stream);
        if ran.is_err() {
            self.changed = true; // everything is set anew before the next run
            self.profile = None;
        }
        ran?;
        for tensor in &self.outputs {
            if let Some(buffer) = self.context.buffer_mut(tensor.place) {
                buffer.download(tensor.bytes(), self.stream)?;
            }
        }
        self.memory.wait(self.stream)
    }

    fn output(&self, index: usize) -> Result<TensorRef<'_>> {
        let found = self.outputs.get(index).and_then(|tensor| Some((tensor, self.context.buffer(tensor.place)?)));
        let Some((tensor, buffer)) = found else {
            return Err(Error::internal("tensorrt output", format!("output {index} of {}, or no run yet", self.outputs.len())));
        };
        let bytes = &buffer.host()[..tensor.bytes()];
        let data = match tensor.dtype {
            Element::I32 => Data::I32(bytemuck::cast_slice(bytes)),
            Element::I64 => Data::I64(bytemuck::cast_slice(bytes)),
            _ => Data::F32(bytemuck::cast_slice(bytes)),
        };
        Ok(TensorRef { shape: tensor.shape, data })
    }
}

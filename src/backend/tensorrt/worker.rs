//! A session: a context with a stream, scratch memory and buffers of its own, from the start those for the usual shapes. Addresses are bound when a buffer grows and shapes
//! set when they change: a run on the shapes of the run before is one call, and allocates nothing.

use super::ffi::{Context, Element, Engine, Twin};
use super::memory::{Buffer, HostMemory, Memory};
use super::profile::Profiles;
use crate::backend::Session;
use crate::device::Stream;
use crate::error::{Error, Result};
use crate::tensor::{Data, Shape, TensorRef};
use std::sync::Arc;

/// An input or output of a session.
pub(super) struct Tensor {
    /// Its index among all tensors of the engine.
    place: usize,
    pub(super) dtype: Element,
    /// What it has now.
    pub shape: Shape,
}

impl Tensor {
    pub fn bytes(&self) -> usize {
        self.shape.elements() * self.dtype.bytes()
    }
}

/// One run at a time on memory `M`.
pub(super) struct Worker<M: Memory> {
    context: Context<M::Buffer>,
    memory: M,
    profiles: Profiles,
    model: String,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    /// The profile in use.
    profile: Option<usize>,
    /// Whether an input has another shape than in the run before.
    changed: bool,
}

impl<M: Memory> Worker<M> {
    /// A session of an engine on `memory`.
    pub(super) fn new(engine: &Arc<Engine>, memory: M, model: &str) -> Result<Self> {
        memory.enter()?;
        let tensors = |inputs: bool| {
            let places = engine.io().iter().enumerate().filter(|(_, io)| io.is_input == inputs);
            places.map(|(place, io)| Tensor { place, dtype: io.dtype.unwrap_or(Element::F32), shape: Shape::new(&[0]) }).collect()
        };
        let mut worker = Self {
            // SAFETY: `Memory` makes what it says, on the device of the engine; what is lent is filled; workers settle before they go.
            context: unsafe { engine.context() }?,
            memory,
            profiles: Profiles::of(engine),
            model: model.to_owned(),
            inputs: tensors(true),
            outputs: tensors(false),
            profile: None,
            changed: true,
        };
        worker.reserve();
        Ok(worker)
    }

    /// Gets memory for the usual shapes of the first profile, so that the first run finds it. Where there is too little, the run that
    /// needs it says so.
    fn reserve(&mut self) {
        let Some(usual) = self.profiles.usual(self.inputs.len()) else { return };
        let lent = usual.into_iter().enumerate().try_for_each(|(index, shape)| self.lend(index, shape).map(drop));
        if let Err(e) = lent.and_then(|()| self.prepare()) {
            tracing::debug!("{}: memory comes with the first run: {e}", self.model);
        }
        // Nothing was lent and nothing ran.
        self.inputs.iter_mut().chain(&mut self.outputs).for_each(|tensor| tensor.shape = Shape::new(&[0]));
        self.profile = None;
        self.changed = true;
    }

    /// The buffer of input `index`, at least as large as `shape` needs, and the bytes of that.
    pub(super) fn lend(&mut self, index: usize, shape: Shape) -> Result<(&mut M::Buffer, usize)> {
        let count = self.inputs.len();
        let Some(tensor) = self.inputs.get_mut(index) else {
            return Err(Error::internal("tensorrt input", format!("input {index} of {count}")));
        };
        if tensor.shape != shape {
            self.changed = true;
            // Without memory it has no shape, and the next call asks for memory again.
            tensor.shape = shape;
            grow(&mut self.context, &self.memory, tensor).inspect_err(|_| tensor.shape = Shape::new(&[0]))?;
        }
        let bytes = tensor.bytes();
        let buffer = self.context.buffer_mut(tensor.place).ok_or_else(|| Error::internal("tensorrt input", "no memory"))?;
        Ok((buffer, bytes))
    }

    /// Puts a run into the stream.
    pub(super) fn enqueue(&mut self) -> Result<()> {
        self.memory.enter()?;
        if self.changed {
            self.prepare()?;
        }
        let ran = self.context.enqueue(self.memory.stream()).and_then(|()| self.learn_late());
        if ran.is_err() {
            self.changed = true; // everything is set anew before the next run
            self.profile = None;
        }
        ran
    }

    /// Waits until nothing runs: the library wants no context destroyed before. A fault was told where it happened.
    pub(super) fn settle(&self) {
        let _ = self.memory.wait();
    }

    /// Sets shapes and gets memory for outputs.
    fn prepare(&mut self) -> Result<()> {
        let shapes = self.inputs.iter().map(|t| &t.shape);
        let Some(profile) = self.profiles.choose(shapes.clone()) else {
            let reason = format!("model {}: {}", self.model, self.profiles.refusal(shapes));
            let next_step = "choose onnx_runtime for these, or state wider dynamic_shapes for tensorrt in hpi_config";
            return Err(Error::backend("tensorrt", reason, next_step));
        };
        if self.profile != Some(profile) {
            self.context.set_profile(profile, self.memory.stream())?;
            self.profile = Some(profile);
        }
        for tensor in &self.inputs {
            self.context.set_shape(tensor.place, tensor.shape.dims())?;
        }
        self.context.infer_shapes()?;
        for tensor in &mut self.outputs {
            match self.context.shape(tensor.place)?.into_iter().collect::<Option<Vec<usize>>>() {
                Some(dims) => {
                    tensor.shape = Shape::try_from_slice(&dims)?;
                    grow(&mut self.context, &self.memory, tensor)?;
                }
                None => {
                    let memory = self.memory.clone();
                    self.context.make_late(tensor.place, move |bytes| memory.buffer(bytes))?;
                }
            }
        }
        if let Some(needed) = self.context.scratch_needed()
            && self.context.scratch().is_none_or(|scratch| scratch.bytes() < needed)
        {
            self.context.set_scratch(self.memory.buffer(needed)?);
        }
        self.context.prepare()?;
        self.changed = false;
        Ok(())
    }

    /// Takes over the shapes of outputs that were known only when they were there.
    fn learn_late(&mut self) -> Result<()> {
        for (place, dims) in self.context.late() {
            let dims = dims.ok_or_else(|| Error::internal("tensorrt", "an output has no size after the run"))?;
            if let Some(tensor) = self.outputs.iter_mut().find(|tensor| tensor.place == place) {
                tensor.shape = Shape::try_from_slice(&dims)?;
                if self.context.buffer(place).is_none_or(|buffer| buffer.bytes() < tensor.bytes()) {
                    return Err(Error::internal("tensorrt", format!("an output of {dims:?} in less memory than that needs")));
                }
            }
        }
        Ok(())
    }

    /// Output `index` of the last run, and its buffer.
    pub(super) fn found(&self, index: usize) -> Result<(&Tensor, &M::Buffer)> {
        let tensor = self.outputs.get(index).filter(|_| self.profile.is_some());
        let found = tensor.and_then(|tensor| Some((tensor, self.context.buffer(tensor.place)?)));
        found.ok_or_else(|| Error::internal("tensorrt output", format!("output {index} of {}, or no run yet", self.outputs.len())))
    }
}

/// Binds larger memory to a tensor where what it has is too small.
fn grow<M: Memory>(context: &mut Context<M::Buffer>, memory: &M, tensor: &Tensor) -> Result<()> {
    if context.buffer(tensor.place).is_none_or(|b| b.bytes() < tensor.bytes()) {
        context.bind(tensor.place, memory.buffer(tensor.bytes())?)?;
    }
    Ok(())
}

impl<M: Memory> Drop for Worker<M> {
    fn drop(&mut self) {
        self.settle();
    }
}

/// What recording needs.
impl Worker<Stream> {
    pub(super) fn stream(&self) -> &Stream {
        &self.memory
    }

    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// Shapes of the inputs lent last.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &Shape> {
        self.inputs.iter().map(|tensor| &tensor.shape)
    }

    /// Shapes of the outputs of the last run.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &Shape> {
        self.outputs.iter().map(|tensor| &tensor.shape)
    }

    /// Whether a run of the shapes lent last is the same work each time: not where the size of an output depends on data.
    pub(super) fn repeats(&self) -> bool {
        self.context.late().next().is_none()
    }

    /// A context for the shapes of the last run.
    pub(super) fn twin(&mut self) -> Result<Twin> {
        let _loading = self.memory.gpu().for_loading();
        let profile = self.profile.ok_or_else(|| Error::internal("tensorrt", "no run yet"))?;
        self.context.twin(profile, self.memory.stream())
    }

    /// Whether the memory is that of when `twin` was made.
    pub(super) fn shares_memory_with(&self, twin: &Twin) -> bool {
        self.context.shares_memory_with(twin)
    }

    /// Puts a run of `twin`, made for the inputs lent last, into the stream; its outputs have the shapes `outputs`. Whether it was recorded.
    pub(super) fn run_twin(&mut self, twin: &mut Twin, outputs: &[Shape]) -> Result<bool> {
        self.memory.enter()?;
        let was_recorded = self.context.run_twin(twin, &self.memory)?;
        self.outputs.iter_mut().zip(outputs).for_each(|(tensor, shape)| tensor.shape = *shape);
        Ok(was_recorded)
    }
}

impl Session for Worker<HostMemory> {
    fn input(&mut self, index: usize, shape: Shape) -> Result<&mut [f32]> {
        let (buffer, bytes) = self.lend(index, shape)?;
        Ok(bytemuck::cast_slice_mut(&mut buffer.host_mut()[..bytes]))
    }

    fn run(&mut self) -> Result<()> {
        self.enqueue()
    }

    fn output(&self, index: usize) -> Result<TensorRef<'_>> {
        let (tensor, buffer) = self.found(index)?;
        let bytes = &buffer.host()[..tensor.bytes()];
        let data = match tensor.dtype {
            Element::I32 => Data::I32(bytemuck::cast_slice(bytes)),
            Element::I64 => Data::I64(bytemuck::cast_slice(bytes)),
            _ => Data::F32(bytemuck::cast_slice(bytes)),
        };
        Ok(TensorRef { shape: tensor.shape, data })
    }
}

//! Contexts of an engine, which hold shapes, addresses and state of one run at a time, with the memory they work on.

use super::late::Late;
use super::log::{self, LOG};
use super::{Element, Engine, Message};
use crate::backend::tensorrt::memory::Buffer;
use crate::backend::tensorrt::sys::*;
use crate::device::{self, Graph};
use crate::error::{Error, Result};
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::Arc;

impl Engine {
    /// A context without memory. Its scratch memory is the caller's too, unless the library keeps that to itself.
    ///
    /// # Safety
    /// The addresses of every `B` are of memory that the engine reaches, of the size that `B` says, for as long as it lives. What
    /// [`Context::buffer_mut`] lends is filled and not replaced. Streams are null or of the device, and nothing that was put into one
    /// runs any more when the context or a [`Twin`] of it goes.
    pub unsafe fn context<B: Buffer>(self: &Arc<Self>) -> Result<Context<B>> {
        let core = self.core(self.scratch_bytes().is_some())?;
        Ok(Context { core, buffers: self.io.iter().map(|_| None).collect(), late: Vec::new(), scratch: None, ready: false })
    }

    /// A context without memory; `user_scratch`: nor scratch memory of its own.
    fn core(self: &Arc<Self>, user_scratch: bool) -> Result<Core> {
        let _call = LOG.call();
        let mut raw = ptr::null_mut();
        let mut message = Message::default();
        // SAFETY: the engine is alive, and the context keeps it so.
        let status = unsafe { trs_context_new(self.raw.as_ptr(), user_scratch.into(), &mut raw, message.start(), Message::ROOM) };
        match NonNull::new(raw).filter(|_| status == TRS_OK) {
            Some(raw) => Ok(Core { raw, engine: self.clone() }),
            None => {
                let next_step = "free memory of the device, or choose onnx_runtime";
                Err(Error::backend("tensorrt", LOG.explain(&message.text()), next_step))
            }
        }
    }
}

/// A context of the library: shapes, addresses and state of one run at a time.
struct Core {
    raw: NonNull<trs_context>,
    engine: Arc<Engine>,
}

// SAFETY: a context may move between threads; exclusive references keep it to one at a time.
unsafe impl Send for Core {}

/// Memory by its address.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Span {
    address: *mut c_void,
    bytes: usize,
}

// SAFETY: this is its name only.
unsafe impl Send for Span {}

impl Span {
    fn of(buffer: &impl Buffer) -> Self {
        Self { address: buffer.address(), bytes: buffer.bytes() }
    }
}

impl Core {
    /// For a call of this thread, whose log lines are its own.
    fn raw(&self) -> *mut trs_context {
        log::calls();
        self.raw.as_ptr()
    }

    /// Bytes of scratch memory that runs of the present shapes need; `None` where the library keeps it to itself. Without the
    /// question a context needs what does for all shapes; after it, it has to be told anew where its scratch memory is.
    fn scratch_needed(&mut self) -> Option<usize> {
        let all = self.engine.scratch_bytes()?;
        // SAFETY: the context is alive; the call works out a number.
        let needed = unsafe { trs_context_scratch_needed(self.raw()) };
        Some(if needed == 0 { all } else { needed })
    }

    /// The scratch memory of later runs, which stays while they last: for the present shapes, which are all set.
    fn place_scratch(&mut self, scratch: Option<Span>) -> Result<()> {
        let Some(needed) = self.scratch_needed() else { return Ok(()) };
        let bytes = scratch.map_or(0, |scratch| scratch.bytes);
        if bytes < needed {
            return Err(Error::internal("tensorrt", format!("{bytes} bytes of scratch memory for shapes that need {needed}")));
        }
        scratch.map_or(Ok(()), |scratch| self.set_scratch(scratch))
    }

    fn set_scratch(&self, scratch: Span) -> Result<()> {
        // SAFETY: the memory is as long as stated, and whoever lets the context run sees that it is there.
        let status = unsafe { trs_context_scratch(self.raw(), scratch.address, scratch.bytes as i64) };
        self.check(status, "scratch memory")
    }

    fn set_profile(&mut self, profile: usize, stream: Stream) -> Result<()> {
        // SAFETY: the context is alive; the stream is the caller's, who keeps it for the context's life.
        let status = unsafe { trs_context_profile(self.raw(), profile as i32, stream.0) };
        self.check(status, &format!("profile {profile}"))
    }

    fn set_shape(&mut self, index: usize, dims: &[usize]) -> Result<()> {
        let mut wide = [0; TRS_MAX_RANK as usize];
        if dims.len() > wide.len() {
            return Err(Error::internal("tensorrt shape", format!("rank {}", dims.len())));
        }
        wide.iter_mut().zip(dims).for_each(|(w, d)| *w = *d as i64);
        let name = &self.engine.io[index].name;
        // SAFETY: name and dimensions outlive the call.
        let status = unsafe { trs_context_set_shape(self.raw(), name.as_ptr(), wide.as_ptr(), dims.len() as i32) };
        self.check(status, &format!("input {} of {dims:?}", name.to_string_lossy()))
    }

    /// The memory of a tensor in later runs; whoever lets the context run sees that it is there and large enough.
    fn bind(&mut self, index: usize, address: *mut c_void) -> Result<()> {
        let name = &self.engine.io[index].name;
        // SAFETY: name and context are alive; the address is used by runs only.
        let status = unsafe { trs_context_bind(self.raw(), name.as_ptr(), address) };
        self.check(status, &format!("address of {}", name.to_string_lossy()))
    }

    fn shape(&self, index: usize) -> Result<Vec<Option<usize>>> {
        let (mut dims, mut rank) = ([0; TRS_MAX_RANK as usize], 0);
        let name = &self.engine.io[index].name;
        // SAFETY: the array has room for the greatest rank.
        let status = unsafe { trs_context_shape(self.raw(), name.as_ptr(), dims.as_mut_ptr(), &mut rank) };
        self.check(status, &format!("shape of {}", name.to_string_lossy()))?;
        Ok(dims[..usize::try_from(rank).unwrap_or(0)].iter().map(|&d| usize::try_from(d).ok()).collect())
    }

    /// Runs get the memory of output `index` from `late` and tell it its dimensions; `late` outlives them.
    fn ask<B: Buffer>(&mut self, index: usize, late: &Late<B>) -> Result<()> {
        let name = &self.engine.io[index].name;
        let (memory, shape, user) = late.callbacks();
        // SAFETY: the functions take what `callbacks` gives with them, which `late` keeps as long as runs may call them.
        let status = unsafe { trs_context_output(self.raw(), name.as_ptr(), memory, shape, user) };
        self.check(status, &format!("the memory of {}", name.to_string_lossy()))
    }

    fn infer_shapes(&mut self) -> Result<()> {
        let mut message = Message::default();
        // SAFETY: the context is alive.
        let status = unsafe { trs_context_infer_shapes(self.raw(), message.start(), Message::ROOM) };
        self.check(status, &message.text())
    }

    /// # Safety
    /// All tensors and the scratch memory have memory of the sizes that the present shapes need, until the run is done.
    unsafe fn enqueue(&mut self, stream: Stream) -> Result<()> {
        // SAFETY: the caller's promise.
        let status = unsafe { trs_context_enqueue(self.raw(), stream.0) };
        self.check(status, "run")
    }

    fn check(&self, status: trs_status, what: &str) -> Result<()> {
        match status {
            TRS_OK => Ok(()),
            _ => Err(Error::device("tensorrt", what, LOG.explain("refused"))),
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // SAFETY: freed once; its engine goes after it.
        unsafe { trs_context_free(self.raw.as_ptr()) }
    }
}

/// State of one run at a time, with the memory `B` of its tensors. Runs on `stream`s, which are null or addresses of CUDA streams.
pub struct Context<B: Buffer> {
    /// Before its memory: it goes first.
    core: Core,
    /// Memory of each input and output.
    buffers: Vec<Option<B>>,
    /// Outputs whose size is known only when they are there, by their index. After the core, which may call them.
    late: Vec<(usize, Late<B>)>,
    scratch: Option<B>,
    /// Whether every tensor has memory of the size its present shape needs.
    ready: bool,
}

/// A CUDA stream by address; null is the default stream, and the only one a test double knows by itself.
#[derive(Clone, Copy, Debug)]
pub struct Stream(pub *mut c_void);

// SAFETY: a stream may be used by any thread; this is its name only.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

/// A context for one set of shapes on the memory of another. What a run of it puts into a stream can be recorded: that depends
/// on the state of its context, which nobody changes.
pub struct Twin {
    graph: Option<Graph>,
    core: Core,
    /// Memory of every tensor, and scratch memory.
    memory: Vec<Option<Span>>,
    /// Whether it has run: the library wants one run before the one that is recorded.
    warm: bool,
}

impl<B: Buffer> Context<B> {
    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.core.engine
    }

    /// Changes to a profile; all input shapes are to be set again.
    pub fn set_profile(&mut self, profile: usize, stream: Stream) -> Result<()> {
        self.ready = false;
        self.core.set_profile(profile, stream)
    }

    /// Sets the dimensions of input `index` (among all inputs and outputs).
    pub fn set_shape(&mut self, index: usize, dims: &[usize]) -> Result<()> {
        self.ready = false;
        self.core.set_shape(index, dims)
    }

    /// Binds memory to the input or output `index`.
    pub fn bind(&mut self, index: usize, buffer: B) -> Result<()> {
        self.ready = false;
        self.core.bind(index, buffer.address())?;
        self.buffers[index] = Some(buffer);
        Ok(())
    }

    /// Gets the memory of output `index`, whose size depends on data, from `make` while a run works it out.
    pub fn make_late(&mut self, index: usize, make: impl Fn(usize) -> Result<B> + Send + 'static) -> Result<()> {
        if self.late.iter().all(|(known, _)| *known != index) {
            self.ready = false;
            let late = Late::new(make);
            self.core.ask(index, &late)?;
            self.late.push((index, late));
        }
        Ok(())
    }

    /// The outputs whose size depends on data, with their dimensions in the last run.
    pub fn late(&self) -> impl Iterator<Item = (usize, Option<Vec<usize>>)> {
        self.late.iter().map(|(index, late)| (*index, late.dims()))
    }

    /// Bytes of scratch memory that runs of the present shapes need, once all inputs have theirs; `None` where the library
    /// keeps it to itself.
    pub fn scratch_needed(&mut self) -> Option<usize> {
        self.core.scratch_needed()
    }

    /// The scratch memory.
    pub fn scratch(&self) -> Option<&B> {
        self.scratch.as_ref()
    }

    /// Lets runs work in `scratch`.
    pub fn set_scratch(&mut self, scratch: B) {
        self.ready = false;
        self.scratch = Some(scratch);
    }

    /// The memory bound to an input or output.
    pub fn buffer(&self, index: usize) -> Option<&B> {
        self.buffers.get(index)?.as_ref()
    }

    /// The memory bound to an input or output, to be filled.
    pub fn buffer_mut(&mut self, index: usize) -> Option<&mut B> {
        self.buffers.get_mut(index)?.as_mut()
    }

    /// The present dimensions of an input or output; `None` for an unknown one.
    pub fn shape(&self, index: usize) -> Result<Vec<Option<usize>>> {
        self.core.shape(index)
    }

    /// Works out the shapes of outputs after all input shapes are set.
    pub fn infer_shapes(&mut self) -> Result<()> {
        self.core.infer_shapes()
    }

    /// Checks that every tensor and the scratch have memory of the size the shapes need, or a maker of it: what makes
    /// [`enqueue`](Self::enqueue) sound.
    pub fn prepare(&mut self) -> Result<()> {
        for (index, io) in self.core.engine.io.iter().enumerate() {
            if self.late.iter().any(|(late, _)| *late == index) {
                continue;
            }
            let name = io.name.to_string_lossy();
            let dims = self.shape(index)?.into_iter().collect::<Option<Vec<usize>>>();
            let elements: usize =
                dims.ok_or_else(|| Error::internal("tensorrt", format!("{name} has no size before the run")))?.iter().product();
            let needed = elements * io.dtype.map_or(8, Element::bytes);
            match &self.buffers[index] {
                Some(buffer) if buffer.bytes() >= needed => {}
                Some(buffer) => {
                    return Err(Error::internal("tensorrt", format!("{} bytes for {name}, which needs {needed}", buffer.bytes())));
                }
                None => return Err(Error::internal("tensorrt", format!("{name} has no memory"))),
            }
        }
        self.core.place_scratch(self.scratch.as_ref().map(Span::of))?;
        self.ready = true;
        Ok(())
    }

    /// Starts a run on `stream`; it is done when the stream is.
    pub fn enqueue(&mut self, stream: Stream) -> Result<()> {
        if !self.ready {
            self.prepare()?;
        }
        for (index, late) in &self.late {
            late.begin(self.buffers[*index].take());
        }
        // SAFETY: `prepare` saw that all memory is there and large enough or is made, and what changes that clears `ready`; the rest is the promise
        // of who made the context.
        let mut ran = unsafe { self.core.enqueue(stream) };
        for (index, late) in &self.late {
            match late.end() {
                Ok(buffer) => self.buffers[*index] = buffer,
                Err(e) => ran = Err(e),
            }
        }
        self.ready = ran.is_ok(); // after a failure the library's state is not to be trusted
        ran
    }

    /// A context of its own for the present shapes, in profile `profile`, on the same memory.
    pub fn twin(&mut self, profile: usize, stream: Stream) -> Result<Twin> {
        if !self.late.is_empty() {
            return Err(Error::internal("tensorrt", "a run of outputs whose size depends on data cannot be recorded"));
        }
        if !self.ready {
            self.prepare()?;
        }
        let engine = self.core.engine.clone();
        let mut core = engine.core(engine.scratch_bytes().is_some())?;
        core.set_profile(profile, stream)?;
        for (index, io) in engine.io.iter().enumerate() {
            if let (true, Some(dims)) = (io.is_input, self.shape(index)?.into_iter().collect::<Option<Vec<usize>>>()) {
                core.set_shape(index, &dims)?;
            }
            if let Some(buffer) = &self.buffers[index] {
                core.bind(index, buffer.address())?;
            }
        }
        core.infer_shapes()?;
        core.place_scratch(self.scratch.as_ref().map(Span::of))?;
        Ok(Twin { graph: None, core, memory: self.memory().collect(), warm: false })
    }

    /// Whether the memory is that of when `twin` was made.
    pub fn shares_memory_with(&self, twin: &Twin) -> bool {
        self.memory().eq(twin.memory.iter().copied())
    }

    /// Starts a run of `twin` on `stream`: by itself the first time and while nothing can be recorded, recorded from then on. Whether it
    /// was.
    pub fn run_twin(&mut self, twin: &mut Twin, stream: &device::Stream) -> Result<bool> {
        if !self.shares_memory_with(twin) {
            return Err(Error::internal("tensorrt", "the memory of a recorded run is gone"));
        }
        let Twin { graph, core, warm, .. } = twin;
        // SAFETY: for all three, the memory is that which had the sizes of these shapes when the twin was made.
        let mut enqueue = || unsafe { core.enqueue(Stream(stream.raw())) };
        if !std::mem::replace(warm, true) {
            return enqueue().map(|()| false);
        }
        let graph = match graph {
            Some(graph) => graph,
            none => match stream.record(&mut enqueue)? {
                Some(made) => none.insert(made),
                None => return enqueue().map(|()| false),
            },
        };
        // SAFETY: as above.
        unsafe { graph.launch() }.map(|()| true)
    }

    fn memory(&self) -> impl Iterator<Item = Option<Span>> {
        self.buffers.iter().chain([&self.scratch]).map(|buffer| buffer.as_ref().map(Span::of))
    }
}

//! Work of a device in order, with the memory that it uses.
//!
//! A stream keeps the memory that was given back and lends it again, without a wait: what is done with it next stands behind
//! what was done with it before. Work on memory of another stream has to begin [`after`](Stream::after) a [`Mark`] of that one, and
//! [`Stream::wait`] on this one comes before the memory goes back.

use super::gpu::Gpu;
use super::memory::{Block, DeviceBuffer, Pinned, size_class};
use crate::device::queue::{DeviceSlice, DeviceSliceMut, Launch, Queue};
use crate::error::{Error, Result};
use bytemuck::Pod;
use cudarc::driver::{CudaEvent, CudaStream, DriverError, result, sys};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// Whether every launch is waited for, so that a fault is told where it happens. Races do not show then.
static WAITS: LazyLock<bool> = LazyLock::new(|| std::env::var_os("HPINFER_CUDA_WAIT").is_some());

/// Page-locked memory of one size that transfers may use after it was given back; then they are waited for.
const MOST_BUSY_BYTES: usize = 64 << 20;

/// A stream of work. Clones are the same one.
#[derive(Clone)]
pub struct Stream(Arc<Shared>);

pub(super) struct Shared {
    gpu: Arc<Gpu>,
    stream: Arc<CudaStream>,
    /// Numbers of the transfer put in last and of the last that is known to be done.
    put_in: AtomicU64,
    done: AtomicU64,
    /// Marks that may not have been reached, each with the number of the transfer before it.
    marks: Mutex<VecDeque<(u64, Mark)>>,
    idle: Mutex<Idle>,
}

/// Memory that nobody uses, by size.
#[derive(Default)]
struct Idle {
    device: BTreeMap<usize, Vec<Block>>,
    /// With the work after which it is free.
    pinned: BTreeMap<usize, Vec<(Block, u64)>>,
}

impl Stream {
    /// A new stream on `gpu`.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn new(gpu: &Arc<Gpu>) -> Result<Self> {
        let stream = gpu.context.new_stream().map_err(|e| gpu.fault("making a stream", e))?;
        let (put_in, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let shared = Arc::new(Shared { gpu: gpu.clone(), stream, put_in, done, marks: Mutex::default(), idle: Mutex::default() });
        gpu.add(&shared);
        Ok(Self(shared))
    }

    pub(super) fn of(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.0.gpu
    }

    pub(super) fn inner(&self) -> &Arc<CudaStream> {
        &self.0.stream
    }

    /// The handle, for libraries that put work into it. It lives as long as this or a clone.
    pub fn raw(&self) -> *mut c_void {
        self.0.stream.cu_stream().cast()
    }

    /// Memory for `len` elements of the device.
    ///
    /// # Errors
    /// [`Error::Device`] when it has too little.
    pub fn alloc<T: Pod>(&self, len: usize) -> Result<DeviceBuffer<T>> {
        let block = self.0.device_block(bytes_of::<T>(len)?)?;
        Ok(DeviceBuffer::new(block, len, self.0.clone()))
    }

    /// Page-locked memory of the host for `len` elements.
    ///
    /// # Errors
    /// [`Error::Device`] when the system refuses.
    pub fn pinned<T: Pod>(&self, len: usize) -> Result<Pinned<T>> {
        let block = self.0.pinned_block(bytes_of::<T>(len)?)?;
        Ok(Pinned::new(block, len, self.0.clone()))
    }

    /// Adds the copy of all of `from` to the start of `to`.
    ///
    /// # Errors
    /// [`Error::Internal`] when `to` is smaller, and for memory of another stream; [`Error::Device`].
    pub fn upload<T: Pod>(&self, from: &Pinned<T>, to: &mut DeviceBuffer<T>) -> Result<()> {
        if from.bytes() > to.len() * size_of::<T>() {
            return Err(Error::internal("upload", format!("{} bytes into {} elements", from.bytes(), to.len())));
        }
        if !from.is_of(&self.0) {
            return Err(Error::internal("upload", "page-locked memory of another stream"));
        }
        if from.bytes() == 0 {
            return Ok(());
        }
        let Shared { gpu, stream, .. } = &*self.0;
        // SAFETY: both have these bytes; the host side is not written before `Pinned::fill` has waited for this work, and goes
        // back with its number.
        let copied = unsafe {
            let bytes = std::slice::from_raw_parts(from.address() as *const u8, from.bytes());
            self.0.bound(|| result::memcpy_htod_async(to.slice().address(), bytes, stream.cu_stream()))
        };
        copied.map_err(|e| gpu.fault(format!("copying {} bytes to the device", from.bytes()), e))?;
        from.used_by(self.0.next());
        Ok(())
    }

    /// Adds the copy of `from` to the host, where it can be [read](Pinned::read).
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn download<T: Pod>(&self, from: DeviceSlice<'_, T>) -> Result<Pinned<T>> {
        let to = self.pinned::<T>(from.len())?;
        if to.bytes() == 0 {
            return Ok(to);
        }
        let Shared { gpu, stream, .. } = &*self.0;
        // SAFETY: both have these bytes; the host side is neither read nor lent again before this work is done.
        let copied = unsafe {
            let bytes = std::slice::from_raw_parts_mut(to.address() as *mut u8, to.bytes());
            self.0.bound(|| result::memcpy_dtoh_async(bytes, from.address(), stream.cu_stream()))
        };
        copied.map_err(|e| gpu.fault(format!("copying {} bytes from the device", to.bytes()), e))?;
        to.used_by(self.0.next());
        Ok(to)
    }

    /// Adds the copy of `from` to `to`, both on the device.
    ///
    /// # Errors
    /// [`Error::Internal`] when they are of unlike length; [`Error::Device`].
    pub fn copy<T: Pod>(&self, from: DeviceSlice<'_, T>, to: &mut DeviceSliceMut<'_, T>) -> Result<()> {
        if from.len() != to.len() {
            return Err(Error::internal("device copy", format!("{} elements to {}", from.len(), to.len())));
        }
        let (Shared { gpu, stream, .. }, bytes) = (&*self.0, from.len() * size_of::<T>());
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: both have these bytes, and memory goes back behind the work that uses it.
        let copied = unsafe { self.0.bound(|| result::memcpy_dtod_async(to.address(), from.address(), bytes, stream.cu_stream())) };
        copied.map_err(|e| gpu.fault(format!("copying {bytes} bytes within the device"), e))
    }

    /// The work so far, for other streams to wait for.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn mark(&self) -> Result<Mark> {
        let put_in = self.0.put_in.load(Ordering::Relaxed);
        let event = self.0.stream.record_event(None).map_err(|e| self.0.gpu.fault("recording an event", e))?;
        let mark = Mark(Arc::new(event));
        self.0.look_at_marks().push_back((put_in, mark.clone()));
        Ok(mark)
    }

    /// Has the work that comes next begin when that before `mark`, of whichever stream of the device, is done.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn after(&self, mark: &Mark) -> Result<()> {
        self.0.stream.wait(&mark.0).map_err(|e| self.0.gpu.fault("waiting for another stream", e))
    }

    /// Waits until all work is done.
    ///
    /// # Errors
    /// [`Error::Device`] when some has failed.
    pub fn wait(&self) -> Result<()> {
        self.0.wait()
    }

    /// Starts a stopwatch behind the work so far.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn stopwatch(&self) -> Result<Stopwatch> {
        let (start, end) = (self.0.timed_event()?, self.0.timed_event()?);
        start.record(&self.0.stream).map_err(|e| self.0.gpu.fault("recording an event", e))?;
        Ok(Stopwatch { start, end, stream: self.clone() })
    }
}

/// Bytes of `len` elements.
fn bytes_of<T>(len: usize) -> Result<usize> {
    let bytes = len.checked_mul(size_of::<T>()).filter(|bytes| *bytes <= isize::MAX as usize / 2);
    bytes.ok_or_else(|| Error::internal("device memory", format!("{len} elements of {} bytes", size_of::<T>())))
}

/// A point of a stream. Clones are the same one.
#[derive(Clone)]
pub struct Mark(Arc<CudaEvent>);

/// Time of the device between two points of a stream.
pub struct Stopwatch {
    start: CudaEvent,
    end: CudaEvent,
    stream: Stream,
}

impl Stopwatch {
    /// Milliseconds from the start until the work so far is done, for which it waits.
    ///
    /// # Errors
    /// [`Error::Device`] when some has failed.
    pub fn stop_ms(self) -> Result<f32> {
        let gpu = self.stream.gpu();
        self.end.record(&self.stream.0.stream).map_err(|e| gpu.fault("recording an event", e))?;
        self.start.elapsed_ms(&self.end).map_err(|e| gpu.fault("timing", e))
    }
}

impl Queue for Stream {
    unsafe fn launch(&self, launch: Launch) -> Result<()> {
        let Launch { kernel, grid: [gx, gy, gz], threads, shared_bytes, args } = launch;
        let Shared { gpu, stream, .. } = &*self.0;
        let mut parameters = [args.as_ptr().cast_mut().cast::<c_void>()];
        // SAFETY: the driver copies the arguments during the call, as many bytes as the kernel has; the rest is the caller's promise.
        let launched = unsafe {
            let (function, blocks) = (gpu.function(kernel), (gx, gy, gz));
            self.0.bound(|| result::launch_kernel(function, blocks, (threads, 1, 1), shared_bytes, stream.cu_stream(), &mut parameters))
        };
        let stage = || format!("kernel {} on a grid of {gx} x {gy} x {gz}", kernel.name());
        launched.map_err(|e| gpu.fault(stage(), e))?;
        if *WAITS {
            stream.synchronize().map_err(|e| gpu.fault(stage(), e))?;
        }
        Ok(())
    }

    unsafe fn clear(&self, address: u64, bytes: usize) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let Shared { gpu, stream, .. } = &*self.0;
        // SAFETY: the caller's promise.
        let cleared = unsafe { self.0.bound(|| result::memset_d8_async(address, 0, bytes, stream.cu_stream())) };
        cleared.map_err(|e| gpu.fault(format!("clearing {bytes} bytes"), e))
    }
}

impl Shared {
    /// Runs a call of the driver with the context in place.
    fn bound<R>(&self, call: impl FnOnce() -> Result<R, DriverError>) -> Result<R, DriverError> {
        self.gpu.context.bind_to_thread()?;
        call()
    }

    fn next(&self) -> u64 {
        self.put_in.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn wait(&self) -> Result<()> {
        let put_in = self.put_in.load(Ordering::Relaxed);
        self.stream.synchronize().map_err(|e| self.gpu.fault("waiting for the work of a stream", e))?;
        self.done.fetch_max(put_in, Ordering::Release);
        Ok(())
    }

    /// Waits until transfer number `work` is done.
    pub(super) fn wait_for(&self, work: u64) -> Result<()> {
        if work > self.done.load(Ordering::Acquire) { self.wait() } else { Ok(()) }
    }

    /// Takes note of the marks that were reached; those that were not.
    fn look_at_marks(&self) -> MutexGuard<'_, VecDeque<(u64, Mark)>> {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        while marks.front().is_some_and(|(_, mark)| mark.0.is_complete())
            && let Some((work, _)) = marks.pop_front()
        {
            self.done.fetch_max(work, Ordering::Release);
        }
        marks
    }

    fn timed_event(&self) -> Result<CudaEvent> {
        let flags = Some(sys::CUevent_flags::CU_EVENT_DEFAULT);
        self.gpu.context.new_event(flags).map_err(|e| self.gpu.fault("making an event", e))
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn device_block(&self, bytes: usize) -> Result<Block> {
        let class = size_class(bytes);
        if let Some(block) = self.idle().device.get_mut(&class).and_then(Vec::pop) {
            return Ok(block);
        }
        // SAFETY: the memory is given back to this stream and freed with it.
        let alloc = || unsafe { self.bound(|| result::malloc_sync(class)) };
        let address = match alloc() {
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                self.gpu.trim();
                alloc()
            }
            other => other,
        };
        let address = address.map_err(|e| {
            let [free, all] = self.gpu.memory().unwrap_or_default().map(|bytes| bytes >> 20);
            self.gpu.fault(format!("allocating {class} bytes where {free} of {all} MiB are free"), e)
        })?;
        Ok(Block { address, bytes: class })
    }

    fn pinned_block(&self, bytes: usize) -> Result<Block> {
        let class = size_class(bytes);
        if let Some(block) = self.idle_pinned(class) {
            return Ok(block);
        }
        let busy = self.idle().pinned.get(&class).map_or(0, Vec::len);
        if busy * class >= MOST_BUSY_BYTES {
            self.wait()?;
            if let Some(block) = self.idle_pinned(class) {
                return Ok(block);
            }
        }
        // SAFETY: freed with the stream. The kind is not write-combined: results are read from it.
        let made = unsafe { self.bound(|| result::malloc_host(class, 0)) };
        let address = made.map_err(|e| self.gpu.fault(format!("allocating {class} bytes of page-locked memory"), e))?;
        // SAFETY: it is ours and has these bytes.
        unsafe { std::ptr::write_bytes(address.cast::<u8>(), 0, class) };
        Ok(Block { address: address as u64, bytes: class })
    }

    /// A block that no transfer uses any more.
    fn idle_pinned(&self, class: usize) -> Option<Block> {
        drop(self.look_at_marks());
        let done = self.done.load(Ordering::Acquire);
        let mut idle = self.idle();
        let blocks = idle.pinned.get_mut(&class)?;
        let at = blocks.iter().position(|(_, busy_until)| *busy_until <= done)?;
        Some(blocks.swap_remove(at).0)
    }

    pub(super) fn give_back_device(&self, block: Block) {
        self.idle().device.entry(block.bytes).or_default().push(block);
    }

    pub(super) fn give_back_pinned(&self, block: Block, busy_until: u64) {
        self.idle().pinned.entry(block.bytes).or_default().push((block, busy_until));
    }

    /// Frees what nobody uses.
    pub(super) fn trim(&self) {
        let blocks = std::mem::take(&mut self.idle().device);
        for block in blocks.into_values().flatten() {
            // SAFETY: allocated here and lent to nobody; freeing waits for work of the device. What cannot be freed is lost.
            let _ = unsafe { self.bound(|| result::free_sync(block.address)) };
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = self.stream.synchronize(); // the copies into pinned memory
        self.trim();
        let pinned = std::mem::take(&mut self.idle().pinned);
        for (block, _) in pinned.into_values().flatten() {
            // SAFETY: as in `trim`; no transfer is under way.
            let _ = unsafe { self.bound(|| result::free_host(block.address as *mut c_void)) };
        }
    }
}

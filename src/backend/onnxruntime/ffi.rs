//! One native session for all workers. The safe API of `ort` asks for exclusive access to run; ONNX Runtime's
//! `Run` is thread-safe for the CPU execution provider, the only one used here, so sharing saves a copy of the
//! weights per worker.

use super::blocks::Blocks;
use crate::device;
use crate::error::{Error, Result};
use ort::AsPointer;
use ort::environment::Environment;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::sys::{OrtAllocator, OrtMemoryInfo};
use ort::value::{DynValue, Tensor};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
use rustix::param::page_size;
use std::ffi::{CString, c_char, c_void};
use std::mem::transmute;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Memory of the processor for the tensors of all sessions with `session.use_env_allocators`. The library's own arena grows by regions
/// of doubling size, between which blocks cannot move together, and takes up to half as much again.
#[repr(C)]
struct Heap {
    /// What the library sees; first, so that the address of one is that of the other.
    allocator: OrtAllocator,
    info: MemoryInfo<'static>,
    /// The span that blocks lie in. Of its pages those take memory that were written.
    base: NonNull<u8>,
    span: usize,
    blocks: Mutex<(Blocks, usize)>,
    /// The library's own allocator, for what does not fit: it also knows how to tell that there is no memory, which null does not.
    other: NonNull<OrtAllocator>,
}

/// After how many blocks, twice, it is forgotten how much was alive at once: some hundred runs, so that what comes now and then is not made
/// anew each time, and what a single picture or a rare coincidence took does not stay.
const PATIENCE: usize = 1 << 16;

/// What blocks are aligned to, in bytes; each has so many before it, which hold its length.
const ALIGNMENT: usize = 64;

type Alloc = unsafe extern "system-unwind" fn(this: *mut OrtAllocator, size: usize) -> *mut c_void;

impl Heap {
    /// A heap of `span` bytes for the rest of the process; `None` where the process may not map so many addresses.
    fn new(span: usize, other: NonNull<OrtAllocator>) -> Result<Option<&'static Self>, String> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let Ok(base) = (unsafe { mmap_anonymous(ptr::null_mut(), span, protection, flags) }) else {
            return Ok(None);
        };
        // A file of what a crash leaves would be as long as the machine's memory.
        // SAFETY: the mapping made above.
        let _ = unsafe { madvise(base, span, Advice::LinuxDontDump) };
        let info = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default).map_err(|e| e.to_string())?;
        let alloc: Alloc = Self::alloc;
        let allocator = OrtAllocator {
            // SAFETY: the types of fields but for how exceptions pass, which the library's calls let through.
            Alloc: Some(unsafe { transmute::<Alloc, unsafe extern "system" fn(*mut OrtAllocator, usize) -> *mut c_void>(alloc) }),
            Free: Some(Self::free),
            Info: Some(Self::info),
            // SAFETY: as above; nothing is changed but within a lock.
            Reserve: Some(unsafe { transmute::<Alloc, unsafe extern "system" fn(*const OrtAllocator, usize) -> *mut c_void>(alloc) }),
            // SAFETY: plain values.
            ..unsafe { OrtAllocator::default() }
        };
        let base = NonNull::new(base.cast()).ok_or("a mapping without an address")?;
        let blocks = Mutex::new((Blocks::new(span), 0));
        Ok(Some(Box::leak(Box::new(Self { allocator, info, base, span, blocks, other }))))
    }

    fn blocks(&self) -> MutexGuard<'_, (Blocks, usize)> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The offset of a new block of `whole` bytes. Memory that is not needed beside it is given back.
    fn take(&self, whole: usize) -> Option<usize> {
        let (blocks, taken) = &mut *self.blocks();
        *taken += 1;
        if taken.is_multiple_of(PATIENCE) {
            blocks.forget();
        }
        let at = blocks.take(whole);
        while let Some(spare) = blocks.spare() {
            let (from, to) = (spare.start.next_multiple_of(page_size()), spare.end / page_size() * page_size());
            // SAFETY: nothing lies there, nor comes there while the lock is held; the mapping begins on a page.
            let given = unsafe { madvise(self.base.as_ptr().add(from).cast(), to - from, Advice::LinuxDontNeed) };
            tracing::trace!("ONNX Runtime: {} MiB of tensors' memory given back: {given:?}", (to - from) >> 20);
        }
        at
    }

    /// A block of at least `size` bytes, of this heap or, where it is full, of the other.
    ///
    /// # Safety
    /// The caller is the library, which an exception of its own allocator may leave.
    unsafe fn block(&self, size: usize) -> *mut c_void {
        if size == 0 {
            return ptr::null_mut();
        }
        let whole = size.checked_next_multiple_of(ALIGNMENT).and_then(|size| size.checked_add(ALIGNMENT));
        let Some((at, whole)) = whole.and_then(|whole| Some((self.take(whole)?, whole))) else {
            // SAFETY: the library's allocator stays for good and has this function, which is typed here for what it does.
            return unsafe {
                let alloc: Option<Alloc> = transmute(self.other.as_ref().Alloc);
                alloc.map_or(ptr::null_mut(), |alloc| alloc(self.other.as_ptr(), size))
            };
        };
        // SAFETY: the block, which is nobody else's, lies within the mapping, on a multiple of the alignment.
        unsafe {
            let start = self.base.as_ptr().add(at);
            start.cast::<usize>().write(whole);
            start.add(ALIGNMENT).cast()
        }
    }

    // The library calls these with the address it was given, which is that of a heap that is never freed; so each may take it for one.

    unsafe extern "system-unwind" fn alloc(this: *mut OrtAllocator, size: usize) -> *mut c_void {
        // SAFETY: see above.
        unsafe { (*this.cast::<Self>()).block(size) }
    }

    unsafe extern "system" fn free(this: *mut OrtAllocator, block: *mut c_void) {
        // SAFETY: see above.
        let heap = unsafe { &*this.cast::<Self>() };
        let at = (block as usize).wrapping_sub(heap.base.as_ptr() as usize);
        if at >= heap.span {
            // SAFETY: what does not lie in the span came from the other allocator, or is null, which that takes too.
            unsafe { heap.other.as_ref().Free.map(|free| free(heap.other.as_ptr(), block)) };
            return;
        }
        // SAFETY: the block comes from `block`, which wrote its length before it.
        let whole = unsafe { block.cast::<u8>().sub(ALIGNMENT).cast::<usize>().read() };
        heap.blocks().0.give_back(at - ALIGNMENT, whole);
    }

    unsafe extern "system" fn info(this: *const OrtAllocator) -> *const OrtMemoryInfo {
        // SAFETY: see above.
        unsafe { (*this.cast::<Self>()).info.ptr() }
    }
}

/// The library's allocator without an arena.
fn default_allocator() -> Result<NonNull<OrtAllocator>, String> {
    let mut allocator = ptr::null_mut();
    // SAFETY: the library writes the address of an allocator of its own, which stays as long as it.
    let status = unsafe { (ort::api().GetAllocatorWithDefaultOptions)(&mut allocator) };
    // SAFETY: the status comes from the call above and is consumed once.
    unsafe { ort::Error::result_from_status(status) }.map_err(|e| e.to_string())?;
    NonNull::new(allocator).ok_or_else(|| "it has no default allocator".into())
}

/// Gives `environment` memory that sessions with `session.use_env_allocators` share: a [`Heap`], or the library's own arena.
pub fn share_memory(environment: &Environment) -> Result<(), String> {
    let environment = environment.ptr().cast_mut();
    let span = device::available_memory().map_or(1 << 36, |bytes| bytes as usize);
    let status = match Heap::new(span, default_allocator()?)? {
        // SAFETY: both stay for good. The library registers an allocator under a lock of its own, so an environment that is shared may get one.
        Some(heap) => unsafe { (ort::api().RegisterAllocator)(environment, ptr::from_ref(heap).cast_mut().cast()) },
        None => {
            tracing::debug!("ONNX Runtime keeps tensors in an arena of its own: {span} bytes of addresses are not to be had");
            let memory = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Arena, MemoryType::Default).map_err(|e| e.to_string())?;
            // SAFETY: as above; both are live for the call, and no arena configuration asks for the library's own one.
            unsafe { (ort::api().CreateAndRegisterAllocator)(environment, memory.ptr(), ptr::null()) }
        }
    };
    // SAFETY: the status comes from the call above and is consumed once.
    unsafe { ort::Error::result_from_status(status) }.map_err(|e| e.to_string())
}

/// A loaded network on the CPU execution provider.
pub struct SharedSession {
    session: Session,
    input_names: Vec<CString>,
    output_names: Vec<CString>,
}

impl SharedSession {
    /// Takes over `session`, which must use no execution provider but the CPU's.
    pub fn new(session: Session) -> Result<Self> {
        let names = |outlets: &[ort::value::Outlet]| {
            let names = outlets.iter().map(|o| CString::new(o.name()));
            names.collect::<Result<Vec<_>, _>>().map_err(|e| Error::internal("onnx_runtime tensor names", e.to_string()))
        };
        Ok(Self { input_names: names(session.inputs())?, output_names: names(session.outputs())?, session })
    }

    /// Memory for inputs, where the session has its tensors too.
    pub fn memory(&self) -> ort::Result<Allocator> {
        Allocator::new(&self.session, MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default)?)
    }

    /// Runs the network on `inputs`, in graph order; returns all outputs in graph order.
    pub fn run(&self, inputs: &[&Tensor<f32>]) -> Result<Vec<DynValue>, String> {
        if inputs.len() != self.input_names.len() {
            return Err(format!("{} inputs for a network of {}", inputs.len(), self.input_names.len()));
        }
        let c_names = |names: &[CString]| names.iter().map(|n| n.as_ptr()).collect::<Vec<*const c_char>>();
        let (input_names, output_names) = (c_names(&self.input_names), c_names(&self.output_names));
        let values: Vec<_> = inputs.iter().map(|t| t.ptr()).collect();
        let mut outputs = vec![ptr::null_mut(); output_names.len()];
        // SAFETY: names and values are live for the call and as many as stated; `Run` does not change the session
        // (OrtSession is documented as safe for concurrent runs), so a shared reference suffices; outputs start
        // as null, which asks the library to allocate them.
        let status = unsafe {
            (ort::api().Run)(
                self.session.ptr().cast_mut(),
                ptr::null(),
                input_names.as_ptr(),
                values.as_ptr(),
                values.len(),
                output_names.as_ptr(),
                output_names.len(),
                outputs.as_mut_ptr(),
            )
        };
        // SAFETY: the status comes from the call above and is consumed once.
        unsafe { ort::Error::result_from_status(status) }.map_err(|e| e.to_string())?;
        let own = |p: *mut ort::sys::OrtValue| {
            let p = NonNull::new(p).ok_or("an output is missing")?;
            // SAFETY: a successful run hands ownership of each output to the caller; it came from the session's allocator.
            Ok(unsafe { DynValue::from_ptr(p, Some(self.session.allocator())) })
        };
        outputs.into_iter().map(own).collect::<Result<_, &str>>().map_err(str::to_owned)
    }
}

//! A graphics processor in use: its primary context, which ONNX Runtime and TensorRT share, and the kernels of this program.

use super::stream::{Shared, Stream};
use crate::device::images::{Image, image_for};
use crate::device::kernels::Kernel;
use crate::device::probe::{GpuInfo, probe};
use crate::device::spec::GpuId;
use crate::error::{Error, Result};
use cudarc::driver::{CudaContext, DriverError, result, sys};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockWriteGuard, TryLockError, Weak};

/// An opened graphics processor. It stays open until the process ends.
pub struct Gpu {
    info: GpuInfo,
    pub(super) context: Arc<CudaContext>,
    functions: Vec<Function>,
    streams: Mutex<Vec<Weak<Shared>>>,
    pictures: OnceLock<Stream>,
    /// Taken for as long as work is recorded, and shared by libraries that load something.
    recording: RwLock<()>,
}

/// A kernel as the driver knows it, loaded for as long as the process runs.
#[derive(Clone, Copy)]
struct Function(sys::CUfunction);

// SAFETY: a handle; the driver takes it from any thread.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

impl Gpu {
    /// Opens the device that `id` names, or the first that works; the same one for every caller.
    ///
    /// # Errors
    /// [`Error::Backend`] when it is not there or too old; [`Error::Device`] when the driver refuses.
    pub fn open(id: Option<&GpuId>) -> Result<Arc<Self>> {
        static OPENED: Mutex<BTreeMap<u32, Arc<Gpu>>> = Mutex::new(BTreeMap::new());
        let asked = id.map_or_else(|| "gpu".into(), |id| format!("gpu:{id}"));
        let gpus = probe().map_err(|unavailable| unavailable.error(asked))?;
        let info = gpus.select(id.map(std::slice::from_ref).unwrap_or_default())?[0];
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gpu) = opened.get(&info.number) {
            return Ok(gpu.clone());
        }
        let gpu = Arc::new(Self::new(info)?);
        opened.insert(info.number, gpu.clone());
        Ok(gpu)
    }

    fn new(info: &GpuInfo) -> Result<Self> {
        let failed = |stage: &str, e: DriverError| Error::device(format!("gpu:{}", info.number), stage, describe(e));
        let context = CudaContext::new(info.number as usize).map_err(|e| failed("opening the device", e))?;
        // SAFETY: buffers here belong to one stream each, and what crosses streams is waited for (see `Stream`).
        unsafe { context.disable_event_tracking() };
        let functions = load(info).map_err(|(name, e)| failed(&format!("loading the kernels ({name})"), e))?;
        Ok(Self {
            info: info.clone(),
            context,
            functions,
            streams: Mutex::default(),
            pictures: OnceLock::new(),
            recording: RwLock::default(),
        })
    }

    /// What it is.
    pub fn info(&self) -> &GpuInfo {
        &self.info
    }

    /// Bytes of its memory that are free, of how many.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn memory(&self) -> Result<[usize; 2]> {
        self.context.mem_get_info().map(<[usize; 2]>::from).map_err(|e| self.fault("asking for its memory", e))
    }

    /// Whether less than a fifth of its memory is free.
    pub fn is_scarce(&self) -> bool {
        self.memory().is_ok_and(|[free, all]| free < all / 5)
    }

    /// Makes it the device that libraries work on when this thread calls them.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn make_current(&self) -> Result<()> {
        self.context.bind_to_thread().map_err(|e| self.fault("making it the device of a thread", e))
    }

    /// The stream in which pictures are brought here, beside the work of the networks. None of its work is recorded as a graph.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn pictures(self: &Arc<Self>) -> Result<&Stream> {
        if self.pictures.get().is_none() {
            let _ = self.pictures.set(Stream::new(self)?); // another thread's is as good
        }
        self.pictures.get().ok_or_else(|| Error::internal("pictures", "no stream for them"))
    }

    /// For a library that is about to load something, as long as the guard lives: nothing is recorded, since a library that makes the whole
    /// device wait meanwhile fails, whichever its thread, and what is recorded with it. Where memory is scarce, what nobody uses is freed.
    pub fn for_loading(&self) -> impl Sized + use<'_> {
        let guard = self.recording.read().unwrap_or_else(PoisonError::into_inner);
        if self.is_scarce() {
            self.trim();
        }
        guard
    }

    /// Leave to record; `None` while a library loads something, or other work is recorded.
    pub(super) fn for_recording(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        match self.recording.try_write() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Takes notice of a stream.
    pub(super) fn add(&self, stream: &Arc<Shared>) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|known| known.strong_count() > 0);
        streams.push(Arc::downgrade(stream));
    }

    /// Has all streams free the memory that nobody uses, for one that finds none, or for a library.
    pub fn trim(&self) {
        let streams: Vec<Arc<Shared>> =
            self.streams.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect();
        streams.iter().for_each(|stream| stream.trim());
    }

    pub(super) fn function(&self, kernel: Kernel) -> sys::CUfunction {
        self.functions[kernel as usize].0
    }

    /// A call of the driver that failed in `stage`.
    pub(super) fn fault(&self, stage: impl Into<String>, e: DriverError) -> Error {
        Error::device(self.to_string(), stage, describe(e))
    }
}

/// As `--device` names it.
impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gpu:{}", self.info.number)
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Looks every kernel up once, in the image for the device.
fn load(info: &GpuInfo) -> std::result::Result<Vec<Function>, (&'static str, DriverError)> {
    let no_image = ("image", DriverError(sys::CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU));
    let image = image_for(info.capability).ok_or(no_image)?;
    // SAFETY: images of this program; machine code is read as ELF, text up to the zero that is put behind it. The module is
    // never unloaded.
    let module = unsafe {
        match image {
            Image::Cubin(code) => {
                let code: Vec<u64> = bytemuck::pod_collect_to_vec(code); // the program's own bytes lie at any address
                result::module::load_data(code.as_ptr().cast())
            }
            Image::Ptx(text) => {
                let text: Vec<u8> = text.iter().copied().chain([0]).collect();
                result::module::load_data(text.as_ptr().cast())
            }
        }
    }
    .map_err(|e| ("image", e))?;
    let find = |kernel: Kernel| {
        let missing = (kernel.name(), DriverError(sys::CUresult::CUDA_ERROR_NOT_FOUND));
        let name = CString::new(kernel.name()).map_err(|_| missing)?;
        // SAFETY: the module was loaded above.
        unsafe { result::module::get_function(module, name) }.map(Function).map_err(|e| (kernel.name(), e))
    };
    Kernel::ALL.into_iter().map(find).collect()
}

/// An error of the driver by name and meaning.
fn describe(e: DriverError) -> String {
    let text = |found: std::result::Result<&std::ffi::CStr, DriverError>| found.map(|t| t.to_string_lossy().into_owned());
    match (text(e.error_name()), text(e.error_string())) {
        (Ok(name), Ok(meaning)) if name != meaning => format!("{meaning} ({name})"),
        (Ok(name), _) => name,
        _ => format!("CUDA error {}", e.0 as u32),
    }
}

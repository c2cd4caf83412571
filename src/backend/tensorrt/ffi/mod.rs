//! The safe side of the C interface: an opened [`Library`], the [`Engine`]s it loads, their [`Context`]s, and host memory
//! for engines that work on it. What belongs together lives together: a context keeps its engine and its buffers, an engine
//! keeps the library, so nothing can be destroyed in the wrong order. A callback never unwinds into the library.

mod context;
mod late;
mod log;

pub use context::{Context, Stream, Twin};

use self::log::{LOG, on_log};
use super::memory::{ALIGNMENT, Buffer};
use super::sys::*;
use crate::error::{Error, Result};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ffi::{CStr, CString, c_char, c_void};
use std::ops::{ControlFlow, Deref};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::{fmt, slice};

/// Version of an opened library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// Major, minor, patch, build.
    pub numbers: [i32; 4],
    /// Binary form.
    pub abi: Abi,
    /// Whether it can build engines out of ONNX graphs.
    pub has_builder: bool,
    /// A test double: addresses are of the host.
    pub host_memory: bool,
    /// Whether this very minor version was compared with NVIDIA's headers.
    pub checked: bool,
}

/// Binary forms of the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    /// TensorRT 10.
    Ten,
    /// TensorRT 11.
    Eleven,
    /// TensorRT-RTX 1.
    Rtx,
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch, build] = self.numbers;
        write!(f, "{}{major}.{minor}.{patch}.{build}", if self.abi == Abi::Rtx { "rtx-" } else { "" })
    }
}

/// What the NVIDIA driver says of device `index`: name, compute capability (major, minor), CUDA version of the driver.
///
/// # Errors
/// [`Error::Backend`] where there is no driver or no such device.
pub fn device_info(index: u32) -> Result<(String, [i32; 2], i32)> {
    let mut message = Message::default();
    // SAFETY: the structure is plain numbers, for which zeros are a value; its name ends with zero.
    unsafe {
        let mut device: trs_device = std::mem::zeroed();
        if trs_device_info(index as i32, &mut device, message.start(), Message::ROOM) != TRS_OK {
            let next_step = "run on a machine with an NVIDIA GPU, or choose another device";
            return Err(Error::backend("tensorrt", message.text(), next_step));
        }
        let name = CStr::from_ptr(device.name.as_ptr()).to_string_lossy().into_owned();
        Ok((name, [device.capability_major, device.capability_minor], device.driver))
    }
}

/// Dimensions of one input in a profile, each at its least, its usual and its greatest.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Range {
    /// Name of the input.
    pub input: String,
    /// Least dimensions.
    pub min: Vec<i64>,
    /// The dimensions kernels are chosen for.
    pub opt: Vec<i64>,
    /// Greatest dimensions.
    pub max: Vec<i64>,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [min, max] = [&self.min, &self.max].map(|dims| dims.iter().map(i64::to_string).collect::<Vec<_>>().join("x"));
        write!(f, "{} {min} to {max}", self.input)
    }
}

/// What a build is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BuildOptions {
    /// Each a range for every input with free dimensions.
    pub profiles: Vec<Vec<Range>>,
    /// Half precision where the builder finds it faster: TensorRT 10 only.
    pub fp16: bool,
    /// Types as in the graph, also on TensorRT 10.
    pub strongly_typed: bool,
    /// Products of float32 in TF32 (10 bits of mantissa), as libraries have it by default; off is full float32.
    pub tf32: bool,
    /// The plan also runs on later versions, and on the lean runtime.
    pub version_compatible: bool,
    /// The plan also runs on other GPUs from Ampere on.
    pub ampere_plus: bool,
    /// 0 to 5, or the library's default.
    pub optimization_level: Option<i32>,
    /// Compute capability times ten, TensorRT-RTX only; `None` builds for this GPU.
    pub target: Option<i32>,
    /// Scratch memory a kernel may use, in bytes, or the library's default.
    pub workspace: Option<u64>,
}

/// A build tells how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A phase of so many steps begins, inside another or not.
    Start(&'a str, Option<&'a str>, i32),
    /// So many steps of a phase are done.
    Step(&'a str, i32),
    /// A phase ends.
    End(&'a str),
}

/// Called with every [`Progress`], from any thread; `Break` stops the build.
pub type OnProgress<'a> = dyn Fn(Progress<'_>) -> ControlFlow<()> + Send + Sync + 'a;

/// An opened TensorRT library.
pub struct Library {
    raw: NonNull<trs_lib>,
    versions: Versions,
}

// SAFETY: TensorRT's runtime and builder factory are documented as safe to call from several threads; every build
// makes its own builder.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    /// Opens the library at `infer` and its ONNX parser.
    ///
    /// # Errors
    /// [`Error::Backend`] that says why it cannot be used here and what to do.
    pub fn open(infer: &Path, parser: Option<&Path>) -> Result<Arc<Self>> {
        let name = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(|e| Error::config("tensorrt", e.to_string()));
        let parser = parser.map(name).transpose()?;
        let infer_name = name(infer)?;
        let _call = LOG.call();
        let mut raw = ptr::null_mut();
        let mut message = Message::default();
        // SAFETY: the strings live through the call; nothing is handed on to `on_log`.
        let status = unsafe {
            let parser = parser.as_ref().map_or(ptr::null(), |p| p.as_ptr());
            trs_open(infer_name.as_ptr(), parser, Some(on_log), ptr::null_mut(), &mut raw, message.start(), Message::ROOM)
        };
        let Some(raw) = NonNull::new(raw).filter(|_| status == TRS_OK) else {
            let next_step = match status {
                TRS_VERSION => "install TensorRT 10 or 11",
                TRS_NO_DEVICE => "run on a machine with an NVIDIA GPU, or choose onnx_runtime",
                _ => "check the installation of TensorRT, or choose onnx_runtime",
            };
            return Err(Error::backend("tensorrt", format!("{}: {}", infer.display(), LOG.explain(&message.text())), next_step));
        };
        // SAFETY: the library was opened; the structure is plain numbers, for which zeros are a value.
        let v = unsafe {
            let mut v: trs_versions = std::mem::zeroed();
            trs_version(raw.as_ptr(), &mut v);
            v
        };
        let versions = Versions {
            numbers: [v.major, v.minor, v.patch, v.build],
            abi: match v.abi {
                10 => Abi::Ten,
                11 => Abi::Eleven,
                _ => Abi::Rtx,
            },
            has_builder: v.has_builder != 0,
            host_memory: v.host_memory != 0,
            checked: v.checked != 0,
        };
        if !versions.checked {
            tracing::info!(
                "tensorrt: {versions} is newer than the headers this program was compared with; its tables only grow within a major version"
            );
        }
        Ok(Arc::new(Self { raw, versions }))
    }

    /// Its version.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Builds a plan out of the bytes of an ONNX file, with the timing cache of earlier builds.
    ///
    /// # Errors
    /// [`Error::Backend`] with what the parser or builder said; [`Error::Config`] when `progress` asked to stop.
    pub fn build(self: &Arc<Self>, onnx: &[u8], options: &BuildOptions, timing: &[u8], progress: &OnProgress<'_>) -> Result<Built> {
        let refuse = |e: String| Error::config("tensorrt profile", e);
        let mut names = Vec::new();
        let mut ranges = Vec::new();
        for profile in &options.profiles {
            let mut of_profile = Vec::new();
            for range in profile {
                let name = CString::new(range.input.as_str()).map_err(|e| refuse(e.to_string()))?;
                of_profile
                    .push(raw_range(range, &name).ok_or_else(|| refuse(format!("input `{}` has ranges of unlike length", range.input)))?);
                names.push(name); // moving a CString does not move its bytes
            }
            ranges.push(of_profile);
        }
        let profiles: Vec<_> = ranges.iter().map(|r| trs_profile { ranges: r.as_ptr(), count: r.len() }).collect();
        let raw = trs_build_options {
            struct_size: size_of::<trs_build_options>(),
            profiles: profiles.as_ptr(),
            profile_count: profiles.len(),
            fp16: options.fp16.into(),
            strongly_typed: options.strongly_typed.into(),
            tf32: options.tf32.into(),
            version_compatible: options.version_compatible.into(),
            ampere_plus: options.ampere_plus.into(),
            optimization_level: options.optimization_level.unwrap_or(-1),
            compute_capability: options.target.unwrap_or(0),
            workspace: options.workspace.unwrap_or(0),
            timing: timing.as_ptr().cast(),
            timing_size: timing.len(),
            progress: Some(on_progress),
            progress_user: ptr::from_ref(&progress).cast_mut().cast(),
        };
        let _call = LOG.call();
        let (mut plan, mut timing) = (ptr::null_mut(), ptr::null_mut());
        let mut message = Message::default();
        // SAFETY: every pointer in `raw` (profiles, ranges, names, the progress function) outlives the call.
        let status = unsafe {
            trs_build(self.raw.as_ptr(), onnx.as_ptr().cast(), onnx.len(), &raw, &mut plan, &mut timing, message.start(), Message::ROOM)
        };
        let blob = |raw| NonNull::new(raw).map(|raw| Blob { raw, library: self.clone() });
        match (status, blob(plan)) {
            (TRS_OK, Some(plan)) => Ok(Built { plan, timing: blob(timing) }),
            (TRS_CANCELLED, _) => Err(Error::backend("tensorrt", "the build was stopped", "start it again")),
            (TRS_PARSE, _) => {
                Err(Error::backend("tensorrt", format!("the graph is refused: {}", message.text()), "choose onnx_runtime for this model"))
            }
            (TRS_UNSUPPORTED, _) => Err(Error::backend("tensorrt", message.text(), "leave that option out")),
            _ => Err(Error::backend("tensorrt", LOG.explain(&message.text()), "choose onnx_runtime for this model")),
        }
    }

    /// Loads a plan. A plan is code: it must come from a trusted place.
    ///
    /// # Errors
    /// [`Error::Backend`] when the library refuses it: another version, another GPU, or damage.
    pub fn load(self: &Arc<Self>, plan: &[u8]) -> Result<Arc<Engine>> {
        let _call = LOG.call();
        let mut raw = ptr::null_mut();
        let mut message = Message::default();
        // SAFETY: the plan's bytes outlive the call; the library copies what it keeps.
        let status =
            unsafe { trs_engine_load(self.raw.as_ptr(), plan.as_ptr().cast(), plan.len(), &mut raw, message.start(), Message::ROOM) };
        let Some(raw) = NonNull::new(raw).filter(|_| status == TRS_OK) else {
            return Err(Error::backend("tensorrt", LOG.explain(&message.text()), "build the engine again on this machine"));
        };
        let mut engine = Engine { raw, library: self.clone(), io: Vec::new() };
        engine.io = engine.read_io()?;
        Ok(Arc::new(engine))
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: engines and blobs hold an `Arc` of this library, so none is left; `log` is still there.
        unsafe { trs_close(self.raw.as_ptr()) }
    }
}

/// What a build made.
pub struct Built {
    /// The plan, to be loaded.
    pub plan: Blob,
    /// Measurements of kernels, for later builds.
    pub timing: Option<Blob>,
}

/// Bytes in the library's memory.
pub struct Blob {
    raw: NonNull<trs_blob>,
    library: Arc<Library>,
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the library keeps the bytes unchanged at one place until the blob is freed.
        unsafe {
            let (data, size) = (trs_blob_data(self.raw.as_ptr()), trs_blob_size(self.raw.as_ptr()));
            if data.is_null() { &[] } else { slice::from_raw_parts(data.cast(), size) }
        }
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        debug_assert!(Arc::strong_count(&self.library) > 0);
        // SAFETY: made by the library, freed once, before the library's own reference goes.
        unsafe { trs_blob_free(self.raw.as_ptr()) }
    }
}

/// One input or output of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Io {
    /// Name in the graph.
    pub name: CString,
    /// Whether it is an input.
    pub is_input: bool,
    /// Element type, or `None` for one this program does not use.
    pub dtype: Option<Element>,
    /// Dimensions; `None` is free.
    pub dims: Vec<Option<usize>>,
}

/// Element types of engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Element {
    F32,
    F16,
    I8,
    U8,
    Bool,
    I32,
    I64,
}

impl Element {
    /// Bytes of one.
    pub const fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::I64 => 8,
        }
    }

    fn from_raw(raw: i32) -> Option<Self> {
        match raw {
            TRS_FLOAT => Some(Self::F32),
            TRS_HALF => Some(Self::F16),
            TRS_INT8 => Some(Self::I8),
            TRS_UINT8 => Some(Self::U8),
            TRS_BOOL => Some(Self::Bool),
            TRS_INT32 => Some(Self::I32),
            TRS_INT64 => Some(Self::I64),
            _ => None,
        }
    }
}

/// A loaded plan, shared by contexts.
pub struct Engine {
    raw: NonNull<trs_engine>,
    library: Arc<Library>,
    io: Vec<Io>,
}

// SAFETY: an engine is immutable, and documented as usable by several threads.
unsafe impl Send for Engine {}
// SAFETY: as above.
unsafe impl Sync for Engine {}

impl Engine {
    /// Inputs and outputs.
    pub fn io(&self) -> &[Io] {
        &self.io
    }

    /// Number of profiles.
    pub fn profiles(&self) -> usize {
        // SAFETY: the engine is alive; the call reads a number.
        usize::try_from(unsafe { trs_engine_profiles(self.raw.as_ptr()) }).unwrap_or(0)
    }

    /// Dimensions an input may have in a profile; `None` for a tensor that is no input.
    pub fn range(&self, input: &CStr, profile: usize) -> Option<Range> {
        let profile = i32::try_from(profile).ok().filter(|_| profile < self.profiles())?;
        // SAFETY: the name outlives the call; the structure is plain numbers and a pointer, for which zeros are a value.
        let range = unsafe {
            let mut range: trs_range = std::mem::zeroed();
            (trs_engine_range(self.raw.as_ptr(), input.as_ptr(), profile, &mut range) == TRS_OK).then_some(range)?
        };
        let rank = usize::try_from(range.rank).ok()?;
        let dims = |d: &[i64]| d[..rank].to_vec();
        Some(Range { input: input.to_string_lossy().into_owned(), min: dims(&range.min), opt: dims(&range.opt), max: dims(&range.max) })
    }

    /// Whether it works on host addresses: that of a test double.
    pub fn is_on_host(&self) -> bool {
        self.library.versions.host_memory
    }

    /// Bytes of scratch memory that do for all shapes; `None` where the library keeps it to itself.
    pub fn scratch_bytes(&self) -> Option<usize> {
        // SAFETY: the engine is alive; the call reads a number.
        usize::try_from(unsafe { trs_engine_scratch(self.raw.as_ptr()) }).ok()
    }

    fn read_io(&self) -> Result<Vec<Io>> {
        // SAFETY: the engine is alive; the call reads a number.
        let count = unsafe { trs_engine_io_count(self.raw.as_ptr()) };
        let one = |index| {
            // SAFETY: the structure is plain numbers, for which zeros are a value; after success its name ends with zero.
            let io = unsafe {
                let mut io: trs_io = std::mem::zeroed();
                let status = trs_engine_io(self.raw.as_ptr(), index, &mut io);
                if status != TRS_OK {
                    return Err(Error::backend("tensorrt", format!("tensor {index} of the engine cannot be read"), "choose onnx_runtime"));
                }
                io
            };
            let name = io.name.map(|c| c as u8);
            let name = CStr::from_bytes_until_nul(&name).map_err(|e| Error::internal("tensorrt tensor name", e.to_string()))?.to_owned();
            let dims = io.dims[..usize::try_from(io.rank).unwrap_or(0)].iter().map(|&d| usize::try_from(d).ok()).collect();
            Ok(Io { name, is_input: io.is_input != 0, dtype: Element::from_raw(io.dtype), dims })
        };
        (0..count).map(one).collect()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: contexts hold an `Arc` of this engine, so none is left; the library is still open.
        unsafe { trs_engine_free(self.raw.as_ptr()) }
    }
}

/// Host memory for an engine that works on it.
pub struct HostBuffer {
    start: NonNull<u8>,
    layout: Layout,
    bytes: usize,
}

// SAFETY: plain memory with one owner.
unsafe impl Send for HostBuffer {}

impl HostBuffer {
    /// Zeroed memory of `bytes` bytes, aligned as TensorRT wants device memory.
    pub fn new(bytes: usize) -> Result<Self> {
        let layout = Layout::from_size_align(bytes.max(1), ALIGNMENT).map_err(|e| Error::internal("host memory", e.to_string()))?;
        // SAFETY: the size is not zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) });
        let start = start.ok_or_else(|| Error::internal("host memory", format!("{bytes} bytes cannot be had")))?;
        Ok(Self { start, layout, bytes })
    }

    /// The bytes.
    pub fn host(&self) -> &[u8] {
        // SAFETY: initialised memory of this size. An engine writes it during `Context::enqueue` only, which borrows the
        // context, owner of this buffer, exclusively, and ends before it returns.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }

    /// The bytes, to be filled.
    pub fn host_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Buffer for HostBuffer {
    fn address(&self) -> *mut c_void {
        self.start.as_ptr().cast()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for HostBuffer {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// Text from the C interface.
struct Message([c_char; Self::ROOM]);

impl Default for Message {
    fn default() -> Self {
        Self([0; Self::ROOM])
    }
}

impl Message {
    const ROOM: usize = 4096;

    fn start(&mut self) -> *mut c_char {
        self.0.as_mut_ptr()
    }

    fn text(&self) -> String {
        CStr::from_bytes_until_nul(bytemuck::cast_slice(&self.0)).map(|t| t.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

unsafe extern "C" fn on_progress(
    user: *mut c_void,
    event: trs_progress_event,
    phase: *const c_char,
    parent: *const c_char,
    steps: i32,
) -> i32 {
    let told = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `user` is the reference given to `trs_build`, which has not returned; texts end with zero.
        let (tell, phase, parent) = unsafe {
            let parent = (!parent.is_null()).then(|| CStr::from_ptr(parent).to_string_lossy());
            (*user.cast::<&OnProgress<'_>>(), CStr::from_ptr(phase).to_string_lossy(), parent)
        };
        tell(match event {
            TRS_PHASE_START => Progress::Start(&phase, parent.as_deref(), steps),
            TRS_PHASE_STEP => Progress::Step(&phase, steps),
            _ => Progress::End(&phase),
        })
    }));
    // A panic stops the build as a request does.
    i32::from(matches!(told, Ok(ControlFlow::Continue(()))))
}

fn raw_range(range: &Range, name: &CStr) -> Option<trs_range> {
    let wide = |dims: &[i64]| {
        let mut wide = [0; TRS_MAX_RANK as usize];
        wide.get_mut(..dims.len())?.copy_from_slice(dims);
        Some(wide)
    };
    let rank = range.opt.len();
    let (min, opt, max) = (wide(&range.min)?, wide(&range.opt)?, wide(&range.max)?);
    (range.min.len() == rank && range.max.len() == rank).then_some(trs_range { input: name.as_ptr(), rank: rank as i32, min, opt, max })
}

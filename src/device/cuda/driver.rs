//! The driver asked what it is and what it drives, before anything else calls it: every other binding takes a library
//! for granted and panics without it.

use crate::device::loader_says;
use crate::device::probe::{Capability, GpuInfo, Uuid};
use libloading::{Library, Symbol};
use std::ffi::{CStr, c_char, c_int, c_uint};
use std::mem::ManuallyDrop;
use std::path::PathBuf;

/// All functions of the driver that this program calls. A library without one of them is refused, so that no call can
/// meet a function that is missing.
const FUNCTIONS: [&str; 46] = [
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDeviceGetUuid_v2",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDeviceTotalMem_v2",
    "cuDriverGetVersion",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventElapsedTime",
    "cuEventQuery",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuFuncSetAttribute",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuInit",
    "cuLaunchKernel",
    "cuMemAlloc_v2",
    "cuMemFreeHost",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemHostAlloc",
    "cuMemcpyDtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemsetD8Async",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuStreamBeginCapture_v2",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamEndCapture",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
    "cuPointerGetAttribute",
];

/// Numbers of `CUdevice_attribute`.
const CAPABILITY_MAJOR: c_int = 75;
const CAPABILITY_MINOR: c_int = 76;

/// The opened driver. It stays loaded: it may have started threads.
pub struct Driver {
    library: ManuallyDrop<Library>,
    /// The file, or the name that the loader found it by.
    pub path: PathBuf,
}

/// A call that failed, and its error number.
pub type Failed = (&'static str, i32);

type Bare<T> = unsafe extern "C" fn(*mut T) -> c_int;

impl Driver {
    /// Opens the library that the other bindings will open. What the loader says of the usual name, when there is none.
    pub fn open() -> Result<Self, String> {
        let candidates = cudarc::get_lib_name_candidates("cuda");
        for name in &candidates {
            // SAFETY: this is the driver's library by name; loading it is what every CUDA program does.
            if let Ok(library) = unsafe { Library::new(name) } {
                let path = file_of(&library).unwrap_or_else(|| name.into());
                return Ok(Self { library: ManuallyDrop::new(library), path });
            }
        }
        // SAFETY: as above.
        match unsafe { Library::new("libcuda.so.1") } {
            Ok(_) => Err("it appeared just now".into()),
            Err(e) => Err(loader_says(&e)),
        }
    }

    /// The functions it lacks.
    pub fn missing(&self) -> Vec<&'static str> {
        FUNCTIONS.into_iter().filter(|name| self.find::<unsafe extern "C" fn()>(name).is_none()).collect()
    }

    fn find<T>(&self, name: &str) -> Option<Symbol<'_, T>> {
        // SAFETY: only looked up here; each caller names the type that the driver's interface has for it.
        unsafe { self.library.get(name) }.ok()
    }

    /// Runs a function of the driver that was found to be there.
    fn call<T>(&self, name: &'static str, run: impl FnOnce(&T) -> c_int) -> Result<(), Failed> {
        match self.find::<T>(name).map_or(NOT_FOUND, |function| run(&function)) {
            0 => Ok(()),
            code => Err((name, code)),
        }
    }

    /// The newest CUDA it serves: 1000 times the major and 10 times the minor version. It needs no device.
    pub fn version(&self) -> Result<i32, Failed> {
        let mut version = 0;
        // SAFETY: the type is that of the interface, and the number outlives the call.
        self.call::<Bare<c_int>>("cuDriverGetVersion", |f| unsafe { f(&raw mut version) })?;
        Ok(version)
    }

    /// Starts it, once for the process.
    pub fn init(&self) -> Result<(), Failed> {
        // SAFETY: the type is that of the interface; flags are to be 0.
        self.call::<unsafe extern "C" fn(c_uint) -> c_int>("cuInit", |f| unsafe { f(0) })
    }

    /// How many devices there are, once it is started.
    pub fn count(&self) -> Result<u32, Failed> {
        let mut count = 0;
        // SAFETY: as in `version`.
        self.call::<Bare<c_int>>("cuDeviceGetCount", |f| unsafe { f(&raw mut count) })?;
        Ok(count.max(0) as u32)
    }

    /// What it says of device `number`.
    pub fn describe(&self, number: u32) -> Result<GpuInfo, Failed> {
        type Get = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
        type Name = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
        type Attribute = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int;
        type Memory = unsafe extern "C" fn(*mut usize, c_int) -> c_int;
        type Id = unsafe extern "C" fn(*mut u8, c_int) -> c_int;
        let (mut device, mut name, mut memory, mut uuid) = (0, [0u8; 256], 0, [0; 16]);
        // SAFETY: types are those of the interface; all places outlive the calls, and the name has the length that is said.
        unsafe {
            self.call::<Get>("cuDeviceGet", |f| f(&raw mut device, number as c_int))?;
            self.call::<Name>("cuDeviceGetName", |f| f(name.as_mut_ptr().cast(), name.len() as c_int, device))?;
            self.call::<Memory>("cuDeviceTotalMem_v2", |f| f(&raw mut memory, device))?;
            self.call::<Id>("cuDeviceGetUuid_v2", |f| f(uuid.as_mut_ptr(), device))?;
        }
        let attribute = |which: c_int| {
            let mut value = 0;
            // SAFETY: as above.
            self.call::<Attribute>("cuDeviceGetAttribute", |f| unsafe { f(&raw mut value, which, device) })?;
            Ok(value.max(0) as u32)
        };
        let name = CStr::from_bytes_until_nul(&name).map_or_else(|_| "unnamed".into(), |name| name.to_string_lossy().into_owned());
        let capability = Capability(attribute(CAPABILITY_MAJOR)?, attribute(CAPABILITY_MINOR)?);
        Ok(GpuInfo { number, name, capability, memory: memory as u64, uuid: Uuid(uuid) })
    }

    /// What it calls an error: `CUDA_ERROR_NO_DEVICE`.
    pub fn error_name(&self, code: i32) -> String {
        type Name = unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int;
        let mut name = std::ptr::null();
        // SAFETY: the type is that of the interface; it sets a text that lives as long as the library, or null.
        let found = self.call::<Name>("cuGetErrorName", |f| unsafe { f(code, &raw mut name) });
        if found.is_err() || name.is_null() {
            return format!("CUDA error {code}");
        }
        // SAFETY: as above.
        format!("{}, error {code}", unsafe { CStr::from_ptr(name) }.to_string_lossy())
    }
}

/// `CUDA_ERROR_NOT_FOUND`.
const NOT_FOUND: c_int = 500;

/// The file that a function of the library lies in.
fn file_of(library: &Library) -> Option<PathBuf> {
    // SAFETY: the address is only looked for among the mapped files.
    let address = unsafe { library.get::<unsafe extern "C" fn()>("cuInit").ok()?.try_as_raw_ptr() }? as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let hex = |text| usize::from_str_radix(text, 16).unwrap_or(0);
        range.is_some_and(|(from, to)| (hex(from)..hex(to)).contains(&address))
    })?;
    line.find('/').map(|at| PathBuf::from(&line[at..]))
}

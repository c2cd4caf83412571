//! Why no graphics processor can be used, in words, with what to do about it.

use super::probe::CudaVersion;
use crate::error::Error;
use std::path::PathBuf;

/// Why this machine has no graphics processor for this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// There is no `libcuda`.
    NoDriver {
        /// First line of `/proc/driver/nvidia/version`, where the kernel's part of the driver is loaded all the same.
        kernel_module: Option<String>,
        /// What the loader said.
        loader: String,
    },
    /// The library lacks functions.
    Incomplete {
        /// The file.
        library: PathBuf,
        /// Their names.
        missing: Vec<&'static str>,
    },
    /// The driver is older than CUDA 12.
    TooOld {
        /// What it serves.
        cuda: CudaVersion,
    },
    /// The driver does not start.
    Init {
        /// The file.
        library: PathBuf,
        /// Error number.
        code: i32,
        /// Its name.
        name: String,
    },
    /// The driver starts and has no device.
    NoDevice {
        /// `CUDA_VISIBLE_DEVICES`, if it is set.
        visible: Option<String>,
    },
    /// A question about a device failed.
    Query {
        /// Which device.
        device: u32,
        /// The function.
        call: &'static str,
        /// Name of the error.
        name: String,
    },
}

impl Unavailable {
    /// What is wrong.
    pub fn reason(&self) -> String {
        match self {
            Self::NoDriver { kernel_module: None, .. } => "there is no NVIDIA driver on this machine (no libcuda.so.1)".into(),
            Self::NoDriver { kernel_module: Some(module), loader } => {
                format!("the kernel has an NVIDIA driver ({module}), but its library cannot be opened: {loader}")
            }
            Self::Incomplete { library, missing } => {
                format!("{} is no complete CUDA driver: it lacks {}", library.display(), missing.join(", "))
            }
            Self::TooOld { cuda } => {
                format!("the NVIDIA driver is too old: it serves CUDA {cuda}, and {} is the oldest that works", CudaVersion::OLDEST)
            }
            Self::Init { code: STUB, library, .. } => {
                format!("{} is the stand-in for linking that comes with the CUDA toolkit, not the driver", library.display())
            }
            Self::Init { code, name, .. } => {
                let meaning = match *code {
                    NOT_READY => ": the devices are not ready yet",
                    MISMATCH => ": its library and its kernel module are of different versions",
                    NO_COMPATIBILITY => ": the compatibility library of CUDA does not support this GPU",
                    UNKNOWN => ": often its kernel module is not loaded, or the device files under /dev are missing",
                    _ => "",
                };
                format!("the NVIDIA driver does not start ({name}){meaning}")
            }
            Self::NoDevice { visible: Some(visible) } => {
                format!("the NVIDIA driver shows no device, and CUDA_VISIBLE_DEVICES is `{visible}`")
            }
            Self::NoDevice { visible: None } => "the NVIDIA driver has no device".into(),
            Self::Query { device, call, name } => format!("GPU {device} does not answer: {call} failed ({name})"),
        }
    }

    /// What to do.
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::NoDriver { kernel_module: None, .. } => {
                "install the driver (R525 or later), or start the container with its GPUs (`docker run --gpus all`); or use --device cpu"
            }
            Self::NoDriver { .. } => {
                "in a container, start it with `--gpus all` and NVIDIA_DRIVER_CAPABILITIES with `compute,utility`; else reinstall the driver"
            }
            Self::Incomplete { .. } => "remove this file or its folder from LD_LIBRARY_PATH, or install the driver (R525 or later)",
            Self::TooOld { .. } => "install driver R525 or later; or use --device cpu",
            Self::Init { code: STUB, .. } => "take its `stubs` folder out of LD_LIBRARY_PATH",
            Self::Init { code: NOT_READY, .. } => "start the fabric manager of the machine, or wait for it",
            Self::Init { code: MISMATCH, .. } => "load the kernel module anew or restart the machine after the update of the driver",
            Self::Init { code: NO_COMPATIBILITY, .. } => "take the folder of the compatibility library out of LD_LIBRARY_PATH",
            Self::Init { .. } => "see what `nvidia-smi` and `dmesg` say; or use --device cpu",
            Self::NoDevice { visible: Some(_) } => {
                "give numbers or UUIDs that `nvidia-smi -L` lists, or unset it; the first that does not exist hides all after it"
            }
            Self::NoDevice { visible: None } => "check with `nvidia-smi -L` that a device is there and given to this container",
            Self::Query { .. } => "see what `nvidia-smi` says of it; it may have to be reset",
        }
    }

    /// As the error of a run on `device`.
    pub fn error(&self, device: impl Into<String>) -> Error {
        Error::backend(device, self.reason(), self.next_step())
    }
}

/// Numbers of `CUresult`.
pub(super) const NO_DEVICE: i32 = 100;
const STUB: i32 = 34;
const NOT_READY: i32 = 802;
const MISMATCH: i32 = 803;
const NO_COMPATIBILITY: i32 = 804;
const UNKNOWN: i32 = 999;

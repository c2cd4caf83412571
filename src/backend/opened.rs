//! The backends of one device, opened at first need.

use super::onnxruntime::OnnxRuntime;
use super::openvino::OpenVino;
use super::paddle::PaddleInfer;
use super::tensorrt::session::TensorRt;
use super::{Backend, BackendName, OpenReference};
use crate::cache::Cache;
use crate::device::{self, Device};
use crate::error::{Error, Result};
use crate::runtime::gpu::{CudaRelease, GpuRuntime};
use crate::runtime::{self, Found, Library, Origin, PaddlePart};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Library files that a configuration names; what is not named is searched for, then installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Libraries {
    /// `libonnxruntime.so*`.
    pub onnx_runtime: Option<PathBuf>,
    /// `libopenvino_c.so*`.
    pub openvino: Option<PathBuf>,
    /// TensorRT's library, or its folder.
    pub tensorrt: Option<PathBuf>,
}

impl Libraries {
    /// The file named for `library`.
    pub(super) fn named(&self, library: Library) -> Option<&Path> {
        match library {
            Library::OnnxRuntime => self.onnx_runtime.as_deref(),
            Library::OpenVino => self.openvino.as_deref(),
        }
    }
}

/// See the module's description.
pub(super) struct Backends {
    pub device: Device,
    pub cache: Cache,
    pub libraries: Libraries,
    pub opened: Mutex<BTreeMap<&'static str, Arc<dyn Backend>>>,
    tensorrt: Mutex<Option<Arc<TensorRt>>>,
}

impl Backends {
    /// None is open yet. They keep what they make in `cache`, and the files of `libraries` are preferred.
    pub fn new(device: Device, cache: Cache, libraries: Libraries) -> Self {
        let (opened, tensorrt) = Default::default();
        Self { device, cache, libraries, opened, tensorrt }
    }

    /// TensorRT, which prepares its models by itself.
    pub fn tensorrt(&self) -> Result<Arc<TensorRt>> {
        let mut opened = self.tensorrt.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(backend) = &*opened {
            return Ok(backend.clone());
        }
        let backend = TensorRt::open(self.device.clone(), self.libraries.tensorrt.as_deref(), self.cache.clone())?;
        let backend = Arc::new(backend.comparing_with(self.reference()));
        Ok(opened.insert(backend).clone())
    }

    /// Opens the ONNX Runtime of this device, for the processor.
    fn reference(&self) -> OpenReference {
        let (device, cache, named) = (self.device.clone(), self.cache.clone(), self.libraries.onnx_runtime.clone());
        Arc::new(move || {
            OnnxRuntime::on_processor(&match device.gpu() {
                Some(_) => gpu_library(&device, &cache, named.as_deref())?.library,
                None => runtime::ensure(Library::OnnxRuntime, &cache, named.as_deref())?,
            })
        })
    }

    /// The backend of this name.
    pub fn open(&self, name: BackendName) -> Result<Arc<dyn Backend>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(backend) = opened.get(name.as_str()) {
            return Ok(backend.clone());
        }
        let backend: Arc<dyn Backend> = match name {
            BackendName::OpenVino | BackendName::PaddleInfer if self.device.gpu().is_some() => {
                let next_step = "choose onnx_runtime, leave --backend out, or use --device cpu";
                return Err(Error::backend(name.as_str(), format!("it runs on the CPU only here, not on {}", self.device), next_step));
            }
            BackendName::OnnxRuntime => match self.device.gpu() {
                Some(gpu) => {
                    let GpuRuntime { library, before } = gpu_library(&self.device, &self.cache, self.libraries.onnx_runtime.as_deref())?;
                    Arc::new(OnnxRuntime::open(&library.path, library.version.as_deref())?.on(gpu.clone(), before))
                }
                None => OnnxRuntime::on_processor(&self.library(Library::OnnxRuntime)?)?,
            },
            BackendName::OpenVino => {
                let found = self.library(Library::OpenVino)?;
                Arc::new(OpenVino::open(found, &self.cache, self.reference())?)
            }
            BackendName::TensorRt | BackendName::PaddleTensorRt => return Ok(self.tensorrt()?),
            BackendName::PaddleInfer => Arc::new(PaddleInfer::new(PaddlePart::Inference.ensure(&self.cache)?)),
            BackendName::Fake => return Err(Error::config("backend", "`fake` exists for tests only")),
        };
        opened.insert(name.as_str(), backend.clone());
        Ok(backend)
    }

    /// Whether the library of a backend is one that the user named: there is no other in its place.
    pub fn is_named(&self, name: BackendName) -> bool {
        let library = match name {
            BackendName::OnnxRuntime => Library::OnnxRuntime,
            BackendName::OpenVino => Library::OpenVino,
            _ => return false,
        };
        let found = runtime::locate(library, &self.cache, self.libraries.named(library));
        found.map_or(true, |found| found.is_some_and(|found| matches!(found.origin, Origin::Explicit | Origin::Environment)))
    }

    fn library(&self, library: Library) -> Result<Found> {
        runtime::ensure(library, &self.cache, self.libraries.named(library))
    }
}

/// ONNX Runtime in the version that the driver of `device` can run.
fn gpu_library(device: &Device, cache: &Cache, named: Option<&Path>) -> Result<GpuRuntime> {
    let gpus = device::probe().map_err(|unavailable| unavailable.error(device.to_string()))?;
    runtime::gpu::ensure(CudaRelease::for_driver(gpus.cuda.major()), cache, named)
}

//! nvJPEG of this machine: that of the system, else the installed one.

use crate::cache::Cache;
use crate::device::{self, Gpu, NvJpeg};
use crate::error::Result;
use crate::runtime::gpu::CudaRelease;
use std::path::PathBuf;
use std::sync::Arc;

/// A decoder on each of `gpus`.
pub(super) fn open(gpus: &[Arc<Gpu>], cache: &Cache) -> Result<Vec<Arc<NvJpeg>>> {
    gpus.iter().map(|gpu| NvJpeg::open(gpu, installed(cache).as_deref())).collect()
}

/// Whether such decoders can be had: why not, with the next step.
pub(super) fn available(cache: &Cache) -> Result<()> {
    NvJpeg::available(installed(cache).as_deref())
}

/// The library in the cache for the driver of this machine.
pub(super) fn installed(cache: &Cache) -> Option<PathBuf> {
    device::probe().ok().and_then(|gpus| CudaRelease::for_driver(gpus.cuda.major()).jpeg_library(cache))
}

//! What the program runs on: the device a user asked for, the processor cores it may use, the graphics processors that are
//! there, and the seam through which operations reach one; and what processes that were started took, and how they came to
//! their end.

mod cpu;
mod cuda;
mod ended;
mod images;
mod kernels;
mod memory;
mod nvdec;
mod nvjpeg;
mod nvml;
mod place;
mod probe;
mod queue;
mod spec;
mod spent;
mod unavailable;

pub use cpu::{CpuInfo, available_threads, process_time, thread_time};
pub use cuda::{DeviceBuffer, Gpu, Graph, Mark, Pinned, Stopwatch, Stream, sizes_up_to};
pub(crate) use ended::{how_it_ended, is_own_fault, last_status};
pub use images::{Image, image_for};
pub use kernels::Kernel;
pub use memory::available_memory;
pub use nvdec::{VideoCodec, VideoDecoder, VideoPicture};
pub use nvjpeg::{JpegOutcome, NvJpeg};
pub use nvml::{Facts, Nvml};
pub use place::Device;
pub use probe::{Capability, CudaVersion, GpuInfo, Gpus, Uuid, probe};
pub use queue::{DeviceSlice, DeviceSliceMut, FloatsMut, Launch, Queue, tiles};
pub use spec::{DeviceSpec, GpuId};
pub(crate) use spent::Meter;
pub use spent::ProgramTime;
pub use unavailable::Unavailable;

use std::path::Path;

/// What the loader of libraries says: its own words are behind those of the error.
pub(crate) fn loader_says(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// `reason` without the `path` that it begins with: the message has it already.
pub(crate) fn without_path(reason: &str, path: &Path) -> String {
    let rest = reason.strip_prefix(&*path.to_string_lossy()).filter(|rest| rest.starts_with([':', ' ']));
    rest.map_or(reason, |rest| rest.trim_start_matches([':', ' '])).to_owned()
}

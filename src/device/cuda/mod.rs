//! CUDA by its driver, `libcuda`, which is opened at run time: a [`Gpu`] with its kernels, [`Stream`]s of work on it, and memory
//! on both sides. Nothing here has run on hardware yet; the tests run it over a stand-in for the driver.

pub(super) mod driver;
mod gpu;
mod graph;
mod memory;
mod stream;

pub use gpu::Gpu;
pub use graph::Graph;
pub use memory::{DeviceBuffer, Pinned, sizes_up_to};
pub use stream::{Mark, Stopwatch, Stream};

//! Where the tensors of an engine lie: memory of a device with a host side to fill and read, or, for engines that work on
//! host addresses, the host side alone. A session uses both the same way.

use super::ffi::{HostBuffer, Library, Stream};
use crate::error::{Error, Result};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;

/// Alignment TensorRT asks of tensor addresses, in bytes.
pub const ALIGNMENT: usize = 256;

/// Memory of one tensor. Contents move between the two sides only by the calls named for it, in the order of the stream.
pub trait Buffer: Send {
    /// Address the engine uses.
    fn address(&self) -> *mut c_void;
    /// Size of either side.
    fn bytes(&self) -> usize;
    /// The host side.
    fn host(&self) -> &[u8];
    /// The host side, to be filled.
    fn host_mut(&mut self) -> &mut [u8];
    /// Starts the transfer of the first `bytes` bytes to the engine's side.
    fn upload(&mut self, bytes: usize, stream: Stream) -> Result<()>;
    /// Starts the transfer of the first `bytes` bytes to the host side.
    fn download(&mut self, bytes: usize, stream: Stream) -> Result<()>;
}

/// Makes buffers and waits for the work on them.
pub trait Memory: Send + Sync {
    /// The device as `--device` names it.
    fn device(&self) -> String;
    /// A buffer of at least `bytes` bytes.
    fn buffer(&self, bytes: usize) -> Result<Box<dyn Buffer>>;
    /// A stream of work for one session.
    fn stream(&self) -> Result<Stream>;
    /// Waits until all work of `stream` is done.
    fn wait(&self, stream: Stream) -> Result<()>;
}

/// Host memory, for engines that work on it: test doubles.
pub struct HostMemory;

impl Memory for HostMemory {
    fn device(&self) -> String {
        "cpu".into()
    }

    fn buffer(&self, bytes: usize) -> Result<Box<dyn Buffer>> {
        Ok(Box::new(HostBuffer::new(bytes)?))
    }

    fn stream(&self) -> Result<Stream> {
        Ok(Stream(null_mut()))
    }

    fn wait(&self, _stream: Stream) -> Result<()> {
        Ok(())
    }
}

/// Memory that engines of a library work on.
pub(super) fn memory_of(library: &Library) -> Result<Arc<dyn Memory>> {
    match library.versions().host_memory {
        true => Ok(Arc::new(HostMemory)),
        false => {
            Err(Error::backend("tensorrt", "running engines on a GPU is not in this version; building them is", "choose onnx_runtime"))
        }
    }
}

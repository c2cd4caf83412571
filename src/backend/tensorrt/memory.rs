//! Where the tensors of an engine lie: in the memory of a device, on a stream of this program, or, for engines that work on host
//! addresses, on the host. A session does the same with both.

use super::ffi::{self, HostBuffer};
use crate::device;
use crate::error::Result;
use std::ffi::c_void;
use std::ptr::null_mut;

/// Alignment TensorRT asks of tensor addresses, in bytes.
pub const ALIGNMENT: usize = 256;

/// Memory of one tensor, or scratch memory, which stays at its address.
pub trait Buffer: Send {
    /// Address the engine uses.
    fn address(&self) -> *mut c_void;
    /// Its size.
    fn bytes(&self) -> usize;
}

/// Memory and order of work of one session; a clone is the same one.
pub trait Memory: Clone + Send + 'static {
    /// What it makes.
    type Buffer: Buffer;
    /// A buffer of at least `bytes` bytes, its address a multiple of [`ALIGNMENT`].
    fn buffer(&self, bytes: usize) -> Result<Self::Buffer>;
    /// The stream that runs are put into.
    fn stream(&self) -> ffi::Stream;
    /// Lets calls of this thread mean its device.
    fn enter(&self) -> Result<()>;
    /// Waits until all work of the stream is done.
    fn wait(&self) -> Result<()>;
}

/// Host memory, for engines that work on it: test doubles.
#[derive(Clone, Copy, Debug)]
pub struct HostMemory;

impl Memory for HostMemory {
    type Buffer = HostBuffer;

    fn buffer(&self, bytes: usize) -> Result<HostBuffer> {
        HostBuffer::new(bytes)
    }

    fn stream(&self) -> ffi::Stream {
        ffi::Stream(null_mut())
    }

    fn enter(&self) -> Result<()> {
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        Ok(())
    }
}

/// A block of the driver's own, which aligns blocks to more than is asked.
impl Buffer for device::DeviceBuffer<u8> {
    fn address(&self) -> *mut c_void {
        self.slice().address() as *mut c_void
    }

    fn bytes(&self) -> usize {
        self.len()
    }
}

/// Memory of the stream's device. What goes back to the stream is used again behind the work on it.
impl Memory for device::Stream {
    type Buffer = device::DeviceBuffer<u8>;

    fn buffer(&self, bytes: usize) -> Result<Self::Buffer> {
        self.alloc(bytes)
    }

    fn stream(&self) -> ffi::Stream {
        ffi::Stream(self.raw())
    }

    fn enter(&self) -> Result<()> {
        self.gpu().make_current()
    }

    fn wait(&self) -> Result<()> {
        Self::wait(self)
    }
}

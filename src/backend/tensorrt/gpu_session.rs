//! A session on a GPU: tensors stay in the memory of the device, and what repeats is recorded.

use super::ffi::Element;
use super::graphs::Graphs;
use super::worker::Worker;
use crate::backend::{GpuSession, Session};
use crate::device::{DeviceSliceMut, Stream};
use crate::error::{Error, Result};
use crate::tensor::device::{DeviceData, DeviceTensor};
use crate::tensor::{Shape, TensorRef};

/// One run at a time on a stream of a device.
pub(super) struct OnGpu {
    graphs: Option<Graphs>,
    worker: Worker<Stream>,
}

impl OnGpu {
    pub(super) fn new(worker: Worker<Stream>) -> Self {
        Self { graphs: Graphs::wanted(), worker }
    }

    /// Runs that were one launch of recorded work; `None` where none is to be recorded.
    pub(super) fn launches(&self) -> Option<u64> {
        self.graphs.as_ref().map(Graphs::launches)
    }
}

impl Drop for OnGpu {
    fn drop(&mut self) {
        self.worker.settle();
    }
}

impl GpuSession for OnGpu {
    fn stream(&self) -> &Stream {
        self.worker.stream()
    }

    fn input(&mut self, index: usize, shape: Shape) -> Result<DeviceSliceMut<'_, f32>> {
        let (buffer, bytes) = self.worker.lend(index, shape)?;
        buffer.slice_mut().split_off(bytes)?.cast()
    }

    fn run(&mut self) -> Result<()> {
        match &mut self.graphs {
            Some(graphs) => graphs.run(&mut self.worker),
            None => self.worker.enqueue(),
        }
    }

    fn outputs(&mut self, count: usize) -> Result<Vec<DeviceTensor<'_>>> {
        let output = |index| {
            let (tensor, buffer) = self.worker.found(index)?;
            let bytes = buffer.slice().part(0..tensor.bytes())?;
            let data = match tensor.dtype {
                Element::I32 => DeviceData::I32(bytes.cast()?),
                Element::I64 => DeviceData::I64(bytes.cast()?),
                _ => DeviceData::F32(bytes.cast()?),
            };
            Ok(DeviceTensor { shape: tensor.shape, data })
        };
        (0..count).map(output).collect()
    }
}

/// The host's side of the seam, which is not to be had on a GPU.
impl Session for OnGpu {
    fn input(&mut self, _index: usize, _shape: Shape) -> Result<&mut [f32]> {
        Err(Error::internal("tensorrt input", "inputs are in device memory, not in host memory"))
    }

    fn run(&mut self) -> Result<()> {
        GpuSession::run(self)
    }

    fn output(&self, _index: usize) -> Result<TensorRef<'_>> {
        Err(Error::internal("tensorrt output", "outputs are in device memory, not in host memory"))
    }

    fn on_gpu(&mut self) -> Option<&mut dyn GpuSession> {
        Some(self)
    }
}

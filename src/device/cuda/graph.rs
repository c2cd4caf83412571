//! Work of a stream recorded once and put in again as a whole: a CUDA graph.

use super::stream::Stream;
use crate::error::{Error, Result};
use cudarc::driver::{CudaGraph, sys};

/// Recorded work of one stream.
pub struct Graph {
    graph: CudaGraph,
    stream: Stream,
}

// SAFETY: whoever has it calls the driver for it, one at a time: it is not cloned, and launched by exclusive reference.
unsafe impl Send for Graph {}

impl Stream {
    /// Records what `work` puts into this stream, which does not run then. `None` when this is not the time for it, as a library of
    /// another thread [loads something](super::Gpu::for_loading): `work` was not called.
    ///
    /// # Errors
    /// That of `work`; [`Error::Device`] when the driver cannot record what it put in, or when that is nothing.
    pub fn record(&self, work: impl FnOnce() -> Result<()>) -> Result<Option<Graph>> {
        let Some(_recording) = self.gpu().for_recording() else { return Ok(None) };
        let (gpu, stream) = (self.gpu(), self.inner());
        // What other threads ask of the driver meanwhile is not forbidden, but for waits of the whole device.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        stream.begin_capture(mode).map_err(|e| gpu.fault("recording work", e))?;
        let done = work();
        let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0)); // also after an error: the stream is to go on
        done?;
        let graph = graph.map_err(|e| gpu.fault("recording work", e))?;
        let graph = graph.ok_or_else(|| Error::device(gpu.to_string(), "recording work", "nothing was put into the stream"))?;
        Ok(Some(Graph { graph, stream: self.clone() }))
    }
}

impl Graph {
    /// Puts the work into its stream.
    ///
    /// # Errors
    /// [`Error::Device`].
    ///
    /// # Safety
    /// All memory it works on is there until it is done, at the same addresses as when it was recorded.
    pub unsafe fn launch(&mut self) -> Result<()> {
        self.graph.launch().map_err(|e| self.stream.gpu().fault("putting recorded work into a stream", e))
    }
}

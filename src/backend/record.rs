//! An engine that notes the inputs of its runs, for benchmarks: replaying them gives the time the engine alone
//! needs for the very tensors a pipeline fed it.

use super::{Engine, EngineSpec, GpuSession, Session, host};
use crate::device::{DeviceSliceMut, Stream};
use crate::error::{Error, Result};
use crate::tensor::device::DeviceTensor;
use crate::tensor::storage::download;
use crate::tensor::{Shape, TensorRef};
use crate::trace::{EngineSet, Transfers};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One noted run: shape and elements of every input, in graph order, and the engine they went to.
pub struct Run {
    engine: Arc<dyn Engine>,
    inputs: Vec<(Shape, Vec<f32>)>,
}

impl Run {
    /// Shape and elements of every input, in graph order.
    pub fn inputs(&self) -> &[(Shape, Vec<f32>)] {
        &self.inputs
    }

    /// What ran.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }
}

/// Runs noted so far, shared by engines and the benchmark that reads them.
#[derive(Clone, Default)]
pub struct Recording {
    /// `None` while nothing is to be noted.
    runs: Arc<Mutex<Option<Vec<Run>>>>,
}

impl Recording {
    /// An engine that runs `engine` and notes here.
    pub fn wrap(&self, engine: Arc<dyn Engine>) -> Arc<dyn Engine> {
        Arc::new(RecordingEngine { engine, recording: self.clone() })
    }

    /// Notes runs from now on.
    pub fn start(&self) {
        *self.lock() = Some(Vec::new());
    }

    /// Stops and returns what was noted.
    pub fn stop(&self) -> Vec<Run> {
        self.lock().take().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Run>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs noted inputs again on sessions of its own, one per engine.
#[derive(Default)]
pub struct Replay {
    sessions: Vec<(Arc<dyn Engine>, Box<dyn Session>)>,
}

impl Replay {
    /// Puts the inputs of `run` in place; the session that comes back runs them.
    pub fn prepare(&mut self, run: &Run) -> Result<&mut dyn Session> {
        let known = self.sessions.iter().position(|(engine, _)| Arc::ptr_eq(engine, &run.engine));
        let at = match known {
            Some(at) => at,
            None => {
                self.sessions.push((run.engine.clone(), run.engine.session()?));
                self.sessions.len() - 1
            }
        };
        let session = &mut self.sessions[at].1;
        for (index, (shape, data)) in run.inputs.iter().enumerate() {
            host::feed(&mut **session, index, *shape, data, &mut Transfers::default())?;
        }
        host::settle(&mut **session)?;
        Ok(session.as_mut())
    }
}

struct RecordingEngine {
    engine: Arc<dyn Engine>,
    recording: Recording,
}

impl Engine for RecordingEngine {
    fn spec(&self) -> &EngineSpec {
        self.engine.spec()
    }

    fn most_sessions(&self) -> usize {
        self.engine.most_sessions()
    }

    fn runs_itself(&self, shapes: &[Shape]) -> bool {
        self.engine.runs_itself(shapes)
    }

    fn session(&self) -> Result<Box<dyn Session>> {
        let shapes = vec![Shape::new(&[0]); self.io().inputs.len()];
        let mut session = self.engine.session()?;
        let stream = session.on_gpu().map(|gpu| gpu.stream().clone());
        Ok(Box::new(RecordingSession { session, stream, engine: self.engine.clone(), recording: self.recording.clone(), shapes }))
    }
}

struct RecordingSession {
    session: Box<dyn Session>,
    /// Of a session on a GPU.
    stream: Option<Stream>,
    engine: Arc<dyn Engine>,
    recording: Recording,
    shapes: Vec<Shape>,
}

impl Session for RecordingSession {
    fn input(&mut self, index: usize, shape: Shape) -> Result<&mut [f32]> {
        if let Some(known) = self.shapes.get_mut(index) {
            *known = shape;
        }
        self.session.input(index, shape)
    }

    fn run(&mut self) -> Result<()> {
        if self.recording.lock().is_some() {
            let mut inputs = Vec::with_capacity(self.shapes.len());
            for (index, &shape) in self.shapes.iter().enumerate() {
                inputs.push((shape, self.session.input(index, shape)?.to_vec()));
            }
            self.note(inputs);
        }
        self.session.run()
    }

    fn output(&self, index: usize) -> Result<TensorRef<'_>> {
        self.session.output(index)
    }

    fn rest(&mut self) {
        self.session.rest();
    }

    fn ran(&self) -> EngineSet {
        self.session.ran()
    }

    fn on_gpu(&mut self) -> Option<&mut dyn GpuSession> {
        if self.stream.is_some() { Some(self) } else { None }
    }
}

impl RecordingSession {
    fn note(&self, inputs: Vec<(Shape, Vec<f32>)>) {
        if let Some(runs) = self.recording.lock().as_mut() {
            runs.push(Run { engine: self.engine.clone(), inputs });
        }
    }

    fn gpu(&mut self) -> Result<(&mut dyn GpuSession, &Stream)> {
        match (self.session.on_gpu(), &self.stream) {
            (Some(session), Some(stream)) => Ok((session, stream)),
            _ => Err(Error::internal("recording", "the session works on the host, not on a GPU")),
        }
    }
}

/// While runs are noted their inputs are brought to the host, which a benchmark does not time.
impl GpuSession for RecordingSession {
    fn stream(&self) -> &Stream {
        self.stream.as_ref().expect("`on_gpu` lends this only with a stream")
    }

    fn input(&mut self, index: usize, shape: Shape) -> Result<DeviceSliceMut<'_, f32>> {
        if let Some(known) = self.shapes.get_mut(index) {
            *known = shape;
        }
        self.gpu()?.0.input(index, shape)
    }

    fn run(&mut self) -> Result<()> {
        if self.recording.lock().is_some() {
            let mut inputs = Vec::with_capacity(self.shapes.len());
            for (index, shape) in self.shapes.clone().into_iter().enumerate() {
                let (session, stream) = self.gpu()?;
                let copy = download(session.input(index, shape)?.as_ref(), stream, &mut Transfers::default())?;
                inputs.push((shape, copy.on_host()?.to_vec()));
            }
            self.note(inputs);
        }
        self.gpu()?.0.run()
    }

    fn outputs(&mut self, count: usize) -> Result<Vec<DeviceTensor<'_>>> {
        self.gpu()?.0.outputs(count)
    }
}

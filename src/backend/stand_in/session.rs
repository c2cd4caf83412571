//! A session of an engine or of what stands in for it, on the processor or on a GPU.

use super::Shared;
use crate::backend::{GpuSession, Session};
use crate::device::{DeviceSliceMut, Stream};
use crate::error::{Error, Result};
use crate::tensor::device::DeviceTensor;
use crate::tensor::{Shape, TensorRef};
use crate::trace::EngineSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) struct Changing {
    shared: Arc<Shared>,
    /// Of the engine, or of its stand-in before there is one: it lends the inputs.
    session: Box<dyn Session>,
    is_built: bool,
    /// Where it works, if that is a GPU.
    stream: Option<Stream>,
    /// What the inputs were lent as.
    shapes: Vec<Shape>,
    /// Whether the engine has not been asked about these.
    unasked: bool,
    /// What its runs on them are told by.
    mark: EngineSet,
    /// Whether inputs were lent for a run that has not begun.
    lends: bool,
    /// Of the stand-in, for shapes that the engine refuses.
    other: Option<Box<dyn Session>>,
    /// Whether that one did the last run.
    on_other: bool,
    /// What did the last run and was changed since: its outputs may still be wanted.
    previous: Option<Box<dyn Session>>,
}

impl Changing {
    pub fn new(shared: Arc<Shared>, mut session: Box<dyn Session>, is_built: bool, inputs: usize) -> Self {
        let stream = session.on_gpu().map(|gpu| gpu.stream().clone());
        let (shapes, other, previous, mark) = (vec![Shape::new(&[0]); inputs], None, None, shared.marks[1]);
        Self { shared, session, is_built, stream, shapes, unasked: true, mark, lends: false, other, on_other: false, previous }
    }

    /// Before the first input of a run: goes over to the engine when it is there.
    fn change_over(&mut self) {
        if self.is_built || self.lends {
            return;
        }
        let Some(engine) = self.shared.built.get() else { return };
        // What is read of the last run is read in another stream from now on.
        let settled = self.stream.as_ref().map_or(Ok(()), Stream::wait);
        match settled.and_then(|()| engine.session()) {
            Ok(session) => {
                let changed = Self::new(self.shared.clone(), session, true, self.shapes.len());
                let before = std::mem::replace(self, changed);
                self.previous = Some(before.session);
            }
            Err(e) if !self.shared.refused.swap(true, Ordering::Relaxed) => {
                tracing::warn!("{e}; {} stays in part on what stood in for the engine", self.shared.model);
            }
            Err(_) => {}
        }
    }

    fn note(&mut self, index: usize, shape: Shape) {
        self.lends = true;
        if let Some(known) = self.shapes.get_mut(index)
            && *known != shape
        {
            *known = shape;
            self.unasked = true;
        }
    }

    /// Whether the run that begins is one for the stand-in, which then has a session here.
    fn begin(&mut self) -> Result<bool> {
        (self.lends, self.previous) = (false, None);
        if self.is_built && self.unasked {
            let refuses = self.shared.refuses(&self.shapes);
            if refuses && self.other.is_none() {
                let mut other = self.shared.stand_in()?.session()?;
                if other.on_gpu().is_some() != self.stream.is_some() {
                    let reason = format!("model {}: what stands in for its engine has its data elsewhere", self.shared.model);
                    return Err(Error::backend("tensorrt", reason, "state wider dynamic_shapes in hpi_config, or choose onnx_runtime"));
                }
                self.other = Some(other);
            }
            (self.on_other, self.unasked, self.mark) = (refuses, false, self.shared.mark(&self.shapes));
        }
        if self.on_other {
            self.shared.passed_on(&self.shapes);
        }
        Ok(self.on_other)
    }
}

impl Session for Changing {
    fn input(&mut self, index: usize, shape: Shape) -> Result<&mut [f32]> {
        self.change_over();
        self.note(index, shape);
        self.session.input(index, shape)
    }

    fn run(&mut self) -> Result<()> {
        if self.stream.is_some() {
            return GpuSession::run(self);
        }
        if self.begin()?
            && let Some(other) = &mut self.other
        {
            for (index, &shape) in self.shapes.iter().enumerate() {
                other.input(index, shape)?.copy_from_slice(self.session.input(index, shape)?);
            }
            return other.run();
        }
        self.session.run()
    }

    fn output(&self, index: usize) -> Result<TensorRef<'_>> {
        match (&self.previous, &self.other) {
            (Some(previous), _) => previous.output(index),
            (None, Some(other)) if self.on_other => other.output(index),
            _ => self.session.output(index),
        }
    }

    /// Whoever works on a GPU asks for this before the first input of a run.
    fn on_gpu(&mut self) -> Option<&mut dyn GpuSession> {
        self.change_over();
        if self.stream.is_some() { Some(self) } else { None }
    }

    fn ran(&self) -> EngineSet {
        if self.is_built && !self.on_other && self.previous.is_none() { self.mark } else { self.shared.marks[0] }
    }
}

/// The two sessions have streams of their own: where inputs go from one to the other, each is waited for.
impl GpuSession for Changing {
    fn stream(&self) -> &Stream {
        self.stream.as_ref().expect("`on_gpu` lends this only with a stream")
    }

    fn input(&mut self, index: usize, shape: Shape) -> Result<DeviceSliceMut<'_, f32>> {
        self.note(index, shape);
        gpu(&mut *self.session)?.input(index, shape)
    }

    fn run(&mut self) -> Result<()> {
        if self.begin()?
            && let (Some(other), Some(stream)) = (&mut self.other, &self.stream)
        {
            let (from, to) = (gpu(&mut *self.session)?, gpu(&mut **other)?);
            for (index, &shape) in self.shapes.iter().enumerate() {
                stream.copy(from.input(index, shape)?.as_ref(), &mut to.input(index, shape)?)?;
            }
            stream.wait()?;
            to.run()?;
            return to.stream().wait();
        }
        gpu(&mut *self.session)?.run()
    }

    fn outputs(&mut self, count: usize) -> Result<Vec<DeviceTensor<'_>>> {
        let last = match (&mut self.previous, &mut self.other) {
            (Some(previous), _) => previous,
            (None, Some(other)) if self.on_other => other,
            _ => &mut self.session,
        };
        gpu(&mut **last)?.outputs(count)
    }
}

fn gpu(session: &mut dyn Session) -> Result<&mut dyn GpuSession> {
    session.on_gpu().ok_or_else(|| Error::internal("stand-in", "one engine works on a GPU and the other does not"))
}

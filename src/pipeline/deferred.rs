//! OCR of documents whose text layers stand in for reading them: networks are opened for the first picture that has to be read.

use super::crew::Crew;
use super::reader::stated;
use super::{Pipeline, process_one};
use crate::error::{Error, Result};
use crate::image::Frame;
use crate::result::{PipelineResult, RunRecord};
use crate::trace::{Stage, StageTimes};
use std::panic::resume_unwind;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Opens the pipeline that reads.
type Open = Box<dyn Fn() -> Result<Box<dyn Pipeline>> + Send + Sync>;

/// An OCR pipeline that is opened when it is needed.
pub struct DeferredOcr {
    open: Open,
    opening: Mutex<()>,
    opened: OnceLock<Box<dyn Pipeline>>,
    score_thresh: f32,
    crew: Crew,
}

impl DeferredOcr {
    /// One that `open` opens, which works on `threads` cores and leaves out texts below `score_thresh`. While it cannot be opened, every
    /// frame that has to be read fails with the reason.
    pub fn new(open: impl Fn() -> Result<Box<dyn Pipeline>> + Send + Sync + 'static, score_thresh: f32, threads: usize) -> Result<Self> {
        let (opening, opened) = Default::default();
        Ok(Self { open: Box::new(open), opening, opened, score_thresh, crew: Crew::new(threads)? })
    }

    fn opened(&self) -> Result<&dyn Pipeline> {
        let _one_at_a_time = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if self.opened.get().is_none() {
            // In no pool of rayon's: a worker of one that waits takes up other work, which may wait for this.
            let opened = std::thread::scope(|scope| scope.spawn(&self.open).join().unwrap_or_else(|panic| resume_unwind(panic)))?;
            let _ = self.opened.set(opened); // there is none, and this is the only one at work
        }
        self.opened.get().map(|opened| &**opened).ok_or_else(|| Error::internal("pipeline", "it is open, and is not there"))
    }

    /// The result of a frame that is not read.
    fn stated(&self, frame: &Frame) -> Option<Result<(PipelineResult, StageTimes)>> {
        stated(frame, self.score_thresh).map(|stated| stated.map(|(result, times)| (result.into(), times)))
    }

    fn read(&self, frames: &[Frame]) -> Vec<Result<(PipelineResult, StageTimes)>> {
        match self.opened.get() {
            Some(opened) => opened.process(frames),
            None => frames.iter().map(|frame| process_one(self.opened()?, frame)).collect(),
        }
    }
}

impl Pipeline for DeferredOcr {
    fn process(&self, frames: &[Frame]) -> Vec<Result<(PipelineResult, StageTimes)>> {
        let stated: Vec<_> = frames.iter().map(|frame| self.stated(frame)).collect();
        let unknown: Vec<Frame> =
            frames.iter().zip(&stated).filter(|(_, stated)| stated.is_none()).map(|(frame, _)| frame.clone()).collect();
        let mut read = self.read(&unknown).into_iter();
        let lost = || Err(Error::internal("pipeline", "no result for a frame"));
        let next = |stated: Option<_>| stated.unwrap_or_else(|| read.next().unwrap_or_else(lost));
        stated.into_iter().map(next).collect()
    }

    fn run_records(&self) -> &[RunRecord] {
        self.opened.get().map_or(&[], |opened| opened.run_records())
    }

    fn workers(&self) -> &rayon::ThreadPool {
        self.crew.workers()
    }

    fn stages(&self) -> &'static [Stage] {
        &Stage::OCR
    }
}

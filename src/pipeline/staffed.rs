//! What pipelines have in common: steps over a batch of frames, and a crew that does them.

use super::crew::{Crew, Turn};
use super::runs::Runs;
use super::{EngineStreams, Pipeline};
use crate::backend::RunInfo;
use crate::error::Result;
use crate::image::Frame;
use crate::result::{PipelineResult, RunRecord};
use crate::trace::{Stage, StageTimes};
use std::fmt;

/// Frames under way on a GPU, in four groups at least: as many as an engine has sessions there, and one that is decoded meanwhile.
/// Not measured on hardware yet.
const GPU_FRAMES: usize = 32;
const GPU_GROUPS: usize = 4;

/// Loaded networks, and what is made of frames with them.
pub trait Steps: Send + Sync {
    /// What becomes of a frame.
    type Result: Into<PipelineResult> + Send;

    /// The stages that are timed, in the order in which they run.
    const STAGES: &'static [Stage];

    /// The engines, in the order of their work.
    fn infos(&self) -> Vec<&RunInfo>;

    /// Results for `frames`, in their order, with the time each spent in each stage and the header that `runs` has for it.
    fn results(&self, frames: &[Frame], turn: Turn, runs: &Runs) -> Vec<Result<(Self::Result, StageTimes)>>;

    /// Frames that [`results`](Self::results) gains from having at once.
    fn batch_size(&self) -> usize;
}

/// A loaded pipeline. Calls from several threads share its workers.
pub struct Staffed<S> {
    steps: S,
    crew: Crew,
    runs: Runs,
}

impl<S> fmt::Debug for Staffed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staffed").field("runs", &self.runs.records()).finish_non_exhaustive()
    }
}

impl<S: Steps> Staffed<S> {
    /// A pipeline of `steps` that works on `threads` cores.
    pub(super) fn with(steps: S, threads: usize) -> Result<Self> {
        let (crew, runs) = (Crew::new(threads)?, Runs::of(steps.infos()));
        Ok(Self { steps, crew, runs })
    }

    /// Results for `frames` (BGR), worked on as one batch, in their order. A frame that fails leaves the others untouched.
    pub fn predict(&self, frames: &[Frame]) -> Vec<Result<S::Result>> {
        self.predict_timed(frames).into_iter().map(|r| r.map(|(result, _)| result)).collect()
    }

    /// As [`predict`](Self::predict), with the time each frame spent in each stage.
    pub fn predict_timed(&self, frames: &[Frame]) -> Vec<Result<(S::Result, StageTimes)>> {
        self.crew.run(frames.len(), |turn| self.steps.results(frames, turn, &self.runs))
    }

    fn is_on_cores(&self) -> bool {
        self.steps.infos().iter().all(|info| info.device == "cpu")
    }
}

impl<S: Steps> Pipeline for Staffed<S> {
    fn process(&self, frames: &[Frame]) -> Vec<Result<(PipelineResult, StageTimes)>> {
        self.predict_timed(frames).into_iter().map(|r| r.map(|(result, times)| (result.into(), times))).collect()
    }

    fn run_records(&self) -> &[RunRecord] {
        self.runs.records()
    }

    fn workers(&self) -> &rayon::ThreadPool {
        self.crew.workers()
    }

    fn engine_streams(&self) -> Option<&EngineStreams> {
        self.is_on_cores().then(|| self.crew.streams())
    }

    fn stages(&self) -> &'static [Stage] {
        S::STAGES
    }

    fn batch_size(&self) -> usize {
        self.steps.batch_size()
    }

    fn groups_at_once(&self) -> usize {
        match self.is_on_cores() {
            true => usize::MAX,
            false => GPU_FRAMES.div_ceil(self.batch_size().max(1)).max(GPU_GROUPS),
        }
    }
}

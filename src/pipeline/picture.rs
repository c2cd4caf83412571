//! Pipelines with one network on whole pictures: group the frames that can share a run, run the groups side by side,
//! give every frame its own result. Grouping changes no result.

use super::crew::Turn;
use super::runs::Runs;
use super::staffed::{Staffed, Steps};
use crate::backend::RunInfo;
use crate::error::{Error, Result};
use crate::image::{Frame, PictureRef, Size};
use crate::modules::PictureModule;
use crate::modules::network::Share;
use crate::result::{Header, PipelineResult};
use crate::trace::{Stage, StageTimes};

/// A module whose output is the result of a pipeline.
pub trait PictureModuleResult: PictureModule {
    /// The result.
    type Result: Into<PipelineResult> + Send;

    /// `output` as a result about the picture of `header`.
    fn result(header: Header, output: Self::Output) -> Self::Result;
}

/// The steps of a pipeline with one network.
pub struct PictureSteps<M> {
    module: M,
    batch_size: usize,
}

/// A loaded pipeline with one network.
pub type PicturePipeline<M> = Staffed<PictureSteps<M>>;

/// A frame's output with its times, or why there is none.
type Outcome<M> = Result<(<M as PictureModule>::Output, StageTimes)>;

impl<M: PictureModuleResult> PicturePipeline<M> {
    /// A pipeline over a loaded module that works on `threads` cores; at most `batch_size` frames share a run.
    pub fn new(module: M, batch_size: usize, threads: usize) -> Result<Self> {
        let batch_size = batch_size.clamp(1, module.max_batch());
        Self::with(PictureSteps { module, batch_size }, threads)
    }
}

impl<M: PictureModuleResult> PictureSteps<M> {
    /// Frames that share a run, as indices; and the outcomes of frames that no network can take.
    fn groups(&self, frames: &[Frame]) -> (Vec<Vec<usize>>, Vec<Option<Outcome<M>>>) {
        let mut groups: Vec<(Size, Vec<usize>)> = Vec::new();
        let mut outcomes: Vec<Option<Outcome<M>>> = frames.iter().map(|_| None).collect();
        for (index, frame) in frames.iter().enumerate() {
            match self.module.input_size(frame.size()) {
                Err(e) => outcomes[index] = Some(Err(e)),
                Ok(size) => match groups.iter_mut().find(|(of, group)| *of == size && group.len() < self.batch_size) {
                    Some((_, group)) => group.push(index),
                    None => groups.push((size, vec![index])),
                },
            }
        }
        (groups.into_iter().map(|(_, group)| group).collect(), outcomes)
    }

    /// Outcomes of the frames of one group. When a run of several fails, each runs alone: the fault may be one's.
    fn run_group(&self, frames: &[Frame], group: &[usize], share: Share) -> Vec<Outcome<M>> {
        let images: Vec<PictureRef> = group.iter().map(|&index| frames[index].image.view()).collect();
        let mut times = StageTimes::default();
        match self.module.predict(&images, share, &mut times) {
            Ok(outputs) if outputs.len() == group.len() => {
                let mut each = StageTimes::default();
                each.add_share(&times, 1.0 / group.len() as f64);
                outputs.into_iter().map(|output| Ok((output, each))).collect()
            }
            Ok(outputs) => {
                let reason = format!("{} results for {} pictures", outputs.len(), group.len());
                group.iter().map(|_| Err(Error::internal("pipeline", reason.clone()))).collect()
            }
            Err(e) if group.len() == 1 => vec![Err(e)],
            Err(_) => group.iter().flat_map(|&index| self.run_group(frames, &[index], share)).collect(),
        }
    }

    fn result(frame: &Frame, outcome: Option<Outcome<M>>, runs: &Runs) -> Result<(M::Result, StageTimes)> {
        let outcome = outcome.unwrap_or_else(|| Err(Error::internal("pipeline", "a frame was left out")));
        let outcome = outcome.map_err(|error| error.of_input(frame.id.input_path.as_deref()));
        outcome.map(|(output, times)| (M::result(runs.header(&frame.id, &times), output), times))
    }
}

impl<M: PictureModuleResult> Steps for PictureSteps<M> {
    type Result = M::Result;
    const STAGES: &'static [Stage] = &Stage::ONE_NETWORK;

    fn infos(&self) -> Vec<&RunInfo> {
        vec![self.module.info()]
    }

    fn results(&self, frames: &[Frame], turn: Turn, runs: &Runs) -> Vec<Result<(M::Result, StageTimes)>> {
        let (groups, mut outcomes) = self.groups(frames);
        let ran = turn.each(&groups, |group, share| self.run_group(frames, group, share));
        for (group, of_group) in groups.into_iter().zip(ran) {
            for (index, outcome) in group.into_iter().zip(of_group) {
                outcomes[index] = Some(outcome);
            }
        }
        frames.iter().zip(outcomes).map(|(frame, outcome)| Self::result(frame, outcome, runs)).collect()
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }
}

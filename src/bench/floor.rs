//! The floor under a pipeline: what its engines alone need for the very tensors the pipeline feeds them. Both are
//! measured in this process and in turn, on one worker thread, in processor time: what is over the floor is ours.
//! The last layer of a recogniser belongs to the network, also where the module runs it.

use super::inputs::Picture;
use super::report::{AgainstFloor, Cost};
use super::resources::{CostMeter, milliseconds};
use super::run::PipelineSource;
use crate::backend::record::{Recording, Replay, Run};
use crate::backend::{Engine, host};
use crate::error::{Error, Result};
use crate::image::Frame;
use crate::onnx::OutputKind;
use crate::ops::ctc::head::{self, Head};
use crate::pipeline::Pipeline;
use crate::result::RunRecord;
use crate::trace::{Stage, StageTimes};
use std::sync::Arc;

/// A picture's floor, and the engine runs it stands on.
pub struct PictureFloor {
    /// End to end and engine.
    pub against: AgainstFloor,
    /// Engine runs of the picture, or of the group that it was measured in.
    pub engine_runs: usize,
}

/// Measures `pictures` in the groups that the pipeline takes them in, one by one where it has no use for more: records their
/// engine runs, then `repeat` times the pipeline and the replay in turn. Each picture of a group has its share. What ran comes
/// with it.
pub fn measure(source: &PipelineSource, pictures: &[Picture], repeat: usize) -> Result<(Vec<PictureFloor>, Vec<RunRecord>)> {
    let recording = Recording::default();
    let pipeline = source.open_with(1, Some(recording.clone()))?;
    // A thread that waits for a device spins: its processor time is no work.
    let on_gpu = pipeline.run_records().iter().any(|run| run.device != "cpu");
    let meter = CostMeter::calibrate();
    let (mut replay, mut endings) = (Replay::default(), Endings::default());
    let mut floors = Vec::with_capacity(pictures.len());
    for group in pictures.chunks(pipeline.batch_size()) {
        let frames: Vec<Frame> = group.iter().map(|picture| picture.frame.clone()).collect();
        recording.start();
        let recorded = process(pipeline.as_ref(), &frames);
        let runs = recording.stop();
        recorded?;
        replay_runs(&mut replay, &mut endings, &runs, &meter)?; // the replay's own sessions meet these shapes for the first time
        let mut least: Option<AgainstFloor> = None;
        for _ in 0..repeat {
            let (outcome, end_to_end) = meter.measure(|| process(pipeline.as_ref(), &frames));
            let engine = replay_runs(&mut replay, &mut endings, &runs, &meter)?;
            let pre_post_ms = pre_post_ms(pipeline.as_ref(), &outcome?);
            least = Some(match least {
                None => AgainstFloor { end_to_end, engine, pre_post_ms },
                Some(l) => AgainstFloor {
                    end_to_end: l.end_to_end.least(end_to_end),
                    engine: l.engine.least(engine),
                    pre_post_ms: l.pre_post_ms.min(pre_post_ms),
                },
            });
        }
        let against = least.ok_or_else(|| Error::config("--repeat", "0 rounds; give 1 or more"))?;
        let against = if on_gpu { against.by_the_clock() } else { against }.share(1.0 / group.len() as f64);
        floors.extend(group.iter().map(|_| PictureFloor { against, engine_runs: runs.len() }));
    }
    Ok((floors, pipeline.run_records().to_vec()))
}

/// Times of all of `frames` together.
fn process(pipeline: &dyn Pipeline, frames: &[Frame]) -> Result<StageTimes> {
    let mut times = StageTimes::default();
    for outcome in pipeline.process(frames) {
        times.add_share(&outcome?.1, 1.0);
    }
    Ok(times)
}

/// Runs what was recorded; putting the inputs in place is not counted.
fn replay_runs(replay: &mut Replay, endings: &mut Endings, runs: &[Run], meter: &CostMeter) -> Result<Cost> {
    let mut total = Cost { cpu_ms: Some(0.0), wall_ms: 0.0 };
    for run in runs {
        let session = replay.prepare(run)?;
        let ending = endings.of(run.engine());
        let (outcome, cost) = meter.measure(|| {
            session.run()?;
            host::settle(session)?; // on a GPU `run` only puts it into the stream
            if let Some(ending) = ending {
                ending.run(session.output(0)?.as_f32()?);
            }
            Ok::<_, Error>(())
        });
        outcome?;
        total = total.plus(cost);
    }
    Ok(total)
}

/// The last layers that engines leave to modules.
#[derive(Default)]
struct Endings(Vec<(Arc<dyn Engine>, Option<Ending>)>);

struct Ending {
    head: Head,
    scratch: head::Scratch,
}

impl Endings {
    fn of(&mut self, engine: &Arc<dyn Engine>) -> Option<&mut Ending> {
        let at = self.0.iter().position(|(known, _)| Arc::ptr_eq(known, engine)).unwrap_or_else(|| {
            let ending = match engine.output_kind() {
                OutputKind::Features(c) => Some(Ending { head: Head::new(&c.weights, &c.bias), scratch: head::Scratch::default() }),
                OutputKind::Original | OutputKind::Logits => None,
            };
            self.0.push((engine.clone(), ending));
            self.0.len() - 1
        });
        self.0[at].1.as_mut()
    }
}

impl Ending {
    fn run(&mut self, features: &[f32]) {
        self.head.blocks(features).for_each(|block| drop(std::hint::black_box(self.head.scores(block, &mut self.scratch))));
    }
}

fn pre_post_ms(pipeline: &dyn Pipeline, times: &StageTimes) -> f64 {
    let ours = pipeline.stages().iter().filter(|stage| **stage != Stage::Decode && !stage.is_engine());
    ours.map(|&stage| milliseconds(times.get(stage))).sum()
}

//! Repeated runs as CUDA graphs. A shape that comes often gets a context of its own on the memory of its session; its second run
//! there is recorded, and every later one is one launch. Where the driver cannot record, runs go on as they are.

use super::ffi::Twin;
use super::worker::Worker;
use crate::device::Stream;
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// Variable that says `off` where runs are not to be recorded.
pub const VARIABLE: &str = "HPINFER_TENSORRT_GRAPHS";

/// Runs of a shape after which it is worth a context: making one takes as long as several runs.
const OFTEN: u32 = 8;
/// Most shapes with a context; the one unused for longest goes.
const MOST: usize = 16;
/// Most shapes whose runs are counted.
const MOST_COUNTED: usize = 256;

/// Failures after which nothing is recorded any more. Before, it is tried again: a library that makes the whole device wait in
/// another thread, as it does when it loads a network, spoils what is recorded meanwhile.
const MOST_FAILURES: u32 = 3;

/// What is recorded in a session.
pub(super) struct Graphs {
    /// Shapes of inputs and how often they came.
    counted: Vec<(Vec<Shape>, u32)>,
    /// Latest used last.
    recorded: Vec<Recorded>,
    /// How often the driver or the library has refused.
    failures: u32,
    /// Runs that were one launch.
    launches: u64,
}

struct Recorded {
    inputs: Vec<Shape>,
    outputs: Vec<Shape>,
    twin: Twin,
}

impl Graphs {
    /// Nothing yet; `None` where the user wants none.
    pub fn wanted() -> Option<Self> {
        let off = std::env::var_os(VARIABLE).is_some_and(|value| value == "off");
        (!off).then(|| Self { counted: Vec::new(), recorded: Vec::new(), failures: 0, launches: 0 })
    }

    /// Puts a run of `worker` into its stream.
    pub fn run(&mut self, worker: &mut Worker<Stream>) -> Result<()> {
        if let Some(at) = self.recorded.iter().position(|known| known.inputs.iter().eq(worker.inputs())) {
            if worker.shares_memory_with(&self.recorded[at].twin) {
                let known = self.recorded.remove(at);
                self.recorded.push(known);
                if let Some(known) = self.recorded.last_mut() {
                    match worker.run_twin(&mut known.twin, &known.outputs) {
                        Ok(was_recorded) => {
                            self.launches += u64::from(was_recorded);
                            return Ok(());
                        }
                        Err(e) => self.failed(worker, &e),
                    }
                }
            }
            self.forget(worker); // memory has moved for all of them
        }
        worker.enqueue()?;
        if self.failures < MOST_FAILURES && worker.repeats() && self.is_often(worker) {
            match worker.twin() {
                Ok(twin) => self.add(worker, twin),
                Err(e) => self.failed(worker, &e),
            }
        }
        Ok(())
    }

    /// Runs that were one launch of recorded work.
    pub fn launches(&self) -> u64 {
        self.launches
    }

    fn failed(&mut self, worker: &Worker<Stream>, error: &Error) {
        self.failures += 1;
        self.counted.clear();
        match self.failures {
            MOST_FAILURES => tracing::warn!("{}: runs are not recorded any more: {error}", worker.model()),
            _ => tracing::debug!("{}: a run was not recorded: {error}", worker.model()),
        }
    }

    fn add(&mut self, worker: &Worker<Stream>, twin: Twin) {
        if self.recorded.len() == MOST {
            worker.settle(); // no context goes while it runs
            let evicted = self.recorded.remove(0);
            // It has to come as often again: making contexts without end would cost more than they save.
            self.counted.retain(|(shapes, _)| *shapes != evicted.inputs);
        }
        let (inputs, outputs) = (worker.inputs().copied().collect(), worker.outputs().copied().collect());
        self.recorded.push(Recorded { inputs, outputs, twin });
    }

    fn forget(&mut self, worker: &Worker<Stream>) {
        worker.settle();
        self.recorded.clear();
    }

    /// Counts the shapes of a run.
    fn is_often(&mut self, worker: &Worker<Stream>) -> bool {
        if let Some((_, count)) = self.counted.iter_mut().find(|(shapes, _)| shapes.iter().eq(worker.inputs())) {
            *count += 1;
            return *count >= OFTEN;
        }
        if self.counted.len() == MOST_COUNTED {
            self.counted.clear(); // few of so many shapes come often
        }
        self.counted.push((worker.inputs().copied().collect(), 1));
        false
    }
}

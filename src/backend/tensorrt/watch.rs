//! How far a build is.

use super::ffi::Progress as Step;
use crate::cache::Progress;
use std::sync::{Mutex, PoisonError};

/// Says how far a build is: the phase and, within it, the steps.
pub(super) struct Watch {
    bar: Progress,
    model: String,
    /// Phases that have begun and not ended, outermost first, with their steps.
    phases: Mutex<Vec<(String, i32)>>,
}

impl Watch {
    pub fn new(model: &str) -> Self {
        let bar = Progress::steps(format!("building the TensorRT engine of {model}; this is done once"), 1);
        Self { bar, model: model.to_owned(), phases: Mutex::default() }
    }

    pub fn tell(&self, step: Step<'_>) {
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        match step {
            Step::Start(phase, _, steps) => {
                if phases.is_empty() {
                    tracing::info!("{}: {phase}, {steps} steps", self.model);
                }
                phases.push((phase.to_owned(), steps));
                self.bar.describe(format!("{}: {phase}", self.model), steps.max(1) as u64);
            }
            Step::Step(phase, done) if phases.last().is_some_and(|(p, _)| p == phase) => self.bar.set(done.max(0) as u64),
            Step::Step(..) => {}
            Step::End(phase) => {
                phases.retain(|(p, _)| p != phase);
                if let Some((outer, steps)) = phases.last() {
                    self.bar.describe(format!("{}: {outer}", self.model), (*steps).max(1) as u64);
                }
            }
        }
    }
}

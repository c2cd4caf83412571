//! How far a build is.

use super::ffi::Progress as Step;
use crate::cache::Progress;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// From one log line to the next where there is no bar.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Says how far a build is: the phase and, within it, the steps.
pub(super) struct Watch {
    bar: Progress,
    model: String,
    phases: Mutex<Phases>,
}

/// Phases that have begun and not ended.
struct Phases {
    /// Outermost first, with their steps.
    open: Vec<(String, i32)>,
    /// Steps of the outermost that are done, and since when it runs.
    done: i32,
    since: Instant,
    /// When the last line was said.
    said: Instant,
}

impl Watch {
    pub fn new(model: &str) -> Self {
        let bar = Progress::steps(format!("building the TensorRT engine of {model}; this is done once"), 1);
        Self { bar, model: model.to_owned(), phases: Mutex::new(Phases::new(Instant::now())) }
    }

    pub fn tell(&self, step: Step<'_>) {
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = phases.line(step, Instant::now()) {
            self.bar.say(&format!("{}: {line}", self.model));
        }
        match step {
            Step::Start(phase, _, steps) => self.bar.describe(format!("{}: {phase}", self.model), steps.max(1) as u64),
            Step::Step(phase, done) if phases.open.last().is_some_and(|(p, _)| p == phase) => self.bar.set(done.max(0) as u64),
            Step::Step(..) => {}
            Step::End(_) => {
                if let Some((outer, steps)) = phases.open.last() {
                    self.bar.describe(format!("{}: {outer}", self.model), (*steps).max(1) as u64);
                }
            }
        }
    }
}

impl Phases {
    fn new(now: Instant) -> Self {
        Self { open: Vec::new(), done: 0, since: now, said: now }
    }

    /// Notes a step at `now`; what is to be said of it where there is no bar.
    fn line(&mut self, step: Step<'_>, now: Instant) -> Option<String> {
        match step {
            Step::Start(phase, _, steps) => {
                self.open.push((phase.to_owned(), steps));
                if self.open.len() == 1 {
                    (self.done, self.since, self.said) = (0, now, now);
                    return Some(format!("{phase}, {steps} steps"));
                }
            }
            Step::Step(phase, done) if self.open.first().is_some_and(|(p, _)| p == phase) => self.done = done,
            Step::Step(..) => {}
            Step::End(phase) => self.open.retain(|(p, _)| p != phase),
        }
        let (outer, steps) = self.open.first().filter(|_| now.duration_since(self.said) >= LINE_EVERY)?;
        self.said = now;
        let left = (now.duration_since(self.since).as_secs_f64() * f64::from(steps - self.done) / f64::from(self.done)).round();
        let left = if left.is_finite() { format!(", about {left} s left") } else { String::new() };
        Some(format!("{outer}, {} of {steps} steps{left}", self.done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_builds_say_how_far_they_are() {
        let start = Instant::now();
        let mut phases = Phases::new(start);
        let mut line = |seconds, step| phases.line(step, start + Duration::from_secs(seconds));
        assert_eq!(line(0, Step::Start("Building", None, 4)).as_deref(), Some("Building, 4 steps"));
        assert_eq!(line(20, Step::Start("Timing", Some("Building"), 900)), None);
        assert_eq!(line(31, Step::Step("Timing", 7)).as_deref(), Some("Building, 0 of 4 steps"));
        assert_eq!(line(50, Step::Step("Timing", 900)), None);
        assert_eq!(line(51, Step::End("Timing")), None);
        assert_eq!(line(60, Step::Step("Building", 1)), None);
        assert_eq!(line(62, Step::Start("Timing", Some("Building"), 9)).as_deref(), Some("Building, 1 of 4 steps, about 186 s left"));
        assert_eq!(line(91, Step::End("Timing")), None);
        assert_eq!(line(99, Step::End("Building")), None);
        assert_eq!(line(140, Step::Start("Writing", None, 2)).as_deref(), Some("Writing, 2 steps"));
    }
}

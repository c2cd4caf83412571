//! Processor time that programs take which this one started.

use super::cpu::time_of_process;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How often they are looked at, at most.
const PERIOD: Duration = Duration::from_millis(50);

/// Processor time of one or more processes.
#[derive(Debug, Default)]
pub struct ProgramTime {
    nanoseconds: AtomicU64,
    /// Some process was counted.
    has_run: AtomicBool,
    is_unknown: AtomicBool,
}

impl ProgramTime {
    /// So far; `None` where the kernel did not tell, or one ran for less than it counts.
    pub fn total(&self) -> Option<Duration> {
        let total = Duration::from_nanos(self.nanoseconds.load(Relaxed));
        let is_told = !self.is_unknown.load(Relaxed) && (!total.is_zero() || !self.has_run.load(Relaxed));
        is_told.then_some(total)
    }

    /// A process that was counted up to `counted` has taken `now`.
    fn count(&self, counted: &mut Duration, now: Option<Duration>) {
        self.has_run.store(true, Relaxed);
        let Some(now) = now else { return self.is_unknown.store(true, Relaxed) };
        let more = now.saturating_sub(*counted).as_nanos();
        self.nanoseconds.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Relaxed);
        *counted = now.max(*counted);
    }
}

/// Counts one process.
pub(crate) struct Meter {
    process: u32,
    counted: Duration,
    at: Option<Instant>,
}

impl Meter {
    /// For the process of this id, as long as it is not waited for.
    pub fn new(process: u32) -> Self {
        Self { process, counted: Duration::ZERO, at: None }
    }

    /// Adds to `time` what it took since the last call; nothing where that was a moment ago.
    pub fn count(&mut self, time: &ProgramTime) {
        if self.at.is_none_or(|at| at.elapsed() >= PERIOD) {
            time.count(&mut self.counted, time_of_process(self.process));
            self.at = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_add_up_and_an_unknown_one_makes_the_sum_unknown() {
        let (time, ms) = (ProgramTime::default(), Duration::from_millis);
        let (mut one, mut other) = (Duration::ZERO, Duration::ZERO);
        assert_eq!(time.total(), Some(ms(0)));
        time.count(&mut one, Some(ms(0)));
        assert_eq!(time.total(), None, "less than a tick is not nothing");
        for (counted, now) in [(&mut one, 30), (&mut other, 10)] {
            time.count(counted, Some(ms(now)));
        }
        time.count(&mut one, Some(ms(50)));
        assert_eq!((time.total(), one), (Some(ms(60)), ms(50)));
        time.count(&mut one, None);
        assert_eq!(time.total(), None);
    }
}

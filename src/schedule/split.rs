//! How many threads decode ahead of the workers: as many as keep pace with them, by what items took so far. The others wait as
//! long as the workers have something to do, so that one slow item holds up nobody.

use super::gauges::Gauges;
use super::graph::Settings;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Items at the workers between two choices, for each of them.
const MEASURED: u64 = 8;
/// Room for items that take longer than those measured, and for threads that have to wait for a core.
const MARGIN: f64 = 1.5;

/// Times of the items since the last choice; the choice itself is in [`Gauges::decoders`].
pub(super) struct Split<'a> {
    workers: usize,
    decoders: usize,
    gauges: &'a Gauges,
    decoding_ns: AtomicU64,
    working_ns: AtomicU64,
    /// Items that the workers are done with since the last choice.
    items: AtomicU64,
    /// The first items bring engines and memory up; they tell nothing of the rest.
    is_warm: AtomicBool,
    over: Mutex<bool>,
    changed: Condvar,
}

impl<'a> Split<'a> {
    /// All decoders of `settings` work until something was measured.
    pub fn new(settings: &Settings, gauges: &'a Gauges) -> Self {
        let (workers, decoders) = (settings.workers.max(1), settings.decoders.max(1));
        gauges.decoders.store(decoders, Relaxed);
        let (decoding_ns, working_ns, items, is_warm, over, changed) = Default::default();
        Self { workers, decoders, gauges, decoding_ns, working_ns, items, is_warm, over, changed }
    }

    /// An item was decoded in `time`.
    pub fn decoded(&self, time: Duration) {
        self.decoding_ns.fetch_add(nanoseconds(time), Relaxed);
    }

    /// A worker took `time` for `items`; chooses anew when enough were seen.
    pub fn worked(&self, time: Duration, items: usize) {
        self.working_ns.fetch_add(nanoseconds(time), Relaxed);
        let (items, enough) = (items as u64, MEASURED * self.workers as u64);
        let before = self.items.fetch_add(items, Relaxed);
        if before < enough && before + items >= enough {
            self.choose();
        }
    }

    fn choose(&self) {
        let [decoding, working] = [&self.decoding_ns, &self.working_ns].map(|sum| sum.swap(0, Relaxed) as f64);
        self.items.store(0, Relaxed);
        if !self.is_warm.swap(true, Relaxed) {
            return;
        }
        let pace = MARGIN * self.workers as f64 * decoding / working.max(1.0);
        let chosen = (pace.ceil() as usize).clamp(1, self.decoders);
        if self.gauges.decoders.swap(chosen, Relaxed) != chosen {
            self.wake();
            let share = 100.0 * decoding / (decoding + working).max(1.0);
            tracing::info!(
                "decoding is {share:.1} % of the work on a frame: {chosen} of {} threads keep pace with the engines",
                self.decoders
            );
        }
    }

    /// Waits until decoder `index` is to take something up; `false` when there is nothing more.
    pub fn wait(&self, index: usize) -> bool {
        let idle = || index >= self.gauges.decoders.load(Relaxed) && self.gauges.ready.load(Relaxed) > 0;
        if !idle() {
            return true;
        }
        let mut over = self.lock();
        while idle() && !*over {
            over = self.changed.wait(over).unwrap_or_else(PoisonError::into_inner);
        }
        !*over
    }

    /// The workers have taken all that was decoded.
    pub fn starved(&self) {
        if self.gauges.decoders.load(Relaxed) < self.decoders {
            self.wake();
        }
    }

    /// Tells, when it goes, that a decoder found nothing more to come.
    pub fn ending(&self) -> Ending<'_> {
        Ending(self)
    }

    fn wake(&self) {
        let _held = self.lock(); // a thread that is about to wait would miss it
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Split::ending`].
pub(super) struct Ending<'a>(&'a Split<'a>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        *self.0.lock() = true;
        self.0.changed.notify_all();
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Batching;

    fn split(threads: usize, gauges: &Gauges) -> Split<'_> {
        Split::new(&Settings::new(threads, Batching::default()), gauges)
    }

    /// Items that take so long, enough for a choice.
    fn see(split: &Split<'_>, decode: u64, work: u64) -> usize {
        for _ in 0..MEASURED * split.workers as u64 {
            split.decoded(Duration::from_micros(decode));
            split.worked(Duration::from_micros(work), 1);
        }
        split.gauges.decoders.load(Relaxed)
    }

    #[test]
    fn decoders_keep_pace_with_the_workers_and_grow_again() {
        let gauges = Gauges::new(1);
        let split = split(8, &gauges);
        assert_eq!(see(&split, 10, 1000), 8, "the first items bring things up");
        assert_eq!(see(&split, 10, 1000), 1);
        assert_eq!(see(&split, 1000, 1000), 8); // 12 of 8
        assert_eq!(see(&split, 250, 1000), 3); // 1.5 x 8 / 4
        assert_eq!(see(&split, 0, 0), 1);
    }

    #[test]
    fn decoders_too_many_wait_for_starving_workers_or_the_end() {
        let gauges = Gauges::new(1);
        let split = split(4, &gauges);
        gauges.ready.store(1, Relaxed);
        assert!(split.wait(3), "nothing is measured yet");
        see(&split, 1, 1000);
        assert_eq!(see(&split, 1, 1000), 1);
        assert!(split.wait(0));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| split.wait(1));
            gauges.ready.store(0, Relaxed);
            split.starved();
            assert!(waiting.join().expect("no panic"));
        });
        gauges.ready.store(1, Relaxed);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| split.wait(2));
            drop(split.ending());
            assert!(!waiting.join().expect("no panic"));
        });
    }
}

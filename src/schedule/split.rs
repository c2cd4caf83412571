//! How many threads of the decode and finishing pools work: as many as keep pace with the workers, by what items took so far.

use super::gauges::Gauges;
use super::graph::Settings;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Items at the workers between two choices, for each of them.
const MEASURED: u64 = 8;
/// Room for items that take longer than those measured, and for threads that have to wait for a core.
const MARGIN: f64 = 1.5;

/// A stage whose threads are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Decode,
    Work,
    Finish,
}

/// Times of the items since the last choice, and the choice.
pub(super) struct Split<'a> {
    workers: usize,
    /// Nanoseconds by stage, summed over items.
    spent: [AtomicU64; 3],
    /// Items that the workers are done with since the last choice.
    items: AtomicU64,
    /// The choice is kept there.
    gauges: &'a Gauges,
    /// The most of each: what the pools have.
    most: [usize; 3],
    over: Mutex<[bool; 3]>,
    changed: Condvar,
}

impl<'a> Split<'a> {
    /// All threads of `settings` work until something was measured.
    pub fn new(settings: &Settings, gauges: &'a Gauges) -> Self {
        let most = [settings.decoders, settings.workers, settings.finishers].map(|threads| threads.max(1));
        for (threads, most) in gauges.threads.iter().zip(most) {
            threads.store(most, Relaxed);
        }
        Self {
            workers: most[Stage::Work as usize],
            spent: Default::default(),
            items: AtomicU64::new(0),
            gauges,
            most,
            over: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Notes that a stage spent `time` on an item, or the workers on `items`; chooses anew when enough were seen.
    pub fn add(&self, stage: Stage, time: Duration, items: usize) {
        self.spent[stage as usize].fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        if stage == Stage::Work {
            let enough = MEASURED * self.workers as u64;
            let before = self.items.fetch_add(items as u64, Relaxed);
            if before < enough && before + items as u64 >= enough {
                self.choose();
            }
        }
    }

    fn choose(&self) {
        let spent = [0, 1, 2].map(|stage| self.spent[stage].swap(0, Relaxed) as f64);
        self.items.store(0, Relaxed);
        let [_, work, _] = spent;
        let wanted = |stage: Stage| {
            let pace = MARGIN * self.workers as f64 * spent[stage as usize] / work.max(1.0);
            (pace.ceil() as usize).clamp(1, self.most[stage as usize])
        };
        let chosen = [wanted(Stage::Decode), self.workers, wanted(Stage::Finish)];
        let before = [0, 1, 2].map(|stage| self.gauges.threads[stage].swap(chosen[stage], Relaxed));
        if before == chosen {
            return;
        }
        let _held = self.over.lock().unwrap_or_else(PoisonError::into_inner); // a thread about to wait would miss it
        self.changed.notify_all();
        let all = spent.iter().sum::<f64>().max(1.0);
        let [decode, work, finish] = spent.map(|part| 100.0 * part / all);
        let [decoders, workers, finishers] = chosen;
        tracing::info!(
            "measured: decoding {decode:.1} %, engines {work:.1} %, finishing {finish:.1} % of the time of a frame; \
             so {decoders} of {} threads decode, {workers} feed the engines, {finishers} of {} finish results",
            self.most[0],
            self.most[2],
        );
    }

    /// Waits until thread `index` of `stage` is to work; `false` when the stage is over.
    pub fn wait(&self, stage: Stage, index: usize) -> bool {
        let idle = || index >= self.gauges.threads[stage as usize].load(Relaxed);
        if !idle() {
            return true;
        }
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        while idle() && !over[stage as usize] {
            over = self.changed.wait(over).unwrap_or_else(PoisonError::into_inner);
        }
        !over[stage as usize]
    }

    /// A thread of `stage` found that there is nothing more to come.
    pub fn end(&self, stage: Stage) {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)[stage as usize] = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Batching;

    fn split(threads: usize, gauges: &Gauges) -> Split<'_> {
        Split::new(&Settings::new(threads, Batching::default()), gauges)
    }

    /// Items that take so long in each stage, enough for a choice.
    fn see(split: &Split<'_>, [decode, work, finish]: [u64; 3]) -> [usize; 2] {
        for _ in 0..MEASURED * split.workers as u64 {
            split.add(Stage::Decode, Duration::from_micros(decode), 1);
            split.add(Stage::Finish, Duration::from_micros(finish), 1);
            split.add(Stage::Work, Duration::from_micros(work), 1);
        }
        [Stage::Decode, Stage::Finish].map(|stage| split.gauges.threads[stage as usize].load(Relaxed))
    }

    #[test]
    fn pools_keep_pace_with_the_workers_and_grow_again() {
        let gauges = Gauges::new(1);
        let split = split(8, &gauges);
        assert_eq!(see(&split, [10, 1000, 1]), [1, 1]);
        assert_eq!(see(&split, [1000, 1000, 250]), [8, 3]); // 12 of 8, and 1.5 x 8 / 4
        assert_eq!(see(&split, [250, 1000, 5000]), [3, 8]);
        assert_eq!(see(&split, [0, 0, 0]), [1, 1]);
    }

    #[test]
    fn threads_too_many_wait_for_their_turn_or_the_end() {
        let gauges = Gauges::new(1);
        let split = split(4, &gauges);
        assert!(split.wait(Stage::Decode, 3), "nothing is measured yet");
        assert_eq!(see(&split, [1, 1000, 1]), [1, 1]);
        assert!(split.wait(Stage::Decode, 0));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| split.wait(Stage::Decode, 1));
            assert_eq!(see(&split, [1000, 1000, 1000]), [4, 4]);
            assert!(waiting.join().expect("no panic"));
        });
        see(&split, [1, 1000, 1]);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| split.wait(Stage::Finish, 2));
            split.end(Stage::Finish);
            assert!(!waiting.join().expect("no panic"));
        });
    }
}

//! How many threads decode ahead of the workers, and how many finish behind them: as many as keep pace with them, by what items took so
//! far. The others wait as long as the workers have something to do and little piles up behind them, so that one slow item holds up
//! nobody.

use super::gauges::Gauges;
use super::graph::Settings;
use crate::device::process_time;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Items at the workers between two choices, for each of them.
const MEASURED: u64 = 8;
/// Room for items that take longer than those measured, and for threads that have to wait for a core.
const MARGIN: f64 = 1.5;

/// The pools on both sides of the workers, and times of the items since the last choice.
pub(super) struct Split<'a> {
    workers: usize,
    pub decoding: Pool<'a>,
    pub finishing: Pool<'a>,
    working_ns: AtomicU64,
    /// Items that the workers are done with since the last choice.
    items: AtomicU64,
    /// The first items bring engines and memory up; they tell nothing of the rest.
    is_warm: AtomicBool,
    /// Processor time of this process, and of what decodes before it, at the beginning.
    began: (Duration, Option<Duration>),
}

impl<'a> Split<'a> {
    /// All threads of `settings` work until something was measured. What decodes before this process has taken `before` already.
    pub fn new(settings: &Settings, gauges: &'a Gauges, before: Option<Duration>) -> Self {
        let decoding = Pool::new(settings.decoders, &gauges.decoders);
        let finishing = Pool::new(settings.finishers, &gauges.finishers);
        let (working_ns, items, is_warm) = Default::default();
        Self { workers: settings.workers.max(1), decoding, finishing, working_ns, items, is_warm, began: (process_time(), before) }
    }

    /// A worker took `time` for `items`; chooses anew when enough were seen. `before` tells the processor time so far of what decodes
    /// before this process.
    pub fn worked(&self, time: Duration, items: usize, before: impl FnOnce() -> Option<Duration>) {
        self.working_ns.fetch_add(nanoseconds(time), Relaxed);
        let (items, enough) = (items as u64, MEASURED * self.workers as u64);
        let seen = self.items.fetch_add(items, Relaxed);
        if seen < enough && seen + items >= enough {
            self.choose(before());
        }
    }

    fn choose(&self, before: Option<Duration>) {
        let pools = [&self.decoding, &self.finishing];
        let [decoding, finishing] = pools.map(|pool| pool.time_ns.swap(0, Relaxed) as f64);
        let working = self.working_ns.swap(0, Relaxed) as f64 / self.workers as f64;
        self.items.store(0, Relaxed);
        if !self.is_warm.swap(true, Relaxed) {
            return;
        }
        let threads = |time: f64| (MARGIN * time / working.max(1.0)).ceil() as usize;
        let changed = [self.decoding.choose(threads(decoding)), self.finishing.choose(threads(finishing))];
        if changed.contains(&true) {
            let before = before.zip(self.began.1).map(|(now, began)| now.saturating_sub(began));
            let on_core = pools.map(|pool| Duration::from_nanos(pool.processor_ns.load(Relaxed)));
            let shares = shares(on_core, process_time().saturating_sub(self.began.0), before);
            let [decode, finish] = pools.map(|pool| format!("{} of {}", pool.chosen.load(Relaxed), pool.threads));
            tracing::info!("{shares}; here {decode} threads keep pace with the engines, and {finish} behind them");
        }
    }
}

/// Threads of which those that are not needed wait.
pub(super) struct Pool<'a> {
    threads: usize,
    chosen: &'a AtomicUsize,
    /// Of the items since the last choice.
    time_ns: AtomicU64,
    /// Of all items so far, on a core.
    processor_ns: AtomicU64,
    over: Mutex<bool>,
    changed: Condvar,
}

impl<'a> Pool<'a> {
    fn new(threads: usize, chosen: &'a AtomicUsize) -> Self {
        let threads = threads.max(1);
        chosen.store(threads, Relaxed);
        let (time_ns, processor_ns, over, changed) = Default::default();
        Self { threads, chosen, time_ns, processor_ns, over, changed }
    }

    /// An item took a thread `time`, and a core `processor_time`.
    pub fn took(&self, time: Duration, processor_time: Duration) {
        self.time_ns.fetch_add(nanoseconds(time), Relaxed);
        self.processor_ns.fetch_add(nanoseconds(processor_time), Relaxed);
    }

    /// Has so many of its threads work, as far as it has them; whether that is another number than before.
    fn choose(&self, threads: usize) -> bool {
        let chosen = threads.clamp(1, self.threads);
        let is_other = self.chosen.swap(chosen, Relaxed) != chosen;
        if is_other {
            self.wake();
        }
        is_other
    }

    /// Waits until thread `index` is to take something up: when it is among those chosen, or `is_needed` of the number of these; `false`
    /// when the end has come.
    pub fn wait(&self, index: usize, is_needed: impl Fn(usize) -> bool) -> bool {
        let idle = || {
            let chosen = self.chosen.load(Relaxed);
            index >= chosen && !is_needed(chosen)
        };
        if !idle() {
            return true;
        }
        let mut over = self.lock();
        while idle() && !*over {
            over = self.changed.wait(over).unwrap_or_else(PoisonError::into_inner);
        }
        !*over
    }

    /// Has the waiting threads look again, where there are any and `is_needed` of the number of those chosen.
    pub fn look(&self, is_needed: impl Fn(usize) -> bool) {
        if self.chosen.load(Relaxed) < self.threads {
            let _held = self.lock(); // of two threads that look, one sees what both have done
            if is_needed(self.chosen.load(Relaxed)) {
                self.changed.notify_all();
            }
        }
    }

    /// Tells, when it goes, that a thread which this pool lives on found nothing more to come.
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

/// See [`Pool::ending`].
pub(super) struct Ending<'a>(&'a Pool<'a>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        *self.0.lock() = true;
        self.0.changed.notify_all();
    }
}

/// What decoding and finishing in this process, which took `all`, and what decodes `before` it are of the processor time, in words.
fn shares([decoding, finishing]: [Duration; 2], all: Duration, before: Option<Duration>) -> String {
    let outside = before.unwrap_or_default();
    let percent = |part: Duration| 100.0 * part.as_secs_f64() / (all + outside).as_secs_f64().max(1e-9);
    let decoding = format!("decoding is {:.1} % of the processor time", percent(decoding + outside));
    let finishing = format!("finishing {:.1} %", percent(finishing));
    match before {
        None => format!("{decoding} of this process, and what it is outside is not known; {finishing}"),
        Some(Duration::ZERO) => format!("{decoding}; {finishing}"),
        Some(outside) => format!("{decoding}, {:.1} % outside this process; {finishing}", percent(outside)),
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
        Split::new(&Settings::new(threads, Batching::default()), gauges, None)
    }

    /// Items that take so long, enough for a choice; how many threads decode and finish then.
    fn see(split: &Split<'_>, decode: u64, work: u64, finish: u64) -> [usize; 2] {
        let us = Duration::from_micros;
        for _ in 0..MEASURED * split.workers as u64 {
            split.decoding.took(us(decode), us(decode));
            split.finishing.took(us(finish), us(finish));
            split.worked(us(work), 1, || None);
        }
        [&split.decoding, &split.finishing].map(|pool| pool.chosen.load(Relaxed))
    }

    #[test]
    fn both_pools_keep_pace_with_the_workers_and_grow_again() {
        let gauges = Gauges::new(1);
        let split = split(8, &gauges);
        assert_eq!(see(&split, 10, 1000, 10), [8, 8], "the first items bring things up");
        assert_eq!(see(&split, 10, 1000, 10), [1, 1]);
        assert_eq!(see(&split, 1000, 1000, 250), [8, 3]); // 12 of 8; 1.5 x 8 / 4
        assert_eq!(see(&split, 250, 1000, 1000), [3, 8]);
        assert_eq!(see(&split, 0, 0, 0), [1, 1]);
    }

    #[test]
    fn what_decodes_outside_is_part_of_the_share_or_told_as_unknown() {
        let ms = Duration::from_millis;
        let told = |before| shares([ms(5), ms(10)], ms(50), before);
        assert_eq!(told(Some(ms(0))), "decoding is 10.0 % of the processor time; finishing 20.0 %");
        assert_eq!(told(Some(ms(50))), "decoding is 55.0 % of the processor time, 50.0 % outside this process; finishing 10.0 %");
        let unknown = "decoding is 10.0 % of the processor time of this process, and what it is outside is not known; finishing 20.0 %";
        assert_eq!(told(None), unknown);
    }

    #[test]
    fn threads_too_many_wait_until_they_are_needed_or_the_end() {
        let gauges = Gauges::new(1);
        let split = split(4, &gauges);
        let (pool, needed) = (&split.decoding, AtomicBool::new(false));
        let is_needed = |_| needed.load(Relaxed);
        assert!(pool.wait(3, is_needed), "nothing is measured yet");
        see(&split, 1, 1000, 1);
        assert_eq!(see(&split, 1, 1000, 1), [1, 1]);
        assert!(pool.wait(0, is_needed));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| pool.wait(1, is_needed));
            needed.store(true, Relaxed);
            pool.look(is_needed);
            assert!(waiting.join().expect("no panic"));
        });
        needed.store(false, Relaxed);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| pool.wait(2, is_needed));
            drop(pool.ending());
            assert!(!waiting.join().expect("no panic"));
        });
    }
}

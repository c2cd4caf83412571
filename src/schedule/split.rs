//! How many threads decode ahead of the workers, and how many finish behind them: as many as keep pace with them, by what items took so
//! far; `trial` says how many streams the engines have. The others wait as long as the workers have something to do and little piles up
//! behind them, so that one slow item holds up nobody.

use super::gauges::Gauges;
use super::graph::Settings;
use super::trial::{Engines, Figures};
use crate::device::process_time;
use crate::pipeline::EngineStreams;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Items at the workers between two choices, for each of them.
const MEASURED: u64 = 8;
/// Room for items that take longer than those measured, and for threads that have to wait for a core.
const MARGIN: f64 = 1.5;

/// The pools on both sides of the workers, and times of the items since the last choice.
pub(super) struct Split<'a> {
    workers: usize,
    gauges: &'a Gauges,
    pub decoding: Pool<'a>,
    pub finishing: Pool<'a>,
    engines: Option<Mutex<Engines<'a>>>,
    working_ns: AtomicU64,
    /// Items that the workers are done with since the last choice.
    items: AtomicU64,
    /// The first items bring engines and memory up; they tell nothing of the rest.
    is_warm: AtomicBool,
    /// Processor time of this process, and outside of it, at the beginning.
    began: (Duration, Outside),
}

/// Processor time so far of what decodes before this process, and of what finishes behind it; `None` where it is not known.
pub(super) type Outside = [Option<Duration>; 2];

impl<'a> Split<'a> {
    /// All threads of `settings` and all streams of `engines` work until something was measured.
    pub fn new(settings: &Settings, gauges: &'a Gauges, engines: Option<&'a EngineStreams>, outside: Outside) -> Self {
        let decoding = Pool::new(settings.decoders, &gauges.decoders);
        let finishing = Pool::new(settings.finishers, &gauges.finishers);
        let workers = settings.workers.max(1);
        let all = engines.map_or(0, EngineStreams::all);
        gauges.engine_streams.store(all, Relaxed);
        gauges.all_engine_streams.store(all, Relaxed);
        let engines = engines.map(|streams| Mutex::new(Engines::new(streams, workers)));
        let (working_ns, items, is_warm) = Default::default();
        Self { workers, gauges, decoding, finishing, engines, working_ns, items, is_warm, began: (process_time(), outside) }
    }

    /// A worker took `time` for `items`, behind which others waited when it `is_pressed`; chooses anew when enough were seen.
    pub fn worked(&self, time: Duration, items: usize, is_pressed: bool, outside: impl Fn() -> Outside) {
        let is_other = self.choose_streams(items, is_pressed, &outside);
        self.working_ns.fetch_add(nanoseconds(time), Relaxed);
        let (items, enough) = (items as u64, MEASURED * self.workers as u64);
        let seen = self.items.fetch_add(items, Relaxed);
        if (seen < enough && seen + items >= enough && self.choose_threads()) || is_other {
            self.tell(outside());
        }
    }

    /// Whether other numbers of threads work from now on.
    fn choose_threads(&self) -> bool {
        let [decoding, finishing] = self.pools().map(|pool| pool.time_ns.swap(0, Relaxed) as f64);
        let working = self.working_ns.swap(0, Relaxed) as f64 / self.workers as f64;
        self.items.store(0, Relaxed);
        if !self.is_warm.swap(true, Relaxed) {
            return false;
        }
        let threads = |time: f64| (MARGIN * time / working.max(1.0)).ceil() as usize;
        let changed = [self.decoding.choose(threads(decoding)), self.finishing.choose(threads(finishing))];
        changed.contains(&true)
    }

    /// Whether another number of the engines' streams works from now on.
    fn choose_streams(&self, items: usize, is_pressed: bool, outside: impl Fn() -> Outside) -> bool {
        let Some(engines) = self.engines.as_ref().filter(|_| self.is_warm.load(Relaxed)) else { return false };
        let figures = || {
            let outside: Duration = outside().into_iter().flatten().sum();
            let around = self.on_core().into_iter().sum::<Duration>() + outside;
            Figures { now: Instant::now(), processor: process_time() + outside, around, dropped: self.gauges.totals().dropped }
        };
        let chosen = engines.lock().unwrap_or_else(PoisonError::into_inner).worked(items, is_pressed, figures);
        chosen.is_some_and(|streams| self.gauges.engine_streams.swap(streams, Relaxed) != streams)
    }

    fn tell(&self, outside: Outside) {
        let (began, outside_then) = self.began;
        let outside = [0, 1].map(|i| outside[i].zip(outside_then[i]).map(|(now, began)| now.saturating_sub(began)));
        let shares = shares(self.on_core(), process_time().saturating_sub(began), outside);
        let engines = self.gauges.engine_streams().map_or(String::new(), |streams| format!("; engines: {streams} streams"));
        let [decode, finish] = self.pools().map(|pool| format!("{} of {}", pool.chosen.load(Relaxed), pool.threads));
        tracing::info!("{shares}{engines}; here {decode} threads keep pace with the engines, and {finish} behind them");
    }

    fn pools(&self) -> [&Pool<'a>; 2] {
        [&self.decoding, &self.finishing]
    }

    /// Processor time of decoding and of finishing in this process.
    fn on_core(&self) -> [Duration; 2] {
        self.pools().map(|pool| Duration::from_nanos(pool.processor_ns.load(Relaxed)))
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

/// What decoding and finishing are of the processor time, in words: `inside` this process, which took `all`, and `outside`.
fn shares(inside: [Duration; 2], all: Duration, outside: Outside) -> String {
    let total = all + outside.iter().flatten().sum::<Duration>();
    let percent = |part: Duration| format!("{:.1} %", 100.0 * part.as_secs_f64() / total.as_secs_f64().max(1e-9));
    let [decoding, finishing] = [0, 1].map(|i| match outside[i] {
        None => format!("{} and an unknown part outside this process", percent(inside[i])),
        Some(Duration::ZERO) => percent(inside[i]),
        Some(outside) => format!("{} ({} outside this process)", percent(inside[i] + outside), percent(outside)),
    });
    let known = if outside.contains(&None) { " that is known" } else { "" };
    format!("of the processor time{known} decoding is {decoding}, finishing {finishing}")
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Batching;

    fn split(threads: usize, gauges: &Gauges) -> Split<'_> {
        Split::new(&Settings::new(threads, Batching::default()), gauges, None, [None; 2])
    }

    /// Items that take so long, enough for a choice; how many threads decode and finish then.
    fn see(split: &Split<'_>, decode: u64, work: u64, finish: u64) -> [usize; 2] {
        let us = Duration::from_micros;
        for _ in 0..MEASURED * split.workers as u64 {
            split.decoding.took(us(decode), us(decode));
            split.finishing.took(us(finish), us(finish));
            split.worked(us(work), 1, false, || [None; 2]);
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
    fn what_works_outside_is_part_of_the_shares_or_told_as_unknown() {
        let ms = Duration::from_millis;
        let told = |outside: [Option<u64>; 2]| shares([ms(5), ms(10)], ms(50), outside.map(|part| part.map(ms)));
        assert_eq!(told([Some(0); 2]), "of the processor time decoding is 10.0 %, finishing 20.0 %");
        let decoded = "of the processor time decoding is 55.0 % (50.0 % outside this process), finishing 10.0 %";
        assert_eq!(told([Some(50), Some(0)]), decoded);
        let encoded = "of the processor time decoding is 5.0 %, finishing 60.0 % (50.0 % outside this process)";
        assert_eq!(told([Some(0), Some(50)]), encoded);
        let unknown = "of the processor time that is known decoding is 10.0 % and an unknown part outside this process, finishing 20.0 %";
        assert_eq!(told([None, Some(0)]), unknown);
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

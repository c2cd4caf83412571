//! How many threads decode ahead of the workers: as many as keep pace with them, by what items took so far. The others wait as
//! long as the workers have something to do, so that one slow item holds up nobody.

use super::gauges::Gauges;
use super::graph::Settings;
use crate::device::process_time;
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
    /// Of all items so far, on a core.
    decoding_cpu_ns: AtomicU64,
    working_ns: AtomicU64,
    /// Items that the workers are done with since the last choice.
    items: AtomicU64,
    /// The first items bring engines and memory up; they tell nothing of the rest.
    is_warm: AtomicBool,
    /// Processor time of this process, and of what decodes before it, at the beginning.
    began: (Duration, Option<Duration>),
    over: Mutex<bool>,
    changed: Condvar,
}

impl<'a> Split<'a> {
    /// All decoders of `settings` work until something was measured. What decodes before this process has taken `before` already.
    pub fn new(settings: &Settings, gauges: &'a Gauges, before: Option<Duration>) -> Self {
        let (workers, decoders) = (settings.workers.max(1), settings.decoders.max(1));
        gauges.decoders.store(decoders, Relaxed);
        let began = (process_time(), before);
        let (decoding_ns, decoding_cpu_ns, working_ns, items, is_warm, over, changed) = Default::default();
        Self { workers, decoders, gauges, decoding_ns, decoding_cpu_ns, working_ns, items, is_warm, began, over, changed }
    }

    /// An item was decoded in `time`, which took a core for `processor_time`.
    pub fn decoded(&self, time: Duration, processor_time: Duration) {
        self.decoding_ns.fetch_add(nanoseconds(time), Relaxed);
        self.decoding_cpu_ns.fetch_add(nanoseconds(processor_time), Relaxed);
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
        let [decoding, working] = [&self.decoding_ns, &self.working_ns].map(|sum| sum.swap(0, Relaxed) as f64);
        self.items.store(0, Relaxed);
        if !self.is_warm.swap(true, Relaxed) {
            return;
        }
        let pace = MARGIN * self.workers as f64 * decoding / working.max(1.0);
        let chosen = (pace.ceil() as usize).clamp(1, self.decoders);
        if self.gauges.decoders.swap(chosen, Relaxed) != chosen {
            self.wake();
            let before = before.zip(self.began.1).map(|(now, began)| now.saturating_sub(began));
            let on_core = Duration::from_nanos(self.decoding_cpu_ns.load(Relaxed));
            let share = share(on_core, process_time().saturating_sub(self.began.0), before);
            tracing::info!("{share}; here {chosen} of {} threads keep pace with the engines", self.decoders);
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

/// What `decoding` in this process, which took `all`, and that `before` it are of the processor time, in words.
fn share(decoding: Duration, all: Duration, before: Option<Duration>) -> String {
    let outside = before.unwrap_or_default();
    let percent = |part: Duration| 100.0 * part.as_secs_f64() / (all + outside).as_secs_f64().max(1e-9);
    let decoding = format!("decoding is {:.1} % of the processor time", percent(decoding + outside));
    match before {
        None => format!("{decoding} of this process, and what it is outside is not known"),
        Some(Duration::ZERO) => decoding,
        Some(outside) => format!("{decoding}, {:.1} % outside this process", percent(outside)),
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

    /// Items that take so long, enough for a choice.
    fn see(split: &Split<'_>, decode: u64, work: u64) -> usize {
        for _ in 0..MEASURED * split.workers as u64 {
            split.decoded(Duration::from_micros(decode), Duration::from_micros(decode));
            split.worked(Duration::from_micros(work), 1, || None);
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
    fn what_decodes_outside_is_part_of_the_share_or_told_as_unknown() {
        let ms = Duration::from_millis;
        assert_eq!(share(ms(5), ms(50), Some(ms(0))), "decoding is 10.0 % of the processor time");
        assert_eq!(share(ms(5), ms(50), Some(ms(50))), "decoding is 55.0 % of the processor time, 50.0 % outside this process");
        let unknown = "decoding is 10.0 % of the processor time of this process, and what it is outside is not known";
        assert_eq!(share(ms(5), ms(50), None), unknown);
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

//! Figures of a running graph, readable at any time from any thread: counts, queue depths, latencies.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Counts of one stream.
#[derive(Debug, Default)]
pub struct StreamGauges {
    /// Items its source yielded.
    pub offered: AtomicU64,
    /// Items that came out at the sink, failed ones included.
    pub delivered: AtomicU64,
    /// Items dropped because its queue was full, or its source had no room.
    pub dropped: AtomicU64,
    /// Items left out by design.
    pub skipped: AtomicU64,
    /// Items in its queue.
    pub queued: AtomicUsize,
}

/// Figures of one graph.
#[derive(Debug)]
pub struct Gauges {
    /// One entry a stream.
    pub streams: Vec<StreamGauges>,
    /// Items between decoding and workers.
    pub ready: AtomicUsize,
    /// Items between workers and finishing.
    pub done: AtomicUsize,
    /// Workers that died and were replaced.
    pub replaced: AtomicU64,
    /// Threads that decode ahead: as many as the times of the items so far call for.
    pub decoders: AtomicUsize,
    /// Threads that finish, chosen likewise.
    pub finishers: AtomicUsize,
    /// Streams of the engines that work, chosen by what was measured; 0 where they are on a device, here and below.
    pub engine_streams: AtomicUsize,
    /// All that there are.
    pub all_engine_streams: AtomicUsize,
    latencies: Mutex<Latencies>,
}

#[derive(Debug, Default)]
struct Latencies {
    all: Histogram,
    recent: Histogram,
}

/// Sums over the streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Items the sources yielded.
    pub offered: u64,
    /// Items that came out at the sink.
    pub delivered: u64,
    /// Items dropped because a queue was full, or a source had no room.
    pub dropped: u64,
    /// Items left out by design.
    pub skipped: u64,
    /// Items in the streams' queues.
    pub queued: usize,
}

impl Gauges {
    /// Figures for so many streams, all zero.
    pub fn new(streams: usize) -> Self {
        Self {
            streams: (0..streams).map(|_| StreamGauges::default()).collect(),
            ready: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            replaced: AtomicU64::new(0),
            decoders: AtomicUsize::new(0),
            finishers: AtomicUsize::new(0),
            engine_streams: AtomicUsize::new(0),
            all_engine_streams: AtomicUsize::new(0),
            latencies: Mutex::default(),
        }
    }

    /// Sums over the streams, now.
    pub fn totals(&self) -> Totals {
        self.streams.iter().fold(Totals::default(), |t, s| Totals {
            offered: t.offered + s.offered.load(Relaxed),
            delivered: t.delivered + s.delivered.load(Relaxed),
            dropped: t.dropped + s.dropped.load(Relaxed),
            skipped: t.skipped + s.skipped.load(Relaxed),
            queued: t.queued + s.queued.load(Relaxed),
        })
    }

    /// Streams of the engines that work, in words: `1 of 2`; `None` where they are on a device.
    pub fn engine_streams(&self) -> Option<String> {
        let [streams, all] = [&self.engine_streams, &self.all_engine_streams].map(|streams| streams.load(Relaxed));
        (all > 0).then(|| format!("{streams} of {all}"))
    }

    pub(super) fn add_latency(&self, latency: Duration) {
        let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        latencies.all.add(latency);
        latencies.recent.add(latency);
    }

    /// Latencies, source to sink, of all items so far.
    pub fn latency(&self) -> Histogram {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).all.clone()
    }

    /// Latencies of the items since this was last called.
    pub fn recent_latency(&self) -> Histogram {
        std::mem::take(&mut self.latencies.lock().unwrap_or_else(PoisonError::into_inner).recent)
    }
}

/// Classes an octave: a percentile is at most 1/16 of an octave (4.4 %) above the true one.
const CLASSES_PER_OCTAVE: f64 = 16.0;
/// From one microsecond to 19 hours.
const CLASSES: usize = 36 * CLASSES_PER_OCTAVE as usize;

/// Durations by classes of equal ratio: memory does not grow with their number.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; CLASSES], count: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn add(&mut self, duration: Duration) {
        let class = (duration.as_secs_f64() * 1e6).max(1.0).log2() * CLASSES_PER_OCTAVE;
        self.counts[(class as usize).min(CLASSES - 1)] += 1;
        self.count += 1;
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The least class limit that `percent` of the durations do not exceed; `None` without durations.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let rank = ((self.count as f64 * percent / 100.0).ceil() as u64).max(1);
        let mut below = 0;
        let class = self.counts.iter().position(|&count| {
            below += count;
            below >= rank
        })?;
        Some(limit(class))
    }
}

/// Upper limit of a class.
fn limit(class: usize) -> Duration {
    Duration::from_secs_f64(2f64.powf((class as f64 + 1.0) / CLASSES_PER_OCTAVE) / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_class_of_the_truth() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50.0), None);
        (1..=1000).for_each(|ms| histogram.add(Duration::from_millis(ms)));
        for (percent, truth) in [(50.0, 0.5), (99.0, 0.99), (100.0, 1.0)] {
            let found = histogram.percentile(percent).expect("durations").as_secs_f64();
            assert!((truth..truth * 1.045).contains(&found), "{percent}: {found}");
        }
    }
}

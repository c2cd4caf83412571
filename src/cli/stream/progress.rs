//! Figures on standard error: every second on a terminal, and once at the end.

use crate::schedule::gauges::{Gauges, Histogram};
use crate::trace::{display, plural, say};
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(100);
const PERIOD: Duration = Duration::from_secs(1);
/// Most streams whose queues are shown one by one.
const QUEUES_SHOWN: usize = 8;

/// Lines, by what they say. Of a frame there is one at most; a stream that broke off or ended before its time has some of its own.
#[derive(Default)]
pub(super) struct Told {
    pub results: AtomicU64,
    pub errors: AtomicU64,
}

impl Told {
    /// Counts a line.
    pub fn add(&self, is_error: bool) {
        if is_error { &self.errors } else { &self.results }.fetch_add(1, Relaxed);
    }

    fn in_words(&self) -> String {
        let (results, errors) = (self.results.load(Relaxed), self.errors.load(Relaxed));
        let errors = if errors > 0 { format!(", {}", plural(errors as usize, "error")) } else { String::new() };
        format!("{}{errors}", plural(results as usize, "result"))
    }
}

/// Shows figures until `over` is set.
pub(super) fn show(gauges: &Gauges, told: &Told, over: &AtomicBool, quiet: bool) {
    if quiet {
        return;
    }
    let bar = display().add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    let began = Instant::now();
    let (mut since, mut before) = (began, 0);
    while !over.load(SeqCst) {
        std::thread::sleep(TICK);
        if since.elapsed() >= PERIOD {
            let now = told.results.load(Relaxed);
            bar.set_message(figures(gauges, now - before, since.elapsed(), &gauges.recent_latency()));
            (since, before) = (Instant::now(), now);
        }
        bar.tick();
    }
    bar.finish_and_clear();
    let frames = told.results.load(Relaxed);
    say(format_args!("hpinfer: {}, {}", told.in_words(), figures(gauges, frames, began.elapsed(), &gauges.latency())));
}

fn figures(gauges: &Gauges, frames: u64, time: Duration, latency: &Histogram) -> String {
    let totals = gauges.totals();
    let ms = |percent| latency.percentile(percent).map_or("-".into(), |d| format!("{:.1} ms", d.as_secs_f64() * 1e3));
    let waiting: Vec<usize> = gauges.streams.iter().map(|stream| stream.queued.load(Relaxed)).collect();
    let (decoded, to_finish) = (gauges.ready.load(Relaxed), gauges.done.load(Relaxed));
    let queues = format!("waiting {}, decoded {decoded}, to finish {to_finish}", of_streams(&waiting));
    let (decoders, finishers) = (gauges.decoders.load(Relaxed), gauges.finishers.load(Relaxed));
    let engines = gauges.engine_streams().map_or(String::new(), |streams| format!("engines {streams} streams, "));
    let pools = format!("decoders {decoders}, {engines}finishers {finishers}");
    let mut text = format!("{:.1} fps, latency p50 {} p99 {}, {queues}, {pools}", frames as f64 / time.as_secs_f64(), ms(50.0), ms(99.0));
    let counts = [("dropped", totals.dropped), ("skipped", totals.skipped), ("workers replaced", gauges.replaced.load(Relaxed))];
    for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        text += &format!(", {what} {count}");
    }
    text
}

/// Frames that wait in the queue of each stream: `0+3+1`; of many streams their sum and the longest queue.
fn of_streams(waiting: &[usize]) -> String {
    if waiting.len() <= QUEUES_SHOWN {
        return waiting.iter().map(usize::to_string).collect::<Vec<_>>().join("+");
    }
    let sum: usize = waiting.iter().sum();
    // Of equals the first stream.
    match waiting.iter().enumerate().rev().max_by_key(|(_, frames)| **frames) {
        Some((stream, longest)) if *longest > 0 => format!("{sum} (stream {stream}: {longest})"),
        _ => sum.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_shown_one_by_one_up_to_a_number() {
        for (waiting, expected) in [
            (&[4][..], "4"),
            (&[0, 3, 1], "0+3+1"),
            (&[0, 1, 2, 3, 4, 5, 6, 7], "0+1+2+3+4+5+6+7"),
            (&[0, 1, 7, 3, 4, 5, 7, 0, 0], "27 (stream 2: 7)"),
            (&[0; 20], "0"),
        ] {
            assert_eq!(of_streams(waiting), expected);
        }
    }

    #[test]
    fn results_and_errors_are_counted_by_lines() {
        let told = Told::default();
        assert_eq!(told.in_words(), "0 results");
        [false, true, false, true].into_iter().for_each(|is_error| told.add(is_error));
        assert_eq!(told.in_words(), "2 results, 2 errors");
    }

    #[test]
    fn figures_name_the_queue_of_each_stream() {
        let gauges = Gauges::new(2);
        gauges.streams[1].queued.store(3, Relaxed);
        gauges.ready.store(2, Relaxed);
        gauges.decoders.store(1, Relaxed);
        gauges.finishers.store(2, Relaxed);
        let text = figures(&gauges, 5, Duration::from_secs(2), &gauges.latency());
        assert_eq!(text, "2.5 fps, latency p50 - p99 -, waiting 0+3, decoded 2, to finish 0, decoders 1, finishers 2");
        gauges.engine_streams.store(3, Relaxed);
        gauges.all_engine_streams.store(4, Relaxed);
        let text = figures(&gauges, 5, Duration::from_secs(2), &gauges.latency());
        assert!(text.ends_with(", decoders 1, engines 3 of 4 streams, finishers 2"), "{text}");
    }
}

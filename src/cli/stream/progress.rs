//! Figures on standard error: every second on a terminal, and once at the end.

use crate::schedule::gauges::{Gauges, Histogram};
use crate::trace::display;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(100);
const PERIOD: Duration = Duration::from_secs(1);

/// Shows figures until `over` is set.
pub(super) fn show(gauges: &Gauges, over: &AtomicBool, quiet: bool) {
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
            let now = gauges.totals().delivered;
            bar.set_message(figures(gauges, now - before, since.elapsed(), &gauges.recent_latency()));
            (since, before) = (Instant::now(), now);
        }
        bar.tick();
    }
    bar.finish_and_clear();
    let frames = gauges.totals().delivered;
    eprintln!("hpinfer: {frames} frames, {}", figures(gauges, frames, began.elapsed(), &gauges.latency()));
}

fn figures(gauges: &Gauges, frames: u64, time: Duration, latency: &Histogram) -> String {
    let totals = gauges.totals();
    let ms = |percent| latency.percentile(percent).map_or("-".into(), |d| format!("{:.1} ms", d.as_secs_f64() * 1e3));
    let queues = format!("queues {} | {} | {}", totals.queued, gauges.ready.load(Relaxed), gauges.done.load(Relaxed));
    let mut text = format!("{:.1} fps, latency p50 {} p99 {}, {queues}", frames as f64 / time.as_secs_f64(), ms(50.0), ms(99.0));
    let counts = [("dropped", totals.dropped), ("skipped", totals.skipped), ("workers replaced", gauges.replaced.load(Relaxed))];
    for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        text += &format!(", {what} {count}");
    }
    text
}

//! What this process has used so far: processor time and memory, as the kernel counts them.

use super::report::Cost;
use super::stats::median;
use std::time::{Duration, Instant};

/// A thread's time is booked when it leaves its core. Before each reading this thread sleeps, which books its own
/// time and lets workers that have just finished go to sleep as well; without it readings are a scheduler tick off.
const SETTLE: Duration = Duration::from_micros(200);

/// Empty measurements that the cost of measuring is taken from.
const CALIBRATION_RUNS: usize = 31;

/// Milliseconds with microseconds kept.
pub fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Processor time of all live threads of this process; `None` where the kernel does not tell.
fn process_cpu() -> Option<Duration> {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        // A thread may end while the folder is read.
        if let Ok(text) = std::fs::read_to_string(task.ok()?.path().join("schedstat")) {
            nanoseconds += text.split_whitespace().next()?.parse::<u64>().ok()?;
        }
    }
    Some(Duration::from_nanos(nanoseconds))
}

/// Most memory this process ever held resident, in MiB; `None` where the kernel does not tell.
pub fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib: f64 = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some((kib / 102.4).round() / 10.0)
}

/// Measures processor time and wall time of pieces of work, less the time that measuring itself takes.
pub struct CostMeter {
    overhead_cpu_ms: f64,
}

impl CostMeter {
    /// A meter for this process, calibrated on doing nothing.
    pub fn calibrate() -> Self {
        let bare = Self { overhead_cpu_ms: 0.0 };
        let empty: Vec<f64> = (0..CALIBRATION_RUNS).filter_map(|_| bare.measure(|| ()).1.cpu_ms).collect();
        Self { overhead_cpu_ms: median(&empty) }
    }

    /// Runs `work`; nothing else may run in this process meanwhile.
    pub fn measure<T>(&self, work: impl FnOnce() -> T) -> (T, Cost) {
        let cpu = || {
            std::thread::sleep(SETTLE);
            process_cpu()
        };
        let before = cpu();
        let start = Instant::now();
        let out = work();
        let wall = start.elapsed();
        let spent = before.zip(cpu()).map(|(before, after)| after.saturating_sub(before));
        let cpu_ms = spent.map(|spent| (milliseconds(spent) - self.overhead_cpu_ms).max(0.0));
        (out, Cost { cpu_ms, wall_ms: milliseconds(wall) })
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// Not a bound on any duration: the same thread's own clock is the reference, and other tests run beside this one.
    #[test]
    fn busy_work_shows_and_memory_is_plausible() {
        let (sum, cost) = CostMeter { overhead_cpu_ms: 0.0 }.measure(|| (0..3_000_000u64).fold(0, |a, b| a ^ b.wrapping_mul(a | 3)));
        assert!(sum != 1 && cost.cpu_ms.is_none_or(|ms| ms > 0.0) && cost.wall_ms > 0.0, "{cost:?}");
        let peak = peak_memory_mib().expect("Linux tells");
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(peak > 1.0 && peak_memory_mib().expect("Linux tells") >= 64.0, "{} bytes at {peak} MiB", block.len());
    }
}

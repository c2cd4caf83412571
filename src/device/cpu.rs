//! The processor: cores this process may use, what the system says of them, and the time that was spent on them.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Processor cores this process may use: affinity and control-group limits count.
pub fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Processor time of all threads of this process so far.
pub fn process_time() -> Duration {
    time_of(ClockId::ProcessCPUTime)
}

/// Processor time of the calling thread so far.
pub fn thread_time() -> Duration {
    time_of(ClockId::ThreadCPUTime)
}

fn time_of(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

/// Processor time so far of the process `id` and of the children that it waited for; `None` where the kernel does not tell.
pub fn time_of_process(id: u32) -> Option<Duration> {
    /// A second, in the unit of `/proc`: the same on x86-64 and AArch64, whatever the kernel's own clock is.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may have any letters; utime, stime, cutime and cstime are the 14th field to the 17th.
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(4);
    Some(Duration::from_secs_f64(fields.map(|field| field.parse::<f64>().ok()).sum::<Option<f64>>()? / TICKS))
}

/// Facts about the processor, from the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuInfo {
    /// Marketing name, or `unknown`.
    pub model: String,
    /// Feature flags as Linux names them.
    pub flags: Vec<String>,
}

impl CpuInfo {
    /// Reads `/proc/cpuinfo`; empty facts where there is none.
    pub fn read() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let line = text.lines().find(|l| l.split(':').next().is_some_and(|k| k.trim() == name));
            line.and_then(|l| l.split_once(':')).map(|(_, v)| v.trim().to_owned())
        };
        Self {
            model: field("model name").unwrap_or_else(|| "unknown".into()),
            flags: field("flags").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        }
    }

    /// Whether the processor has this feature (Linux spelling).
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|f| f == flag)
    }

    /// Whether bfloat16 arithmetic runs in hardware.
    pub fn has_bfloat16(&self) -> bool {
        self.has("avx512_bf16") || self.has("amx_bf16")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_its_time_by_either_way() {
        let busy = std::time::Instant::now();
        while busy.elapsed() < Duration::from_secs(10) && time_of_process(std::process::id()).is_some_and(|time| time.is_zero()) {}
        // Other tests take time besides, and so do their children.
        let (thread, own, told) = (thread_time(), process_time(), time_of_process(std::process::id()).expect("Linux tells"));
        assert!(!told.is_zero() && thread <= own && thread <= told + Duration::from_millis(20), "{thread:?} {own:?} {told:?}");
        assert_eq!(time_of_process(u32::MAX), None);
    }

    #[test]
    fn cpu_facts_of_a_linux_host() {
        let cpu = CpuInfo::parse("processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\nflags\t\t: sse2 avx512_bf16\n");
        assert_eq!(cpu.model, "Some CPU @ 2.00GHz");
        assert!(cpu.has_bfloat16() && cpu.has("sse2") && !cpu.has("avx"));
        assert_eq!(CpuInfo::parse("").model, "unknown");
    }
}

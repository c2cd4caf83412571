//! Where and when numbers were taken.

use crate::device::{CpuInfo, Facts, GpuInfo, Nvml, available_memory, available_threads, probe};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// The machine a report holds for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Processor, by its marketing name.
    pub cpu: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Kernel release.
    pub kernel: String,
    /// Memory that this process may use, in MiB; 0 when unknown.
    pub memory_mib: u64,
    /// Graphics processors, where there are any; reports of earlier versions have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<MachineGpu>,
}

/// A graphics processor of a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineGpu {
    /// As `--device` names it.
    pub device: String,
    /// Product name.
    pub name: String,
    /// Compute capability.
    pub compute_capability: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Its own number.
    pub uuid: String,
    /// Version of its driver, where NVML tells it.
    pub driver: Option<String>,
    /// What it was doing when the report was written, where NVML tells it.
    pub state: Option<Facts>,
}

impl MachineGpu {
    fn read(gpu: &GpuInfo, nvml: Option<&Nvml>) -> Self {
        Self {
            device: format!("gpu:{}", gpu.number),
            name: gpu.name.clone(),
            compute_capability: gpu.capability.to_string(),
            memory_mib: gpu.memory >> 20,
            uuid: gpu.uuid.to_string(),
            driver: nvml.and_then(Nvml::driver_version),
            state: nvml.and_then(|nvml| nvml.facts(gpu.uuid).ok()),
        }
    }

    /// What it is, wherever it is.
    fn product(&self) -> String {
        format!("{}, compute capability {}, {} MiB", self.name, self.compute_capability, self.memory_mib)
    }
}

impl fmt::Display for MachineGpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.device, self.product())?;
        self.driver.iter().try_for_each(|driver| write!(f, "; driver {driver}"))?;
        self.state.iter().try_for_each(|state| write!(f, "; {state}"))
    }
}

impl Machine {
    /// This machine.
    pub fn read() -> Self {
        let file = |path| std::fs::read_to_string(path).unwrap_or_default();
        let kernel = file("/proc/sys/kernel/osrelease").trim().to_owned();
        Self {
            cpu: CpuInfo::read().model,
            cores: available_threads(),
            kernel: if kernel.is_empty() { "unknown".into() } else { kernel },
            memory_mib: available_memory().unwrap_or(0) >> 20,
            gpus: Self::gpus(),
        }
    }

    fn gpus() -> Vec<MachineGpu> {
        let Ok(gpus) = probe() else { return Vec::new() };
        let nvml = Nvml::open().ok();
        gpus.devices.iter().map(|gpu| MachineGpu::read(gpu, nvml.as_ref())).collect()
    }

    /// The device that a report names, with what it is: another machine with the same number may have another GPU.
    pub fn identity(&self, device: &str) -> String {
        match self.gpus.iter().find(|gpu| gpu.device == device) {
            Some(gpu) => format!("{device} ({})", gpu.product()),
            None => device.to_owned(),
        }
    }
}

/// A line for the host, and one for each graphics processor.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} cores, {} MiB; kernel {}", self.cpu, self.cores, self.memory_mib, self.kernel)?;
        self.gpus.iter().try_for_each(|gpu| write!(f, "\n{gpu}"))
    }
}

/// `time` in UTC as ISO 8601 writes it: `2026-11-23T23:32:52Z`.
pub fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}T{:02}:{:02}:{:02}Z", days + 1, of_day / 3600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_machine_of_an_earlier_report_has_no_graphics_processors() {
        let text = r#"{"cpu": "Some CPU", "cores": 2, "kernel": "6", "memory_mib": 8000}"#;
        let machine: Machine = serde_json::from_str(text).unwrap();
        assert_eq!(machine.to_string(), "Some CPU, 2 cores, 8000 MiB; kernel 6");
        assert_eq!(machine.identity("gpu:0"), "gpu:0");
    }

    /// From `date -u -d @N +%FT%TZ`.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), expected, "{seconds}");
        }
    }
}

//! What the program runs on: the device a user asked for, the processor cores it may use, and the seam through which
//! operations reach a graphics processor.

mod images;
mod kernels;
mod queue;

pub use images::{Image, image_for};
pub use kernels::Kernel;
pub use queue::{DeviceSlice, DeviceSliceMut, FloatsMut, Launch, Queue, tiles};

use crate::error::{Error, Result};
use std::fmt;

/// A device as users write it: `cpu`, `gpu`, `gpu:0`, `gpu:0,1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceSpec {
    /// The processor.
    #[default]
    Cpu,
    /// Graphics processors by number; empty means the first free one.
    Gpu(Vec<u32>),
}

impl std::str::FromStr for DeviceSpec {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let bad = |reason: String| Error::config("device", format!("`{s}` {reason}; known forms: cpu, gpu, gpu:0, gpu:0,1"));
        let lower = s.to_ascii_lowercase();
        let (kind, ids) = match lower.split_once(':') {
            None => (lower.as_str(), None),
            Some((kind, ids)) => (kind, Some(ids)),
        };
        let ids = match ids {
            None => Vec::new(),
            Some(ids) => ids
                .split(',')
                .map(|id| id.trim().parse::<u32>().map_err(|_| bad(format!("has the device id `{id}`, which is not a number"))))
                .collect::<Result<_>>()?,
        };
        match kind {
            "cpu" if ids.len() <= 1 => Ok(Self::Cpu),
            "cpu" => Err(bad("names several processors".into())),
            "gpu" => Ok(Self::Gpu(ids)),
            "xpu" | "npu" | "mlu" => Err(bad("is a device this program does not drive".into())),
            _ => Err(bad("is not a device".into())),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(ids) if ids.is_empty() => f.write_str("gpu"),
            Self::Gpu(ids) => write!(f, "gpu:{}", ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
        }
    }
}

/// Processor cores this process may use: affinity and control-group limits count.
pub fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
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
    fn device_forms() {
        for (text, expected) in [
            ("cpu", Some(DeviceSpec::Cpu)),
            ("CPU:0", Some(DeviceSpec::Cpu)),
            ("gpu", Some(DeviceSpec::Gpu(vec![]))),
            ("gpu:0", Some(DeviceSpec::Gpu(vec![0]))),
            ("gpu:0,2", Some(DeviceSpec::Gpu(vec![0, 2]))),
            ("gpu:x", None),
            ("gpu:0:1", None),
            ("npu", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<DeviceSpec>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn cpu_facts_of_a_linux_host() {
        let cpu = CpuInfo::parse("processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\nflags\t\t: sse2 avx512_bf16\n");
        assert_eq!(cpu.model, "Some CPU @ 2.00GHz");
        assert!(cpu.has_bfloat16() && cpu.has("sse2") && !cpu.has("avx"));
        assert_eq!(CpuInfo::parse("").model, "unknown");
    }
}

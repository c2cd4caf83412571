//! A device as users write it.

use crate::error::{Error, Result};
use std::fmt;

/// What runs the networks: `auto`, `cpu`, `gpu`, `gpu:0`, `gpu:0,1`, `gpu:GPU-5c3ea0c5`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceSpec {
    /// The first graphics processor that can be used, else the processor.
    Auto,
    /// The processor.
    #[default]
    Cpu,
    /// Graphics processors; empty means the first that this program can use.
    Gpu(Vec<GpuId>),
}

/// One graphics processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GpuId {
    /// By its number among those that `CUDA_VISIBLE_DEVICES` leaves visible, as CUDA counts them.
    Number(u32),
    /// By its UUID or the start of one, in lower case: `gpu-5c3ea0c5` or `mig-5c3ea0c5`.
    Uuid(String),
}

impl std::str::FromStr for DeviceSpec {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let known = "known forms: auto, cpu, gpu, gpu:0, gpu:0,1, gpu:GPU-5c3ea0c5";
        let bad = |reason: String| Error::config("device", format!("`{s}` {reason}; {known}"));
        let lower = s.to_ascii_lowercase();
        let (kind, ids) = match lower.split_once(':') {
            None => (lower.as_str(), Vec::new()),
            Some((kind, ids)) => (kind, ids.split(',').map(str::trim).collect()),
        };
        match kind {
            "auto" if ids.is_empty() => Ok(Self::Auto),
            "auto" => Err(bad("chooses by itself and takes no device id".into())),
            "cpu" if ids.is_empty() || ids == ["0"] => Ok(Self::Cpu),
            "cpu" if ids.len() > 1 => Err(bad("names several processors".into())),
            "cpu" => Err(bad(format!("has the device id `{}`, which is not 0", ids[0]))),
            "gpu" => {
                let mut gpus: Vec<GpuId> = Vec::new();
                for id in ids {
                    let gpu = GpuId::parse(id)
                        .ok_or_else(|| bad(format!("has the device id `{id}`, which is neither a number nor a UUID like GPU-5c3ea0c5")))?;
                    if gpus.contains(&gpu) {
                        return Err(bad(format!("names {gpu} twice")));
                    }
                    gpus.push(gpu);
                }
                Ok(Self::Gpu(gpus))
            }
            "xpu" | "npu" | "mlu" => Err(bad("is a device this program does not drive".into())),
            _ => Err(bad("is not a device".into())),
        }
    }
}

impl GpuId {
    fn parse(id: &str) -> Option<Self> {
        let Some(digits) = id.strip_prefix("gpu-").or_else(|| id.strip_prefix("mig-")) else { return id.parse().ok().map(Self::Number) };
        let plain = digits.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        (plain && digits.starts_with(|c: char| c.is_ascii_hexdigit())).then(|| Self::Uuid(id.to_owned()))
    }
}

impl fmt::Display for GpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Uuid(uuid) => write!(f, "{}{}", uuid[..4].to_ascii_uppercase(), &uuid[4..]),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(ids) if ids.is_empty() => f.write_str("gpu"),
            Self::Gpu(ids) => write!(f, "gpu:{}", ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_forms() {
        let numbers = |n: &[u32]| Some(DeviceSpec::Gpu(n.iter().map(|&n| GpuId::Number(n)).collect()));
        let uuid = |text: &str| Some(DeviceSpec::Gpu(vec![GpuId::Uuid(text.into())]));
        for (text, expected, shown) in [
            ("auto", Some(DeviceSpec::Auto), "auto"),
            ("auto:0", None, ""),
            ("cpu", Some(DeviceSpec::Cpu), "cpu"),
            ("CPU:0", Some(DeviceSpec::Cpu), "cpu"),
            ("gpu", numbers(&[]), "gpu"),
            ("gpu:0", numbers(&[0]), "gpu:0"),
            ("GPU:0, 2", numbers(&[0, 2]), "gpu:0,2"),
            ("gpu:GPU-5C3E-a0", uuid("gpu-5c3e-a0"), "gpu:GPU-5c3e-a0"),
            ("gpu:MIG-1", uuid("mig-1"), "gpu:MIG-1"),
            ("gpu:GPU-", None, ""),
            ("gpu:GPU-xyz", None, ""),
            ("gpu:x", None, ""),
            ("gpu:", None, ""),
            ("gpu:0,", None, ""),
            ("gpu:-1", None, ""),
            ("gpu:1,1", None, ""),
            ("gpu:0:1", None, ""),
            ("cpu:1", None, ""),
            ("npu", None, ""),
            ("", None, ""),
        ] {
            let found = text.parse::<DeviceSpec>().ok();
            assert_eq!(found, expected, "{text}");
            assert_eq!(found.map(|f| f.to_string()).unwrap_or_default(), shown, "{text}");
        }
    }
}

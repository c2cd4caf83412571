//! Which graphics processors there are. [`probe`] is the only way to the driver: it never panics, and says what is wrong.

use super::cuda::driver::Driver;
use super::spec::{DeviceSpec, GpuId};
use super::unavailable::{NO_DEVICE, Unavailable};
use crate::error::{Error, Result};
use std::fmt;
use std::sync::OnceLock;

/// A version of CUDA as the driver counts: 12020 is 12.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CudaVersion(pub i32);

impl CudaVersion {
    /// The oldest whose driver runs the kernels of this program: that of R525.
    pub const OLDEST: Self = Self(12_000);

    /// The major version.
    pub const fn major(self) -> i32 {
        self.0 / 1000
    }
}

impl fmt::Display for CudaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.0 % 1000 / 10)
    }
}

/// Compute capability: major and minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capability(pub u32, pub u32);

impl Capability {
    /// The oldest that the kernels are made for: Turing.
    pub const OLDEST: Self = Self(7, 5);
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// A device's own number, the same on every machine and whatever `CUDA_VISIBLE_DEVICES` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GPU-")?;
        for (at, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" })?;
        }
        Ok(())
    }
}

/// A graphics processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuInfo {
    /// Its number among the visible ones.
    pub number: u32,
    /// Product name.
    pub name: String,
    /// Compute capability.
    pub capability: Capability,
    /// Bytes of memory.
    pub memory: u64,
    /// UUID.
    pub uuid: Uuid,
}

impl GpuInfo {
    /// Why this program cannot use it; `None` when it can.
    pub fn refusal(&self) -> Option<String> {
        (self.capability < Capability::OLDEST).then(|| {
            let (name, own, oldest) = (&self.name, self.capability, Capability::OLDEST);
            format!("{name} has compute capability {own}, and {oldest} (Turing) is the oldest that works")
        })
    }
}

impl fmt::Display for GpuInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = self.memory as f64 / f64::from(1 << 30);
        write!(f, "{}, compute capability {}, {gib:.1} GiB, {}", self.name, self.capability, self.uuid)
    }
}

/// The graphics processors that a driver shows: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpus {
    /// The newest CUDA the driver serves.
    pub cuda: CudaVersion,
    /// In the order of their numbers, those that are too old included.
    pub devices: Vec<GpuInfo>,
}

/// The graphics processors of this machine, asked once: a driver that does not start now will not start later in this process.
///
/// # Errors
/// [`Unavailable`] when there are none.
pub fn probe() -> std::result::Result<&'static Gpus, &'static Unavailable> {
    static FOUND: OnceLock<std::result::Result<Gpus, Unavailable>> = OnceLock::new();
    FOUND.get_or_init(ask).as_ref()
}

fn ask() -> std::result::Result<Gpus, Unavailable> {
    let visible = || std::env::var_os("CUDA_VISIBLE_DEVICES").map(|v| v.to_string_lossy().into_owned());
    let driver = Driver::open().map_err(|loader| Unavailable::NoDriver { kernel_module: kernel_module(), loader })?;
    let missing = driver.missing();
    let failed = |(_, code): (&'static str, i32)| match code {
        NO_DEVICE => Unavailable::NoDevice { visible: visible() },
        code => Unavailable::Init { library: driver.path.clone(), code, name: driver.error_name(code) },
    };
    // The version comes first: an old driver may lack functions, and that is not what is wrong with it.
    if !missing.contains(&"cuDriverGetVersion") {
        let cuda = CudaVersion(driver.version().map_err(failed)?);
        if cuda < CudaVersion::OLDEST && cuda.0 > 0 {
            return Err(Unavailable::TooOld { cuda });
        }
    }
    if !missing.is_empty() {
        return Err(Unavailable::Incomplete { library: driver.path, missing });
    }
    let cuda = CudaVersion(driver.version().map_err(failed)?);
    driver.init().map_err(failed)?;
    let device = |number: u32| {
        let failed = |(call, code)| Unavailable::Query { device: number, call, name: driver.error_name(code) };
        driver.describe(number).map_err(failed)
    };
    let devices: Vec<GpuInfo> = (0..driver.count().map_err(failed)?).map(device).collect::<std::result::Result<_, _>>()?;
    if devices.is_empty() {
        return Err(Unavailable::NoDevice { visible: visible() });
    }
    Ok(Gpus { cuda, devices })
}

/// What the kernel's part of the driver says of itself.
fn kernel_module() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    Some(text.lines().next()?.split_whitespace().collect::<Vec<_>>().join(" "))
}

impl Gpus {
    /// The devices `ids` name, in their order; the first that works for none.
    ///
    /// # Errors
    /// [`Error::Backend`] for one that is not there, is named twice, or is too old.
    pub fn select(&self, ids: &[GpuId]) -> Result<Vec<&GpuInfo>> {
        let asked = DeviceSpec::Gpu(ids.to_vec()).to_string();
        let refuse = |reason: String, next_step: &str| Error::backend(asked.clone(), reason, next_step);
        if ids.is_empty() {
            if let Some(first) = self.devices.iter().find(|gpu| gpu.refusal().is_none()) {
                return Ok(vec![first]);
            }
            let reasons: Vec<String> = self.devices.iter().filter_map(GpuInfo::refusal).collect();
            return Err(refuse(reasons.join("; "), "use --device cpu"));
        }
        let mut chosen: Vec<&GpuInfo> = Vec::new();
        for id in ids {
            let matching: Vec<&GpuInfo> = self.devices.iter().filter(|gpu| gpu.is(id)).collect();
            let gpu = match matching[..] {
                [gpu] => gpu,
                [] => return Err(refuse(format!("there is no GPU {id}; {}", self.listed()), &format!("give one of these{}", hidden()))),
                _ => return Err(refuse(format!("several GPUs are named {id}...; {}", self.listed()), "give more of the UUID")),
            };
            if let Some(reason) = gpu.refusal() {
                return Err(refuse(reason, "name another GPU, or use --device cpu"));
            }
            if chosen.contains(&gpu) {
                return Err(refuse(format!("GPU {} is named twice", gpu.number), "name each once"));
            }
            chosen.push(gpu);
        }
        Ok(chosen)
    }

    fn listed(&self) -> String {
        let all: Vec<String> = self.devices.iter().map(|gpu| format!("{} {} ({})", gpu.number, gpu.name, gpu.uuid)).collect();
        format!("there {} {}", if all.len() == 1 { "is" } else { "are" }, all.join(", "))
    }
}

impl GpuInfo {
    /// Whether `id` names it. Parts of a GPU have UUIDs that start with `MIG-`, which the driver does not tell apart.
    fn is(&self, id: &GpuId) -> bool {
        match id {
            GpuId::Number(number) => *number == self.number,
            GpuId::Uuid(start) => self.uuid.to_string()[4..].starts_with(&start[4..]),
        }
    }
}

/// What may be the matter when a device is missed.
fn hidden() -> String {
    match std::env::var_os("CUDA_VISIBLE_DEVICES") {
        Some(visible) => format!("; CUDA_VISIBLE_DEVICES is `{}`, and numbers count what it leaves visible", visible.to_string_lossy()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(number: u32, capability: (u32, u32), first: u8) -> GpuInfo {
        let mut uuid = [0; 16];
        (uuid[0], uuid[4], uuid[15]) = (first, number as u8, 0xef);
        let capability = Capability(capability.0, capability.1);
        GpuInfo { number, name: format!("Card {number}"), capability, memory: 16 << 30, uuid: Uuid(uuid) }
    }

    #[test]
    fn devices_are_chosen_by_number_and_uuid() {
        let gpus = Gpus { cuda: CudaVersion(12_020), devices: vec![gpu(0, (7, 0), 0xab), gpu(1, (7, 5), 0xab), gpu(2, (9, 0), 0x12)] };
        let select = |text: &str| match text.parse().unwrap() {
            DeviceSpec::Gpu(ids) => gpus.select(&ids).map(|found| found.iter().map(|g| g.number).collect::<Vec<_>>()),
            DeviceSpec::Auto | DeviceSpec::Cpu => panic!("{text}"),
        };
        for (text, expected) in [
            ("gpu", vec![1]),
            ("gpu:2,1", vec![2, 1]),
            ("gpu:GPU-12", vec![2]),
            ("gpu:GPU-AB000000-01", vec![1]),
            ("gpu:GPU-12000000-0200-0000-0000-0000000000ef", vec![2]),
        ] {
            assert_eq!(select(text).unwrap(), expected, "{text}");
        }
        for (text, says) in [
            ("gpu:0", "Card 0 has compute capability 7.0, and 7.5 (Turing) is the oldest"),
            ("gpu:3", "there is no GPU 3; there are 0 Card 0 (GPU-ab000000-0000"),
            ("gpu:GPU-ab", "several GPUs are named GPU-ab"),
            ("gpu:GPU-77", "there is no GPU GPU-77"),
            ("gpu:2,GPU-12", "GPU 2 is named twice"),
        ] {
            let message = select(text).unwrap_err().to_string();
            assert!(message.contains(says) && message.contains(text.split(',').next().unwrap()), "{text}: {message}");
        }
        let old = Gpus { devices: vec![gpu(0, (6, 1), 1)], ..gpus };
        assert!(old.select(&[]).unwrap_err().to_string().contains("6.1"));
    }

    #[test]
    fn versions_are_written_as_nvidia_writes_them() {
        assert_eq!([12_000, 12_020, 13_000, 11_080].map(|v| CudaVersion(v).to_string()), ["12.0", "12.2", "13.0", "11.8"]);
    }
}

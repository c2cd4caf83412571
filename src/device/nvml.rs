//! What the management library of the driver tells of a device: clocks, memory in use, heat, and why it is held back.

use super::probe::Uuid;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// The library, opened.
pub struct Nvml(nvml_wrapper::Nvml);

/// A device at this moment. What it does not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Clock of the multiprocessors and the highest it can have, in MHz.
    pub sm_clock_mhz: Option<[u32; 2]>,
    /// Clock of the memory and the highest it can have, in MHz.
    pub memory_clock_mhz: Option<[u32; 2]>,
    /// Bytes of memory that are free.
    pub memory_free: Option<u64>,
    /// Heat of the chip in degrees Celsius.
    pub temperature_c: Option<u32>,
    /// Power drawn and its limit, in watts.
    pub power_w: Option<[f64; 2]>,
    /// Generation and lanes of the link to the host.
    pub pcie: Option<[u32; 2]>,
    /// What holds the clocks down; empty when nothing does.
    pub throttled_by: Option<Vec<Cow<'static, str>>>,
}

impl Facts {
    /// The same with what was worse `before`: the lower clock of the multiprocessors, the higher temperature, and all that held it back.
    #[must_use]
    pub fn worst(self, before: &Self) -> Self {
        let by = [&self.throttled_by, &before.throttled_by].into_iter().flatten().flatten();
        let mut throttled_by: Vec<Cow<'static, str>> = Vec::new();
        by.for_each(|by| {
            if !throttled_by.contains(by) {
                throttled_by.push(by.clone());
            }
        });
        Self {
            sm_clock_mhz: [self.sm_clock_mhz, before.sm_clock_mhz].into_iter().flatten().min(),
            temperature_c: self.temperature_c.max(before.temperature_c),
            throttled_by: (self.throttled_by.is_some() || before.throttled_by.is_some()).then_some(throttled_by),
            ..self
        }
    }
}

impl Nvml {
    /// Opens it. It comes with the driver, but may be missing in a container.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn open() -> Result<Self, String> {
        nvml_wrapper::Nvml::init().map(Self).map_err(|e| e.to_string())
    }

    /// Version of the driver, such as `580.95.05`.
    pub fn driver_version(&self) -> Option<String> {
        self.0.sys_driver_version().ok()
    }

    /// What it tells of the device with this UUID: its numbers are other than CUDA's, and `CUDA_VISIBLE_DEVICES` is nothing to it.
    ///
    /// # Errors
    /// Why it tells nothing.
    pub fn facts(&self, uuid: Uuid) -> Result<Facts, String> {
        let device = self.0.device_by_uuid(uuid.to_string()).map_err(|e| e.to_string())?;
        let clocks = |clock: Clock| Some([device.clock_info(clock).ok()?, device.max_clock_info(clock).ok()?]);
        let watts = |milliwatts: u32| f64::from(milliwatts) / 1e3;
        Ok(Facts {
            sm_clock_mhz: clocks(Clock::SM),
            memory_clock_mhz: clocks(Clock::Memory),
            memory_free: device.memory_info().ok().map(|m| m.free),
            temperature_c: device.temperature(TemperatureSensor::Gpu).ok(),
            power_w: device.power_usage().ok().zip(device.enforced_power_limit().ok()).map(|(a, b)| [watts(a), watts(b)]),
            pcie: device.current_pcie_link_gen().ok().zip(device.current_pcie_link_width().ok()).map(<[u32; 2]>::from),
            throttled_by: device.current_throttle_reasons().ok().map(reasons),
        })
    }
}

fn reasons(found: ThrottleReasons) -> Vec<Cow<'static, str>> {
    // An idle device is not held back.
    let known = [
        (ThrottleReasons::SW_POWER_CAP, "power limit"),
        (ThrottleReasons::HW_SLOWDOWN, "hardware slowdown"),
        (ThrottleReasons::SW_THERMAL_SLOWDOWN, "heat"),
        (ThrottleReasons::HW_THERMAL_SLOWDOWN, "heat (hardware)"),
        (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "power brake"),
        (ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, "application clocks"),
        (ThrottleReasons::SYNC_BOOST, "sync boost"),
        (ThrottleReasons::DISPLAY_CLOCK_SETTING, "display clocks"),
    ];
    known.into_iter().filter(|(reason, _)| found.contains(*reason)).map(|(_, name)| name.into()).collect()
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = |name: &str, mhz: Option<[u32; 2]>| mhz.map(|[now, most]| format!("{name} {now} of {most} MHz"));
        let parts = [
            self.memory_free.map(|bytes| format!("{:.1} GiB free", bytes as f64 / f64::from(1 << 30))),
            clock("clock", self.sm_clock_mhz),
            clock("memory", self.memory_clock_mhz),
            self.temperature_c.map(|c| format!("{c} °C")),
            self.power_w.map(|[now, most]| format!("{now:.0} of {most:.0} W")),
            self.pcie.map(|[generation, lanes]| format!("PCIe {generation} x{lanes}")),
            self.throttled_by.as_ref().map(|by| match by.is_empty() {
                true => "not held back".into(),
                false => format!("held back by {}", by.join(", ")),
            }),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_told() {
        assert_eq!(Facts::default().to_string(), "");
        let facts = Facts {
            sm_clock_mhz: Some([1590, 1980]),
            memory_free: Some(8 << 30),
            temperature_c: Some(71),
            throttled_by: Some(reasons(ThrottleReasons::GPU_IDLE | ThrottleReasons::SW_POWER_CAP)),
            ..Facts::default()
        };
        assert_eq!(facts.to_string(), "8.0 GiB free, clock 1590 of 1980 MHz, 71 °C, held back by power limit");
    }
}

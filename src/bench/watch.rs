//! What GPUs did while they were measured: their clocks, and what held them down. An idle one tells nothing of that, so it is looked at
//! by the process that measures, right after calls that were timed.

use crate::device::{Facts, Nvml, Uuid, probe};
use serde::{Deserialize, Serialize};

/// A GPU while it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// As `--device` names it.
    pub device: String,
    /// Of all looks the least clock of the multiprocessors, the most heat and all that held it back; the rest as it was last.
    pub state: Facts,
}

/// The GPUs of this machine, as far as NVML tells of them.
pub struct Watch {
    nvml: Option<Nvml>,
    gpus: Vec<(String, Uuid)>,
    seen: Vec<Watched>,
}

impl Watch {
    /// Looks at nothing yet.
    pub fn new() -> Self {
        let gpus = probe().iter().flat_map(|gpus| &gpus.devices).map(|gpu| (format!("gpu:{}", gpu.number), gpu.uuid)).collect::<Vec<_>>();
        let nvml = (!gpus.is_empty()).then(|| Nvml::open().ok()).flatten();
        Self { nvml, gpus, seen: Vec::new() }
    }

    /// Looks at all of them; to be called right after what is timed.
    pub fn look(&mut self) {
        for (device, uuid) in &self.gpus {
            let Some(state) = self.nvml.as_ref().and_then(|nvml| nvml.facts(*uuid).ok()) else { continue };
            match self.seen.iter_mut().find(|seen| seen.device == *device) {
                Some(seen) => seen.state = state.worst(&seen.state),
                None => self.seen.push(Watched { device: device.clone(), state }),
            }
        }
    }

    /// What was seen.
    pub fn seen(self) -> Vec<Watched> {
        self.seen
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

/// That GPUs among those that networks `ran_on` were held back, for people; `None` where none was.
pub fn held_back(gpus: &[Watched], ran_on: impl Fn(&str) -> bool) -> Option<String> {
    let told = |gpu: &Watched| {
        let by = gpu.state.throttled_by.as_ref().filter(|by| !by.is_empty())?.join(", ");
        let clock = gpu.state.sm_clock_mhz.map_or(String::new(), |[now, most]| format!(" to {now} of {most} MHz"));
        Some(format!("THROTTLED: {} was held back{clock} by {by}: it is slower than it can be", gpu.device))
    };
    let told: Vec<String> = gpus.iter().filter(|gpu| ran_on(&gpu.device)).filter_map(told).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_told_as_it_was_at_its_worst_where_something_ran_on_it() {
        let state = |clock, degrees, by: &[&'static str]| Facts {
            sm_clock_mhz: Some([clock, 1980]),
            temperature_c: Some(degrees),
            throttled_by: Some(by.iter().map(|by| (*by).into()).collect()),
            ..Facts::default()
        };
        let worst = state(1980, 60, &["heat"]).worst(&state(1200, 88, &["power limit", "heat"]));
        assert_eq!(worst, state(1200, 88, &["heat", "power limit"]));
        let gpus = [Watched { device: "gpu:1".into(), state: worst }, Watched { device: "gpu:0".into(), state: state(1980, 40, &[]) }];
        let said = "THROTTLED: gpu:1 was held back to 1200 of 1980 MHz by heat, power limit: it is slower than it can be";
        assert_eq!(held_back(&gpus, |_| true), Some(said.into()));
        assert_eq!((held_back(&gpus, |device| device == "gpu:0"), held_back(&[], |_| true)), (None, None));
    }
}

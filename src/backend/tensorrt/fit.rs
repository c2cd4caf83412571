//! Where an engine runs besides the library and the GPU that made it: built for GPUs of a compute capability (`--target`), for all from
//! Ampere on (`--ampere-plus`), or for later versions of the library too (`--version-compatible`). The rules are NVIDIA's:
//! without these options a plan is for one build of the library and one product.

use super::cache::{EngineKey, Gpu};
use super::ffi::BuildOptions;
use std::fmt;

/// The compute capability of Ampere.
const AMPERE: [i32; 2] = [8, 0];

/// How an engine made elsewhere, or with other options, does here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    /// The older library that built it, if it is not the one here.
    older: Option<String>,
    gpu: OnGpu,
    version_compatible: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OnGpu {
    /// Built on one of the same name.
    Same,
    /// Built for its compute capability.
    Target(String),
    /// Built for all from Ampere on.
    AmperePlus,
}

impl Fit {
    /// What orders engines, the closest first: what is built for more machines is slower on each.
    pub(super) fn distance(&self) -> impl Ord + use<> {
        let gpu = match self.gpu {
            OnGpu::Same => 0,
            OnGpu::Target(_) => 1,
            OnGpu::AmperePlus => 2,
        };
        (self.older.is_some(), gpu, self.version_compatible)
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.gpu {
            OnGpu::Same => f.write_str("built for this GPU")?,
            OnGpu::Target(capability) => write!(f, "built for compute capability {capability}")?,
            OnGpu::AmperePlus => f.write_str("built for all GPUs from Ampere on")?,
        }
        match &self.older {
            Some(library) => write!(f, ", version-compatible, by TensorRT {library}"),
            None if self.version_compatible => f.write_str(", version-compatible"),
            None => Ok(()),
        }
    }
}

impl EngineKey {
    /// How the engine of this key does in the place of the one of `wanted`, which is built without these options: same model, graph,
    /// arithmetic and profiles, and it [runs](Self::runs) there.
    pub fn stands_for(&self, wanted: &Self) -> Option<Fit> {
        let plain =
            |options: &BuildOptions| BuildOptions { version_compatible: false, ampere_plus: false, target: None, ..options.clone() };
        let same = self.model_sha256 == wanted.model_sha256
            && (&self.precision, &self.half, &self.surgery) == (&wanted.precision, &wanted.half, &wanted.surgery)
            && (plain(&self.options) == plain(&wanted.options) && self.versions == wanted.versions);
        same.then(|| self.runs(&wanted.library, &wanted.gpu)).flatten()
    }

    /// How the engine of this key, if built for more than one library or product, does with `library` on `gpu`.
    pub fn runs(&self, library: &str, gpu: &Gpu) -> Option<Fit> {
        let BuildOptions { version_compatible, ampere_plus, target, .. } = self.options;
        if !version_compatible && !ampere_plus && target.is_none() {
            return None;
        }
        let older = match self.library == library {
            true => None,
            false if version_compatible && later(&self.library, library) => Some(self.library.clone()),
            false => return None,
        };
        let ampere = |gpu: &Gpu| numbers(&gpu.capability).is_some_and(|capability| capability >= AMPERE);
        // Plans depend on the product and not on its driver.
        let on = if target.is_none() && (&self.gpu.name, &self.gpu.capability) == (&gpu.name, &gpu.capability) {
            OnGpu::Same
        } else if target.is_some() && self.gpu.capability == gpu.capability {
            OnGpu::Target(self.gpu.capability.clone())
        } else if ampere_plus && ampere(&self.gpu) && ampere(gpu) {
            OnGpu::AmperePlus
        } else {
            return None;
        };
        Some(Fit { older, gpu: on, version_compatible })
    }

    /// The versions of the library that its engine runs with, for people.
    pub fn libraries(&self) -> String {
        let major = self.library.split('.').next().unwrap_or_default();
        if self.options.version_compatible { format!("{} and later {major}", self.library) } else { self.library.clone() }
    }

    /// The GPUs that its engine runs on, for people.
    pub fn gpus(&self) -> String {
        match self.options {
            BuildOptions { ampere_plus: true, .. } => "all GPUs from Ampere on".into(),
            BuildOptions { target: Some(_), .. } => format!("GPUs of compute capability {}", self.gpu.capability),
            _ => self.gpu.to_string(),
        }
    }
}

/// Whether `here` is a later version than `built` of the same kind of library and the same major number.
fn later(built: &str, here: &str) -> bool {
    let versions = |text: &str| {
        let plain = text.trim_start_matches("rtx-");
        Some((plain.len() == text.len(), numbers::<4>(plain)?))
    };
    match (versions(built), versions(here)) {
        (Some((kind, built)), Some((other, here))) => kind == other && built[0] == here[0] && built <= here,
        _ => false,
    }
}

/// Numbers between dots.
fn numbers<const N: usize>(text: &str) -> Option<[i32; N]> {
    let numbers: Option<Vec<i32>> = text.split('.').map(|number| number.parse().ok()).collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_versions_are_of_the_same_kind_and_major_number() {
        for (built, here, expected) in [
            ("10.3.0.26", "10.16.1.11", true),
            ("10.16.1.11", "10.3.0.26", false),
            ("10.16.1.7", "10.16.1.11", true),
            ("10.16.1.7", "11.0.0.1", false),
            ("rtx-1.6.1.1", "rtx-1.7.1.1", true),
            ("rtx-1.6.1.1", "1.7.1.1", false),
            ("1.6.1.1", "rtx-1.7.1.1", false),
            ("10.3", "10.4.0.0", false),
        ] {
            assert_eq!(later(built, here), expected, "{built} with {here}");
        }
    }
}

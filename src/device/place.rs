//! The device that was opened for a run.

use super::cuda::Gpu;
use super::probe::probe;
use super::spec::DeviceSpec;
use crate::error::{Error, Result};
use std::fmt;
use std::sync::Arc;

/// What networks and the operations around them run on.
#[derive(Clone, Debug, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// A graphics processor.
    Gpu(Arc<Gpu>),
}

impl Device {
    /// Opens what `spec` names.
    ///
    /// # Errors
    /// [`Error::Backend`] for a GPU that is not there or too old, and for several; [`Error::Device`] when its driver refuses.
    pub fn open(spec: &DeviceSpec) -> Result<Self> {
        match spec {
            DeviceSpec::Cpu => Ok(Self::Cpu),
            DeviceSpec::Gpu(ids) if ids.len() > 1 => {
                probe().map_err(|unavailable| unavailable.error(spec.to_string()))?.select(ids)?;
                Err(Error::backend(spec.to_string(), "one run on several GPUs is not in this version", "start a run for each"))
            }
            DeviceSpec::Gpu(ids) => Gpu::open(ids.first()).map(Self::Gpu),
        }
    }

    /// The graphics processor, if it is one.
    pub fn gpu(&self) -> Option<&Arc<Gpu>> {
        match self {
            Self::Cpu => None,
            Self::Gpu(gpu) => Some(gpu),
        }
    }

    /// What measurements on it hold for: another machine with the same number may have another GPU.
    pub fn identity(&self) -> String {
        match self {
            Self::Cpu => "cpu".into(),
            Self::Gpu(gpu) => format!("{} ({}, compute capability {})", self, gpu.info().name, gpu.info().capability),
        }
    }
}

/// As `--device` names it.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(gpu) => gpu.fmt(f),
        }
    }
}

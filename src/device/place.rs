//! The device that was opened for a run.

use super::cuda::Gpu;
use super::probe::probe;
use super::spec::DeviceSpec;
use crate::error::{Error, Result};
use std::fmt;
use std::sync::Arc;

/// What networks and the operations around them run on.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// A graphics processor.
    Gpu(Arc<Gpu>),
}

impl Device {
    /// Opens what `spec` names, in its order.
    ///
    /// # Errors
    /// [`Error::Backend`] for a GPU that is not there or too old; [`Error::Device`] when its driver refuses.
    pub fn open(spec: &DeviceSpec) -> Result<Vec<Self>> {
        match spec {
            DeviceSpec::Auto => Ok(vec![Self::automatic()]),
            DeviceSpec::Cpu => Ok(vec![Self::Cpu]),
            DeviceSpec::Gpu(ids) if ids.is_empty() => Ok(vec![Self::Gpu(Gpu::open(None)?)]),
            DeviceSpec::Gpu(ids) => {
                // All are looked for before the first is opened.
                probe().map_err(|unavailable| unavailable.error(spec.to_string()))?.select(ids)?;
                ids.iter().map(|id| Gpu::open(Some(id)).map(Self::Gpu)).collect()
            }
        }
    }

    /// The first graphics processor that can be used, else the processor; the log says which one, and why.
    fn automatic() -> Self {
        match Gpu::open(None) {
            Ok(gpu) => {
                let device = Self::Gpu(gpu);
                tracing::info!("--device auto is {}, the first GPU that can be used", device.identity());
                device
            }
            Err(e) => {
                tracing::info!("--device auto is cpu: {e}");
                Self::Cpu
            }
        }
    }

    /// Opens the one device that `spec` names.
    ///
    /// # Errors
    /// [`Error::Config`] when it names several; those of [`open`](Self::open).
    pub fn open_one(spec: &DeviceSpec) -> Result<Self> {
        match spec {
            DeviceSpec::Gpu(ids) if ids.len() > 1 => Err(Error::config("--device", format!("{spec} is several; give one"))),
            _ => Ok(Self::open(spec)?.remove(0)),
        }
    }

    /// Whether it still does what it is asked.
    pub fn answers(&self) -> bool {
        self.gpu().is_none_or(|gpu| gpu.memory().is_ok())
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

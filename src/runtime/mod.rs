//! Native libraries: which version this host needs, where it is found, how it is installed; [Paddle's own](PaddlePart); and the
//! [`font`] for pictures.
//!
//! A library the user has wins over installing one: an explicit path, then the variable of the
//! [`Library`], then the system's folders, then the copy in the [`Cache`]. An explicit path or a variable
//! that does not lead to a usable library is an error, never a reason to look further.

mod file;
pub mod font;
pub mod gpu;
mod paddle;
mod pins;
mod python;
mod search;

pub use paddle::{PaddlePart, PaddleRuntime};

use crate::cache::{Cache, Package};
use crate::error::{Error, Result};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// A native library that runs networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Library {
    /// ONNX Runtime, `libonnxruntime.so`.
    OnnxRuntime,
    /// OpenVINO by its C interface, `libopenvino_c.so`.
    #[serde(rename = "openvino")]
    OpenVino,
}

/// Where a library was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A path in the configuration.
    Explicit,
    /// The variable named by [`Library::variable`].
    Environment,
    /// A folder the system's loader searches.
    System,
    /// Installed by this program.
    Cache,
}

/// A library on this machine. The file is there and made for this machine; it has not been loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The file to load.
    pub path: PathBuf,
    /// Version, where the file name tells it.
    pub version: Option<String>,
    /// How it was found.
    pub origin: Origin,
}

/// A library and what is known of it on this machine.
#[derive(Debug)]
pub struct Status {
    /// Which library.
    pub library: Library,
    /// The one a run would use; `None` means it would be installed; an error means that a run would fail.
    pub found: Result<Option<Found>>,
}

impl Library {
    /// Every library.
    pub const ALL: [Self; 2] = [Self::OnnxRuntime, Self::OpenVino];

    /// Name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "onnx_runtime",
            Self::OpenVino => "openvino",
        }
    }

    /// Variable with the path of the library's file.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "ORT_DYLIB_PATH",
            Self::OpenVino => "OPENVINO_LIB_PATH",
        }
    }

    /// The version that is installed when the user has none.
    pub fn pinned_version(self) -> &'static str {
        self.pin().wheel.version
    }

    const fn title(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "ONNX Runtime",
            Self::OpenVino => "OpenVINO",
        }
    }

    fn package(self) -> Package<'static> {
        let pin = self.pin();
        Package {
            what: format!("{} {}", self.title(), pin.wheel.version),
            next_step: format!(
                "run `hpinfer runtime install {}` with the package index in reach (pip's own settings apply), or set {} to the path of {}",
                self.name(),
                self.variable(),
                self.stem()
            ),
            wheel: pin.wheel,
            folders: vec![pin.folder()],
        }
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The library a run would use, without installing it. `explicit` is a path out of the configuration.
///
/// # Errors
/// [`Error::Config`] when `explicit` or the library's variable does not name a usable library.
pub fn locate(library: Library, cache: &Cache, explicit: Option<&Path>) -> Result<Option<Found>> {
    search::Search::here(library, cache).run(explicit)
}

/// The library a run uses; installed when the user has none.
///
/// # Errors
/// As [`locate`]; [`Error::Missing`] when it cannot be installed.
pub fn ensure(library: Library, cache: &Cache, explicit: Option<&Path>) -> Result<Found> {
    match locate(library, cache, explicit)? {
        Some(found) => Ok(found),
        None => install(library, cache),
    }
}

/// Installs the pinned version into the cache, whatever else this machine has.
///
/// # Errors
/// [`Error::Missing`] when it cannot be downloaded or this host has no pinned version; [`Error::Config`] when
/// the cache cannot be written.
pub fn install(library: Library, cache: &Cache) -> Result<Found> {
    let package = library.package();
    if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_pointer_width = "64")) {
        let next_step = format!("install it yourself and set {} to the path of {}", library.variable(), library.stem());
        return Err(Error::missing(package.what, format!("this program brings no copy for {}", host()), next_step));
    }
    cache.install(&package)?;
    Ok(library.installed(cache))
}

/// What this program was compiled for: `x86_64-linux`.
fn host() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// Every library and what a run would use.
pub fn list(cache: &Cache) -> Vec<Status> {
    Library::ALL.map(|library| Status { library, found: locate(library, cache, None) }).into()
}

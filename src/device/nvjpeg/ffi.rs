//! nvJPEG, opened at run time: from where the system's loader finds it, else from where it was installed.

pub use super::interface::*;

use crate::device::loader_says;
use libloading::Library;
use std::ffi::{c_int, c_uint, c_void};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Names for the loader, newest first, by the major version of CUDA that the driver serves.
const fn names(cuda_major: i32) -> &'static [&'static str] {
    if cuda_major >= 13 { &["libnvjpeg.so.13", "libnvjpeg.so.12"] } else { &["libnvjpeg.so.12"] }
}

/// Declares the functions once: as fields, and as symbols to look up.
macro_rules! opened {
    ($($field:ident: $symbol:literal fn($($argument:ty),*)),* $(,)?) => {
        /// The opened library. It stays loaded: it has threads.
        pub struct Functions {
            $(pub $field: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl Functions {
            fn open(name: &Path) -> Result<Self, String> {
                // SAFETY: NVIDIA's library by name or where it was unpacked; loading it is what every program that uses it does.
                let library = unsafe { Library::new(name) }.map_err(|e| loader_says(&e))?;
                let library: &'static Library = Box::leak(Box::new(library));
                // SAFETY: the types are those of the interface, and the library is never closed.
                Ok(Self { $($field: *unsafe { library.get($symbol) }.map_err(|e| loader_says(&e))?,)* })
            }
        }
    };
}

functions!(opened);

/// The library for a driver that serves CUDA of this major version, opened at the first call that finds one; or the name that was
/// looked for, and what the loader says.
pub fn library(cuda_major: i32, installed: Option<&Path>) -> Result<&'static Functions, (&'static str, String)> {
    static OPENED: Mutex<Option<&'static Functions>> = Mutex::new(None);
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(functions) = *opened {
        return Ok(functions);
    }
    let names = names(cuda_major);
    let mut said = String::new();
    for path in names.iter().map(Path::new).chain(installed) {
        match Functions::open(path) {
            Ok(functions) => return Ok(*opened.insert(Box::leak(Box::new(functions)))),
            Err(reason) if said.is_empty() => said = reason,
            Err(reason) => tracing::debug!("{}: {reason}", path.display()),
        }
    }
    Err((names[0], said))
}

//! Builds the stand-ins.

use std::ffi::{CString, c_char};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The library made of `source`, a file below `tests`, built when what it is made of has changed.
pub fn library(source: &str, flags: &[&str]) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(source);
    let mut content = std::fs::read(&source).expect("readable");
    content.extend(flags.concat().bytes());
    let name = source.file_stem().expect("a name").to_string_lossy().into_owned();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.so", &hpinfer::cache::sha256(&content)[..16]));
    if target.is_file() {
        return target;
    }
    let partial = target.with_extension(format!("{}.tmp", std::process::id()));
    let mut compiler = Command::new(std::env::var("CXX").unwrap_or_else(|_| "c++".into()));
    compiler.args(["-std=c++17", "-O1", "-fPIC", "-shared", "-Wall", "-Werror"]).args(flags).arg(&source).arg("-o").arg(&partial);
    let output = compiler.output().expect("the C++ compiler runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(&partial, &target).expect("renamed");
    target
}

/// The stand-in for the driver in this process, with the kernels for the host. Its name for the loader is that of the first
/// file the program looks for.
pub struct Loaded(libloading::Library);

/// The devices of the stand-in in this process.
pub const DEVICES: &str = "devices=9.0,8.6";

/// What the driver was asked to do so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub uploads: u64,
    pub uploaded_bytes: u64,
    pub downloads: u64,
    pub downloaded_bytes: u64,
    pub launches: u64,
    /// Allocations of device memory and of page-locked memory.
    pub allocations: [u64; 2],
    pub graph_launches: u64,
}

impl Loaded {
    pub fn get() -> &'static Self {
        static LOADED: OnceLock<Loaded> = OnceLock::new();
        LOADED.get_or_init(|| {
            let driver = library("gpu/driver.cpp", &["-Wl,-soname,libcuda.so"]);
            // SAFETY: built from this tree; loading it runs nothing.
            let loaded = Self(unsafe { libloading::Library::new(driver) }.expect("it loads"));
            loaded.words(DEVICES);
            loaded
        })
    }

    /// Waits until no other test works on the device: what the driver counts is the test's own.
    pub fn turn() -> MutexGuard<'static, ()> {
        static TURN: Mutex<()> = Mutex::new(());
        TURN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the words that $STUB_CUDA has.
    pub fn words(&self, words: &str) {
        let text = |text: &str| CString::new(text).expect("no zero");
        let (words, kernels) = (text(words), text(crate::library::kernels().to_str().expect("UTF-8")));
        // SAFETY: the function has this type and copies the texts.
        unsafe {
            let setup = self.0.get::<unsafe extern "C" fn(*const c_char, *const c_char)>(b"stub_setup").expect("exported");
            setup(words.as_ptr(), kernels.as_ptr());
        }
    }

    pub fn counts(&self) -> Counts {
        let mut c = [0u64; 9];
        // SAFETY: the function has this type and fills nine numbers.
        unsafe { self.0.get::<unsafe extern "C" fn(*mut u64)>(b"stub_counts").expect("exported")(c.as_mut_ptr()) };
        let [uploads, uploaded_bytes, downloads, downloaded_bytes, _, launches, device, pinned, graph_launches] = c;
        Counts { uploads, uploaded_bytes, downloads, downloaded_bytes, launches, allocations: [device, pinned], graph_launches }
    }
}

/// A folder for the loader with the stand-in for the driver.
pub fn folder(flags: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let driver = library("gpu/driver.cpp", flags);
    for name in ["libcuda.so", "libcuda.so.1"] {
        std::os::unix::fs::symlink(&driver, folder.path().join(name)).expect("linked");
    }
    folder
}

//! Builds the stand-ins.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

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

/// A folder for the loader with the stand-in for the driver.
pub fn folder(flags: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let driver = library("gpu/driver.cpp", flags);
    for name in ["libcuda.so", "libcuda.so.1"] {
        std::os::unix::fs::symlink(&driver, folder.path().join(name)).expect("linked");
    }
    folder
}

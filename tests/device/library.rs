//! The kernels as a library for the host, built by the C++ compiler of this machine (`$CXX`, else `c++`) when a source has changed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// No fused multiply-add, as on the device; the checks of longjmp do not know fibers.
const FLAGS: [&str; 10] = [
    "-std=c++17",
    "-O2",
    "-ffp-contract=off",
    "-U_FORTIFY_SOURCE",
    "-Wall",
    "-Werror",
    "-Wno-unknown-pragmas",
    "-Wno-unused-function",
    "-fPIC",
    "-shared",
];

/// The file.
pub fn kernels() -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = |folder: PathBuf| std::fs::read_dir(folder).expect("readable").map(|e| e.expect("an entry").path());
    let mut sources: Vec<PathBuf> = listed(root.join("kernels")).chain(listed(root.join("tests/device"))).collect();
    sources.retain(|path| path.extension().is_some_and(|e| ["cu", "cuh", "cpp", "h"].iter().any(|known| e == *known)));
    sources.sort();
    let mut content: Vec<u8> = sources.iter().flat_map(|path| std::fs::read(path).expect("readable")).collect();
    content.extend(FLAGS.concat().bytes());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kernels-{}.so", &hpinfer::cache::sha256(&content)[..16]));
    if target.is_file() {
        return target;
    }
    let partial = target.with_extension(format!("{}.tmp", std::process::id()));
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let source = root.join("tests/device/kernels.cpp");
    let output = Command::new(&compiler)
        .args(FLAGS)
        .arg("-o")
        .args([&partial, &source])
        .output()
        .unwrap_or_else(|e| panic!("the kernels need a C++ compiler: `{compiler}`: {e}; install g++ or set CXX"));
    assert!(output.status.success(), "{compiler}:\n{}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(&partial, &target).expect("renamed");
    target
}

//! Stages as ranges, with a stand-in for NVIDIA's library that writes them down, and without one.

use super::stub;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs the small classifier with a library made by `flags`; the stages with a time, and what the library wrote.
fn run(flags: Option<&[&str]>) -> (Vec<String>, Option<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    if let Some(flags) = flags {
        std::os::unix::fs::symlink(stub::library("gpu/nvtx.cpp", flags), folder.path().join("libnvToolsExt.so")).expect("linked");
    }
    let (written, picture) = (folder.path().join("ranges"), folder.path().join("one.png"));
    image::RgbImage::from_pixel(40, 24, image::Rgb([255, 0, 0])).save(&picture).expect("a picture");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/miniatures/classify");
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
    command.env("HPINFER_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"));
    command.env("LD_LIBRARY_PATH", folder.path()).env("STUB_NVTX", &written).stdin(Stdio::null());
    command
        .args(["--timings", "--pipeline", "image_classification", "--backend", "onnx_runtime", "--model"])
        .arg(model)
        .arg("--input")
        .arg(&picture);
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{}", String::from_utf8_lossy(&output.stderr));
    let line: Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
    let stages = line["timings_ms"].as_object().expect("times").keys().filter(|stage| *stage != "total").cloned();
    (stages.collect(), std::fs::read_to_string(&written).ok())
}

#[test]
fn stages_are_ranges_by_their_names() {
    let (stages, written) = run(Some(&[]));
    let written = written.expect("ranges");
    println!("{written}");
    let lines: Vec<Vec<&str>> = written.lines().map(|line| line.split_whitespace().collect()).collect();
    let mut begun: Vec<&str> = lines.iter().filter(|line| line[0] == "push").map(|line| line[2]).collect();
    assert_eq!(lines.iter().filter(|line| line[0] == "pop").count(), begun.len(), "each ends: {written}");
    assert!(lines.iter().all(|line| line[1] == "0"), "one at a time: {written}");
    begun.dedup();
    assert_eq!(begun, stages, "in their order");
}

#[test]
fn without_the_library_or_a_function_of_it_there_are_none() {
    assert_eq!(run(None).1, None);
    assert_eq!(run(Some(&["-DSTUB_LACKS_A_FUNCTION"])).1, None);
}

//! The places and numbers of `src/backend/tensorrt/sys/slots.def` against NVIDIA's own headers: a compiler that has
//! both says where it puts each function. The headers come out of the crate `trtx-sys`, fetched by version and SHA-256
//! through cargo; nothing of it is built, linked or committed. Without the network the test says that it was skipped,
//! unless HPINFER_REQUIRE_TENSORRT_HEADERS is set.
//!
//! HPINFER_TENSORRT_HEADERS names further header folders, separated by colons; a parser header that lies elsewhere
//! follows after a comma: `TensorRT-10.3/include,onnx-tensorrt-10.3`.

use crate::say::say;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const CRATE: &str = "trtx-sys@0.9.1+rtx1.7";
const ARCHIVE: &str = "trtx-sys-0.9.1+rtx1.7";
const ARCHIVE_SHA256: &str = "5480ee056292951daa1bc74532162d6cb75190f091e45d7d97c0c356916ae171";

/// Header folders in the archive that must agree.
const KNOWN: [&str; 4] = ["TRT-Enterprise-11.4", "TRT-RTX-1.5", "TRT-RTX-1.6", "TRT-RTX-1.7"];
/// Header folders in the archive that differ: these versions are refused when they are opened.
const REFUSED: [&str; 2] = ["TRT-RTX-1.3", "TRT-RTX-1.4"];

#[test]
fn places_and_numbers_are_those_of_the_headers() {
    let temp = tempfile::tempdir().expect("a folder");
    let mut compared = Vec::new();
    if let Some(headers) = fetched_headers(temp.path()) {
        for name in KNOWN {
            compared.push(compare(&[headers.join(name)], temp.path()).unwrap_or_else(|faults| panic!("{name}:\n{faults}")));
        }
        for name in REFUSED {
            assert!(compare(&[headers.join(name)], temp.path()).is_err(), "{name} agrees with the table: it need not be refused");
        }
    }
    let named = std::env::var("HPINFER_TENSORRT_HEADERS").unwrap_or_default();
    for folders in named.split(':').filter(|f| !f.is_empty()) {
        let folders: Vec<PathBuf> = folders.split(',').map(PathBuf::from).collect();
        compared.push(compare(&folders, temp.path()).unwrap_or_else(|faults| panic!("{folders:?}:\n{faults}")));
    }
    for line in &compared {
        say(line);
    }
}

/// A run without the network says so where people see it.
#[test]
fn what_is_skipped_is_said_though_the_test_passes() {
    let empty = tempfile::tempdir().expect("a folder");
    let mut test = Command::new(std::env::current_exe().expect("this test"));
    test.args(["--exact", "tensorrt::headers::places_and_numbers_are_those_of_the_headers"]);
    test.env("CARGO_HOME", empty.path()).env("CARGO_NET_OFFLINE", "true").env_remove("HPINFER_REQUIRE_TENSORRT_HEADERS");
    let ran = test.output().expect("it starts");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("SKIPPED") && said.contains(CRATE), "{said}");
}

/// The folder `TensorRT-Headers` of the fetched archive.
fn fetched_headers(temp: &Path) -> Option<PathBuf> {
    let fetched = Command::new(env!("CARGO")).args(["info", "--quiet", CRATE]).current_dir(temp).output().expect("cargo runs");
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cargo"));
    let caches = std::fs::read_dir(home.join("registry/cache")).into_iter().flatten().filter_map(Result::ok);
    let archive = caches.map(|e| e.path().join(format!("{ARCHIVE}.crate"))).find(|p| p.is_file());
    let Some(archive) = archive else {
        let reason = String::from_utf8_lossy(&fetched.stderr);
        assert!(std::env::var_os("HPINFER_REQUIRE_TENSORRT_HEADERS").is_none(), "{CRATE} cannot be fetched: {reason}");
        say(&format!("SKIPPED: {CRATE}, which has the headers, cannot be fetched: {reason}"));
        return None;
    };
    assert_eq!(hpinfer::cache::sha256_file(&archive).expect("readable"), ARCHIVE_SHA256, "{}", archive.display());
    let status = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(temp).status().expect("tar runs");
    assert!(status.success(), "tar: {status}");
    Some(temp.join(ARCHIVE).join("TensorRT-Headers"))
}

/// Compiles and runs a program that prints every row in which the headers differ from the table: what was compared, or
/// the differences.
fn compare(folders: &[PathBuf], temp: &Path) -> Result<String, String> {
    let version = Version::read(&folders[0]);
    let parser = folders.iter().any(|f| f.join("NvOnnxParser.h").is_file());
    let (source, rows) = program(&version, parser);
    std::fs::write(temp.join("compare.cpp"), source).expect("written");
    // All that the headers want of CUDA.
    std::fs::write(
        temp.join("cuda_runtime_api.h"),
        "#pragma once\ntypedef struct CUstream_st* cudaStream_t;\ntypedef struct CUevent_st* cudaEvent_t;\n",
    )
    .expect("written");
    let sys = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/backend/tensorrt/sys");
    let program = temp.join("compare");
    let mut compiler = Command::new(std::env::var("CXX").unwrap_or_else(|_| "c++".into()));
    compiler.args(["-std=c++17", "-w", "-o"]).arg(&program).arg(temp.join("compare.cpp"));
    for folder in folders.iter().map(PathBuf::as_path).chain([sys.as_path(), temp]) {
        compiler.arg("-I").arg(folder);
    }
    let compiled = compiler.output().expect("the C++ compiler runs");
    if !compiled.status.success() {
        return Err(String::from_utf8_lossy(&compiled.stderr).lines().take(20).collect::<Vec<_>>().join("\n"));
    }
    let ran = Command::new(&program).output().expect("the program runs");
    let faults = String::from_utf8_lossy(&ran.stdout).into_owned();
    if !faults.is_empty() || !ran.status.success() {
        return Err(faults);
    }
    Ok(format!("{version}: {rows} rows agree{}", if parser { "" } else { " (no parser header)" }))
}

struct Version {
    rtx: bool,
    numbers: [u32; 3],
}

impl Version {
    fn read(folder: &Path) -> Self {
        let text = std::fs::read_to_string(folder.join("NvInferVersion.h")).expect("a version header");
        let defined = |name: &str| {
            let line = |l: &'_ str| {
                let mut words = l.strip_prefix("#define ")?.split_whitespace().map(str::to_owned);
                (words.next()? == name).then(|| words.next())?
            };
            text.lines().find_map(line).unwrap_or_else(|| panic!("{}: no {name}", folder.display()))
        };
        // Newer headers say NV_TENSORRT_MAJOR TRT_MAJOR_RTX (or _ENTERPRISE), and what that is.
        let rtx = defined("NV_TENSORRT_MAJOR").ends_with("_RTX");
        let part = |name: &str| {
            let value = defined(&format!("NV_TENSORRT_{name}"));
            value.parse().unwrap_or_else(|_| defined(&value).parse().expect("a number"))
        };
        Self { rtx, numbers: [part("MAJOR"), part("MINOR"), part("PATCH")] }
    }

    /// Column of the table.
    fn column(&self) -> usize {
        match (self.rtx, self.numbers[0]) {
            (true, _) => 2,
            (false, 10) => 0,
            (false, 11) => 1,
            (false, other) => panic!("TensorRT {other} has no column"),
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{} {major}.{minor}.{patch}", if self.rtx { "TensorRT-RTX" } else { "TensorRT" })
    }
}

/// A C++ program that compares the rows of this version, and their number.
fn program(version: &Version, parser: bool) -> (String, usize) {
    let table = include_str!("../../src/backend/tensorrt/sys/slots.def");
    let mut body = String::new();
    let mut rows = 0;
    let mut row = |expected: i32, name: &str, actual: &str| {
        if expected >= 0 {
            rows += 1;
            writeln!(body, "    row(\"{name}\", {expected}, {actual});").expect("a string");
        }
    };
    for line in table.lines().filter(|l| !l.starts_with("//")) {
        let (kind, rest) = line.split_once('(').expect("KIND(...)");
        let fields: Vec<&str> = rest.trim_end_matches(')').split(',').map(str::trim).collect();
        let number = |i: usize| fields[i].parse::<i32>().unwrap_or_else(|e| panic!("{line}: {e}"));
        match kind {
            "CALL" => {
                let [_, class, function, ..] = fields[..] else { panic!("{line}") };
                let places = [number(3), number(5), number(6)];
                let [major, minor, patch] = version.numbers.map(|n| n as i32);
                let there = version.column() != 0 || major * 10000 + minor * 100 + patch >= number(4);
                if !there || (class.starts_with("IParser") && !parser) {
                    continue;
                }
                let member = match (class, function) {
                    // Several functions of that name.
                    (_, "deserializeCudaEngine") => {
                        "slot_of(static_cast<ICudaEngine* (apiv::VRuntime::*)(void const*, std::size_t)>(&apiv::VRuntime::deserializeCudaEngine))"
                            .to_owned()
                    }
                    // A pointer to a destructor cannot be had; its second entry, which deletes, stands before this function.
                    ("IParser", "~") => "slot_of(&IParser::getUsedVCPluginLibraries) - 1".to_owned(),
                    _ => format!("slot_of(&{class}::{function})"),
                };
                row(places[version.column()], &format!("{class}::{function}"), &member);
            }
            "OURS" => {
                let [_, class, function, ..] = fields[..] else { panic!("{line}") };
                row(number(3 + version.column()), &format!("{class}::{function}"), &format!("slot_of(&{class}::{function})"));
            }
            "VALUE" => {
                let [_, class, value, ..] = fields[..] else { panic!("{line}") };
                row(number(3 + version.column()), &format!("{class}::{value}"), &format!("static_cast<int>({class}::{value})"));
            }
            _ => panic!("{line}"),
        }
    }
    let parser = if parser { "#include <NvOnnxParser.h>\nusing namespace nvonnxparser;" } else { "" };
    let source = format!(
        r#"#include <cstdio>
#include <NvInfer.h>
{parser}
using namespace nvinfer1;
#include "interfaces.hpp"
using trs::slot_of;

static void row(char const* name, int expected, int actual) {{
    if (expected != actual) printf("%s: %d in the table, %d in the headers\n", name, expected, actual);
}}

int main() {{
    row("bytes of Dims", sizeof(trs::Dims), sizeof(nvinfer1::Dims));
    row("bytes of InterfaceInfo", sizeof(trs::InterfaceInfo), sizeof(nvinfer1::InterfaceInfo));
    // A table and an implementation, and nothing else.
    row("bytes of IRuntime", 2 * sizeof(void*), sizeof(IRuntime));
    row("bytes of ICudaEngine", 2 * sizeof(void*), sizeof(ICudaEngine));
    row("bytes of IExecutionContext", 2 * sizeof(void*), sizeof(IExecutionContext));
    row("bytes of IBuilder", 2 * sizeof(void*), sizeof(IBuilder));
    row("bytes of IHostMemory", 2 * sizeof(void*), sizeof(IHostMemory));
    row("bytes of INetworkDefinition", 2 * sizeof(void*), sizeof(INetworkDefinition));
    row("bytes of IBuilderConfig", 2 * sizeof(void*), sizeof(IBuilderConfig));
    row("bytes of ITimingCache", 2 * sizeof(void*), sizeof(ITimingCache));
{body}}}
"#
    );
    (source, rows + 10)
}

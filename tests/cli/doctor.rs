//! What `doctor` says of libraries that are there and cannot be used.

use crate::{DEMO, hpinfer, ocr, run};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// The finding about `library` in the environment `variable=path`: whether it is well, what was found, what to do.
fn diagnosis(library: &str, set: Option<(&str, &Path)>) -> (bool, String, String) {
    let ran = run(hpinfer().args(["--offline", "doctor", "--json"]).envs(set));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
    let finding = report["findings"].as_array().expect("a list").iter().find(|finding| finding["name"] == library).expect("a finding");
    let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    (finding["ok"] == true, text("found"), text("next_step"))
}

#[test]
fn a_library_that_never_opens_is_given_up_and_so_is_a_doctor_that_waits() {
    let library = installed("openvino");
    let (folder, path) = spoilt(&library, "libtbb.so.12", None);
    let made = Command::new("mkfifo").arg(folder.path().join("libtbb.so.12")).status().expect("mkfifo"); // the loader waits at it
    assert!(made.success());
    let doctor = |seconds| {
        let mut command = hpinfer();
        command.args(["--offline", "doctor", "--library-timeout", seconds]);
        command.env("OPENVINO_LIB_PATH", &path).env("LD_LIBRARY_PATH", folder.path());
        command
    };
    let ran = run(&mut doctor("2"));
    let reason = "cannot be used: it does not open within 2 s (raise --library-timeout to wait longer)";
    assert!(ran.code == Some(0) && ran.stdout.contains(reason), "{}{}", ran.stdout, ran.stderr);

    let tries = || {
        let of = |process: fs::DirEntry| fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        fs::read_dir("/proc").expect("/proc").flatten().map(of).filter(|line| line.contains(&*path.to_string_lossy())).count()
    };
    let wait_for = |count| {
        (0..400).any(|_| {
            thread::sleep(Duration::from_millis(50));
            tries() == count
        })
    };
    let mut waiting = doctor("60").stdout(Stdio::null()).spawn().expect("doctor starts");
    let began = wait_for(1);
    waiting.kill().and_then(|()| waiting.wait()).expect("it ends");
    assert!(began && wait_for(0), "{} left", tries());
}

/// Of a cache that has seen several circumstances it tells what counts now.
#[test]
fn choices_are_those_that_a_run_goes_by() {
    let (home, library) = (tempfile::tempdir().expect("a folder"), installed("onnx_runtime"));
    installed("openvino");
    symlink(Path::new(env!("CARGO_TARGET_TMPDIR")).join("home/runtime"), home.path().join("runtime")).expect("a link");
    let (_folder, elsewhere) = spoilt(&library, "none", None);
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/miniatures/classify");
    let choices = |library: Option<&Path>, threads: &str, more: &[&str]| {
        let mut command = hpinfer();
        command.args(["--offline", "doctor", "--json"]).args(more).env("HPINFER_HOME", home.path()).env("HPINFER_THREADS", threads);
        let ran = run(command.envs(library.map(|path| ("ORT_DYLIB_PATH", path))));
        let report: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
        let findings = report["findings"].as_array().expect("a list").iter();
        findings.filter(|finding| finding["topic"] == "choice").map(|finding| finding["found"].to_string()).collect::<Vec<_>>()
    };
    for (library, threads) in [(None, "1"), (None, "2"), (Some(&*elsewhere), "1")] {
        assert!(choices(library, threads, &[])[0].contains("the first run of a model measures"));
        let mut command = hpinfer();
        command.args(["--offline", "--pipeline", "image_classification", "--threads", threads, "--input", DEMO, "--model"]).arg(&model);
        let ran = run(command.env("HPINFER_HOME", home.path()).envs(library.map(|path| ("ORT_DYLIB_PATH", path))));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let found = choices(library, threads, &[]);
        let stated = format!("on cpu, 1 stream of {threads} thread");
        assert!(found.len() == 1 && found[0].contains(&stated) && !found[0].contains("other circumstances"), "{found:?}");
    }
    let all = choices(None, "1", &["-v"]);
    assert_eq!((all.len(), all.iter().filter(|found| found.contains("under other circumstances only")).count()), (3, 2), "{all:?}");
}

/// Where the cache has `library`.
fn installed(library: &str) -> PathBuf {
    let ran = run(hpinfer().args(["runtime", "install", library]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let place = ran.stdout.lines().last().and_then(|line| line.split_whitespace().last()).expect("a path");
    assert!(Path::new(place).is_file(), "{}", ran.stdout);
    place.into()
}

/// A folder with the libraries beside `library`, of which those whose names begin with `part` have the first `share` of their bytes; none are
/// not there.
fn spoilt(library: &Path, part: &str, share: Option<f64>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(library.parent().expect("a folder")).expect("a folder").flatten() {
        let copy = folder.path().join(entry.file_name());
        match share {
            _ if !entry.file_name().to_string_lossy().starts_with(part) => symlink(entry.path(), copy).expect("a link"),
            Some(share) => {
                fs::copy(entry.path(), &copy).expect("a copy");
                let length = (entry.metadata().expect("metadata").len() as f64 * share) as u64;
                File::options().write(true).open(&copy).and_then(|file| file.set_len(length)).expect("cut off");
            }
            None => {}
        }
    }
    let path = folder.path().join(library.file_name().expect("a name"));
    (folder, path)
}

#[test]
fn libraries_that_cannot_be_opened_are_told_with_why() {
    let (ort, openvino) = (installed("onnx_runtime"), installed("openvino"));
    for library in ["onnx_runtime", "openvino"] {
        let (ok, found, _) = diagnosis(library, None);
        assert!(ok, "{found}");
    }
    let cut = "a process that opens it crashed (";
    for (library, variable, path, part, share, why) in [
        ("onnx_runtime", "ORT_DYLIB_PATH", &ort, "libonnxruntime.so", Some(0.3), cut),
        ("onnx_runtime", "ORT_DYLIB_PATH", &ort, "libonnxruntime.so", Some(1e-5), "be used: cannot read file data"),
        ("openvino", "OPENVINO_LIB_PATH", &openvino, "libopenvino.so", Some(0.3), cut),
        ("openvino", "OPENVINO_LIB_PATH", &openvino, "libopenvino.so", None, "cannot open shared object file"),
        ("openvino", "OPENVINO_LIB_PATH", &openvino, "libopenvino_intel_cpu_plugin.so", Some(0.3), cut),
        ("openvino", "OPENVINO_LIB_PATH", &openvino, "libopenvino_onnx_frontend.so", None, "does not run a small network"),
    ] {
        let (_folder, path) = spoilt(path, part, share);
        let (ok, found, next_step) = diagnosis(library, Some((variable, &path)));
        assert!(!ok && found.contains("cannot be used: ") && found.contains(&path.display().to_string()), "{part}: {found}");
        assert!(found.contains(why) && !found.contains('\n'), "{part}: {found}");
        assert!(next_step.starts_with(&format!("set {variable} to a whole one, or leave it unset")), "{next_step}");
    }
}

#[test]
fn libraries_of_another_kind_are_told_in_words() {
    let openvino = installed("openvino");
    let other = openvino.to_string_lossy().replace("libopenvino_c.so", "libopenvino.so");
    let (_folder, lacking) = spoilt(&openvino, "libopenvino_c.so", Some(1.0));
    let mut bytes = fs::read(&lacking).expect("a library");
    let name = b"\0ov_core_create\0";
    let at = bytes.windows(name.len()).position(|window| window == name).expect("a function");
    bytes[at + name.len() - 2] = b'_';
    fs::write(&lacking, bytes).expect("written");
    for (library, variable, path, why) in [
        (
            "openvino",
            "OPENVINO_LIB_PATH",
            Path::new(&other),
            ": it is not OpenVINO's C library (libopenvino_c.so): ov_get_openvino_version is missing",
        ),
        (
            "openvino",
            "OPENVINO_LIB_PATH",
            &lacking,
            ": a process that opens it ended with exit status: 101: `openvino_c` function not loaded: `ov_core_create",
        ),
        ("onnx_runtime", "ORT_DYLIB_PATH", Path::new(&other), ": does not export `OrtGetApiBase`"),
    ] {
        let (ok, found, _) = diagnosis(library, Some((variable, path)));
        assert!(!ok && found.ends_with(&format!(", cannot be used{why}")), "{found}");
    }
    let ran = run(ocr().args(["--input", DEMO]).env("OPENVINO_LIB_PATH", &other));
    assert!(ran.code == Some(2) && ran.stderr.contains("it is not OpenVINO's C library"), "{}", ran.stderr);
}

//! `hpinfer engine`, with the double in the place of TensorRT: the real command, several processes, and a killed one.

use super::double::{Double, Form, onnx_runtime};
use hpinfer::onnx::sample;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

struct Host {
    double: Double,
    home: tempfile::TempDir,
}

impl Host {
    fn new(form: Form) -> Self {
        let host = Self { double: Double::new(form), home: tempfile::tempdir().unwrap() };
        let model = host.model();
        std::fs::create_dir_all(&model).unwrap();
        std::fs::write(model.join("inference.onnx"), sample::bytes()).unwrap();
        let yml = "Global: {model_name: ResNet18}\nPreProcess:\n  transform_ops:\n  - ResizeImage: {resize_short: 256}\n  - CropImage: {size: 224}\n\
                   \x20 - NormalizeImage: {channel_num: 3, mean: [0.485, 0.456, 0.406], order: '', scale: 0.00392156862745098, std: [0.229, 0.224, 0.225]}\n\
                   \x20 - ToCHWImage: null\nPostProcess:\n  Topk: {topk: 5, label_list: [a, b, c]}\n";
        std::fs::write(model.join("inference.yml"), yml).unwrap();
        host
    }

    fn model(&self) -> PathBuf {
        self.home.path().join("model")
    }

    fn count(&self) -> PathBuf {
        self.home.path().join("count")
    }

    fn builds(&self) -> usize {
        std::fs::read_to_string(self.count()).unwrap_or_default().lines().count()
    }

    fn command(&self, knobs: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
        for variable in ["HPINFER_LOG", "RUST_LOG"] {
            command.env_remove(variable);
        }
        command.env("HPINFER_HOME", self.home.path().join("home")).env("TENSORRT_LIB_PATH", self.double.folder.path());
        command.env("ORT_DYLIB_PATH", onnx_runtime().path);
        command.env("HPINFER_DOUBLE", format!("count={},{knobs}", self.count().display()));
        command.arg("engine").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, knobs: &str, arguments: &[&str]) -> (String, String, bool) {
        let Output { status, stdout, stderr } = self.command(knobs, arguments).output().unwrap();
        (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap(), status.success())
    }

    fn build(&self, knobs: &str) -> (String, String, bool) {
        self.run(knobs, &["build", "--model", self.model().to_str().unwrap()])
    }

    fn engines(&self) -> Vec<Value> {
        let (out, err, done) = self.run("", &["list", "--json", "--model-dir", self.model().to_str().unwrap()]);
        assert!(done, "{err}");
        serde_json::from_str(&out).unwrap()
    }
}

#[test]
fn engines_are_built_listed_shown_moved_and_removed() {
    let host = Host::new(Form::Ten);
    let (out, err, done) = host.build("");
    assert!(done && out.contains("ResNet18: built in"), "{out}{err}");
    let (out, _, _) = host.build("");
    assert!(out.contains("ResNet18: was there"), "{out}");
    assert_eq!(host.builds(), 1);

    let listed = host.engines();
    assert_eq!(listed.len(), 1);
    let made_for = &listed[0]["made_for"]["key"];
    assert_eq!((made_for["library"].as_str(), made_for["precision"].as_str()), (Some("10.16.1.7"), Some("float32")));
    let file = listed[0]["file"].as_str().unwrap().to_owned();
    assert!(Path::new(&file).starts_with(host.model().join(".cache/tensorrt")), "{file}");
    let (table, _, _) = host.run("", &["list", "--model-dir", host.model().to_str().unwrap()]);
    assert!(table.contains("ENGINE") && table.contains("ResNet18-") && table.contains("10.16.1.7"), "{table}");
    let folder = Path::new(&file).parent().unwrap().to_str().unwrap();
    assert!(table.contains("  x 1x4 to 8x4  ") && table.trim_end().ends_with(folder), "{table}");
    let (shown, _, _) = host.run("", &["inspect", &file]);
    assert!(shown.contains("\"max\""), "{shown}");

    // What is no engine is none to be removed, and an empty name names nothing.
    let (graph, names) = (host.home.path().join("inference.onnx"), host.home.path().join("inference.json"));
    std::fs::write(&graph, "a graph").unwrap();
    std::fs::write(&names, "{}").unwrap();
    let (_, err, done) = host.run("", &["clear", graph.to_str().unwrap()]);
    assert!(!done && err.contains("no engine of this program") && graph.is_file() && names.is_file(), "{err}");
    assert!(!host.run("", &["clear", ""]).2);
    let copy = host.home.path().join("inference.engine");
    assert!(host.run("", &["export", &file, copy.to_str().unwrap()]).2);
    assert!(host.run("", &["clear", copy.to_str().unwrap()]).2 && !copy.exists());
    assert_eq!(std::fs::read(&names).unwrap(), b"{}", "a file that only has the name of a sidecar");
    let (_, err, done) = host.run("", &["export", &file, host.home.path().to_str().unwrap()]);
    assert!(!done && err.contains("something else than a file"), "{err}");

    let parcel = host.home.path().join("parcel");
    assert!(host.run("", &["export", &file, parcel.to_str().unwrap()]).2);
    let (out, err, done) = host.run("", &["clear", &file]);
    assert!(done && out.contains("removed"), "{err}");
    assert!(host.engines().is_empty());
    let (_, err, done) = host.run("version=101602", &["import", parcel.to_str().unwrap()]);
    assert!(!done && err.contains("it was built by TensorRT 10.16.1.7"), "{err}");
    let (out, err, done) = host.run("", &["import", parcel.to_str().unwrap()]);
    assert!(done && out.contains("engine of ResNet18"), "{err}");
    // A model's engines may lie in the user's cache too.
    let (out, _, _) = host.build("");
    assert!(out.contains("was there") && host.builds() == 1, "{out}");
    let (out, _, _) = host.run("", &["clear", "--all"]);
    assert!(out.contains("removed"), "{out}");
    let (_, err, done) = host.run("", &["inspect", "Nothing"]);
    assert!(!done && err.contains("there is no engine `Nothing`"), "{err}");
}

/// What a model is converted to is what a run would load, and all engines lie where the variable says.
#[test]
fn a_model_in_paddles_own_format_is_converted_first() {
    let host = Host::new(Form::Ten);
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/miniatures/pdmodel");
    let engines = host.home.path().join("engines");
    let build = || {
        let mut command = host.command("", &["build", "--model", model.to_str().unwrap()]);
        command.env("HPINFER_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("home")).env("HPINFER_ENGINE_DIR", &engines);
        let Output { status, stdout, stderr } = command.output().unwrap();
        let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        assert!(status.success(), "{out}{err}");
        out
    };
    assert!(build().contains("built in") && build().contains("was there"));
    assert_eq!((host.builds(), host.engines().len()), (1, 0));
    assert_eq!(std::fs::read_dir(&engines).unwrap().filter(|e| e.as_ref().unwrap().path().extension().unwrap() == "engine").count(), 1);
    // A bare name is a file in the current folder.
    let file = std::fs::read_dir(&engines).unwrap().map(|e| e.unwrap().path()).find(|path| path.extension().unwrap() == "engine").unwrap();
    let mut export = host.command("", &["export", file.to_str().unwrap(), "parcel.engine"]);
    assert!(export.current_dir(host.home.path()).status().unwrap().success());
    assert!(host.home.path().join("parcel.engine").is_file());
}

#[test]
fn half_precision_makes_another_engine_when_asked_for() {
    let host = Host::new(Form::Eleven);
    host.build("");
    let model = host.model();
    for (precision, expected) in [("fp16", "built in"), ("fp16", "was there"), ("fp32", "was there")] {
        let (out, err, done) = host.run("", &["build", "--model", model.to_str().unwrap(), "--precision", precision]);
        assert!(done && out.contains(expected), "{precision}: {out}{err}");
    }
    let engines = host.engines();
    let mut listed: Vec<_> = engines.iter().map(|engine| engine["made_for"]["key"]["precision"].as_str().unwrap()).collect();
    listed.sort_unstable();
    assert_eq!((listed, host.builds()), (vec!["float16", "float32"], 2));
    let error = |engine: &Value| engine["made_for"]["float16"]["error"].as_f64();
    let errors: Vec<_> = engines.iter().filter_map(error).collect();
    assert!(errors.len() == 1 && (0.0..0.01).contains(&errors[0]), "{engines:?}");
    let (_, err, done) = host.run("", &["build", "--model", model.to_str().unwrap(), "--precision", "int8"]);
    assert!(!done && err.contains("neither fp32 nor fp16"), "{err}");
}

#[test]
fn another_version_of_the_library_builds_anew() {
    let host = Host::new(Form::Eleven);
    host.build("");
    let (out, _, _) = host.build("version=110401");
    assert!(out.contains("built in") && host.builds() == 2, "{out}");
    let (out, _, _) = host.build("");
    assert!(out.contains("was there") && host.builds() == 2, "{out}");
    assert_eq!(host.engines().len(), 2);
}

#[test]
fn two_processes_build_once() {
    let host = Host::new(Form::Ten);
    let model = host.model();
    let start = || host.command("build_ms=1500", &["build", "--model", model.to_str().unwrap()]).spawn().unwrap();
    let both: Vec<Child> = vec![start(), start()];
    let outputs: Vec<String> = both.into_iter().map(|c| String::from_utf8(c.wait_with_output().unwrap().stdout).unwrap()).collect();
    assert_eq!(host.builds(), 1, "{outputs:?}");
    assert_eq!(outputs.iter().filter(|o| o.contains("was there")).count(), 1, "{outputs:?}");
}

#[test]
fn a_process_killed_in_a_build_leaves_nothing_and_stops_nobody() {
    let host = Host::new(Form::Ten);
    let model = host.model();
    let mut child = host.command("build_ms=600000", &["build", "--model", model.to_str().unwrap()]).spawn().unwrap();
    // The lock appears when the build begins.
    let locks = host.home.path().join("home/locks");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !std::fs::read_dir(&locks).is_ok_and(|mut d| d.any(|e| e.unwrap().file_name().to_string_lossy().starts_with("engine-"))) {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "the build does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    assert!(host.engines().is_empty());
    let (out, err, done) = host.build("");
    assert!(done && out.contains("built in") && err.contains("building the TensorRT engine of ResNet18; this is done once"), "{out}{err}");
    assert!(err.contains("ResNet18: Building, 4 steps"), "{err}");
    let left: Vec<_> = std::fs::read_dir(model.join(".cache/tensorrt")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn failures_name_the_model_and_the_next_step() {
    let host = Host::new(Form::Rtx);
    for (knobs, arguments, expected) in [
        ("build_null", &[][..], "no implementation was found"),
        ("parse_fail", &[], "UNSUPPORTED_NODE"),
        ("", &["--target", "sm90"], "no target of compute capability 9.0"),
        ("", &["--device", "cpu"], "engines are for GPUs"),
        ("", &["--library", "/nowhere"], "cannot open shared object file"),
    ] {
        let model = host.model();
        let mut all = vec!["build", "--model", model.to_str().unwrap()];
        all.extend(arguments);
        let (_, err, done) = host.run(knobs, &all);
        assert!(!done && err.contains(expected), "{knobs} {arguments:?}: {err}");
        assert!(!err.contains("backend tensorrt") || err.contains("choose") || err.contains("leave"), "{err}");
    }
    let (out, err, done) = host.run("", &["build", "--model", host.model().to_str().unwrap(), "--target", "sm75"]);
    assert!(done, "{out}{err}");
    assert_eq!(host.engines()[0]["made_for"]["key"]["gpu"]["capability"], "7.5");
}

#[test]
fn the_selftest_says_that_nothing_ran_where_nothing_runs() {
    let host = Host::new(Form::Eleven);
    // The double of another process has no function to run.
    let (out, _, done) = host.run("", &["selftest"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert!(!done && report["passed"] == false, "{out}");
    assert_eq!(report["steps"][4]["step"], "run");
    assert!(report["steps"][4]["error"].as_str().unwrap().contains("do not go together"), "{out}");
}

#[test]
fn engines_for_later_versions_say_so_and_are_taken_in_by_those() {
    let host = Host::new(Form::Ten);
    let model = host.model();
    let build = |arguments: &[&str]| host.run("", &[&["build", "--model", model.to_str().unwrap()], arguments].concat()).0;
    assert!(build(&["--version-compatible"]).contains("built in") && build(&["--version-compatible"]).contains("was there"));
    let file = host.engines()[0]["file"].as_str().unwrap().to_owned();
    assert!(build(&[]).contains("built in"), "what is asked for by name is built");
    let parcel = host.home.path().join("parcel");
    let (out, _, _) = host.run("", &["export", &file, parcel.to_str().unwrap()]);
    assert!(out.contains("runs with TensorRT 10.16.1.7 and later 10 on"), "{out}");
    let (out, err, done) = host.run("version=101602", &["import", parcel.to_str().unwrap()]);
    assert!(done && out.contains("engine of ResNet18"), "{err}");
    let (_, err, done) = host.run("version=101500", &["import", parcel.to_str().unwrap()]);
    assert!(!done && err.contains("10.16.1.7 and later 10"), "{err}");
    let (table, _, _) = host.run("", &["list"]);
    assert!(table.contains("10.16.1.7 and later 10"), "{table}");
    build(&["--ampere-plus"]);
    let (table, _, _) = host.run("", &["list", "--model-dir", model.to_str().unwrap()]);
    assert!(table.contains("all GPUs from Ampere on"), "{table}");
}

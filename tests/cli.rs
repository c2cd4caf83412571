//! The command as its users meet it: the real binary, engines and models. All tests share one cache below
//! `target`, which the first run fills.

mod cli {
    pub mod doctor;
    pub mod grouping;
    pub mod inputs;
    pub mod outputs;
    pub mod results;
    pub mod usage;
}

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The picture of the README.
const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/delivery_note.png");

/// The command with the shared cache and none of the caller's settings.
fn hpinfer() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
    for variable in ["HPINFER_THREADS", "HPINFER_LOG", "RUST_LOG", "ORT_DYLIB_PATH", "OPENVINO_LIB_PATH"] {
        command.env_remove(variable);
    }
    command.env("HPINFER_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("home")).stdin(Stdio::null());
    command
}

/// `hpinfer --pipeline OCR --backend openvino` and more: the choice that needs no measurement.
fn ocr() -> Command {
    let mut command = hpinfer();
    command.args(["--pipeline", "OCR", "--backend", "openvino"]);
    command
}

/// What a finished command did.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().expect("the command starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

impl Ran {
    /// The lines of standard output, each of them JSON.
    fn lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }
}

/// `kind` of a line's error, or `None` for a result.
fn error_kind(line: &Value) -> Option<&str> {
    line["error"]["kind"].as_str()
}

/// A folder with the given copies of the picture of the README.
fn pictures(names: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().expect("a folder");
    let paths: Vec<_> = names.iter().map(|name| folder.path().join(name)).collect();
    for path in &paths {
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::copy(DEMO, path).expect("a copy");
    }
    (folder, paths)
}

//! What TensorRT-RTX's builder makes of a model, for Turing and for the closest stand-in of a full TensorRT: a row of
//! `engines/tensorrt-support.csv`, out of the command that users type.

use super::check::one_line;
use super::store::Zoo;
use super::table::Row;
use hpinfer::backend::tensorrt::ffi::Library;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compute capabilities.
const TARGETS: [&str; 2] = ["sm75", "sm86"];

/// Builds a model for each target with the libraries.
pub fn check(zoo: &Zoo, name: &str, [library, parser]: &[PathBuf; 2]) -> Row {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join(name);
    std::fs::create_dir(&model).expect("a folder");
    for (file, bytes) in [("inference.onnx", zoo.onnx(name)), ("inference.yml", zoo.description(name))] {
        std::fs::write(model.join(file), bytes).expect("written");
    }
    let opened = Library::open(library, Some(parser)).expect("the library");
    let builder = format!("TensorRT-RTX {}", opened.versions().to_string().trim_start_matches("rtx-"));
    let mut row = Row::from([("model".to_owned(), name.to_owned()), ("builder".to_owned(), builder)]);
    let mut reasons = Vec::new();
    for target in TARGETS {
        let (built, log) = build(&model, target, library, folder.path());
        row.insert(target.to_owned(), if built { "yes" } else { "no" }.to_owned());
        row.insert(format!("{target}_changes"), changes(&log).join(";"));
        if !built {
            reasons.push(format!("{target}: {}", one_line(log.lines().last().unwrap_or_default())));
        }
    }
    row.insert("reason".to_owned(), reasons.join("; "));
    row
}

/// Whether the engines of a model were built, and what was said meanwhile.
fn build(model: &Path, target: &str, library: &Path, home: &Path) -> (bool, String) {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
    command.args(["-v", "engine", "build", "--target", target, "--library"]).arg(library).arg("--model").arg(model);
    command.env("HPINFER_ENGINE_DIR", home.join("engines"));
    command.env("HPINFER_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"));
    let ran = command.output().expect("the command starts");
    let text = [ran.stdout, ran.stderr].concat();
    let built = ran.status.success();
    // Engines may take gigabytes.
    let _ = std::fs::remove_dir_all(home.join("engines"));
    (built, String::from_utf8_lossy(&text).into_owned())
}

/// Changes of the graph and in how many places, as the log says them; of a network that is built in parts of each, added up.
fn changes(log: &str) -> Vec<String> {
    let mut found: Vec<(&str, usize)> = Vec::new();
    for line in log.lines() {
        let Some((before, _)) = line.rsplit_once(" places") else { continue };
        let Some((before, count)) = before.rsplit_once(" in ") else { continue };
        let (name, count) = (before.rsplit(' ').next().unwrap_or_default(), count.parse().unwrap_or(0));
        match found.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += count,
            None => found.push((name, count)),
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(name, count)| format!("{name} {count}")).collect()
}

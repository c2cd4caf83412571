//! What TensorRT-RTX's builder makes of a model, for Turing and for the closest stand-in of a full TensorRT: a row of
//! `engines/tensorrt-support.csv`, out of the command that users type, and out of the builder by itself.

use super::check::one_line;
use super::store::Zoo;
use super::table::Row;
use hpinfer::Error;
use hpinfer::backend::tensorrt::ffi::{BuildOptions, Library};
use hpinfer::backend::tensorrt::recipe::{self, Recipe};
use hpinfer::cache::Cache;
use hpinfer::model::Store;
use hpinfer::onnx::Model;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Compute capabilities.
pub const TARGETS: [&str; 2] = ["sm75", "sm86"];

/// How much of a row is made.
#[derive(Clone, Copy)]
pub enum Extent {
    /// All.
    Whole,
    /// For one of the targets whether the model is built with what is changed in its graph, not what the graph is refused for as it is.
    Built(usize),
}

/// Builds a model for the targets with the libraries: whether it is built with what is changed in its graph, and whether the graph is
/// accepted without.
pub fn check(zoo: &Zoo, name: &str, [library, parser]: &[PathBuf; 2], extent: Extent) -> Row {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join(name);
    std::fs::create_dir(&model).expect("a folder");
    let onnx = zoo.onnx(name);
    for (file, bytes) in [("inference.onnx", &onnx), ("inference.yml", &zoo.description(name))] {
        std::fs::write(model.join(file), bytes).expect("written");
    }
    let network = Model::decode(&onnx, name).expect("ONNX");
    let opened = Library::open(library, Some(parser)).expect("the library");
    let builder = format!("TensorRT-RTX {}", opened.versions().to_string().trim_start_matches("rtx-"));
    let mut row = Row::from([("model".to_owned(), name.to_owned()), ("builder".to_owned(), builder)]);
    let mut reasons = Vec::new();
    let targets = match extent {
        Extent::Whole => &TARGETS[..],
        Extent::Built(target) => &TARGETS[target..=target],
    };
    for &target in targets {
        let (built, log) = build(&model, target, library, folder.path());
        let changes = changes(&log);
        let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        if matches!(extent, Extent::Whole) {
            let unchanged_is_built = built && changes.is_empty();
            let refused = if unchanged_is_built { None } else { refusal(&opened, (&onnx, &network), &options(&model, &network, target)) };
            row.insert(format!("{target}_accepted"), yes(refused.is_none()));
            row.insert(format!("{target}_refused_by"), refused.unwrap_or_default());
        }
        row.insert(target.to_owned(), yes(built));
        row.insert(format!("{target}_changes"), changes.join(";"));
        if !built {
            reasons.push(format!("{target}: {}", one_line(log.lines().last().unwrap_or_default())));
        }
    }
    if matches!(extent, Extent::Whole) {
        row.insert("reason".to_owned(), reasons.join("; "));
    }
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
    // Engines may take gigabytes.
    let _ = std::fs::remove_dir_all(home.join("engines"));
    (ran.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// What a run asks of the engine of the model in `folder`, whose graph is `network`, on a GPU of `target`. TensorRT-RTX is told no limit to
/// scratch memory.
fn options(folder: &Path, network: &Model, target: &str) -> BuildOptions {
    let cache = Cache::open(Some(&folder.join("home"))).expect("a cache");
    let model = Store::new(&cache).resolve(&folder.to_string_lossy()).expect("a model");
    let shapes = model.hpi.dynamic_shapes().cloned().unwrap_or_default();
    let recipe = Recipe::for_module(model.module.as_str()).expect("a recipe");
    let options = recipe.options_for(&recipe::inputs(network), model.kind().size, &shapes).expect("options");
    BuildOptions { target: target.trim_start_matches("sm").parse().ok(), workspace: None, ..options }
}

/// What the builder says against a graph as it is, without where in its own source it says so.
fn refusal(library: &Arc<Library>, (onnx, model): (&[u8], &Model), options: &BuildOptions) -> Option<String> {
    let reason = match library.build(onnx, options, &[], &|_| ControlFlow::Continue(())) {
        Ok(_) => return None,
        Err(Error::Backend { reason, .. }) => one_line(&reason),
        Err(other) => panic!("{other}"),
    };
    let said = reason.find("Error Code").map_or(reason.as_str(), |start| &reason[start..]).trim_start_matches("the graph is refused: ");
    let said = said.rsplit_once(" In ").map_or(said, |(said, _)| said);
    let node = said.strip_prefix("node ").and_then(|rest| rest.split_once(": "));
    let Some((node, why)) = node.and_then(|(at, why)| Some((at.parse::<usize>().ok()?, why))) else { return Some(said.to_owned()) };
    let operator = model.proto.graph.as_ref().and_then(|graph| Some(graph.node.get(node)?.op_type().to_owned())).unwrap_or_default();
    Some(format!("node {node} ({operator}): {why}"))
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

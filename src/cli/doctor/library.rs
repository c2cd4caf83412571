//! Whether a library that was found can be used: it is opened, and runs a small network, in a process of its own, which a damaged one may end.

use super::Finding;
use crate::backend::onnxruntime::OnnxRuntime;
use crate::backend::openvino::OpenVino;
use crate::backend::reference;
use crate::backend::tensorrt::find;
use crate::cache::Cache;
use crate::cli::pdf::this_program;
use crate::device::how_it_ended;
use crate::error::{Error, Result};
use crate::onnx::{Model, sample};
use crate::runtime::{Found, Library, Origin};
use crate::tensor::Shape;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The subcommand that makes this program a trial.
const TRIAL: &str = "try-library";

/// The argument that means TensorRT, wherever it is.
const TENSORRT: &str = "tensorrt";

/// A library that is not open by then does not open.
const LIMIT: Duration = Duration::from_secs(60);

/// What is to be said of `library`, which is at `found`.
pub(super) fn finding(library: Library, found: &Found, cache: &Cache) -> Finding {
    let (name, variable, version) = (library.name(), library.variable(), found.version.as_deref().unwrap_or("of unknown version"));
    let place = format!("{version}, {} ({})", found.path.display(), format!("{:?}", found.origin).to_lowercase());
    match tried(name, Some(&found.path), cache) {
        Ok(_) => Finding::new("library", name, true, place),
        Err(reason) => {
            let next_step = match found.origin {
                Origin::Cache => format!("`hpinfer runtime install {name}` compares it and replaces what is damaged"),
                Origin::Environment | Origin::Explicit => {
                    format!("set {variable} to a whole one, or leave it unset to let the program find or install one")
                }
                Origin::System => format!(
                    "repair or remove it, or set {variable} to another, such as the one that `hpinfer runtime install {name}` names"
                ),
            };
            let reason = reason.strip_prefix(&format!("{}: ", found.path.display())).unwrap_or(&reason);
            Finding::new("library", name, false, format!("{place}, cannot be used: {reason}")).or(next_step)
        }
    }
}

/// TensorRT: which one would be used. No engine of this program has run on a GPU so far, and that is said.
pub(super) fn tensorrt(cache: &Cache) -> Finding {
    let tried = tried(TENSORRT, None, cache);
    Finding::new("library", TENSORRT, tried.is_ok(), tried.unwrap_or_else(|reason| reason))
}

/// What a process of its own says of the library called `name`, or how it ended.
fn tried(name: &str, path: Option<&Path>, cache: &Cache) -> Result<String, String> {
    let mut command = Command::new(this_program().map_err(|e| e.to_string())?);
    command.arg("--cache-dir").arg(cache.root()).args([TRIAL, name]).args(path).stdin(Stdio::null());
    let output = command.output().map_err(|e| format!("it cannot be tried: {e}"))?;
    let last = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().lines().last().unwrap_or_default().to_owned();
    serde_json::from_str(&last(&output.stdout)).unwrap_or_else(|_| {
        let said = Some(last(&output.stderr)).filter(|line| !line.is_empty()).map_or(String::new(), |line| format!(": {line}"));
        Err(format!("a process that opens it {}{said}", how_it_ended(output.status)))
    })
}

/// Tries the library called `name`, as a process of its own, and answers on standard output.
pub fn serve(name: &str, path: Option<&Path>, cache: &Cache) -> Result<()> {
    thread::spawn(|| {
        thread::sleep(LIMIT);
        let _ = answer(&Err(format!("it does not open within {} s", LIMIT.as_secs())));
        signal_hook::low_level::exit(0); // without the library's own part in it
    });
    let outcome = match path {
        Some(path) => run_sample(name, path, cache).map(|()| String::new()),
        None => find::open(None).map(|library| {
            let v = library.versions();
            let builder = if v.has_builder { "builder and ONNX parser" } else { "no builder" };
            format!("{v}, {builder}; never run on a GPU by this version: `hpinfer engine selftest` tells whether it does here")
        }),
    };
    answer(&outcome.map_err(|e| {
        let reason = match e {
            Error::Backend { reason, .. } if path.is_some() => reason,
            e => e.to_string(),
        };
        reason.split_whitespace().collect::<Vec<_>>().join(" ") // some take several lines
    }))
}

fn answer(outcome: &Result<String, String>) -> Result<()> {
    serde_json::to_writer(io::stdout(), outcome).map_err(|e| Error::io("write to", Path::new("standard output"))(e.into()))
}

/// Opens the library at `path` and runs a network on it: plugins, which some load late, are libraries too.
fn run_sample(name: &str, path: &Path, cache: &Cache) -> Result<()> {
    let found = Found { path: path.to_owned(), version: None, origin: Origin::Explicit };
    let backend = if name == Library::OnnxRuntime.name() {
        OnnxRuntime::on_processor(&found)?
    } else {
        let no_other = || Err(Error::internal("trial", "the sample needs no other library"));
        Arc::new(OpenVino::open(found, cache, Arc::new(no_other))?)
    };
    let model = Model::decode(&sample::bytes(), "sample")?;
    let feed = vec![(sample::INPUT.to_owned(), Shape::new(&[1, 4]), vec![1.0; 4])];
    let ran = reference::run("sample", &model, &*backend, &[feed], |_, _| ());
    let refused = |e| Error::backend(name, format!("it opens, and does not run a small network; is a library beside it damaged? {e}"), "");
    ran.map(|_| ()).map_err(refused)
}

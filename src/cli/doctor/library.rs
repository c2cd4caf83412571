//! Whether a library that was found can be used: it is opened, and runs a small network, in a process of its own, which a damaged one may end.

use super::Finding;
use crate::backend::onnxruntime::OnnxRuntime;
use crate::backend::openvino::OpenVino;
use crate::backend::reference;
use crate::backend::tensorrt::find;
use crate::cache::Cache;
use crate::cli::end_with_parent;
use crate::cli::pdf::this_program;
use crate::cli::table::write_text;
use crate::device::{how_it_ended, last_status};
use crate::error::{Error, Result};
use crate::onnx::{Model, sample};
use crate::runtime::{Found, Library, Origin};
use crate::tensor::Shape;
use serde_json::json;
use std::io::{self, BufRead, BufReader};
use std::panic;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// The subcommand that makes this program a trial.
const TRIAL: &str = "try-library";

/// The argument that means TensorRT, wherever it is.
const TENSORRT: &str = "tensorrt";

/// What is to be said of `library`, which is at `found` and gets `time` to open.
pub(super) fn finding(library: Library, found: &Found, time: Duration, cache: &Cache) -> Finding {
    let (name, variable, version) = (library.name(), library.variable(), found.version.as_deref().unwrap_or("of unknown version"));
    let place = format!("{version}, {} ({})", found.path.display(), format!("{:?}", found.origin).to_lowercase());
    match tried(name, Some(&found.path), time, cache) {
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
pub(super) fn tensorrt(time: Duration, cache: &Cache) -> Finding {
    let tried = tried(TENSORRT, None, time, cache);
    Finding::new("library", TENSORRT, tried.is_ok(), tried.unwrap_or_else(|reason| reason))
}

/// What a process of its own says of the library called `name`, or how it ended; one that has not ended after `time` is ended.
fn tried(name: &str, path: Option<&Path>, time: Duration, cache: &Cache) -> Result<String, String> {
    let mut command = Command::new(this_program().map_err(|e| e.to_string())?);
    command.arg("--cache-dir").arg(cache.root()).args([TRIAL, name]).args(path).stdin(Stdio::null());
    let (text, ended) = said(command, time).map_err(|e| format!("it cannot be tried: {e}"))?;
    let Some(text) = text else {
        return Err(format!("it does not open within {} s (raise --library-timeout to wait longer)", time.as_secs()));
    };
    let lines = || text.lines().rev().filter(|line| !line.trim().is_empty());
    lines().find_map(|line| serde_json::from_str(line).ok()).unwrap_or_else(|| {
        let how = ended.map_or("does not end".into(), how_it_ended);
        Err(format!("a process that opens it {how}{}", lines().next().map_or(String::new(), |line| format!(": {line}"))))
    })
}

/// What `command` writes until it ends or has answered, and how it ends; no text where that takes longer than `time`.
fn said(mut command: Command, time: Duration) -> io::Result<(Option<String>, Option<ExitStatus>)> {
    let (output, input) = io::pipe()?;
    let mut child = command.stdout(input.try_clone()?).stderr(input).spawn()?;
    drop(command); // it holds the pipe open
    let (to, from) = mpsc::channel();
    thread::spawn(move || {
        let (mut bytes, mut output) = (Vec::new(), BufReader::new(output));
        loop {
            let start = bytes.len();
            let is_end = !output.read_until(b'\n', &mut bytes).is_ok_and(|length| length > 0);
            // What the library does at its end, after that, is no answer's part.
            let has_answered = serde_json::from_slice::<Result<String, String>>(&bytes[start..]).is_ok();
            if is_end || has_answered {
                return to.send((String::from_utf8_lossy(&bytes).into_owned(), has_answered));
            }
        }
    });
    let (text, is_over) = from.recv_timeout(time).map_or((None, true), |(text, has_answered)| (Some(text), has_answered));
    if is_over {
        let _ = child.kill();
    }
    Ok((text, last_status(&mut child)))
}

/// Tries the library called `name`, as a process of its own, and answers on standard output.
pub fn serve(name: &str, path: Option<&Path>, cache: &Cache) -> Result<()> {
    end_with_parent();
    write_text(&mut io::stdout(), "\n")?; // to one that has ended before
    panic::set_hook(Box::new(|info| eprintln!("{}", in_one_line(info.payload_as_str().unwrap_or("a panic")))));
    let outcome = match path {
        Some(path) => run_sample(name, path, cache).map(|()| String::new()),
        None => find::open(None).map(|library| {
            let v = library.versions();
            let builder = if v.has_builder { "builder and ONNX parser" } else { "no builder" };
            format!("{v}, {builder}; never run on a GPU by this version: `hpinfer engine selftest` tells whether it does here")
        }),
    };
    let outcome: Result<String, String> = outcome.map_err(|e| {
        let reason = match e {
            Error::Backend { reason, .. } if path.is_some() => reason,
            e => e.to_string(),
        };
        in_one_line(&reason)
    });
    write_text(&mut io::stdout(), &format!("{}\n", json!(outcome)))
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
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

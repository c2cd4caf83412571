//! One model on every engine of this machine, through the program's own sessions: what `hpinfer verify` does, on the
//! inputs that belong to the zoo's check values.

use super::store::{CheckValues, Zoo};
use super::table::Row;
use hpinfer::backend::select::{Libraries, Selector};
use hpinfer::backend::{BackendName, LoadOptions, Onnx, Parallelism};
use hpinfer::cache::Cache;
use hpinfer::device;
use hpinfer::model::Store;
use hpinfer::verify::Output;
use hpinfer::verify::compare::{Difference, Kind};
use hpinfer::verify::report::{Feed, ONNX_RUNTIME_TOLERANCE, RunReport, Verdict, verify};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The backends of the table, the reference first.
const BACKENDS: [BackendName; 2] = [BackendName::OnnxRuntime, BackendName::OpenVino];

/// Greatest difference of a detector's mean, deviation and extremes: a few of hundreds of rows may be others, see ZOO.md 6.
const ROWS_TOLERANCE: f64 = 2e-2;

/// How a model of the zoo is loaded, but for its network: in one stream on all cores, outputs as they are, nothing kept.
pub fn options(name: &str, model_sha256: String) -> LoadOptions {
    let parallelism = Parallelism { streams: 1, threads_per_stream: device::available_threads() };
    LoadOptions { model_sha256, rewrite: false, parallelism, ..LoadOptions::new(name) }
}

/// Runs a model of the zoo on every backend and says in a row of the table what came of it. Times go to standard output.
pub fn check(zoo: &Zoo, name: &str, cache: &Cache) -> Row {
    let expected = zoo.expected(name);
    let file = zoo.onnx(name);
    let sha256: String = Sha256::digest(&file).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(sha256, expected.materialized_sha256, "{name}: the restored file is not the zoo's");
    let options = LoadOptions { onnx: Some(Onnx::Bytes(Arc::new(file))), rewrite: true, ..options(name, sha256) };
    let selector = Selector::new(cache.clone(), Libraries::default());
    let report = verify(&selector, &BACKENDS, &options, &Feed::Inputs(&expected.make_inputs()), 1).expect("inputs for the model");
    for run in &report.runs {
        let ms = |value: Option<f64>| value.map_or("-".into(), |ms| format!("{ms:.0}"));
        let form = if run.rewritten { "rewritten" } else { "as it is" };
        println!("{name}: {} {form}: load {} ms, run {} ms", run.backend, ms(run.load_ms), ms(run.run_ms));
    }
    let [original, rewritten, openvino] = &report.runs[..] else { panic!("three runs") };
    let (loads, unread) = description(zoo, name, cache);
    let (runs, error) = match &report.reference {
        Some(outputs) => against_check_values(&expected.outputs, outputs),
        None => ("no", String::new()),
    };
    let reasons = [("inference.yml", unread.as_deref()), ("onnx_runtime", original.reason.as_deref())];
    let reasons = reasons.into_iter().chain([("rewritten", rewritten.reason.as_deref()), ("openvino", openvino.reason.as_deref())]);
    let reasons: Vec<String> = reasons.filter_map(|(who, reason)| Some(format!("{who}: {}", one_line(reason?)))).collect();
    let cells = [
        ("model", name.to_owned()),
        ("module", module(cache, name)),
        ("inference_yml", loads.to_owned()),
        ("onnx_runtime", runs.to_owned()),
        ("onnx_runtime_error", error),
        ("rewritten", verdict(rewritten).to_owned()),
        ("rewritten_error", summary(&rewritten.differences)),
        ("openvino", verdict(openvino).to_owned()),
        ("openvino_error", summary(&openvino.differences)),
        ("reason", reasons.join(" | ")),
    ];
    cells.map(|(column, cell)| (column.to_owned(), cell)).into()
}

pub fn verdict(run: &RunReport) -> &'static str {
    match run.verdict {
        Verdict::Reference | Verdict::Agrees => "yes",
        Verdict::Differs => "differs",
        Verdict::Failed => "no",
    }
}

fn against_check_values(known: &[CheckValues], outputs: &[Output]) -> (&'static str, String) {
    if known.len() != outputs.len() {
        return ("differs", format!("{} outputs", outputs.len()));
    }
    let error = known.iter().zip(outputs).map(|(check, output)| check.error(output)).fold(0.0, f64::max);
    let rows = known[0].shape.get(1) == Some(&6);
    let tolerance = if rows { ROWS_TOLERANCE } else { ONNX_RUNTIME_TOLERANCE };
    (if error <= tolerance { "yes" } else { "differs" }, format!("{error:.0e}"))
}

/// Whether the model's own description can be read.
fn description(zoo: &Zoo, name: &str, cache: &Cache) -> (&'static str, Option<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("inference.onnx"), b"").expect("a placeholder");
    std::fs::write(folder.path().join("inference.yml"), zoo.description(name)).expect("a description");
    let folder_name = folder.path().to_str().expect("UTF-8");
    match Store::new(cache).resolve(folder_name) {
        Ok(_) => ("yes", None),
        Err(e) => ("no", Some(e.to_string().replace(folder_name, ""))),
    }
}

fn module(cache: &Cache, name: &str) -> String {
    let known = Store::new(cache).list().expect("the recipes");
    known.into_iter().find(|model| model.name == name).map_or(String::new(), |model| model.module.as_str().to_owned())
}

/// The first words of a message, on one line of the table.
pub fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ").replace(',', ";");
    words.chars().take(300).collect()
}

/// The greatest relative error of numbers, the part of labels and mask pixels that differ, boxes that have a partner.
pub fn summary(differences: &[Difference]) -> String {
    let part = |d: &Difference| 1.0 - d.labels.map_or(1.0, |share| share.part());
    let one = |d: &Difference| match d.kind {
        Kind::Numbers => format!("{:.0e}", d.max_rel),
        Kind::Labels => format!("{:.0e} of labels", part(d)),
        Kind::Masks => format!("{:.0e} of mask pixels", part(d)),
        Kind::Boxes => d.boxes.map_or(String::new(), |share| format!("{}/{} boxes", share.equal, share.of)),
    };
    differences.iter().map(one).collect::<Vec<_>>().join("; ")
}

//! What is read in the picture of the README, by both engines, alone and among others.

use crate::{DEMO, hpinfer, run};
use serde_json::Value;

const EXPECTED: &str = include_str!("../fixtures/cli/delivery_note.json");

/// Engines round differently: a corner may fall on the next pixel, a score differ in the fourth digit.
const BOX_TOLERANCE_PX: i64 = 1;
const SCORE_TOLERANCE: f64 = 1e-3;

fn integers(value: &Value) -> Vec<i64> {
    value.as_array().map_or_else(|| vec![value.as_i64().expect("an integer")], |list| list.iter().flat_map(integers).collect())
}

fn close(found: &Value, expected: &Value) -> bool {
    let numbers = |value: &Value| value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect::<Vec<_>>();
    let (found, expected) = (numbers(found), numbers(expected));
    found.len() == expected.len() && found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= SCORE_TOLERANCE)
}

#[test]
fn both_engines_read_the_same() {
    let expected: Value = serde_json::from_str(EXPECTED).expect("JSON");
    for backend in ["openvino", "onnx_runtime"] {
        let line = run(hpinfer().args(["--pipeline", "OCR", "--backend", backend, "--input", DEMO])).lines().remove(0);
        assert_eq!(line["rec_text"], expected["rec_text"], "{backend}");
        let (found, wanted) = (integers(&line["dt_polys"]), integers(&expected["dt_polys"]));
        assert_eq!(found.len(), wanted.len(), "{backend}");
        assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() <= BOX_TOLERANCE_PX), "{backend}: {found:?}");
        for key in ["dt_scores", "rec_score"] {
            assert!(close(&line[key], &expected[key]), "{backend}: {key} {}", line[key]);
        }
        for run in line["run"].as_array().expect("a list") {
            assert_eq!((&run["backend"], &run["device"], &run["precision"]), (&backend.into(), &"cpu".into(), &"float32".into()));
        }
    }
}

/// Whatever the engine and its precision.
#[test]
fn lines_read_with_other_widths_than_the_references_are_named() {
    let args = ["--pipeline", "OCR", "--backend", "onnx_runtime", "--input", DEMO];
    for (fast, expected) in [(None, None), (Some("--fast"), Some("tight"))] {
        let line = run(hpinfer().args(args).args(fast)).lines().remove(0);
        let widths: Vec<_> = line["run"].as_array().expect("a list").iter().map(|run| run["widths"].as_str()).collect();
        assert_eq!(widths, [None, expected], "{line}");
    }
    let text = run(hpinfer().args(args).args(["--fast", "--format", "text"])).stdout;
    assert_eq!(text.matches(", tight widths)").count(), 1, "{text}");
}

#[test]
fn the_later_schema_has_the_later_names() {
    let line = run(crate::ocr().args(["--input", DEMO, "--schema", "3.x"])).lines().remove(0);
    assert!(line["rec_texts"].is_array() && line["rec_scores"].is_array() && line["rec_text"].is_null(), "{line}");
    assert_eq!(line["rec_polys"], line["dt_polys"]);
    let boxes = |polygon: &serde_json::Value| {
        let side = |axis: usize| polygon.as_array().expect("points").iter().map(move |point| point[axis].as_i64().expect("a number"));
        serde_json::json!([side(0).min(), side(1).min(), side(0).max(), side(1).max()])
    };
    let expected: Vec<_> = line["rec_polys"].as_array().expect("polygons").iter().map(boxes).collect();
    assert!(!expected.is_empty() && line["rec_boxes"] == serde_json::json!(expected), "{line}");
}

/// What a network is tried on shows it what it looks for: of noise a detector of text makes millionths, which are equal whatever runs.
#[test]
fn verify_compares_numbers_that_mean_something() {
    let ran =
        run(hpinfer().args(["verify", "--model", "PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec", "--backend", "onnx_runtime", "--json"]));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let models = report["models"].as_array().expect("models");
    assert_eq!(models.len(), 2, "{report}");
    for model in models {
        let difference = &model["runs"][1]["differences"][0];
        assert!(difference["greatest"].as_f64().expect("a number") > 0.5, "{model}");
    }
}

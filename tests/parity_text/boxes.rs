//! DB post-processing against OpenCV + pyclipper.

use hpinfer::image::{PointI, Size};
use hpinfer::ops::db::cpu::{DbScratch, boxes};
use hpinfer::ops::db::order::reading_order;
use hpinfer::ops::db::{DbParams, ProbabilityMap, ScoreMode, TextBox};
use serde_json::Value;
use std::path::Path;

/// Farthest a corner may be off, in pixels of the original.
const CORNER_TOLERANCE_PX: i32 = 1;
/// Sums run in another order than OpenCV's, and results are f32.
const SCORE_TOLERANCE: f32 = 1e-4;

fn int(value: &Value) -> u32 {
    value.as_u64().unwrap() as u32
}

fn params(v: &Value) -> DbParams {
    let float = |key: &str| v[key].as_f64().unwrap();
    DbParams {
        thresh: float("thresh") as f32,
        box_thresh: float("box_thresh"),
        unclip_ratio: float("unclip_ratio"),
        max_candidates: int(&v["max_candidates"]) as usize,
        use_dilation: v["use_dilation"].as_bool().unwrap(),
        score_mode: if v["score_mode"] == "slow" { ScoreMode::Slow } else { ScoreMode::Fast },
    }
}

fn expected(case: &Value) -> Vec<TextBox> {
    let quad = |v: &Value| -> [PointI; 4] {
        let xy: Vec<i32> = v.as_array().unwrap().iter().map(|n| n.as_i64().unwrap() as i32).collect();
        std::array::from_fn(|i| PointI::new(xy[2 * i], xy[2 * i + 1]))
    };
    let scores = case["scores"].as_array().unwrap();
    case["boxes"]
        .as_array()
        .unwrap()
        .iter()
        .zip(scores)
        .map(|(b, s)| TextBox { quad: quad(b), score: s.as_f64().unwrap() as f32 })
        .collect()
}

/// What is wrong with a box, if anything.
fn difference(found: &TextBox, wanted: &TextBox) -> Option<String> {
    let gap = |(p, q): (&PointI, &PointI)| (p.x - q.x).abs().max((p.y - q.y).abs());
    let worst = found.quad.iter().zip(&wanted.quad).map(gap).max().unwrap();
    (worst > CORNER_TOLERANCE_PX || (found.score - wanted.score).abs() > SCORE_TOLERANCE)
        .then(|| format!("{worst} px off: {found:?}, expected {wanted:?}"))
}

/// Compares all maps of `json` and the picture of the same stem; says what differs.
fn compare(json: &Path) {
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let mut reader = image::ImageReader::open(json.with_extension("png")).unwrap();
    reader.no_limits();
    let atlas = reader.decode().unwrap().into_luma8();
    let mut scratch = DbScratch::default();
    let (mut total, mut exact, mut problems) = (0, 0, Vec::new());
    for (number, case) in cases.iter().enumerate() {
        let width = int(&case["width"]);
        let (first, end) = (int(&case["rows"][0]), int(&case["rows"][1]));
        let data: Vec<f32> =
            (first..end).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| f32::from(atlas.get_pixel(x, y)[0]) / 255.0).collect();
        let original = Size::new(int(&case["original"][0]), int(&case["original"][1]));
        let map = ProbabilityMap { data: &data, size: Size::new(width, end - first), original };
        let mut found = boxes(map, &params(&case["params"]), &mut scratch).unwrap();
        let wanted = expected(case);
        let label = format!("map {number} ({}, {})", case["kind"], case["params"]);
        if found.len() != wanted.len() {
            problems.push(format!("{label}: {} boxes, expected {}", found.len(), wanted.len()));
            continue;
        }
        for (i, (f, w)) in found.iter().zip(&wanted).enumerate() {
            total += 1;
            exact += usize::from(f.quad == w.quad);
            problems.extend(difference(f, w).map(|d| format!("{label}, box {i}: {d}")));
        }
        if found == wanted || found.iter().zip(&wanted).all(|(f, w)| f.quad == w.quad) {
            reading_order(&mut found, |b| b.quad[0]);
            let order = case["order"].as_array().unwrap().iter().map(|i| int(i) as usize);
            for (f, at) in found.iter().zip(order) {
                problems.extend(difference(f, &wanted[at]).map(|d| format!("{label}, reading order: {d}")));
            }
        }
    }
    println!("{}: {} maps, {total} boxes, {exact} with equal corners, {} differ", json.display(), cases.len(), problems.len());
    assert!(total > 0, "no boxes");
    assert!(problems.is_empty(), "{}", problems[..problems.len().min(12)].join("\n"));
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/text").join(name)
}

#[test]
fn boxes_of_drawn_maps_are_the_references() {
    compare(&fixture("boxes.json"));
}

#[test]
fn boxes_of_real_maps_are_the_references() {
    compare(&fixture("real.json"));
}

/// Fresh maps of `make_boxes.py`; `HPINFER_PARITY_BOXES` names the JSON file.
#[test]
#[ignore = "needs files made by tests/fixtures/text/make_boxes.py"]
fn boxes_of_fresh_maps_are_the_references() {
    compare(Path::new(&std::env::var("HPINFER_PARITY_BOXES").expect("HPINFER_PARITY_BOXES")));
}

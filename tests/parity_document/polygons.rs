//! Curved text detection: DB post-processing into polygons.

use hpinfer::image::{PointI, Size};
use hpinfer::ops::db::cpu::DbScratch;
use hpinfer::ops::db::{DbParams, ProbabilityMap, TextPolygon, polygons};
use serde_json::Value;
use std::path::Path;

/// Sums run in another order than OpenCV's, and results are f32.
const SCORE_TOLERANCE: f32 = 1e-4;
fn int(value: &Value) -> u32 {
    value.as_u64().unwrap() as u32
}

fn expected(case: &Value) -> Vec<TextPolygon> {
    let point = |xy: &[Value]| PointI::new(xy[0].as_i64().unwrap() as i32, xy[1].as_i64().unwrap() as i32);
    let polygons = case["polygons"].as_array().unwrap().iter().map(|p| p.as_array().unwrap().chunks(2).map(point).collect());
    let scores = case["scores"].as_array().unwrap().iter().map(|s| s.as_f64().unwrap() as f32);
    polygons.zip(scores).map(|(points, score)| TextPolygon { points, score }).collect()
}

fn compare(json: &Path) {
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let mut reader = image::ImageReader::open(json.with_extension("png")).unwrap();
    reader.no_limits();
    let atlas = reader.decode().unwrap().into_luma8();
    let mut scratch = DbScratch::default();
    let (mut count, mut faults) = (0, Vec::new());
    for (index, case) in cases.iter().enumerate() {
        let (first, end, width) = (int(&case["rows"][0]), int(&case["rows"][1]), int(&case["width"]));
        let data: Vec<f32> = (first..end)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .map(|(x, y)| f32::from(atlas.get_pixel(x, y).0[0]) / 255.0)
            .collect();
        let original = Size::new(int(&case["original"][0]), int(&case["original"][1]));
        let params = &case["params"];
        let params = DbParams {
            thresh: params["thresh"].as_f64().unwrap() as f32,
            box_thresh: params["box_thresh"].as_f64().unwrap(),
            unclip_ratio: params["unclip_ratio"].as_f64().unwrap(),
            use_dilation: params["use_dilation"].as_bool().unwrap(),
            ..DbParams::default()
        };
        let found = polygons(ProbabilityMap { data: &data, size: Size::new(width, end - first), original }, &params, &mut scratch).unwrap();
        let wanted = expected(case);
        let differs = |(found, wanted): (&TextPolygon, &TextPolygon)| {
            found.points != wanted.points || (found.score - wanted.score).abs() > SCORE_TOLERANCE
        };
        if found.len() != wanted.len() || found.iter().zip(&wanted).any(differs) {
            faults.push(format!("map {index}:\n  {found:?}\n  {wanted:?}"));
        }
        count += wanted.len();
    }
    println!("{}: {count} polygons", json.display());
    assert!(faults.is_empty(), "{} of {} maps:\n{}", faults.len(), cases.len(), faults.join("\n"));
    assert!(count > 20, "{count}");
}

#[test]
fn drawn_maps() {
    compare(&crate::fixtures().join("polygons.json"));
}

#[test]
#[ignore = "needs fresh maps, see make_polygons.py"]
fn fresh_maps() {
    compare(Path::new(&std::env::var("HPINFER_PARITY_POLYGONS").expect("path of a JSON file")));
}

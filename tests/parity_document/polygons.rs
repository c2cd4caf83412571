//! Curved text detection: DB post-processing into polygons.

use clipper2_rust::{FillRule, Path64, Paths64, Point64, intersect_64, union_64};
use hpinfer::image::{PointI, Size};
use hpinfer::ops::db::cpu::DbScratch;
use hpinfer::ops::db::{DbParams, ProbabilityMap, TextPolygon, polygons};
use serde_json::Value;
use std::path::Path;

/// Sums run in another order than OpenCV's, and results are f32.
const SCORE_TOLERANCE: f32 = 1e-4;
/// Least overlap of two polygons, their common area as a part of their joint area. Clipper 6 rounds corners where the
/// outline crosses itself to whole pixels in another order, and starts the list of points elsewhere.
const LEAST_OVERLAP: f64 = 0.97;
/// The same in the mean.
const MEAN_OVERLAP: f64 = 0.995;
/// Maps, in a thousand, whose number of polygons may differ: rounding may leave Clipper 6 a hole of about one pixel, for
/// which PaddleX drops the region.
const COUNT_TOLERANCE: usize = 3;

fn int(value: &Value) -> u32 {
    value.as_u64().unwrap() as u32
}

fn expected(case: &Value) -> Vec<TextPolygon> {
    let point = |xy: &[Value]| PointI::new(xy[0].as_i64().unwrap() as i32, xy[1].as_i64().unwrap() as i32);
    let polygons = case["polygons"].as_array().unwrap().iter().map(|p| p.as_array().unwrap().chunks(2).map(point).collect());
    let scores = case["scores"].as_array().unwrap().iter().map(|s| s.as_f64().unwrap() as f32);
    polygons.zip(scores).map(|(points, score)| TextPolygon { points, score }).collect()
}

fn overlap(found: &TextPolygon, wanted: &TextPolygon) -> f64 {
    let paths = |p: &TextPolygon| vec![p.points.iter().map(|p| Point64::new(p.x.into(), p.y.into())).collect::<Path64>()];
    let area = |paths: &Paths64| paths.iter().map(clipper2_rust::area).sum::<f64>().abs();
    let (found, wanted) = (paths(found), paths(wanted));
    area(&intersect_64(&found, &wanted, FillRule::NonZero)) / area(&union_64(&found, &wanted, FillRule::NonZero))
}

fn compare(json: &Path) {
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let mut reader = image::ImageReader::open(json.with_extension("png")).unwrap();
    reader.no_limits();
    let atlas = reader.decode().unwrap().into_luma8();
    let mut scratch = DbScratch::default();
    let (mut count, mut overlaps, mut miscounted, mut faults) = (0, 0.0, 0, Vec::new());
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
        if found.len() != wanted.len() {
            println!("map {index}: {} polygons, expected {}", found.len(), wanted.len());
            miscounted += 1;
            continue;
        }
        for (found, wanted) in found.iter().zip(&wanted) {
            count += 1;
            let common = overlap(found, wanted);
            overlaps += common;
            if common < LEAST_OVERLAP || (found.score - wanted.score).abs() > SCORE_TOLERANCE {
                faults.push(format!("map {index}: overlap {common}\n  {found:?}\n  {wanted:?}"));
            }
        }
    }
    println!("{}: {count} polygons, mean overlap {}", json.display(), overlaps / f64::from(count));
    assert!(miscounted * 1000 <= COUNT_TOLERANCE * cases.len(), "{miscounted} maps");
    assert!(faults.is_empty(), "{} of {count}:\n{}", faults.len(), faults.join("\n"));
    assert!(count > 20 && overlaps >= MEAN_OVERLAP * f64::from(count), "{}", overlaps / f64::from(count));
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

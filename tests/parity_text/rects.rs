//! Minimum-area rectangles against OpenCV's.

use hpinfer::image::PointF;
use hpinfer::image::polygon::{area, min_area_rect, perimeter};
use serde_json::Value;

/// Corners are f32 with the last bits decided by the C library's sine and cosine.
const CORNER_TOLERANCE_PX: f32 = 1e-3;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn points(value: &Value) -> Vec<PointF> {
    numbers(value).chunks(2).map(|p| PointF::new(p[0] as f32, p[1] as f32)).collect()
}

fn compare(lines: &str) {
    let (mut cases, mut exact, mut worst) = (0, 0, 0f32);
    for line in lines.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let rect = min_area_rect(&points(&case["points"]));
        let expected = points(&case["corners"]);
        let gap = rect.corners.iter().zip(&expected).map(|(a, b)| a.distance(*b)).fold(0.0, f32::max);
        assert!(gap <= CORNER_TOLERANCE_PX, "{gap} px off: {:?} for {line}", rect.corners);
        let size = numbers(&case["size"]);
        assert!((f64::from(rect.width) - size[0]).abs() < 1e-3 && (f64::from(rect.height) - size[1]).abs() < 1e-3, "{line}");
        assert!((area(&expected) - case["area"].as_f64().unwrap()).abs() < 1e-6, "{line}");
        assert!((perimeter(&expected) - case["perimeter"].as_f64().unwrap()).abs() < 1e-6, "{line}");
        cases += 1;
        exact += usize::from(rect.corners[..] == expected);
        worst = worst.max(gap);
    }
    assert!(cases > 0, "no cases");
    println!("{cases} rectangles, {exact} bit-equal, largest gap {worst} px");
}

#[test]
fn rectangles_are_opencvs() {
    compare(include_str!("../fixtures/text/rects.jsonl"));
}

/// Fresh cases of `make_rects.py`; `HPINFER_PARITY_RECTS` names the file.
#[test]
#[ignore = "needs a file made by tests/fixtures/text/make_rects.py"]
fn fresh_rectangles_are_opencvs() {
    let path = std::env::var("HPINFER_PARITY_RECTS").expect("HPINFER_PARITY_RECTS");
    compare(&std::fs::read_to_string(path).unwrap());
}

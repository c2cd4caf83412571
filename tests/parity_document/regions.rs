//! Which regions are used, and how large, against PaddleX 3.7.2's own code on drawn detections.
//! For fresh cases see `make_regions.py`; `HPINFER_PARITY_REGIONS` names their file.

use hpinfer::image::Size;
use hpinfer::ops::layout::regions::{Merge, MergeMode, RegionRules, Row, Unclip};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Sides are sums of few float32 numbers of the size of a picture; the order of the operations is the same, but not that of
/// a multiplication and a division by two.
const SIDE_PX: f32 = 1e-4;

fn float(value: &Value) -> f32 {
    value.as_f64().expect("a number") as f32
}

fn by_class<T>(value: &Value, one: impl Fn(&Value) -> T) -> BTreeMap<u32, T> {
    value.as_object().expect("a map").iter().map(|(class, value)| (class.parse().expect("a class"), one(value))).collect()
}

fn mode(value: &Value) -> MergeMode {
    match value.as_str() {
        Some("union") => MergeMode::Union,
        Some("large") => MergeMode::Large,
        Some("small") => MergeMode::Small,
        other => panic!("{other:?}"),
    }
}

fn rows(value: &Value) -> Vec<Row> {
    let row = |row: &Value| std::array::from_fn(|column| float(&row[column]));
    value.as_array().expect("rows").iter().map(row).collect()
}

fn rules(case: &Value) -> RegionRules {
    let pair = |value: &Value| [float(&value[0]), float(&value[1])];
    RegionRules {
        thresholds: case["threshold"].is_object().then(|| by_class(&case["threshold"], float)),
        suppress: case["nms"].as_bool().expect("a switch"),
        merge: match &case["merge"] {
            Value::Null => Merge::default(),
            word @ Value::String(_) => Merge::All(mode(word)),
            modes => Merge::Classes(by_class(modes, mode)),
        },
        unclip: match &case["unclip"] {
            Value::Null => Unclip::Off,
            both @ Value::Number(_) => Unclip::All([float(both); 2]),
            sides @ Value::Array(_) => Unclip::All(pair(sides)),
            ratios => Unclip::Classes(by_class(ratios, pair)),
        },
    }
}

/// Compares all cases of a file; returns how many rows were kept.
fn compare(path: &Path) -> usize {
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).expect("the cases")).expect("JSON");
    let mut count = 0;
    for (number, case) in cases.iter().enumerate() {
        let labels: Vec<String> = case["labels"].as_array().expect("labels").iter().map(|l| l.as_str().expect("a name").into()).collect();
        let side = |index: usize| case["picture"][index].as_u64().expect("a side") as u32;
        let threshold = if case["threshold"].is_object() { f32::NAN } else { float(&case["threshold"]) };
        let kept = rules(case).apply(&rows(&case["rows"]), threshold, Size::new(side(0), side(1)), &labels);
        let wanted = rows(&case["kept"]);
        assert_eq!(kept.len(), wanted.len(), "case {number}: {kept:?} for {wanted:?}");
        for (found, wanted) in kept.iter().zip(&wanted) {
            let off = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(found[..2] == wanted[..2] && off <= SIDE_PX, "case {number}: {found:?} for {wanted:?}");
        }
        count += kept.len();
    }
    count
}

/// PaddleX leaves a picture out that is as large as the page, by another share for wide pages, unless nothing else is there.
#[test]
fn a_picture_as_large_as_the_page() {
    let labels = ["text", "image"].map(String::from);
    let kept = |rows: &[Row], size| RegionRules::default().apply(rows, 0.5, size, &labels).len();
    let image = |height| [1.0, 0.9, 0.0, 0.0, 100.0, height];
    let text = [0.0, 0.8, 10.0, 10.0, 20.0, 20.0];
    for (size, share) in [(Size::new(100, 100), 0.93), (Size::new(100, 110), 0.93), (Size::new(100, 90), 0.82)] {
        let height = share * size.height as f32;
        assert_eq!(kept(&[image(height - 1.0), text], size), 2, "{size}");
        assert_eq!(kept(&[image(height + 1.0), text], size), 1, "{size}");
        assert_eq!(kept(&[image(height + 1.0), image(height + 2.0)], size), 2, "{size}");
    }
}

#[test]
fn drawn_detections() {
    let kept = compare(&crate::fixtures().join("regions.json"));
    assert!(kept > 100, "{kept} rows");
}

#[test]
#[ignore = "needs fresh cases, see make_regions.py"]
fn fresh_detections() {
    let path = std::env::var_os("HPINFER_PARITY_REGIONS").expect("HPINFER_PARITY_REGIONS");
    println!("{} rows are kept", compare(Path::new(&path)));
}

//! Curved text regions, cut out of a picture and straightened.

use hpinfer::image::{ImageView, PixelFormat, PointI, Size};
use hpinfer::ops::warp::cpu::Scratch;
use hpinfer::ops::warp::curve::{CurvePlan, warp};
use serde_json::Value;
use std::path::Path;

/// Most grey levels that a sample may be off.
const LEVELS: u8 = 1;
/// Share of regions that may be split at other ends: where two pairs of edges score alike, the last bit of a
/// cosine decides.
const OTHER_ENDS: f64 = 0.005;

fn int(value: &Value) -> u32 {
    value.as_u64().unwrap() as u32
}

fn rgb(path: &Path) -> image::RgbImage {
    let mut reader = image::ImageReader::open(path).unwrap();
    reader.no_limits();
    reader.decode().unwrap().into_rgb8()
}

fn compare(json: &Path) {
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let stem = json.file_stem().unwrap().to_str().unwrap();
    let picture = rgb(&json.with_file_name(format!("{stem}.png")));
    let crops = rgb(&json.with_file_name(format!("{stem}_crops.png")));
    let size = Size::new(picture.width(), picture.height());
    let src = ImageView { data: picture.as_raw(), size, format: PixelFormat::Rgb };
    let (mut out, mut scratch) = (Vec::new(), Scratch::default());
    let (mut exact, mut kinds, mut faults) = (0, [0; 3], Vec::new());
    for (index, case) in cases.iter().enumerate() {
        let numbers: Vec<i32> = case["polygon"].as_array().unwrap().iter().map(|v| v.as_i64().unwrap() as i32).collect();
        let polygon: Vec<PointI> = numbers.chunks_exact(2).map(|xy| PointI::new(xy[0], xy[1])).collect();
        let plan = CurvePlan::from_polygon(&polygon, size).unwrap();
        let kind = match plan {
            CurvePlan::Rectangle(_) => 0,
            CurvePlan::Strips(_) => 1,
            CurvePlan::Window { .. } => 2,
        };
        kinds[kind] += 1;
        let (width, height, row) = (int(&case["size"][0]), int(&case["size"][1]), int(&case["row"]));
        if plan.size() != Size::new(width, height) {
            faults.push(format!("region {index}: {} instead of {width}x{height}: {plan:?}", plan.size()));
            continue;
        }
        warp(src, &plan, &mut out, &mut scratch).unwrap();
        let expected = (row..row + height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| crops.get_pixel(x, y).0);
        let differences: Vec<u8> = out.iter().zip(expected).map(|(a, b)| a.abs_diff(b)).collect();
        let worst = differences.iter().copied().max().unwrap_or(0);
        exact += usize::from(worst == 0);
        if worst > LEVELS {
            let far = differences.iter().filter(|d| **d > LEVELS).count();
            faults.push(format!("region {index} of kind {kind}: off by {worst}, {far} of {} samples", differences.len()));
        }
    }
    println!("{}: {} regions, {exact} equal; rectangles, strips, windows: {kinds:?}", json.display(), cases.len());
    println!("{}", faults.join("\n"));
    assert!(faults.len() as f64 <= OTHER_ENDS * cases.len() as f64, "{} of {} regions differ", faults.len(), cases.len());
    assert!(kinds[0] > 0 && kinds[1] > 0, "{kinds:?}");
}

#[test]
fn drawn_regions() {
    compare(&crate::fixtures().join("curves.json"));
}

#[test]
#[ignore = "needs fresh regions, see make_curves.py"]
fn fresh_regions() {
    compare(Path::new(&std::env::var("HPINFER_PARITY_CURVES").expect("path of a JSON file")));
}

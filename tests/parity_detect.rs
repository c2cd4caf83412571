//! Suppression and masks against Paddle, classes of pixels against NumPy: everything equal.
//! The fixtures lie with the script that made them in `tests/fixtures/detect`.

use hpinfer::image::Size;
use hpinfer::ops::mask::{self, MaskLogits, Window};
use hpinfer::ops::nms::{self, Candidates, Kept, NmsParams};
use serde_json::Value;

/// Numbers of 0..1 in steps of 2^-24, as in `make_detect.py`.
fn unit(seed: u64, count: usize) -> Vec<f32> {
    let mix = |z: u64| {
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    (0..count as u64).map(|i| (mix(seed + i) >> 40) as f32 / (1 << 24) as f32).collect()
}

fn int(v: &Value) -> usize {
    v.as_u64().unwrap() as usize
}

fn float(v: &Value) -> f32 {
    v.as_f64().unwrap() as f32
}

fn size(v: &Value) -> Size {
    Size::new(int(&v[1]) as u32, int(&v[0]) as u32)
}

fn flat(kept: &[Kept]) -> Vec<u64> {
    kept.iter().flat_map(|k| [u64::from(k.class), u64::from(k.anchor)]).collect()
}

#[test]
fn suppression_is_paddles() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("fixtures/detect/nms.json")).unwrap();
    let mut rows = 0;
    for case in &cases {
        let (seed, anchors, classes) = (case["seed"].as_u64().unwrap(), int(&case["anchors"]), int(&case["classes"]));
        let (extent, side, least) = (float(&case["extent"]), float(&case["side"]), float(&case["least"]));
        let corners = unit(seed, anchors * 4);
        let boxes: Vec<[f32; 4]> = corners
            .as_chunks::<4>()
            .0
            .iter()
            .map(|u| {
                let (x, y) = (u[0] * extent, u[1] * extent);
                [x, y, x + (u[2] - least) * side, y + (u[3] - least) * side]
            })
            .collect();
        let levels = float(&case["levels"]);
        let level = |u: f32| if levels > 0.0 { (u * levels).floor() / levels } else { u };
        let scores: Vec<f32> = unit(seed + 1_000_003, classes * anchors).into_iter().map(level).map(|u| u * u).collect();
        let p = &case["params"];
        let params = NmsParams {
            score_threshold: float(&p["score_threshold"]),
            nms_threshold: float(&p["nms_threshold"]),
            nms_top_k: int(&p["nms_top_k"]),
            keep_top_k: int(&p["keep_top_k"]),
        };
        let candidates = Candidates { boxes: &boxes, scores: &scores };
        let list = |key: &str| case[key].as_array().map(|a| a.iter().map(|v| v.as_u64().unwrap()).collect::<Vec<_>>());
        let found = nms::cpu::multiclass(candidates, &params).unwrap();
        assert_eq!(Some(flat(&found)), list("multiclass"), "seed {seed}");
        rows += found.len();
        if let Some(expected) = list("agnostic") {
            let found = nms::cpu::class_agnostic(candidates, &params).unwrap();
            assert_eq!(flat(&found), expected, "seed {seed}, class-agnostic");
            rows += found.len();
        }
    }
    assert!(rows > 1000, "{rows} rows");
}

#[test]
fn masks_are_paddles_and_classes_numpys() {
    let all: Value = serde_json::from_str(include_str!("fixtures/detect/masks.json")).unwrap();
    for case in all["masks"].as_array().unwrap() {
        let (low, picture) = (size(&case["low"]), size(&case["picture"]));
        let data: Vec<f32> = unit(case["seed"].as_u64().unwrap(), low.area() as usize).into_iter().map(|u| (u - 0.5) * 12.0).collect();
        let mut found = Vec::new();
        mask::cpu::cut(MaskLogits { data: &data, size: low }, picture, Window::whole(picture), &mut found).unwrap();
        let bits: Vec<u8> = found.chunks(8).map(|c| c.iter().enumerate().fold(0, |byte, (i, &v)| byte | v << (7 - i))).collect();
        let bits: String = bits.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(bits, case["bits"].as_str().unwrap(), "{low} to {picture}");
    }
    for case in all["labels"].as_array().unwrap() {
        let (classes, pixels, levels) = (int(&case["classes"]), int(&case["pixels"]), float(&case["levels"]));
        let scores: Vec<f32> =
            unit(case["seed"].as_u64().unwrap(), classes * pixels).into_iter().map(|u| (u * levels).floor() / levels).collect();
        let mut labels = vec![0; pixels];
        mask::cpu::argmax(&scores, classes, &mut labels).unwrap();
        let expected: Vec<u8> = case["labels"].as_array().unwrap().iter().map(|v| int(v) as u8).collect();
        assert_eq!(labels, expected, "{classes} classes");
    }
    let expected: Vec<u8> = all["palette"].as_array().unwrap().iter().map(|v| int(v) as u8).collect();
    assert_eq!(mask::palette().as_flattened(), expected);
}

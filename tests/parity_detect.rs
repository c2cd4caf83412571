//! Suppression and masks against Paddle, classes of pixels against NumPy: everything equal.
//! The fixtures lie with the script that made them in `tests/fixtures/detect`.

use hpinfer::backend::fake::{FakeEngine, Input, Output};
use hpinfer::image::{ImageBuf, PixelFormat, Size};
use hpinfer::model::{Canvas, DetectionSpec, DetectorHead};
use hpinfer::modules::network::Share;
use hpinfer::modules::{Detect, PictureModule};
use hpinfer::ops::mask::{self, MaskLogits, Window};
use hpinfer::ops::nms::{self, Candidates, Kept, NmsParams};
use hpinfer::ops::resize_norm::Interpolation;
use hpinfer::trace::StageTimes;
use serde_json::Value;
use std::sync::Arc;

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

/// A case of suppression: inputs made from its seed, and what Paddle made of them.
struct Case {
    seed: u64,
    classes: usize,
    boxes: Vec<[f32; 4]>,
    /// `[classes, anchors]`.
    scores: Vec<f32>,
    params: NmsParams,
    json: Value,
}

impl Case {
    fn all(text: &str) -> Vec<Self> {
        serde_json::from_str::<Vec<Value>>(text).unwrap().into_iter().map(Self::new).collect()
    }

    fn new(json: Value) -> Self {
        let (seed, anchors, classes) = (json["seed"].as_u64().unwrap(), int(&json["anchors"]), int(&json["classes"]));
        let (extent, side, least) = (float(&json["extent"]), float(&json["side"]), float(&json["least"]));
        let of_corners = |u: &[f32; 4]| {
            let (x, y) = (u[0] * extent, u[1] * extent);
            [x, y, x + (u[2] - least) * side, y + (u[3] - least) * side]
        };
        let boxes = unit(seed, anchors * 4).as_chunks::<4>().0.iter().map(of_corners).collect();
        let levels = float(&json["levels"]);
        let level = |u: f32| if levels > 0.0 { (u * levels).floor() / levels } else { u };
        let scores = unit(seed + 1_000_003, classes * anchors).into_iter().map(level).map(|u| u * u).collect();
        let p = &json["params"];
        let params = NmsParams {
            score_threshold: float(&p["score_threshold"]),
            nms_threshold: float(&p["nms_threshold"]),
            nms_top_k: int(&p["nms_top_k"]),
            keep_top_k: int(&p["keep_top_k"]),
        };
        Self { seed, classes, boxes, scores, params, json }
    }

    fn anchors(&self) -> usize {
        self.boxes.len()
    }

    /// Pairs of class and anchor.
    fn expected(&self, key: &str) -> Option<Vec<u64>> {
        self.json[key].as_array().map(|list| list.iter().map(|v| v.as_u64().unwrap()).collect())
    }

    /// Compares both kinds of suppression; rows compared.
    fn check(&self) -> usize {
        let candidates = Candidates { boxes: &self.boxes, scores: &self.scores };
        let found = nms::cpu::multiclass(candidates, &self.params).unwrap();
        assert_eq!(Some(flat(&found)), self.expected("multiclass"), "seed {}", self.seed);
        let Some(expected) = self.expected("agnostic") else { return found.len() };
        let agnostic = nms::cpu::class_agnostic(candidates, &self.params).unwrap();
        assert_eq!(flat(&agnostic), expected, "seed {}, class-agnostic", self.seed);
        found.len() + agnostic.len()
    }
}

#[test]
fn suppression_is_paddles() {
    let rows: usize = Case::all(include_str!("fixtures/detect/nms.json")).iter().map(Case::check).sum();
    assert!(rows > 1000, "{rows} rows");
}

/// `make_detect.py SEED > FILE`, then `HPINFER_PARITY_NMS=FILE cargo test --test parity_detect -- --ignored`.
#[test]
#[ignore = "needs fresh cases"]
fn suppression_is_paddles_on_fresh_cases() {
    let file = std::env::var("HPINFER_PARITY_NMS").expect("HPINFER_PARITY_NMS names a file");
    let cases = Case::all(&std::fs::read_to_string(file).unwrap());
    let rows: usize = cases.iter().map(Case::check).sum();
    println!("{} cases, {rows} rows equal", cases.len());
}

/// Graphs that end before the suppression, by the numbers of their family: two pictures a run, one of them empty.
#[test]
fn cut_detectors_give_paddles_rows() {
    let cases = Case::all(include_str!("fixtures/detect/nms.json"));
    let any: &[Option<usize>] = &[None; 4];
    for (head, im_shape, keep_top_k, nms_threshold) in [
        (DetectorHead::Yolo, false, 300, 0.7),
        (DetectorHead::Yolo, true, 100, 0.45),
        (DetectorHead::Yolox, false, 1000, 0.65),
        (DetectorHead::PicoDet, false, 100, 0.6),
    ] {
        let least = if head == DetectorHead::PicoDet { 0.025 } else { 0.0 };
        let suits = |p: &NmsParams| (p.keep_top_k, p.nms_threshold) == (keep_top_k, nms_threshold) && p.score_threshold >= least;
        let case = cases.iter().find(|case| case.json["levels"] == 0 && case.anchors() > 500 && suits(&case.params)).expect("a case");
        let (anchors, classes) = (case.anchors(), case.classes);
        let (boxes, scores) = (case.boxes.as_flattened().repeat(2), [vec![0.0; classes * anchors], case.scores.clone()].concat());
        let answer =
            move |_: &[Input]| Ok(vec![Output::f32(&[2, anchors, 4], boxes.clone()), Output::f32(&[2, classes, anchors], scores.clone())]);
        let mut inputs = vec![("image", any), ("scale_factor", &any[..2])];
        inputs.extend(im_shape.then_some(("im_shape", &any[..2])));
        let mut engine = FakeEngine::with_io("cut", &inputs, 2, answer);
        engine.declare_output(0, &[None, Some(anchors), Some(4)]);
        engine.declare_output(1, &[None, Some(classes), Some(anchors)]);
        let spec = DetectionSpec {
            target: Size::new(8, 8),
            keep_ratio: false,
            interpolation: Interpolation::Linear,
            normalize: None,
            canvas: Canvas::Resized,
            draw_threshold: 0.0,
            labels: (0..classes).map(|class| class.to_string()).collect(),
            masks: false,
            head,
        };
        let detect = Detect::new(Arc::new(engine), spec).expect("a detector");
        let picture = ImageBuf::new(vec![0; 3_000_000], Size::new(1000, 1000), PixelFormat::Bgr).unwrap();
        let found =
            detect.predict(&[picture.view().into(), picture.view().into()], Share::Whole, &mut StageTimes::default()).expect("boxes");
        assert!(found[0].is_empty(), "{head:?}: {:?}", found[0]);
        let expected = case.expected("multiclass").expect("rows");
        assert_eq!(2 * found[1].len(), expected.len(), "{head:?}");
        for (found, pair) in found[1].iter().zip(expected.chunks(2)) {
            let (class, anchor) = (pair[0] as usize, pair[1] as usize);
            assert_eq!((found.cls_id as usize, found.coordinate), (class, case.boxes[anchor]), "{head:?}");
            assert_eq!(found.score, case.scores[class * anchors + anchor], "{head:?}");
        }
    }
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

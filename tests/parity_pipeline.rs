//! The OCR pipeline against PaddleX's own, stage by stage, on real models with both engines. The fixtures and the
//! script that made them are in `tests/fixtures/pipeline`. Libraries and models come from the cache of this machine;
//! what it lacks is installed first.

use hpinfer::backend::BackendName;
use hpinfer::backend::record::Recording;
use hpinfer::cache::Cache;
use hpinfer::image::Frame;
use hpinfer::image::decode::Decoder;
use hpinfer::modules::batch::{BatchLimits, Padding};
use hpinfer::modules::{Loader, LoaderOptions};
use hpinfer::ops::db::ScoreMode;
use hpinfer::pipeline::{Ocr, OcrConfig};
use hpinfer::result::OcrResult;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

const BACKENDS: [&str; 2] = ["onnx_runtime", "openvino"];
const IMAGENET: ([f64; 3], [f64; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
const SYMMETRIC: ([f64; 3], [f64; 3]) = ([0.5; 3], [0.5; 3]);
/// OpenCV 4.10, which made the fixtures, fills other pixels at the ends of spans than 4.5.5, which we follow.
const DET_SCORE_TOLERANCE: f32 = 5e-3;
const REC_SCORE_TOLERANCE: f32 = 1e-3;

#[derive(Deserialize)]
struct Expected {
    lines: Vec<ExpectedLine>,
    batch_of_6: Vec<ExpectedText>,
    det_input: Noted,
    rec_inputs: Vec<Noted>,
}

#[derive(Deserialize)]
struct ExpectedLine {
    quad: [[i32; 2]; 4],
    det_score: f32,
    text: String,
    score: f32,
}

#[derive(Deserialize)]
struct ExpectedText {
    text: String,
    score: f32,
}

/// An input tensor: what its values are as 8-bit pixels, and some of the values.
#[derive(Deserialize)]
struct Noted {
    shape: Vec<usize>,
    sha256: String,
    step: usize,
    values: Vec<f32>,
}

impl Noted {
    fn check(&self, shape: &[usize], data: &[f32], (mean, std): ([f64; 3], [f64; 3])) -> Result<(), String> {
        if shape != self.shape {
            return Err(format!("shape {shape:?}, expected {:?}", self.shape));
        }
        let plane = data.len() / 3;
        let pixel = |(i, &v): (usize, &f32)| ((f64::from(v) * std[i / plane] + mean[i / plane]) * 255.0 + 0.5).floor() as u8;
        let pixels: Vec<u8> = data.iter().enumerate().map(pixel).collect();
        let hash: String = Sha256::digest(&pixels).iter().map(|b| format!("{b:02x}")).collect();
        if hash != self.sha256 {
            return Err("other pixels".into());
        }
        let values = data.iter().step_by(self.step).zip(&self.values);
        let apart = values.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        if apart > 1e-6 { Err(format!("values {apart:e} apart")) } else { Ok(()) }
    }
}

fn picture(name: &str) -> Frame {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = if name == "delivery_note" { root.join("demo") } else { root.join("tests/fixtures/pipeline") };
    let path = folder.join(name).with_extension("png");
    Frame::from_image(Decoder::default().decode(&std::fs::read(&path).unwrap(), name).unwrap())
}

fn expected() -> BTreeMap<String, Expected> {
    serde_json::from_str(include_str!("fixtures/pipeline/reference.json")).unwrap()
}

/// A pipeline on one core and one backend, at the reference's arithmetic.
fn open(backend: &str, config: &OcrConfig, recording: Option<Recording>) -> Ocr {
    let backend: BackendName = backend.parse().unwrap();
    let options = LoaderOptions { threads: 1, backend: Some(backend), recording, ..LoaderOptions::default() };
    Ocr::open(config, &Loader::new(Cache::open(None).unwrap(), options).unwrap()).unwrap()
}

fn read(ocr: &Ocr, name: &str) -> OcrResult {
    ocr.predict(&[picture(name)]).pop().unwrap().unwrap()
}

#[test]
fn boxes_texts_and_scores_are_those_of_paddlex() {
    for backend in BACKENDS {
        let ocr = open(backend, &OcrConfig::default(), None);
        for (name, expected) in expected() {
            let result = read(&ocr, &name);
            let texts: Vec<&str> = expected.lines.iter().map(|l| l.text.as_str()).collect();
            assert_eq!(result.rec_text, texts, "{backend}, {name}");
            for (i, line) in expected.lines.iter().enumerate() {
                let place = format!("{backend}, {name}, {}", line.text);
                let quad: Vec<[i32; 2]> = result.dt_polys[i].iter().map(|p| [p.x, p.y]).collect();
                assert_eq!(quad, line.quad, "{place}");
                let (det, rec) = (result.dt_scores[i], result.rec_score[i]);
                assert!((det - line.det_score).abs() < DET_SCORE_TOLERANCE, "{place}: box score {det}, expected {}", line.det_score);
                assert!((rec - line.score).abs() < REC_SCORE_TOLERANCE, "{place}: score {rec}, expected {}", line.score);
            }
        }
    }
}

#[test]
fn padding_to_the_widest_reads_what_paddlex_reads_in_batches_of_6() {
    let batch = BatchLimits { items: 6, cost: usize::MAX };
    let ocr = open("onnx_runtime", &OcrConfig { batch: Some(batch), padding: Padding::Widest, ..OcrConfig::default() }, None);
    let mut changed = 0;
    for (name, expected) in expected() {
        let result = read(&ocr, &name);
        let texts: Vec<&str> = expected.batch_of_6.iter().map(|l| l.text.as_str()).collect();
        assert_eq!(result.rec_text, texts, "{name}");
        for (line, score) in expected.batch_of_6.iter().zip(result.rec_score) {
            assert!((score - line.score).abs() < REC_SCORE_TOLERANCE, "{name}, {}: {score}, expected {}", line.text, line.score);
        }
        changed += expected.lines.iter().zip(&texts).filter(|(alone, padded)| alone.text != **padded).count();
    }
    assert!(changed > 0, "no line shows the difference");
}

#[test]
fn networks_are_fed_the_tensors_paddlex_feeds_them() {
    let recording = Recording::default();
    let config = OcrConfig { batch: Some(BatchLimits { items: 1, cost: usize::MAX }), ..OcrConfig::default() };
    let ocr = open("onnx_runtime", &config, Some(recording.clone()));
    for (name, expected) in expected() {
        recording.start();
        read(&ocr, &name);
        let runs = recording.stop();
        let inputs: Vec<(&[usize], &[f32])> = runs.iter().map(|r| (r.inputs()[0].0.dims(), r.inputs()[0].1.as_slice())).collect();
        let (det, recs) = inputs.split_first().unwrap();
        assert_eq!(expected.det_input.check(det.0, det.1, IMAGENET), Ok(()), "{name}: detection");
        assert_eq!(recs.len(), expected.rec_inputs.len(), "{name}");
        let mut left: Vec<&Noted> = expected.rec_inputs.iter().collect();
        for (shape, data) in recs {
            let outcomes: Vec<_> = left.iter().map(|noted| noted.check(shape, data, SYMMETRIC)).collect();
            let Some(at) = outcomes.iter().position(Result::is_ok) else {
                panic!("{name}: no line of the reference has the input {shape:?}: {outcomes:?}");
            };
            left.remove(at);
        }
    }
}

#[test]
fn the_slow_score_finds_the_thin_tilted_line_that_the_fast_one_loses() {
    let mut config = OcrConfig::default();
    let fast = read(&open("onnx_runtime", &config, None), "tilted");
    config.detection.score_mode = Some(ScoreMode::Slow);
    let slow = read(&open("onnx_runtime", &config, None), "tilted");
    assert_eq!((fast.dt_polys.len(), slow.dt_polys.len()), (4, 5));
    let gained = slow.rec_text.iter().position(|text| text.starts_with("was now")).expect("the line that was lost");
    assert!(!fast.rec_text.contains(&slow.rec_text[gained]));
    assert!(slow.dt_scores[gained] > 0.9, "{:?}", slow.dt_scores);
    for (quad, text) in fast.dt_polys.iter().zip(&fast.rec_text) {
        let same = slow.dt_polys.iter().position(|q| q == quad).expect("the score moves no corner");
        assert_eq!(&slow.rec_text[same], text);
    }
}

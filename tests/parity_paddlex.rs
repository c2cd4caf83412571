//! The steps around the networks against PaddleX's own predictors: the same picture and inference.yml give the same
//! tensors, and the same raw outputs give the same results. Fixtures and the script that made them: `fixtures/paddlex/`.

use hpinfer::backend::fake::{FakeEngine, Input, Output, Values};
use hpinfer::cache::Cache;
use hpinfer::image::ImageBuf;
use hpinfer::image::decode::Decoder;
use hpinfer::model::{ModelSpec, Store};
use hpinfer::modules::network::Share;
use hpinfer::modules::{Classify, Detect, PictureModule, Segment, SegmentInstances};
use hpinfer::result::DetectedBox;
use hpinfer::tensor::Shape;
use hpinfer::trace::StageTimes;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Least part of the larger value that counts as a difference: the reference computes in f32, in another order of steps.
const RELATIVE: f32 = 1e-6;

/// The reference's cubic filter is the float form within one level of 8 bits in about one sample of 100 000: these tensors
/// have some ten thousand, so that two may be.
const LEVELS_OFF: usize = 2;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/paddlex")
}

/// One fixture, with the engine's side of it.
struct Case {
    name: &'static str,
    json: Value,
    picture: ImageBuf,
}

type Fed = Arc<Mutex<Vec<Input>>>;

impl Case {
    fn read(name: &'static str) -> Self {
        let text = std::fs::read_to_string(fixtures().join(format!("{name}.json"))).expect("a fixture");
        let json: Value = serde_json::from_str(&text).expect("JSON");
        let file = json["picture"].as_str().expect("a name");
        let bytes = std::fs::read(fixtures().join(file)).expect("a picture");
        let picture = Decoder::default().decode(&bytes, file).expect("a PNG");
        Self { name, json, picture }
    }

    /// What its inference.yml means, read out of a model folder as a user has it.
    fn spec(&self) -> ModelSpec {
        let temp = tempfile::tempdir().expect("a folder");
        let folder = temp.path().join("model");
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("inference.onnx"), b"").expect("a file");
        std::fs::write(folder.join("inference.yml"), self.json["yml"].as_str().expect("YAML")).expect("a file");
        let store = Store::new(&Cache::open(Some(temp.path())).expect("a cache"));
        store.resolve(folder.to_str().expect("UTF-8")).unwrap_or_else(|e| panic!("{}: {e}", self.name)).spec
    }

    /// An engine that answers as the one of the fixture did, and what it was fed.
    fn engine(&self) -> (Arc<FakeEngine>, Fed) {
        let inputs = self.json["inputs"].as_object().expect("inputs");
        let dims: Vec<(&str, Vec<Option<usize>>)> =
            inputs.iter().map(|(name, v)| (name.as_str(), shape(&v["shape"]).dims().iter().map(|_| None).collect())).collect();
        let dims: Vec<(&str, &[Option<usize>])> = dims.iter().map(|(name, dims)| (*name, dims.as_slice())).collect();
        let outputs: Vec<Output> = self.json["outputs"].as_array().expect("outputs").iter().map(output).collect();
        let (fed, count) = (Fed::default(), outputs.len());
        let noted = fed.clone();
        let engine = FakeEngine::with_io(self.name, &dims, count, move |inputs| {
            *noted.lock().expect("no panic") = inputs.to_vec();
            Ok(outputs.clone())
        });
        (Arc::new(engine), fed)
    }

    /// Compares every input whole.
    fn assert_fed(&self, fed: &Fed) {
        let fed = fed.lock().expect("no panic");
        for ((name, expected), (found_shape, found)) in self.json["inputs"].as_object().expect("inputs").iter().zip(fed.iter()) {
            let place = format!("{}, input {name}", self.name);
            assert_eq!(*found_shape, shape(&expected["shape"]), "{place}");
            if expected["data"].is_array() {
                let expected = floats(&expected["data"]);
                assert!(found.iter().zip(&expected).all(|(a, b)| near(*a, *b)), "{place}: {found:?}, expected {expected:?}");
            } else {
                self.assert_picture(&place, found, &expected["values"]);
            }
        }
    }

    /// The picture tensor: indices into the values of each channel.
    fn assert_picture(&self, place: &str, found: &[f32], values: &Value) {
        let indices = image::open(fixtures().join(format!("{}.png", self.name))).expect("a PNG").to_rgb8();
        let plane = found.len() / 3;
        let mut off = 0;
        for (c, values) in values.as_array().expect("channels").iter().enumerate() {
            let values = floats(values);
            // Samples next to each other in value are one level apart, or more where a level does not occur.
            let level = values.windows(2).map(|w| w[1] - w[0]).fold(f32::INFINITY, f32::min);
            for (i, pixel) in indices.pixels().enumerate() {
                let (ours, theirs) = (found[c * plane + i], values[usize::from(pixel.0[c])]);
                if !near(ours, theirs) {
                    assert!((ours - theirs).abs() < 1.01 * level, "{place}, channel {c}, sample {i}: {ours}, expected {theirs}");
                    off += 1;
                }
            }
        }
        assert!(off <= LEVELS_OFF, "{place}: {off} of {} samples are a level off", found.len());
    }
}

fn near(a: f32, b: f32) -> bool {
    (a - b).abs() <= RELATIVE * a.abs().max(b.abs()).max(1.0)
}

fn floats(v: &Value) -> Vec<f32> {
    v.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number") as f32).collect()
}

fn shape(v: &Value) -> Shape {
    let dims: Vec<usize> = v.as_array().expect("dimensions").iter().map(|d| d.as_u64().expect("a dimension") as usize).collect();
    Shape::new(&dims)
}

fn output(v: &Value) -> Output {
    let data = match v["dtype"].as_str() {
        Some("float32") => Values::F32(floats(&v["data"])),
        _ => Values::I32(floats(&v["data"]).into_iter().map(|x| x as i32).collect()),
    };
    Output { shape: shape(&v["shape"]), data }
}

#[test]
fn classification_and_orientation() {
    for name in ["classify_wide", "classify_tall", "classify_square", "orientation"] {
        let case = Case::read(name);
        let ModelSpec::Classification(spec) = case.spec() else { panic!("{name}: not a classifier") };
        let (engine, fed) = case.engine();
        let classify = Classify::new(engine, spec).expect("a classifier");
        let found = classify.predict(&[case.picture.view().into()], Share::Whole, &mut StageTimes::default()).expect("classes");
        case.assert_fed(&fed);
        let expected = &case.json["expected"];
        let ids: Vec<u64> = found[0].class_ids.iter().map(|&id| u64::from(id)).collect();
        // Newer releases give a list per picture.
        let one =
            |key: &str| expected[key].as_array().and_then(|v| v.first().filter(|v| v.is_array()).cloned()).unwrap_or(expected[key].clone());
        assert_eq!(ids, one("class_ids").as_array().expect("ids").iter().filter_map(Value::as_u64).collect::<Vec<_>>(), "{name}");
        assert_eq!(found[0].scores, floats(&one("scores")), "{name}");
        assert_eq!(serde_json::json!(found[0].label_names), one("label_names"), "{name}");
    }
}

/// Whether a box has an area. PaddleX 3.7 leaves out those without; 3.0-beta1 and this program keep them.
fn has_area(b: &DetectedBox) -> bool {
    let [x1, y1, x2, y2] = b.coordinate;
    x2 > x1 && y2 > y1
}

/// Boxes in the order of the rows.
fn assert_boxes(name: &str, found: &[DetectedBox], expected: &Value) {
    let expected = expected.as_array().expect("boxes");
    let found: Vec<&DetectedBox> = found.iter().filter(|b| has_area(b)).collect();
    assert_eq!(found.len(), expected.len(), "{name}: {found:?}");
    for (ours, theirs) in found.iter().zip(expected) {
        assert_eq!(
            (u64::from(ours.cls_id), ours.label.as_str()),
            (theirs["cls_id"].as_u64().expect("a class"), theirs["label"].as_str().expect("a name"))
        );
        assert_eq!(
            (ours.score, ours.coordinate.to_vec()),
            (theirs["score"].as_f64().expect("a score") as f32, floats(&theirs["coordinate"])),
            "{name}"
        );
    }
}

#[test]
fn detection() {
    for name in ["ppyoloe", "picodet", "yolox_wide", "yolox_tall", "yolov3", "rtdetr", "nothing"] {
        let case = Case::read(name);
        let ModelSpec::Detection(spec) = case.spec() else { panic!("{name}: not a detector") };
        let (engine, fed) = case.engine();
        let detect = Detect::new(engine, spec).expect("a detector");
        let found = detect.predict(&[case.picture.view().into()], Share::Whole, &mut StageTimes::default()).expect("boxes");
        case.assert_fed(&fed);
        assert_boxes(name, &found[0], &case.json["expected"]["boxes"]);
    }
}

#[test]
fn instance_segmentation() {
    let case = Case::read("maskrtdetr");
    let ModelSpec::Detection(spec) = case.spec() else { panic!("not a detector") };
    let (engine, fed) = case.engine();
    let segment = SegmentInstances::new(engine, spec).expect("a segmenter");
    let found = segment.predict(&[case.picture.view().into()], Share::Whole, &mut StageTimes::default()).expect("instances");
    case.assert_fed(&fed);
    assert_boxes("maskrtdetr", &found[0].boxes, &case.json["expected"]["boxes"]);
    let expected = case.json["expected"]["masks"].as_array().expect("masks");
    let masks = found[0].boxes.iter().zip(&found[0].masks).filter(|(b, _)| has_area(b)).map(|(_, mask)| mask);
    for (mask, rows) in masks.zip(expected) {
        let rows = rows.as_array().expect("rows");
        let pixels: Vec<u8> = rows.iter().flat_map(floats).map(|v| v as u8).collect();
        assert_eq!(mask.inside(), pixels);
        assert!(rows.is_empty() || mask.size().height as usize == rows.len());
    }
}

#[test]
fn semantic_segmentation() {
    for name in ["segment", "deeplab", "deeplab_resized"] {
        let case = Case::read(name);
        let ModelSpec::Segmentation(spec) = case.spec() else { panic!("{name}: not a segmenter") };
        let (engine, fed) = case.engine();
        let segment = Segment::new(engine, spec).expect("a segmenter");
        let found = segment.predict(&[case.picture.view().into()], Share::Whole, &mut StageTimes::default()).expect("labels");
        case.assert_fed(&fed);
        let rows = case.json["expected"]["pred"][0].as_array().expect("rows");
        assert_eq!(found[0].labels(), rows.iter().flat_map(floats).map(|v| v as u8).collect::<Vec<_>>(), "{name}");
    }
}

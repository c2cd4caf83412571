//! Detectors whose graphs end before the suppression of boxes and the resize of masks, as GPUs get them: with what the modules do
//! behind them the results are those of the whole graphs. Not where a class has more candidates than `nms_top_k`, as PP-YOLOE_plus-X with
//! generated weights has: the modules do as Paddle, which looks at no more; the converter's graphs look at all. Nor
//! where generated weights make most scores 1 and turn boxes inside out, as in YOLOX-T to -X.

use super::check::options;
use super::store::Zoo;
use hpinfer::backend::select::{Libraries, Selector};
use hpinfer::backend::{BackendName, LoadOptions, Onnx};
use hpinfer::cache::Cache;
use hpinfer::image::{ImageBuf, PixelFormat, Size};
use hpinfer::model::{DetectionSpec, ModelSpec, Store};
use hpinfer::modules::network::Share;
use hpinfer::modules::{Detect, PictureModule, SegmentInstances};
use hpinfer::onnx::Cut;
use hpinfer::result::{DetectedBox, Mask};
use hpinfer::trace::StageTimes;
use std::sync::Arc;

/// Boxes that may be others: of nearly equal scores at the end of the list rounding decides which stays.
const BOX_SHARE: f64 = 0.01;
/// Pixels of masks that may differ: those whose logit is next to zero.
const MASK_SHARE: f64 = 1e-4;

/// Compares the two forms of a model on a picture.
pub fn check(zoo: &Zoo, name: &str, cache: &Cache) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("inference.onnx"), b"").expect("a placeholder");
    std::fs::write(folder.path().join("inference.yml"), zoo.description(name)).expect("a description");
    let resolved = Store::new(cache).resolve(folder.path().to_str().expect("UTF-8")).expect("a model");
    let ModelSpec::Detection(spec) = resolved.spec else { panic!("{name} is no detector") };
    // Every row of the suppression is compared.
    let spec = DetectionSpec { draw_threshold: 0.0, ..spec };
    let file = Arc::new(zoo.onnx(name));
    let found =
        |cut| found(&spec, LoadOptions { onnx: Some(Onnx::Bytes(file.clone())), rewrite: true, cut, ..options(name, "zoo".into()) }, cache);
    let ((whole, masks), (cut, cut_masks)) = (found(Cut::Nothing), found(Cut::Detections));
    println!("{name}: {} boxes, {} masks", whole.len(), masks.len());
    assert!(!whole.is_empty(), "{name} finds something");
    assert_eq!(whole.len(), cut.len(), "{name}");
    let near = |a: &DetectedBox, b: &DetectedBox| {
        let sides = a.coordinate.iter().zip(&b.coordinate).all(|(a, b)| (a - b).abs() < 0.05);
        sides && a.cls_id == b.cls_id && (a.score - b.score).abs() < 1e-5
    };
    let without = cut.iter().filter(|b| !whole.iter().any(|a| near(a, b))).count();
    assert!(without as f64 <= BOX_SHARE * cut.len() as f64, "{name}: {without} of {} boxes are others", cut.len());
    for (a, b) in masks.iter().zip(&cut_masks) {
        let differ = a.inside().iter().zip(b.inside()).filter(|(a, b)| a != b).count();
        assert!(a.size() == b.size() && differ as f64 <= MASK_SHARE * a.inside().len() as f64 + 1.0, "{name}: {differ} pixels");
    }
}

fn found(spec: &DetectionSpec, options: LoadOptions, cache: &Cache) -> (Vec<DetectedBox>, Vec<Mask>) {
    let engine = Selector::new(cache.clone(), Libraries::default()).load(Some(BackendName::OnnxRuntime), &options, &[]).expect("an engine");
    let size = Size::new(301, 220);
    let wave = |x: u32, y: u32, c: u32| (f64::from(x * (c + 2) + y * 3) * 0.05).sin() * 90.0 + f64::from((x * y * (c + 1)) % 60) + 100.0;
    let data = (0..size.height).flat_map(|y| (0..size.width).flat_map(move |x| (0..3).map(move |c| wave(x, y, c) as u8))).collect();
    let picture = ImageBuf::new(data, size, PixelFormat::Bgr).expect("a picture");
    let (views, mut times) = ([picture.view().into()], StageTimes::default());
    if !spec.masks {
        let module = Detect::new(engine, spec.clone()).expect("a detector");
        return (module.predict(&views, Share::Whole, &mut times).expect("boxes").remove(0), Vec::new());
    }
    let module = SegmentInstances::new(engine, spec.clone()).expect("a segmenter");
    let found = module.predict(&views, Share::Whole, &mut times).expect("instances").remove(0);
    (found.boxes, found.masks)
}

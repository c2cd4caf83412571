//! Seals drawn with known texts, read by the real recogniser where a detector is given to see them: curved text is cut out,
//! straightened and read as it was drawn.

#[path = "documents/layout.rs"]
mod shared;

use hpinfer::backend::fake::{FakeEngine, Input};
use hpinfer::cache::Cache;
use hpinfer::image::Frame;
use hpinfer::image::decode::Decoder;
use hpinfer::model::{BoxType, DetResize, LimitType, TextDetectionSpec};
use hpinfer::modules::loader::ModelChoice;
use hpinfer::modules::{Detect, Loader, LoaderOptions, TextDetect};
use hpinfer::ops::db::DbParams;
use hpinfer::ops::resize_norm::Normalize;
use hpinfer::pipeline::{DocPreprocessor, DocumentConfig, DocumentTask, SealRecognition};
use hpinfer::tensor::Shape;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Deserialize)]
struct Seal {
    region: [u32; 4],
    texts: Vec<String>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/seals").join(name)
}

/// A detector that sees what is marked of the `seals`, one after the other, with the settings of PP-OCRv4_server_seal_det.
fn detector(seals: &[Seal]) -> TextDetect {
    let marks = image::open(fixture("seals_map.png")).expect("a picture").into_luma8();
    let probability = |mark: &u8| f32::from(*mark) / 255.0 * 0.9;
    let of_seal = |&[x1, y1, x2, y2]: &[u32; 4]| {
        let map = image::imageops::crop_imm(&marks, x1, y1, x2 - x1, y2 - y1).to_image();
        (Shape::new(&[1, 1, (y2 - y1) as usize, (x2 - x1) as usize]), map.iter().map(probability).collect())
    };
    let maps: Vec<(Shape, Vec<f32>)> = seals.iter().map(|seal| of_seal(&seal.region)).collect();
    let next = AtomicUsize::new(0);
    let network = move |_: &[Input]| Ok(maps[next.fetch_add(1, Ordering::SeqCst) % maps.len()].clone());
    let spec = TextDetectionSpec {
        resize: DetResize::Limit { side_len: 960, limit_type: LimitType::Max },
        max_side: None,
        normalize: Normalize::IMAGENET,
        db: DbParams { thresh: 0.2, unclip_ratio: 0.5, ..DbParams::default() },
        boxes: BoxType::Poly,
        is_from_top: false,
    };
    TextDetect::new(Arc::new(FakeEngine::new("det", network)), spec).expect("a detector")
}

#[test]
fn drawn_seals_are_read_as_they_were_drawn() {
    let cache = Cache::open(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"))).expect("a cache");
    let backend = Some(hpinfer::backend::BackendName::OpenVino);
    let loader = Loader::new(cache, LoaderOptions { backend, threads: 1, ..LoaderOptions::default() }).expect("a loader");
    let seals: Vec<Seal> = serde_json::from_slice(&std::fs::read(fixture("seals.json")).expect("a fixture")).expect("JSON");
    let regions: Vec<_> = seals.iter().map(|Seal { region: [x1, y1, x2, y2], .. }| [0, *x1, *y1, *x2, *y2].map(|v| v as f32)).collect();
    let layout = Detect::new(Arc::new(shared::network(&regions)), shared::spec(&["Seal"])).expect("a layout detector");
    let recognise = loader.text_recognise(&ModelChoice::named("PP-OCRv4_mobile_rec")).expect("a recogniser");
    let config = DocumentConfig::new(DocumentTask::Seals);
    let pipeline = SealRecognition::new(DocPreprocessor::default(), Some(layout), detector(&seals), recognise, &config, 1);

    let picture = std::fs::read(fixture("seals.png")).expect("a picture");
    let frame = Frame::from_image(Decoder::default().decode(&picture, "seals").expect("decoded"));
    let result = pipeline.expect("a pipeline").predict(&[frame]).pop().expect("one").expect("a result");
    let in_order = |texts: &[String]| {
        let mut texts = texts.to_vec();
        texts.sort();
        texts
    };
    let found: Vec<_> = result.seals.iter().map(|seal| (seal.bbox, in_order(&seal.text.rec_text))).collect();
    let drawn: Vec<_> = seals.iter().map(|seal| (seal.region.map(|v| v as i32), in_order(&seal.texts))).collect();
    assert_eq!(found, drawn);
    let scores = result.seals.iter().flat_map(|seal| &seal.text.rec_score);
    assert!(scores.clone().all(|score| *score > 0.9), "{:?}", scores.collect::<Vec<_>>());
}

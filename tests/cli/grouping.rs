//! Grouping changes neither texts nor boxes nor their order: one call with all pictures, one call each, reversed.

use hpinfer::backend::BackendName;
use hpinfer::cache::Cache;
use hpinfer::image::decode::Decoder;
use hpinfer::image::{Frame, FrameId};
use hpinfer::modules::{Loader, LoaderOptions};
use hpinfer::pipeline::{Ocr, OcrConfig};
use hpinfer::result::OcrResult;
use std::path::Path;

/// Lines of other pictures share a run of the network; its sums may be taken in another order.
const SCORE_TOLERANCE: f32 = 1e-4;

/// The picture of the README, upright, mirrored and turned: three sizes of text lines that share widths.
fn frames() -> Vec<Frame> {
    let demo = image::open(crate::DEMO).expect("the demo picture");
    let pictures = [demo.clone(), demo.fliph(), demo.crop_imm(0, 0, demo.width() / 2, demo.height())];
    let decoded = pictures.iter().enumerate().map(|(index, picture)| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).expect("encoded");
        let image = Decoder::default().decode(bytes.get_ref(), "demo").expect("decoded");
        Frame::new(FrameId { input_path: Some(index.to_string()), page_index: None }, image)
    });
    decoded.collect()
}

fn assert_same(one: &OcrResult, other: &OcrResult) {
    assert_eq!(one.header.input_path, other.header.input_path);
    assert_eq!(one.rec_text, other.rec_text);
    assert_eq!(one.dt_polys, other.dt_polys);
    for (a, b) in [(&one.dt_scores, &other.dt_scores), (&one.rec_score, &other.rec_score)] {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= SCORE_TOLERANCE), "{a:?} {b:?}");
    }
}

#[test]
fn one_batch_singles_and_reversed_read_the_same() {
    let cache = Cache::open(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"))).expect("a cache");
    let frames = frames();
    for backend in [BackendName::OpenVino, BackendName::OnnxRuntime] {
        let options = LoaderOptions { backend: Some(backend), threads: 2, ..LoaderOptions::default() };
        let ocr = Ocr::open(&OcrConfig::default(), &Loader::new(cache.clone(), options).expect("a loader")).expect("a pipeline");
        let read = |frames: &[Frame]| ocr.predict(frames).into_iter().map(|r| r.expect("a result")).collect::<Vec<_>>();
        let together = read(&frames);
        assert!(together.iter().all(|result| result.rec_text.len() > 5), "{backend}");
        let reversed: Vec<Frame> = frames.iter().rev().cloned().collect();
        for (index, (one, other)) in together.iter().zip(read(&reversed).iter().rev()).enumerate() {
            assert_same(one, other);
            assert_same(one, &read(&frames[index..=index])[0]);
        }
    }
}

//! Pictures both sides can make, the fixtures, and networks that remember what they were fed.

use crate::random::Random;
use hpinfer::backend::fake::{FakeEngine, Input, Output};
use hpinfer::error::Result;
use hpinfer::image::{Frame, FrameId, ImageBuf, PixelFormat, Size};
use serde_json::Value;
use std::sync::{Arc, Mutex};

pub fn index() -> Value {
    serde_json::from_str(include_str!("../fixtures/pictures/index.json")).expect("JSON")
}

pub fn list<'a>(index: &'a Value, key: &str) -> &'a Vec<Value> {
    index[key].as_array().unwrap_or_else(|| panic!("no {key}"))
}

pub fn number(v: &Value, key: &str) -> u32 {
    v[key].as_u64().unwrap_or_else(|| panic!("{key} in {v}")) as u32
}

pub fn floats(v: &Value) -> Vec<f32> {
    v.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number") as f32).collect()
}

/// A BGR picture of noise.
pub fn picture(seed: u64, size: Size) -> ImageBuf {
    Random::new(seed).picture(size, PixelFormat::Bgr)
}

/// The picture of a fixture.
pub fn pictured(case: &Value) -> ImageBuf {
    picture(u64::from(number(case, "seed")), Size::new(number(case, "width"), number(case, "height")))
}

pub fn frame(name: &str, image: ImageBuf) -> Frame {
    Frame::new(FrameId { input_path: Some(name.into()), page_index: None }, image)
}

/// What a network was fed, run by run.
pub type Fed = Arc<Mutex<Vec<Vec<Input>>>>;

/// An engine with these inputs and so many outputs that remembers what it was fed and answers with `network`.
pub fn remembering(
    inputs: &[(&str, &[Option<usize>])],
    outputs: usize,
    network: impl Fn(&[Input]) -> Result<Vec<Output>> + Send + Sync + 'static,
) -> (Arc<FakeEngine>, Fed) {
    let fed = Fed::default();
    let remember = fed.clone();
    let engine = FakeEngine::with_io("fake", inputs, outputs, move |inputs| {
        remember.lock().expect("no panic").push(inputs.to_vec());
        network(inputs)
    });
    (Arc::new(engine), fed)
}

/// Compares a fed tensor of one picture with the fixture; `level` is what one level of the picture is worth in each plane.
pub fn assert_tensor(case: &Value, fed: &Input, level: [f32; 3]) {
    let expected = &case["tensor"];
    let dims: Vec<u64> = fed.0.dims().iter().map(|&d| d as u64).collect();
    let shape: Vec<u64> = expected["shape"].as_array().expect("a shape").iter().filter_map(Value::as_u64).collect();
    assert_eq!(dims, [&[1], &shape[..]].concat(), "{case}");
    if let Some(hash) = expected["fnv1a"].as_str() {
        let bytes = fed.1.iter().flat_map(|v| v.to_le_bytes());
        let ours = bytes.fold(0xCBF2_9CE4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
        assert_eq!(format!("{ours:016x}"), hash, "{}x{} seed {}", case["width"], case["height"], case["seed"]);
        return;
    }
    let plane = fed.1.len() / 3;
    let mut off = 0;
    for sample in list(expected, "samples") {
        let (at, theirs) = (sample[0].as_u64().expect("an index") as usize, sample[1].as_f64().expect("a value") as f32);
        let difference = (fed.1[at] - theirs).abs() / level[at / plane];
        assert!(difference < 1.001, "{}x{}: {} for {theirs} at {at}", case["width"], case["height"], fed.1[at]);
        off += usize::from(difference > 0.5);
    }
    assert!(off <= 10, "{off} of {} values are a level off", list(expected, "samples").len());
}

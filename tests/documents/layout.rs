//! A layout network with a known outcome.

use hpinfer::backend::fake::{FakeEngine, Input, Output};
use hpinfer::image::Size;
use hpinfer::model::{Canvas, DetectionSpec, DetectorHead};
use hpinfer::ops::resize_norm::{Interpolation, Normalize};

/// A network that finds these regions in every picture: class, left, top, right, bottom.
pub fn network(regions: &[[f32; 5]]) -> FakeEngine {
    let rows: Vec<f32> = regions.iter().flat_map(|&[class, x1, y1, x2, y2]| [class, 0.9, x1, y1, x2, y2]).collect();
    let count = regions.len();
    let network = move |_: &[Input]| Ok(vec![Output::f32(&[count, 6], rows.clone()), Output::i32(&[1], vec![count as i32])]);
    let inputs: [(&str, &[Option<usize>]); 2] = [("image", &[None; 4]), ("scale_factor", &[None; 2])];
    FakeEngine::with_io("layout", &inputs, 2, network)
}

/// What is known of such a network whose classes are `labels`.
pub fn spec(labels: &[&str]) -> DetectionSpec {
    DetectionSpec {
        target: Size::new(64, 64),
        keep_ratio: false,
        interpolation: Interpolation::Cubic,
        normalize: Some(Normalize::IMAGENET),
        canvas: Canvas::Resized,
        draw_threshold: 0.5,
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        masks: false,
        head: DetectorHead::Other,
    }
}

//! A layout network with a known outcome.

use hpinfer::backend::fake::{FakeEngine, Input, Output};
use hpinfer::image::Size;
use hpinfer::model::{Canvas, DetectionSpec, DetectorHead};
use hpinfer::modules::Detect;
use hpinfer::ops::resize_norm::{Interpolation, Normalize};
use std::sync::Arc;

/// A layout detector that finds these regions in every picture: class as an index of `labels`, left, top, right, bottom.
pub fn layout(labels: &[&str], regions: &[[f32; 5]]) -> Detect {
    let rows: Vec<f32> = regions.iter().flat_map(|&[class, x1, y1, x2, y2]| [class, 0.9, x1, y1, x2, y2]).collect();
    let count = regions.len();
    let network = move |_: &[Input]| Ok(vec![Output::f32(&[count, 6], rows.clone()), Output::i32(&[1], vec![count as i32])]);
    let inputs: [(&str, &[Option<usize>]); 2] = [("image", &[None; 4]), ("scale_factor", &[None; 2])];
    let spec = DetectionSpec {
        target: Size::new(64, 64),
        keep_ratio: false,
        interpolation: Interpolation::Cubic,
        normalize: Some(Normalize::IMAGENET),
        canvas: Canvas::Resized,
        draw_threshold: 0.5,
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        masks: false,
        head: DetectorHead::Other,
    };
    Detect::new(Arc::new(FakeEngine::with_io("layout", &inputs, 2, network)), spec).expect("a layout detector")
}

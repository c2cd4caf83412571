//! A classifier of page orientation whose answer is known.

use hpinfer::backend::fake::{FakeEngine, Input};
use hpinfer::image::Size;
use hpinfer::model::{ClassResize, ClassificationSpec};
use hpinfer::modules::Classify;
use hpinfer::ops::resize_norm::{Interpolation, Normalize};
use hpinfer::tensor::Shape;
use std::sync::Arc;

/// One that says by how many quarters every page is turned.
pub fn orientation(turns: u32) -> Classify {
    let scores = (0..4).map(|turn| if turn == turns { 0.9 } else { 0.0 }).collect::<Vec<f32>>();
    let network = move |_: &[Input]| Ok((Shape::new(&[1, 4]), scores.clone()));
    let spec = ClassificationSpec {
        resize: ClassResize::Fixed(Size::new(32, 32)),
        interpolation: Interpolation::Linear,
        crop: None,
        normalize: Normalize::IMAGENET,
        topk: 1,
        labels: ["0", "90", "180", "270"].map(String::from).to_vec(),
    };
    Classify::new(Arc::new(FakeEngine::new("orientation", network)), spec).expect("a classifier")
}

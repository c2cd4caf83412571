//! Text recognition: upright line crops of a picture → texts with scores.

use crate::backend::{Engine, Pool, RunInfo, Session};
use crate::error::{Error, Result};
use crate::image::{ImageView, PixelFormat, Size};
use crate::model::TextRecognitionSpec;
use crate::ops::ctc::{self, ScoreKind};
use crate::ops::resize_norm::{self, Interpolation, Item, Normalize, Params, Planes};
use crate::ops::warp;
use crate::ops::warp::curve::{self, CurvePlan};
use crate::tensor::Shape;
use crate::trace::{Stage, StageTimes};
use std::sync::Arc;

/// How wide the network input of a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WidthRule {
    /// The reference's: the line's own aspect ratio, at least that of the model's shape (320 for 48 high).
    #[default]
    Reference,
    /// As narrow as the line, rounded up to a multiple of these pixels: less work, scores may differ.
    Tight(u32),
    /// That, or the reference's where it is less.
    Narrower(u32),
}

impl WidthRule {
    /// Width of the input for a crop of this size, for a model of the shape `[channels, height, least width]`.
    fn width(self, shape: [u32; 3], crop: Size) -> u32 {
        let [_, height, least] = shape.map(f64::from);
        let ratio = f64::from(crop.width) / f64::from(crop.height.max(1));
        let reference = (height * (least / height).max(ratio)) as u32;
        let tight = |step| ((height * ratio).ceil() as u32).max(1).next_multiple_of(step);
        match self {
            Self::Reference => reference,
            Self::Tight(step) => tight(step),
            Self::Narrower(step) => tight(step).min(reference),
        }
    }
}

/// One line to read: where it is cut out of which picture.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The picture (BGR).
    pub image: ImageView<'a>,
    /// The crop.
    pub crop: &'a CurvePlan,
}

/// What a line says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text {
    /// The characters.
    pub text: String,
    /// Mean probability of the characters, 0..1; 0 for an empty text.
    pub score: f32,
}

/// A loaded recogniser, shared by workers.
pub struct TextRecognise {
    spec: TextRecognitionSpec,
    rule: WidthRule,
    info: RunInfo,
    kind: ScoreKind,
    workers: Pool<Worker>,
}

struct Worker {
    session: Box<dyn Session>,
    crop: Vec<u8>,
    warp: warp::cpu::Scratch,
    resize: resize_norm::cpu::Scratch,
}

impl TextRecognise {
    /// A recogniser that runs `engine` by the rules of `spec`.
    pub fn new(engine: Arc<dyn Engine>, spec: TextRecognitionSpec, rule: WidthRule) -> Self {
        let info = engine.info().clone();
        let kind = if engine.logits() { ScoreKind::Logits } else { ScoreKind::Probabilities };
        let make =
            move || Ok(Worker { session: engine.session()?, crop: Vec::new(), warp: Default::default(), resize: Default::default() });
        Self { spec, rule, info, kind, workers: Pool::new(make) }
    }

    /// What runs.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// Width of the network input for a crop of this size.
    pub fn input_width(&self, crop: Size) -> u32 {
        self.rule.width(self.spec.image_shape, crop)
    }

    /// Reads `lines` in inputs of the width `width`, at the right of which narrower lines are padded; texts come in their order.
    pub fn recognise(&self, lines: &[Line<'_>], width: u32, times: &mut StageTimes) -> Result<Vec<Text>> {
        self.workers.with(|worker| self.recognise_with(worker, lines, width, times))
    }

    fn recognise_with(&self, worker: &mut Worker, lines: &[Line<'_>], width: u32, times: &mut StageTimes) -> Result<Vec<Text>> {
        let height = self.spec.image_shape[1];
        let canvas = Size::new(width, height);
        let params =
            Params { canvas, interpolation: Interpolation::Linear, normalize: Normalize::SYMMETRIC, pad: 0.0, planes: Planes::Bgr };
        let plane = 3 * canvas.area() as usize;
        let input = worker.session.input(0, Shape::new(&[lines.len(), 3, height as usize, width as usize]))?;
        for (line, out) in lines.iter().zip(input.chunks_exact_mut(plane)) {
            times.measure(Stage::Crop, || curve::warp(line.image, line.crop, &mut worker.crop, &mut worker.warp))?;
            times.measure(Stage::RecPre, || {
                let src = ImageView { data: &worker.crop, size: line.crop.size(), format: PixelFormat::Bgr };
                let own = Size::new(self.input_width(line.crop.size()).min(width), height);
                let resized = Size::new(fitted_width(line.crop.size(), own), height);
                resize_norm::cpu::run(&[Item::whole(src, resized)], &params, out, &mut worker.resize)
            })?;
        }
        times.measure(Stage::RecInfer, || worker.session.run())?;
        times.measure(Stage::RecPost, || {
            let output = worker.session.output(0)?;
            let &[n, steps, classes] = output.shape.dims() else {
                return Err(self.fault(format!("output {}; [lines x steps x classes] is expected", output.shape)));
            };
            if n != lines.len() || classes != self.spec.characters.len() {
                let expected = format!("{} lines and {} classes are expected", lines.len(), self.spec.characters.len());
                return Err(self.fault(format!("output {}; {expected}", output.shape)));
            }
            let scores = output.as_f32()?.chunks_exact(steps * classes);
            Ok(scores.map(|s| self.text(&ctc::cpu::decode(s, steps, classes, self.kind))).collect())
        })
    }

    fn text(&self, decoded: &ctc::Decoded) -> Text {
        let text = decoded.classes.iter().map(|&c| self.spec.characters[c as usize].as_str()).collect();
        Text { text, score: decoded.score }
    }

    fn fault(&self, found: String) -> Error {
        Error::device("cpu", format!("model {}", self.info.model), found)
    }
}

/// Width of a crop scaled to the canvas height, at most the canvas width.
fn fitted_width(crop: Size, canvas: Size) -> u32 {
    let scaled = f64::from(canvas.height) * (f64::from(crop.width) / f64::from(crop.height.max(1)));
    (scaled.ceil() as u32).clamp(1, canvas.width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lines_get_narrow_inputs_and_long_ones_the_references() {
        let table = [((20, 40), 320, 64, 64), ((300, 48), 320, 320, 320), ((330, 48), 330, 384, 330), ((1001, 50), 960, 1024, 960)];
        for ((width, height), reference, tight, narrower) in table {
            let width_by = |rule: WidthRule| rule.width([3, 48, 320], Size::new(width, height));
            let widths = [WidthRule::Reference, WidthRule::Tight(64), WidthRule::Narrower(64)].map(width_by);
            assert_eq!(widths, [reference, tight, narrower], "{width} x {height}");
        }
    }
}

//! Text recognition: upright line crops of a picture → texts with scores.

mod gpu;

use super::OddScores;
use super::network::{Network, Share, Worker};
use crate::backend::{BackendName, Engine, RunInfo};
use crate::error::{Error, Result};
use crate::image::{ImageView, PictureRef, Resident, Size};
use crate::model::TextRecognitionSpec;
use crate::onnx::OutputKind;
use crate::ops::ctc::cpu::Greedy;
use crate::ops::ctc::head::{self, Head};
use crate::ops::ctc::{self, ScoreKind};
use crate::ops::resize_norm::{self, Interpolation, Item, Normalize, Params, Planes};
use crate::ops::warp;
use crate::ops::warp::cuda::Taps;
use crate::ops::warp::curve::{self, CurvePlan};
use crate::tensor::storage::Storage;
use crate::tensor::{Shape, TensorRef};
use crate::trace::{Stage, StageTimes};
use std::sync::Arc;

/// Widths of lines in fast mode are multiples of this: few widths, so that lines share runs. OpenVINO prepares itself for
/// every new width (tens of milliseconds, some megabytes), and steps of 32 pixels save less work per line than that costs.
const FAST_WIDTH_STEP_PX: u32 = 64;

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
    /// The one that the network takes, whatever the line: as in PaddleOCR.
    Fixed(u32),
}

impl WidthRule {
    /// The widths of fast mode on this engine. Rounding up makes lines longer than the reference's least width wider than the
    /// reference has them, which pays only where a new width is dear: on OpenVINO, and on GPUs, where cuDNN plans for it anew.
    pub fn fast(engine: &RunInfo) -> Self {
        match engine.backend == BackendName::OpenVino || engine.device != "cpu" {
            true => Self::Tight(FAST_WIDTH_STEP_PX),
            false => Self::Narrower(FAST_WIDTH_STEP_PX),
        }
    }

    /// What results call widths that a user chose in place of the reference's.
    fn name(self) -> Option<&'static str> {
        matches!(self, Self::Tight(_) | Self::Narrower(_)).then_some("tight")
    }

    /// Width of the input for a crop of this size, for a model of the shape `[channels, height, least width]`.
    fn width(self, shape: [u32; 3], crop: Size) -> u32 {
        let [_, height, least] = shape.map(f64::from);
        let ratio = f64::from(crop.width) / f64::from(crop.height.max(1));
        let reference = (height * (least / height).max(ratio)) as u32;
        let tight = |step| ((height * ratio).ceil() as u32).clamp(1, MOST_WIDTH_PX / step * step).next_multiple_of(step);
        let width = match self {
            Self::Reference => reference,
            Self::Tight(step) => tight(step),
            Self::Narrower(step) => tight(step).min(reference),
            Self::Fixed(width) => width,
        };
        width.min(MOST_WIDTH_PX)
    }
}

/// Lines that memory on a GPU lies ready for before the first come, of the model's own width: a usual run there.
pub const USUAL_LINES: usize = 32;

/// Widest input: a line of more than a thousand times its height is no line. The reference has no bound, and runs out of memory.
const MOST_WIDTH_PX: u32 = 1 << 16;

/// One line to read: where it is cut out of which picture.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    /// The picture.
    pub image: PictureRef<'a>,
    /// The picture on the GPU, for a recogniser that runs there.
    pub resident: Option<&'a Arc<Resident>>,
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
    network: Network<Scratch>,
    info: RunInfo,
    ending: Ending,
    odd_scores: OddScores,
}

/// What follows the engine.
enum Ending {
    /// The decoder, of scores of this kind.
    Decode(ScoreKind),
    /// The network's last layer, then the decoder.
    Head(Head),
}

/// Buffers kept between calls.
#[derive(Default)]
struct Scratch {
    head: head::Scratch,
    crop: Vec<u8>,
    warp: warp::cpu::Scratch,
    resize: resize_norm::cpu::Scratch,
    /// What the kernel of crops needs on the GPU, once it was brought there.
    taps: Option<Storage<Taps>>,
}

impl TextRecognise {
    /// A recogniser that runs `engine` by the rules of `spec`; `rule` counts where the network takes more than one width.
    pub fn new(engine: Arc<dyn Engine>, spec: TextRecognitionSpec, rule: WidthRule) -> Self {
        let [_, width] = engine.io().picture_sides(0);
        let rule = width.and_then(|width| u32::try_from(width).ok()).map_or(rule, WidthRule::Fixed);
        let ending = match engine.output_kind() {
            OutputKind::Original => Ending::Decode(ScoreKind::Probabilities),
            OutputKind::Logits => Ending::Decode(ScoreKind::Logits),
            OutputKind::Features(classifier) => Ending::Head(Head::new(&classifier.weights, &classifier.bias)),
        };
        let network = Network::new(engine);
        let info = RunInfo { widths: rule.name(), ..network.info().clone() };
        let recognise = Self { spec, rule, network, info, ending, odd_scores: OddScores::default() };
        recognise.reserve();
        recognise
    }

    /// What runs.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// Width of the network input for a crop of this size.
    pub fn input_width(&self, crop: Size) -> u32 {
        self.rule.width(self.spec.image_shape, crop)
    }

    /// Most of `lines` lines that share an input of the width `width` on the network's own engine; all of them where that runs
    /// none so wide, but another in its place.
    pub fn together(&self, lines: usize, width: u32) -> usize {
        let lines = self.network.max_batch().min(lines);
        let own = |count: &usize| self.network.runs_itself(self.input_shape(*count, width));
        (1..=lines).rev().find(own).unwrap_or(lines)
    }

    fn input_shape(&self, lines: usize, width: u32) -> Shape {
        Shape::new(&[lines, 3, self.spec.image_shape[1] as usize, width as usize])
    }

    /// Reads `lines` in inputs of the width `width`, at the right of which narrower lines are padded; texts come in their order. A picture
    /// that is a line already is the window of its own size at (0, 0), and [`input_width`](Self::input_width) tells its width.
    ///
    /// # Errors
    /// [`Error::Config`] for inputs without a width; those of the engine.
    pub fn recognise(&self, lines: &[Line<'_>], width: u32, times: &mut StageTimes) -> Result<Vec<Text>> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        if width == 0 {
            return Err(Error::config("width", "inputs of text recognition without a width"));
        }
        self.network.with(Share::Whole, |worker| {
            let texts = match worker.session.on_gpu() {
                Some(session) => {
                    let what = || format!("model {}, {} lines of width {width}", self.info().model, lines.len());
                    let texts = self.recognise_on_gpu(session, &mut worker.scratch, lines, width, times);
                    texts.map_err(|error| error.during(what))
                }
                None => self.recognise_on_cpu(worker, lines, width, times),
            };
            let texts = texts?;
            worker.book(times);
            Ok(texts)
        })
    }

    fn recognise_on_cpu(&self, worker: &mut Worker<Scratch>, lines: &[Line<'_>], width: u32, times: &mut StageTimes) -> Result<Vec<Text>> {
        let params = self.params(width);
        let canvas = params.canvas;
        let plane = 3 * canvas.area() as usize;
        let Worker { session, scratch, .. } = worker;
        let input = session.input(0, self.input_shape(lines.len(), width))?;
        for (line, out) in lines.iter().zip(input.chunks_exact_mut(plane)) {
            let image = line.image.pixels()?;
            times.measure(Stage::Crop, || curve::warp(image, line.crop, &mut scratch.crop, &mut scratch.warp))?;
            times.measure(Stage::RecPre, || {
                let src = ImageView { data: &scratch.crop, size: line.crop.size(), format: image.format };
                let resized = self.resized(line.crop.size(), canvas);
                resize_norm::cpu::run(&[Item::whole(src, resized)], &params, out, &mut scratch.resize)
            })?;
        }
        times.measure(Stage::RecInfer, || session.run())?;
        let decoded = self.decode(session.output(0)?, &mut scratch.head, lines.len(), times)?;
        Ok(decoded.iter().map(|line| self.text(line)).collect())
    }

    /// What the output of the engine for `lines` lines says.
    fn decode(
        &self,
        output: TensorRef<'_>,
        scratch: &mut head::Scratch,
        lines: usize,
        times: &mut StageTimes,
    ) -> Result<Vec<ctc::Decoded>> {
        let [steps, depth] = self.steps_and_depth(output.shape, lines)?;
        if steps == 0 {
            return Ok(vec![ctc::Decoded::default(); lines]);
        }
        let values = output.as_f32()?.chunks_exact(steps * depth);
        Ok(match &self.ending {
            Ending::Decode(kind) => {
                times.measure(Stage::RecPost, || values.map(|scores| ctc::cpu::decode(scores, steps, depth, *kind)).collect())
            }
            Ending::Head(head) => {
                let mut line = |features| {
                    let mut greedy = Greedy::new(ScoreKind::Logits);
                    for block in head.blocks(features) {
                        let scores = times.measure(Stage::RecInfer, || head.scores(block, scratch));
                        times.measure(Stage::RecPost, || scores.for_each(|step| greedy.step_of(step)));
                    }
                    greedy.finish()
                };
                values.map(&mut line).collect()
            }
        })
    }

    /// How lines become an input of this width.
    fn params(&self, width: u32) -> Params {
        let canvas = Size::new(width, self.spec.image_shape[1]);
        Params { canvas, interpolation: Interpolation::Linear, normalize: Normalize::SYMMETRIC, pad: 0.0, planes: Planes::Bgr }
    }

    /// Size of a crop in an input of the size `canvas`.
    fn resized(&self, crop: Size, canvas: Size) -> Size {
        let own = Size::new(self.input_width(crop).min(canvas.width), canvas.height);
        Size::new(fitted_width(crop, own), canvas.height)
    }

    /// Steps of an output for so many lines, and values of each: classes, or what the last layer makes classes of.
    fn steps_and_depth(&self, output: Shape, lines: usize) -> Result<[usize; 2]> {
        let classes = self.spec.characters.len();
        let depth = match &self.ending {
            Ending::Decode(_) => classes,
            Ending::Head(head) if head.classes() == classes => head.features(),
            Ending::Head(head) => return Err(self.network.fault(format!("{} classes; {classes} are expected", head.classes()))),
        };
        match *output.dims() {
            [n, steps, found] if n == lines && found == depth => Ok([steps, depth]),
            _ => Err(self.network.fault(format!("output {output}; {lines} lines x steps x {depth} are expected"))),
        }
    }

    fn text(&self, decoded: &ctc::Decoded) -> Text {
        self.odd_scores.look(&self.info().model, decoded.score);
        let text = decoded.classes.iter().map(|&c| self.spec.characters[c as usize].as_str()).collect();
        Text { text, score: decoded.score }
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
        let table = [
            ((20, 40), 320, 64, 64),
            ((32_767, 1), 65_536, 65_536, 65_536),
            ((300, 48), 320, 320, 320),
            ((330, 48), 330, 384, 330),
            ((1001, 50), 960, 1024, 960),
        ];
        for ((width, height), reference, tight, narrower) in table {
            let width_by = |rule: WidthRule| rule.width([3, 48, 320], Size::new(width, height));
            let widths = [WidthRule::Reference, WidthRule::Tight(64), WidthRule::Narrower(64)].map(width_by);
            assert_eq!(widths, [reference, tight, narrower], "{width} x {height}");
        }
    }

    #[test]
    fn fast_mode_rounds_up_where_a_new_width_is_dear() {
        let table = [
            (BackendName::OnnxRuntime, "cpu", WidthRule::Narrower(64)),
            (BackendName::OpenVino, "cpu", WidthRule::Tight(64)),
            (BackendName::OnnxRuntime, "gpu:0", WidthRule::Tight(64)),
            (BackendName::TensorRt, "gpu:1", WidthRule::Tight(64)),
        ];
        for (backend, device, expected) in table {
            assert_eq!(WidthRule::fast(&RunInfo::new("m", backend, "1", device)), expected, "{backend:?} on {device}");
        }
    }
}

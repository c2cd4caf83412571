//! Classification: a picture → its most likely classes. Page orientation is a classification with four classes.

use super::feed::{PictureWorker, Placed};
use super::network::{Engines, Network, Share};
use super::picture::PictureModule;
use super::{OddScores, bounded};
use crate::backend::RunInfo;
use crate::error::{Error, Result};
use crate::image::{PictureRef, Size};
use crate::model::{ClassResize, ClassificationSpec};
use crate::ops::resize_norm::{self, Params, Planes, Window};
use crate::trace::{Stage, StageTimes};

/// The classes of a picture, most likely first; of equally likely ones the lower first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Classes {
    /// Numbers of the classes.
    pub class_ids: Vec<u32>,
    /// Probability of each, rounded to 5 decimals, half to even.
    pub scores: Vec<f32>,
    /// Name of each; empty when the model names none.
    pub label_names: Vec<String>,
}

/// A loaded classifier, shared by workers.
pub struct Classify {
    spec: ClassificationSpec,
    network: Network<resize_norm::cpu::Scratch>,
    odd_scores: OddScores,
}

impl Classify {
    /// A classifier that runs `engines` by the rules of `spec`.
    ///
    /// # Errors
    /// [`Error::Config`] when the network has other inputs or outputs than classifiers, the labels are not as many as the classes of the network, the network takes another size,
    /// or the crop is larger than the fixed size it is cut out of.
    pub fn new(engines: impl Into<Engines>, spec: ClassificationSpec) -> Result<Self> {
        let network = Network::new(engines);
        let refused = |reason: String| Err(Error::config(format!("model {}", network.info().model), reason));
        if let Some(reason) = network.other_inputs().or_else(|| network.other_outputs(&[&[2]])).or_else(|| network.no_floats(0)) {
            return refused(reason);
        }
        let classes = network.io().outputs.first().and_then(|output| output.dims.get(1).copied().flatten());
        if let Some(classes) = classes.filter(|&classes| !spec.labels.is_empty() && spec.labels.len() != classes) {
            return refused(format!("label_list has {} names for the {classes} classes of the network", spec.labels.len()));
        }
        if let (ClassResize::Fixed(size), Some(crop)) = (spec.resize, spec.crop)
            && Window::middle(size, crop).is_none()
        {
            return refused(format!("a crop of {crop} cannot be cut out of pictures resized to {size}"));
        }
        if let Some(reason) = spec.crop.and_then(|crop| network.wrong_size(0, crop)) {
            return refused(reason);
        }
        Ok(Self { spec, network, odd_scores: OddScores::default() })
    }

    /// Names of the classes; none when the model names none.
    pub fn labels(&self) -> &[String] {
        &self.spec.labels
    }

    /// Size of a picture of size `picture` after the resize, and the part of it that is fed.
    ///
    /// The reference (PaddleX 3.0-beta1) refuses pictures that are not larger than the crop on at least one side, even one of
    /// exactly its size; and cuts less than the crop where only one side is too short, which the network then refuses. Here
    /// the exact size is taken, and whatever is shorter on a side is refused.
    fn place(&self, picture: Size) -> Result<(Size, Window)> {
        let resized = resized(self.spec.resize, picture);
        let Some(crop) = self.spec.crop else { return Ok((resized, Window::whole(resized))) };
        let window = Window::middle(resized, crop).ok_or_else(|| {
            Error::input("picture", format!("{picture} pixels are {resized} after the resize, smaller than the crop of {crop}"))
        })?;
        Ok((resized, window))
    }

    fn predict_with(
        &self,
        worker: &mut PictureWorker,
        images: &[PictureRef<'_>],
        share: Share,
        times: &mut StageTimes,
    ) -> Result<Vec<Classes>> {
        times.moving(Stage::Pre, |transfers| {
            let items = images.iter().map(|&src| self.place(src.size()).map(|(resized, window)| Placed { picture: src, resized, window }));
            let items: Vec<Placed<PictureRef>> = items.collect::<Result<_>>()?;
            let Some(canvas) = items.first().map(|item| item.window.size) else { return Ok(()) };
            let (interpolation, normalize) = (self.spec.interpolation, self.spec.normalize);
            let params = Params { canvas, interpolation, normalize, pad: 0.0, planes: Planes::Rgb };
            worker.feed_pictures(0, &items, &params, share, transfers)
        })?;
        worker.run(Stage::Infer, times)?;
        times.moving(Stage::Post, |transfers| {
            let outputs = worker.outputs(1, transfers)?;
            let output = outputs[0].tensor()?;
            let &[n, classes] = output.shape.dims() else {
                return Err(self.network.fault(format!("output {}; [pictures x classes] is expected", output.shape)));
            };
            if n != images.len() || classes == 0 || !(self.spec.labels.is_empty() || self.spec.labels.len() == classes) {
                let expected = format!("{} pictures and {} classes are expected", images.len(), self.spec.labels.len());
                return Err(self.network.fault(format!("output {}; {expected}", output.shape)));
            }
            let scores = output.as_f32()?;
            if scores.iter().any(|score| !score.is_finite()) {
                return Err(self.network.fault("a score that is no number"));
            }
            Ok(scores.chunks_exact(classes).map(|scores| self.classes(scores)).collect())
        })
    }

    fn classes(&self, scores: &[f32]) -> Classes {
        let ids = top(scores, self.spec.topk);
        ids.iter().for_each(|&id| self.odd_scores.look(&self.info().model, scores[id]));
        Classes {
            scores: ids.iter().map(|&id| round_5(scores[id])).collect(),
            label_names: ids.iter().filter_map(|&id| self.spec.labels.get(id).cloned()).collect(),
            class_ids: ids.into_iter().map(|id| id as u32).collect(),
        }
    }
}

impl PictureModule for Classify {
    type Output = Classes;

    fn info(&self) -> &RunInfo {
        self.network.info()
    }

    fn max_batch(&self) -> usize {
        self.network.max_batch()
    }

    fn input_size(&self, picture: Size) -> Result<Size> {
        let (_, window) = self.place(picture)?;
        bounded(&self.info().model, picture, window.size, "a CropImage in its inference.yml bounds it")?;
        Ok(window.size)
    }

    fn predict(&self, images: &[PictureRef<'_>], share: Share, times: &mut StageTimes) -> Result<Vec<Classes>> {
        self.network.with(share, |worker| self.predict_with(worker, images, share, times))
    }
}

fn resized(rule: ClassResize, picture: Size) -> Size {
    match rule {
        ClassResize::Fixed(size) => size,
        ClassResize::Short(short) => {
            let scale = f64::from(short) / f64::from(picture.width.min(picture.height).max(1));
            let side = |side: u32| (f64::from(side) * scale).round_ties_even() as u32;
            Size::new(side(picture.width), side(picture.height))
        }
    }
}

/// Indices of the `k` largest scores, the largest first, of equal ones the lower first.
fn top(scores: &[f32], k: usize) -> Vec<usize> {
    let order = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
    let mut ids: Vec<usize> = (0..scores.len()).collect();
    let k = k.clamp(1, ids.len());
    ids.select_nth_unstable_by(k - 1, order);
    ids.truncate(k);
    ids.sort_unstable_by(order);
    ids
}

/// NumPy's `around` to 5 decimals of the value in float64.
fn round_5(score: f32) -> f32 {
    ((f64::from(score) * 1e5).round_ties_even() / 1e5) as f32
}

//! Detection of objects and of page regions: a picture → boxes with classes.

use super::feed::{PictureWorker, Placed};
use super::network::{Engines, Network, Share};
use super::page_picture::PagePicture;
use super::picture::PictureModule;
use super::{bounded, factor_within, scaled, suppress};
use crate::backend::{IoSpec, RunInfo};
use crate::error::{Error, Result};
use crate::image::{ImageBuf, Picture, PictureRef, Size};
use crate::model::{Canvas, DetectionSpec};
use crate::ops::layout::regions::{RegionRules, Row};
use crate::ops::nms::NmsParams;
use crate::ops::resize_norm::{self, Normalize, Params, Planes};
use crate::result::DetectedBox;
use crate::tensor::Shape;
use crate::trace::{Stage, StageTimes, Transfers};
use std::sync::Arc;

/// A loaded detector, shared by workers.
pub struct Detect {
    spec: DetectionSpec,
    network: Network<resize_norm::cpu::Scratch>,
    inputs: Inputs,
    /// Set where the graph ends before the suppression of overlapping boxes.
    suppression: Option<NmsParams>,
    /// Which of the boxes are used, beyond their scores.
    rules: Option<RegionRules>,
}

/// Which input of the graph is which.
struct Inputs {
    image: usize,
    scale_factor: Option<usize>,
    im_shape: Option<usize>,
}

/// The rows of a run: those of the first picture, then those of the second...
pub(super) struct Rows {
    pub rows: Vec<Row>,
    /// Rows of each picture.
    pub counts: Vec<usize>,
}

impl Rows {
    /// The rows of each picture.
    pub fn of_pictures(&self) -> impl Iterator<Item = &[Row]> {
        let mut rest = &self.rows[..];
        self.counts.iter().map(move |&count| {
            let (rows, others) = rest.split_at(count);
            rest = others;
            rows
        })
    }
}

impl Detect {
    /// A detector that runs `engines` by the rules of `spec`.
    ///
    /// # Errors
    /// [`Error::Config`] when the network has other inputs or outputs than detectors, takes another size, or has other
    /// classes than the labels.
    pub fn new(engines: impl Into<Engines>, spec: DetectionSpec) -> Result<Self> {
        let network = Network::new(engines);
        let refused = |reason: String| Error::config(format!("model {}", network.info().model), reason);
        let inputs = Inputs::find(network.io()).map_err(refused)?;
        let outputs: &[&[usize]] = if spec.masks { &[&[2, 3], &[], &[]] } else { &[&[2, 3]] };
        if let Some(reason) = network.other_outputs(outputs).or_else(|| network.no_floats(0)) {
            return Err(refused(reason));
        }
        // Where nothing is found some graphs answer with a single number.
        if let &[_, Some(columns)] = &network.io().outputs[0].dims[..]
            && ![1, 6].contains(&columns)
        {
            let expected = "rows of class, score and four sides are expected: it is that of another model";
            return Err(refused(format!("the network gives rows of {columns} numbers; {expected}")));
        }
        // A kept aspect ratio without a canvas gives every picture its own size: what the network takes shows then.
        let fed = match spec.canvas {
            Canvas::Fixed { size, .. } => Some(size),
            _ if spec.keep_ratio => None,
            canvas => Some(canvas_of(canvas, spec.target)),
        };
        if let Some(reason) = fed.and_then(|fed| network.wrong_size(inputs.image, fed)) {
            return Err(refused(reason));
        }
        let suppression = suppress::needed(network.io(), spec.head, inputs.im_shape.is_some()).map_err(refused)?;
        let classes = suppression.and_then(|_| network.io().outputs[1].dims[1]);
        if let Some(classes) = classes.filter(|&classes| classes != spec.labels.len()) {
            return Err(refused(format!("label_list has {} names for the {classes} classes of the network", spec.labels.len())));
        }
        Ok(Self { spec, network, inputs, suppression, rules: None })
    }

    /// The same, with `rules` on which boxes are used.
    ///
    /// # Errors
    /// [`Error::Config`] when they name a class that the detector does not have.
    pub fn with_rules(self, rules: Option<RegionRules>) -> Result<Self> {
        let names = &self.spec.labels;
        if let Some(class) = rules.as_ref().and_then(RegionRules::greatest_class).filter(|&class| class as usize >= names.len()) {
            let reason = format!("the options name class {class}, the model has those from 0: {}", names.join(", "));
            return Err(Error::config(format!("model {}", self.network.info().model), reason));
        }
        Ok(Self { rules, ..self })
    }

    /// `picture`, of which `image` is what lies on the host, as a page whose parts are read where this network runs.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn page(&self, picture: &Picture, image: Arc<ImageBuf>, share: Share, times: &mut StageTimes) -> Result<PagePicture> {
        PagePicture::place(&self.network, picture, image, share, times)
    }

    /// Whether it finds things of `class`, in small letters.
    pub fn finds(&self, class: &str) -> bool {
        self.spec.labels.iter().any(|label| label.to_lowercase() == class)
    }

    /// The network.
    pub(super) fn network(&self) -> &Network<resize_norm::cpu::Scratch> {
        &self.network
    }

    /// Prepares `images`, all of one input size, runs the network, and lets `interpret` read what came out.
    pub(super) fn run<R>(
        &self,
        images: &[PictureRef<'_>],
        share: Share,
        times: &mut StageTimes,
        interpret: impl FnOnce(&mut PictureWorker, &Rows, &mut Transfers) -> Result<R>,
    ) -> Result<R> {
        self.network.with(share, |worker| {
            times.moving(Stage::Pre, |transfers| self.prepare(images, worker, share, transfers))?;
            worker.run(Stage::Infer, times)?;
            times.moving(Stage::Post, |transfers| {
                let rows = self.rows(worker, images.len(), transfers)?;
                interpret(worker, &rows, transfers)
            })
        })
    }

    fn prepare(&self, images: &[PictureRef<'_>], worker: &mut PictureWorker, share: Share, transfers: &mut Transfers) -> Result<()> {
        let items: Vec<Placed<PictureRef>> = images.iter().map(|&src| Placed::whole(src, self.resized(src.size()))).collect();
        let Some(first) = items.first() else { return Ok(()) };
        let canvas = canvas_of(self.spec.canvas, first.resized);
        let pad = if let Canvas::Fixed { fill, .. } = self.spec.canvas { fill } else { 0.0 };
        let normalize = self.spec.normalize.unwrap_or(Normalize::NONE);
        let params = Params { canvas, interpolation: self.spec.interpolation, normalize, pad, planes: Planes::Rgb };
        worker.feed_pictures(self.inputs.image, &items, &params, share, transfers)?;
        let pairs = Shape::new(&[items.len(), 2]);
        if let Some(index) = self.inputs.scale_factor {
            let ratio = |to: u32, from: u32| (f64::from(to) / f64::from(from)) as f32;
            let pair = |item: &Placed<PictureRef>| {
                let (from, to) = (item.picture.size(), item.resized);
                [ratio(to.height, from.height), ratio(to.width, from.width)]
            };
            worker.feed(index, pairs, items.iter().map(pair).collect::<Vec<_>>().as_flattened(), transfers)?;
        }
        if let Some(index) = self.inputs.im_shape {
            let pair = |item: &Placed<PictureRef>| [item.resized.height as f32, item.resized.width as f32];
            worker.feed(index, pairs, items.iter().map(pair).collect::<Vec<_>>().as_flattened(), transfers)?;
        }
        Ok(())
    }

    /// The rows of the last run, of so many pictures. Graphs exported without the index output of their suppression say
    /// that nothing is left by a single -1, others by no rows.
    fn rows(&self, worker: &mut PictureWorker, pictures: usize, transfers: &mut Transfers) -> Result<Rows> {
        if let Some(params) = &self.suppression {
            return self.suppressed(worker, pictures, params, transfers);
        }
        let outputs = worker.outputs(self.network.io().outputs.len().min(2), transfers)?;
        let output = outputs[0].tensor()?;
        let data = output.as_f32()?;
        let rows: &[Row] = match output.shape.dims() {
            _ if data.is_empty() || data == [-1.0] => &[],
            [_, 6] => data.as_chunks().0,
            _ => {
                let expected = "rows of class, score and four sides are expected";
                return Err(self.network.fault(format!("output {}; {expected}", output.shape)));
            }
        };
        let counts = match outputs.get(1) {
            None => vec![rows.len() as i64],
            _ if rows.is_empty() => vec![0; pictures],
            Some(counts) => counts.tensor()?.to_i64()?,
        };
        let total = counts.iter().try_fold(0i64, |sum, &count| sum.checked_add(count));
        if counts.len() != pictures || counts.iter().any(|&count| count < 0) || total != Some(rows.len() as i64) {
            return Err(self.network.fault(format!("{} rows, counted {counts:?}, for {pictures} pictures", rows.len())));
        }
        let (mut rows, counts) = (rows.to_vec(), counts.into_iter().map(|count| count as usize).collect::<Vec<_>>());
        if !self.spec.masks {
            let mut rest = &mut rows[..];
            for &count in &counts {
                let (picture, others) = rest.split_at_mut(count);
                order_within_classes(picture);
                rest = others;
            }
        }
        Ok(Rows { rows, counts })
    }

    /// What stays of the candidates of the last run.
    fn suppressed(&self, worker: &mut PictureWorker, pictures: usize, params: &NmsParams, transfers: &mut Transfers) -> Result<Rows> {
        let batch = |boxes: &Shape, scores: &Shape| suppress::batch(boxes, scores, pictures).map_err(|found| self.network.fault(found));
        if let Some(session) = worker.session.on_gpu() {
            let stream = session.stream().clone();
            let outputs = session.outputs(2)?;
            let (boxes, scores) = (&outputs[0], &outputs[1]);
            return suppress::on_gpu(&stream, boxes.as_f32()?, scores.as_f32()?, batch(&boxes.shape, &scores.shape)?, params, transfers);
        }
        let (boxes, scores) = (worker.session.output(0)?, worker.session.output(1)?);
        suppress::on_host(boxes.as_f32()?, scores.as_f32()?, batch(&boxes.shape, &scores.shape)?, params)
    }

    /// The rows of a picture of size `picture` that are results, in their order, each with its number: a score above the
    /// threshold, a class that is no padding. Sides are cut to the picture.
    pub(super) fn kept(&self, rows: &[Row], picture: Size) -> Result<Vec<(usize, DetectedBox)>> {
        let is_used = |[class, score, ..]: &Row| *score > self.spec.draw_threshold && *class > -1.0;
        self.check_numbers(rows.iter().filter(|row| is_used(row)))?;
        let kept = rows.iter().enumerate().filter(|(_, row)| is_used(row));
        kept.map(|(number, row)| Ok((number, self.found(row, picture)?))).collect()
    }

    /// The boxes that are used of the rows of a picture of size `picture`.
    fn used(&self, rows: &[Row], picture: Size) -> Result<Vec<DetectedBox>> {
        match &self.rules {
            None => Ok(self.kept(rows, picture)?.into_iter().map(|(_, found)| found).collect()),
            Some(rules) => {
                let rows = rules.above(rows, self.spec.draw_threshold);
                self.check_numbers(&rows)?;
                let rows = rules.apply(&rows, self.spec.draw_threshold, picture, &self.spec.labels);
                rows.iter().map(|row| self.found(row, picture)).collect()
            }
        }
    }

    /// Refuses rows with a score that is no number, or sides that are none once they are cut to the picture.
    fn check_numbers<'r>(&self, rows: impl IntoIterator<Item = &'r Row>) -> Result<()> {
        let is_none = |[_, score, x1, y1, x2, y2]: &&Row| {
            !score.is_finite() || [*x1, *y1, -*x2, -*y2].iter().any(|side| side.is_nan() || *side == f32::INFINITY)
        };
        match rows.into_iter().find(is_none) {
            Some([_, score, sides @ ..]) => Err(self.network.fault(format!("a box with the score {score} and the sides {sides:?}"))),
            None => Ok(()),
        }
    }

    fn found(&self, &[class, score, x1, y1, x2, y2]: &Row, picture: Size) -> Result<DetectedBox> {
        let cls_id = class as u32;
        let label = self.spec.labels.get(cls_id as usize).cloned().ok_or_else(|| {
            let names = self.spec.labels.len();
            Error::config(
                format!("model {}", self.network.info().model),
                format!("the network found class {cls_id}, label_list has {names} names: it is that of another model"),
            )
        })?;
        let (width, height) = (picture.width as f32, picture.height as f32);
        let low = |v: f32| if v > 0.0 { v } else { 0.0 };
        let coordinate = [low(x1), low(y1), width.min(x2), height.min(y2)];
        Ok(DetectedBox { cls_id, label, score, coordinate })
    }

    fn resized(&self, picture: Size) -> Size {
        let target = self.spec.target;
        if !self.spec.keep_ratio {
            return target;
        }
        scaled(picture, factor_within(picture, target))
    }
}

/// Brings the rows of each class into the order of their scores, in the places that the class has: that of Paddle's suppression, which
/// OpenVINO's leaves out. Masks of a network stand in the order of its rows.
fn order_within_classes(rows: &mut [Row]) {
    let mut places: Vec<usize> = (0..rows.len()).collect();
    places.sort_by(|&a, &b| rows[a][0].total_cmp(&rows[b][0]));
    let mut wanted = places.clone();
    wanted.sort_by(|&a, &b| rows[a][0].total_cmp(&rows[b][0]).then(rows[b][1].total_cmp(&rows[a][1])));
    let ordered: Vec<Row> = wanted.into_iter().map(|at| rows[at]).collect();
    for (place, row) in places.into_iter().zip(ordered) {
        rows[place] = row;
    }
}

impl PictureModule for Detect {
    type Output = Vec<DetectedBox>;

    fn info(&self) -> &RunInfo {
        self.network.info()
    }

    fn max_batch(&self) -> usize {
        // Of some exports the suppression is of one picture, whatever their inputs say: so many they count the boxes of.
        let counted = self.network.io().outputs.get(1).map(|counts| &counts.dims[..]);
        match counted {
            Some(&[Some(pictures)]) if self.suppression.is_none() => self.network.max_batch().min(pictures.max(1)),
            _ => self.network.max_batch(),
        }
    }

    fn input_size(&self, picture: Size) -> Result<Size> {
        let fed = canvas_of(self.spec.canvas, self.resized(picture));
        bounded(&self.info().model, picture, fed, "a Resize with keep_ratio False in its inference.yml bounds it")?;
        Ok(fed)
    }

    fn predict(&self, images: &[PictureRef<'_>], share: Share, times: &mut StageTimes) -> Result<Vec<Vec<DetectedBox>>> {
        self.run(images, share, times, |_, rows, _| {
            let pictures = images.iter().zip(rows.of_pictures());
            pictures.map(|(image, rows)| self.used(rows, image.size())).collect()
        })
    }
}

impl Inputs {
    /// By their names. The picture may have another: it is the only input of four dimensions.
    fn find(io: &IoSpec) -> Result<Self, String> {
        let (mut image, mut scale_factor, mut im_shape) = (None, None, None);
        for (index, input) in io.inputs.iter().enumerate() {
            let place = match input.name.as_str() {
                "scale_factor" => &mut scale_factor,
                "im_shape" => &mut im_shape,
                name if name == "image" || input.dims.len() == 4 => &mut image,
                name => return Err(format!("input `{name}` is unknown; detectors have image, scale_factor and im_shape")),
            };
            if place.replace(index).is_some() {
                return Err(format!("a second input like `{}`", input.name));
            }
        }
        Ok(Self { image: image.ok_or("no input for the picture")?, scale_factor, im_shape })
    }
}

/// Size of the tensor of a picture that is `resized` after the resize.
fn canvas_of(canvas: Canvas, resized: Size) -> Size {
    match canvas {
        Canvas::Resized => resized,
        Canvas::Fixed { size, .. } => size,
        Canvas::Stride(step) => {
            let side = |side: u32| side.next_multiple_of(step.max(1));
            Size::new(side(resized.width), side(resized.height))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_class_stand_by_score_in_the_places_of_the_class() {
        let row = |class: f32, score: f32| [class, score, 0.0, 0.0, 1.0, 1.0];
        let order = |rows: &[(f32, f32)]| {
            let mut rows: Vec<Row> = rows.iter().map(|&(class, score)| row(class, score)).collect();
            order_within_classes(&mut rows);
            rows.iter().map(|row| (row[0], row[1])).collect::<Vec<_>>()
        };
        assert_eq!(order(&[(0.0, 0.2), (0.0, 0.9), (2.0, 0.5), (2.0, 0.7)]), [(0.0, 0.9), (0.0, 0.2), (2.0, 0.7), (2.0, 0.5)]);
        let by_score = [(1.0, 0.9), (0.0, 0.8), (1.0, 0.7), (0.0, 0.1)];
        assert_eq!(order(&by_score), by_score, "detectors without suppression have one order for all classes");
        assert!(order(&[]).is_empty());
    }
}

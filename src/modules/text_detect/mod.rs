//! Text detection: a picture → regions with scores. Straight text gives quadrilaterals in reading order, curved text
//! (seals) polygons in the order in which they are found, or by their highest points.

mod gpu;

use super::network::{Engines, Network, Share, Worker};
use super::{bounded, shape_of};
use crate::backend::RunInfo;
use crate::error::{Error, Result};
use crate::image::{ImageBuf, ImageView, PictureRef, PointI, Resident, Size};
use crate::model::{BoxType, DetResize, LimitType, TextDetectionSpec};
use crate::ops::db::{self, MAX_UNCLIP, ProbabilityMap, ScoreMode, TextBox, TextPolygon};
use crate::ops::resize_norm::{self, Interpolation, Item, Params, Planes};
use crate::ops::warp::CropPlan;
use crate::ops::warp::curve::CurvePlan;
use crate::tensor::Shape;
use crate::trace::{Stage, StageTimes};
use std::sync::Arc;

/// Longest side that a limit can name, in pixels.
const MAX_SIDE: u32 = 1 << 16;

/// Settings that a pipeline file or flag puts in place of the model's own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DetectionOverrides {
    /// Side limit in pixels.
    pub limit_side_len: Option<u32>,
    /// Which side is limited.
    pub limit_type: Option<LimitType>,
    /// Limit of the longer side after that, in pixels.
    pub max_side: Option<u32>,
    /// Text threshold of the probability map, 0..1.
    pub thresh: Option<f32>,
    /// Least box score, 0..1.
    pub box_thresh: Option<f64>,
    /// Growth of the boxes.
    pub unclip_ratio: Option<f64>,
    /// What the score of a box is the mean of. The reference's own, [`ScoreMode::Fast`], loses thin tilted lines.
    pub score_mode: Option<ScoreMode>,
    /// Whether curved text comes by its highest point, as in PaddleX 3.x, instead of as it is found.
    pub is_from_top: bool,
}

impl DetectionOverrides {
    /// Refuses numbers that make no sense; `place` names where they stand.
    pub fn check(&self, place: &str) -> Result<()> {
        let score = |value: Option<f64>| (value, 0.0..=1.0);
        for (key, (value, range)) in [
            ("limit_side_len", (self.limit_side_len.map(f64::from), 1.0..=f64::from(MAX_SIDE))),
            ("max_side_limit", (self.max_side.map(f64::from), 1.0..=f64::from(MAX_SIDE))),
            ("thresh", score(self.thresh.map(f64::from))),
            ("box_thresh", score(self.box_thresh)),
            ("unclip_ratio", (self.unclip_ratio, f64::MIN_POSITIVE..=MAX_UNCLIP)),
        ] {
            if let Some(value) = value.filter(|value| !range.contains(value)) {
                let least = if *range.start() == f64::MIN_POSITIVE { "above 0" } else { &format!("from {}", range.start()) };
                return Err(Error::config(place, format!("{key}: {value} is not {least} to {}", range.end())));
            }
        }
        Ok(())
    }

    /// `spec` with these settings in place.
    pub fn apply(&self, mut spec: TextDetectionSpec) -> TextDetectionSpec {
        if self.limit_side_len.is_some() || self.limit_type.is_some() {
            let (own_side, own_type) = match spec.resize {
                DetResize::Limit { side_len, limit_type } => (side_len, limit_type),
                DetResize::Long { side_len } => (side_len, LimitType::ResizeLong),
                DetResize::Fixed { size, .. } => (size.height, LimitType::Max),
            };
            let (side_len, limit_type) = (self.limit_side_len.unwrap_or(own_side), self.limit_type.unwrap_or(own_type));
            spec.resize = DetResize::Limit { side_len, limit_type };
        }
        spec.max_side = self.max_side.or(spec.max_side);
        spec.db.thresh = self.thresh.unwrap_or(spec.db.thresh);
        spec.db.box_thresh = self.box_thresh.unwrap_or(spec.db.box_thresh);
        spec.db.unclip_ratio = self.unclip_ratio.unwrap_or(spec.db.unclip_ratio);
        spec.db.score_mode = self.score_mode.unwrap_or(spec.db.score_mode);
        spec.is_from_top |= self.is_from_top;
        spec
    }
}

/// What was found in a picture.
pub struct Detected {
    /// The regions: straight ones in reading order.
    pub regions: Vec<TextPolygon>,
    /// The picture, where it was brought to a GPU.
    pub resident: Option<Arc<Resident>>,
}

/// Most pictures that go through the network together, and pixels of their inputs. The rest of a batch is brought to the GPU
/// meanwhile, and large inputs fill it alone. Not measured on hardware yet.
const GROUP: usize = 4;
const GROUP_PIXELS: u64 = GROUP as u64 * 960 * 960;

/// A loaded detector, shared by workers.
pub struct TextDetect {
    spec: TextDetectionSpec,
    network: Network<Scratch>,
}

#[derive(Default)]
struct Scratch {
    resize: resize_norm::cpu::Scratch,
    db: db::cpu::DbScratch,
}

impl TextDetect {
    /// A detector that runs `engines` by the rules of `spec`. A network of one size gets pictures of that, as in PaddleOCR.
    ///
    /// # Errors
    /// [`Error::Config`] when the network has other inputs or outputs than those that give a map for a picture.
    pub fn new(engines: impl Into<Engines>, mut spec: TextDetectionSpec) -> Result<Self> {
        let network = Network::new(engines);
        if let Some(reason) = network.other_inputs().or_else(|| network.other_outputs(&[&[4]])).or_else(|| network.no_floats(0)) {
            return Err(Error::config(format!("model {}", network.info().model), reason));
        }
        if let [Some(height), width] = network.io().picture_sides(0).map(|side| side.and_then(|side| u32::try_from(side).ok())) {
            let fixed = DetResize::Fixed { size: Size::new(width.unwrap_or_default(), height), keep_ratio: width.is_none() };
            let stated = match width {
                Some(_) => spec.resize == fixed,
                None => matches!(spec.resize, DetResize::Fixed { size, keep_ratio: true } if size.height == height),
            };
            if !stated {
                let width = width.map_or_else(|| "any width".to_owned(), |width| width.to_string());
                let model = &network.info().model;
                tracing::warn!(
                    "{model}: this form of the network takes pictures of {width} x {height}, so that they get, whatever their limits"
                );
            }
            spec.resize = fixed;
        }
        let detect = Self { spec, network };
        detect.reserve();
        Ok(detect)
    }

    /// What runs.
    pub fn info(&self) -> &RunInfo {
        self.network.info()
    }

    /// How the line in `region` is cut out of the picture of size `picture` it was found in.
    ///
    /// # Errors
    /// [`Error::Input`] for a side of more than 32767 pixels.
    pub fn crop(&self, region: &TextPolygon, picture: Size) -> Result<CurvePlan> {
        match (self.spec.boxes, <&[PointI; 4]>::try_from(region.points.as_slice())) {
            (BoxType::Quad, Ok(quad)) => CropPlan::from_quad(quad).map(CurvePlan::Rectangle),
            _ => CurvePlan::from_polygon(&region.points, picture),
        }
    }

    /// Which of `pictures`, by number, go through the network together: on a GPU those whose inputs are of one size, as far as an
    /// input of so many runs on the network's own engine; on a processor, which gains nothing by it, each alone.
    pub fn groups(&self, pictures: impl Iterator<Item = Size>) -> Vec<Vec<usize>> {
        let mut groups: Vec<(Size, Vec<usize>)> = Vec::new();
        for (index, picture) in pictures.enumerate() {
            let input = self.input_size(picture);
            let joins = |(size, group): &&mut (Size, Vec<usize>)| *size == input && self.takes(group.len() + 1, input);
            match groups.iter_mut().find(joins) {
                Some((_, group)) => group.push(index),
                None => groups.push((input, vec![index])),
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    /// Whether `pictures` inputs of `size` go through the network together.
    fn takes(&self, pictures: usize, size: Size) -> bool {
        let fits = pictures <= GROUP && pictures as u64 * size.area() <= GROUP_PIXELS && pictures <= self.network.max_batch();
        self.info().device != "cpu" && fits && self.network.runs_itself(shape_of(pictures, size))
    }

    /// Size of what the network gets of a picture.
    fn input_size(&self, picture: Size) -> Size {
        self.spec.resize.target(canvas_of(picture), self.spec.max_side)
    }

    /// Finds the text regions of each of `images` (BGR), a [group](Self::groups). On a GPU the pictures are brought there, once,
    /// unless they lie there, and stay for what follows.
    ///
    /// # Errors
    /// [`Error::Input`] for pictures that the model's rule makes larger than any picture may be; those of the engine.
    pub fn detect(&self, images: &[PictureRef<'_>], share: Share, times: &mut StageTimes) -> Result<Vec<Detected>> {
        for size in images.iter().map(|image| image.size()) {
            bounded(&self.info().model, size, self.input_size(size), "limit_type max or a max_side_limit bounds it")?;
        }
        self.network.with(share, |worker| {
            let Worker { session, scratch, .. } = worker;
            let Some(session) = session.on_gpu() else {
                let mut detect =
                    |image: &PictureRef<'_>| Ok(Detected { regions: self.detect_on_cpu(worker, image.pixels()?, times)?, resident: None });
                return images.iter().map(&mut detect).collect();
            };
            let what = || images.first().map_or_else(String::new, |image| format!("{} of {}", images.len(), self.input_size(image.size())));
            let detected = self.detect_on_gpu(session, &mut scratch.db, images, times).map_err(|error| error.during(what))?;
            worker.book(times);
            Ok(detected)
        })
    }

    fn detect_on_cpu(&self, worker: &mut Worker<Scratch>, image: ImageView<'_>, times: &mut StageTimes) -> Result<Vec<TextPolygon>> {
        let padded = pad_tiny(image)?;
        let src = padded.as_ref().map_or(image, ImageBuf::view);
        let canvas = self.input_size(image.size);
        times.measure(Stage::DetPre, || {
            let input = worker.session.input(0, shape_of(1, canvas))?;
            resize_norm::cpu::run(&[Item::whole(src, canvas)], &self.preparation(canvas), input, &mut worker.scratch.resize)
        })?;
        worker.run(Stage::DetInfer, times)?;
        times.measure(Stage::DetPost, || {
            let output = worker.session.output(0)?;
            self.check(&output.shape, 1, canvas)?;
            let regions =
                self.regions(ProbabilityMap { data: output.as_f32()?, size: canvas, original: src.size }, &mut worker.scratch.db)?;
            Ok(within(regions, image.size))
        })
    }

    /// How a picture becomes an input of the size `canvas`.
    fn preparation(&self, canvas: Size) -> Params {
        Params { canvas, interpolation: Interpolation::Linear, normalize: self.spec.normalize, pad: 0.0, planes: Planes::Bgr }
    }

    /// Refuses an output that is not one probability per pixel of each of `pictures` inputs.
    fn check(&self, output: &Shape, pictures: usize, canvas: Size) -> Result<()> {
        if output.elements() as u64 != pictures as u64 * canvas.area() {
            let found = format!("output {output} for {pictures} of {canvas}; one probability per pixel is expected");
            return Err(self.network.fault(found));
        }
        Ok(())
    }

    fn regions(&self, map: ProbabilityMap<'_>, scratch: &mut db::cpu::DbScratch) -> Result<Vec<TextPolygon>> {
        match self.spec.boxes {
            BoxType::Poly => {
                let mut polygons = db::polygons(map, &self.spec.db, scratch)?;
                if self.spec.is_from_top {
                    polygons.sort_by_key(|polygon| polygon.points.iter().map(|point| point.y).min());
                }
                Ok(polygons)
            }
            BoxType::Quad => Ok(in_reading_order(db::cpu::boxes(map, &self.spec.db, scratch)?)),
        }
    }
}

fn in_reading_order(mut boxes: Vec<TextBox>) -> Vec<TextPolygon> {
    db::order::reading_order(&mut boxes, |b| b.quad[0]);
    boxes.into_iter().map(|TextBox { quad, score }| TextPolygon { points: quad.to_vec(), score }).collect()
}

/// Regions of a tiny picture on its canvas, as far as they lie in the picture.
fn within(mut regions: Vec<TextPolygon>, picture: Size) -> Vec<TextPolygon> {
    if canvas_of(picture) == picture {
        return regions;
    }
    regions.retain_mut(|region| {
        region.points.iter_mut().for_each(|p| (p.x, p.y) = (p.x.min(picture.width as i32), p.y.min(picture.height as i32)));
        let first = region.points.first().copied().unwrap_or_default();
        region.points.iter().any(|p| p.x != first.x) && region.points.iter().any(|p| p.y != first.y)
    });
    regions
}

/// Size of the canvas a picture is put on: pictures whose sides sum to less than 64 on one of at least 32 x 32 (reference rule).
pub(super) fn canvas_of(picture: Size) -> Size {
    let Size { width, height } = picture;
    if width + height >= 64 { picture } else { Size::new(width.max(32), height.max(32)) }
}

/// A tiny picture on its black canvas.
fn pad_tiny(image: ImageView<'_>) -> Result<Option<ImageBuf>> {
    let (Size { width, .. }, size) = (image.size, canvas_of(image.size));
    if size == image.size {
        return Ok(None);
    }
    let bytes = image.format.bytes();
    let (from, to) = (width as usize * bytes, size.width as usize * bytes);
    let mut data = vec![0; size.area() as usize * bytes];
    for (dst, src) in data.chunks_exact_mut(to).zip(image.data.chunks_exact(from)) {
        dst[..from].copy_from_slice(src);
    }
    ImageBuf::new(data, size, image.format).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_a_tiny_picture_end_where_it_does() {
        let region = |corners: [[i32; 2]; 4]| TextPolygon { points: corners.map(|[x, y]| PointI::new(x, y)).to_vec(), score: 0.9 };
        let inside = [[2, 3], [28, 3], [28, 12], [2, 12]];
        let regions = || vec![region(inside), region([[2, 3], [32, 3], [32, 18], [2, 18]]), region([[2, 14], [28, 14], [28, 31], [2, 31]])];
        let expected = [region(inside), region([[2, 3], [30, 3], [30, 14], [2, 14]])];
        assert_eq!(within(regions(), Size::new(30, 14)), expected, "the last lies on the canvas alone");
        assert_eq!(within(regions(), Size::new(40, 40)), regions());
    }
}

//! Text detection: a picture → regions with scores. Straight text gives quadrilaterals in reading order, curved text
//! (seals) polygons in the order in which they are found.

mod gpu;

use super::network::{Engines, Network, Share, Worker};
use crate::backend::RunInfo;
use crate::error::Result;
use crate::image::{ImageBuf, ImageView, PictureRef, PointI, Resident, Size};
use crate::model::{BoxType, DetResize, LimitType, TextDetectionSpec};
use crate::ops::db::{self, ProbabilityMap, ScoreMode, TextBox, TextPolygon};
use crate::ops::resize_norm::{self, Interpolation, Item, Params, Planes};
use crate::ops::warp::CropPlan;
use crate::ops::warp::curve::CurvePlan;
use crate::tensor::Shape;
use crate::trace::{Stage, StageTimes};
use std::sync::Arc;

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
}

impl DetectionOverrides {
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
    /// A detector that runs `engines` by the rules of `spec`.
    pub fn new(engines: impl Into<Engines>, spec: TextDetectionSpec) -> Self {
        Self { spec, network: Network::new(engines) }
    }

    /// What runs.
    pub fn info(&self) -> &RunInfo {
        self.network.info()
    }

    /// How the line in `region` is cut out of the picture of size `picture` it was found in.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) for a side of more than 32767 pixels.
    pub fn crop(&self, region: &TextPolygon, picture: Size) -> Result<CurvePlan> {
        match (self.spec.boxes, <&[PointI; 4]>::try_from(region.points.as_slice())) {
            (BoxType::Quad, Ok(quad)) => CropPlan::from_quad(quad).map(CurvePlan::Rectangle),
            _ => CurvePlan::from_polygon(&region.points, picture),
        }
    }

    /// Finds the text regions of `image` (BGR). On a GPU the picture is brought there, once, unless it lies there, and stays for
    /// what follows.
    pub fn detect(&self, image: PictureRef<'_>, share: Share, times: &mut StageTimes) -> Result<Detected> {
        self.network.with(share, |worker| {
            let Worker { session, scratch } = worker;
            let Some(session) = session.on_gpu() else {
                return Ok(Detected { regions: self.detect_on_cpu(worker, image.pixels()?, times)?, resident: None });
            };
            let detected = self.detect_on_gpu(session, &mut scratch.db, image, times)?;
            times.ran.insert(worker.session.ran());
            Ok(detected)
        })
    }

    fn detect_on_cpu(&self, worker: &mut Worker<Scratch>, image: ImageView<'_>, times: &mut StageTimes) -> Result<Vec<TextPolygon>> {
        let padded = pad_tiny(image)?;
        let src = padded.as_ref().map_or(image, ImageBuf::view);
        let canvas = self.spec.resize.target_within(src.size, self.spec.max_side);
        times.measure(Stage::DetPre, || {
            let shape = Shape::new(&[1, 3, canvas.height as usize, canvas.width as usize]);
            let (interpolation, normalize) = (Interpolation::Linear, self.spec.normalize);
            let params = Params { canvas, interpolation, normalize, pad: 0.0, planes: Planes::Bgr };
            let input = worker.session.input(0, shape)?;
            resize_norm::cpu::run(&[Item::whole(src, canvas)], &params, input, &mut worker.scratch.resize)
        })?;
        worker.run(Stage::DetInfer, times)?;
        times.measure(Stage::DetPost, || {
            let output = worker.session.output(0)?;
            self.check(&output.shape, canvas)?;
            self.regions(ProbabilityMap { data: output.as_f32()?, size: canvas, original: src.size }, &mut worker.scratch.db)
        })
    }

    /// Refuses an output that is not one probability per pixel.
    fn check(&self, output: &Shape, canvas: Size) -> Result<()> {
        if output.elements() as u64 != canvas.area() {
            return Err(self.network.fault(format!("output {output} for a {canvas} input; one probability per pixel is expected")));
        }
        Ok(())
    }

    fn regions(&self, map: ProbabilityMap<'_>, scratch: &mut db::cpu::DbScratch) -> Result<Vec<TextPolygon>> {
        match self.spec.boxes {
            BoxType::Poly => db::polygons(map, &self.spec.db, scratch),
            BoxType::Quad => Ok(in_reading_order(db::cpu::boxes(map, &self.spec.db, scratch)?)),
        }
    }
}

fn in_reading_order(mut boxes: Vec<TextBox>) -> Vec<TextPolygon> {
    db::order::reading_order(&mut boxes);
    boxes.into_iter().map(|TextBox { quad, score }| TextPolygon { points: quad.to_vec(), score }).collect()
}

/// Size of the canvas a picture is put on: pictures whose sides sum to less than 64 on one of at least 32 x 32 (reference rule).
fn canvas_of(picture: Size) -> Size {
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

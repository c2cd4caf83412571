//! Text detection: a picture → quadrilaterals with scores, in reading order.

use crate::backend::{Engine, Pool, RunInfo, Session};
use crate::error::{Error, Result};
use crate::image::{ImageBuf, ImageView, Size};
use crate::model::{DetResize, LimitType, TextDetectionSpec};
use crate::ops::db::{self, ProbabilityMap, ScoreMode, TextBox};
use crate::ops::resize_norm::{self, Interpolation, Item, Params};
use crate::tensor::Shape;
use crate::trace::{Stage, StageTimes};
use std::sync::{Arc, Mutex, PoisonError};

/// Settings that a pipeline file or flag puts in place of the model's own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DetectionOverrides {
    /// Side limit in pixels.
    pub limit_side_len: Option<u32>,
    /// Which side is limited.
    pub limit_type: Option<LimitType>,
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
        spec.db.thresh = self.thresh.unwrap_or(spec.db.thresh);
        spec.db.box_thresh = self.box_thresh.unwrap_or(spec.db.box_thresh);
        spec.db.unclip_ratio = self.unclip_ratio.unwrap_or(spec.db.unclip_ratio);
        spec.db.score_mode = self.score_mode.unwrap_or(spec.db.score_mode);
        spec
    }
}

/// How much of the machine one detection may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// All cores: nothing else is under way, and the answer is waited for.
    Whole,
    /// One core: other pictures keep the rest busy, which wastes less.
    OneCore,
}

/// Loads an engine at first use.
pub type LoadEngine = Box<dyn Fn() -> Result<Arc<dyn Engine>> + Send + Sync>;

/// A loaded detector, shared by workers.
pub struct TextDetect {
    spec: TextDetectionSpec,
    info: RunInfo,
    whole: Pool<Worker>,
    one_core: Option<Pool<Worker>>,
}

struct Worker {
    session: Box<dyn Session>,
    resize: resize_norm::cpu::Scratch,
    db: db::cpu::DbScratch,
}

impl Worker {
    fn new(engine: &dyn Engine) -> Result<Self> {
        Ok(Self { session: engine.session()?, resize: Default::default(), db: Default::default() })
    }
}

impl TextDetect {
    /// A detector that runs `engine` by the rules of `spec`.
    pub fn new(engine: Arc<dyn Engine>, spec: TextDetectionSpec) -> Self {
        Self { spec, info: engine.info().clone(), whole: Pool::new(move || Worker::new(&*engine)), one_core: None }
    }

    /// The same detector, with a second engine for [`Share::OneCore`] that `load` opens at first use.
    #[must_use]
    pub fn with_one_core(self, load: LoadEngine) -> Self {
        let loaded = Mutex::new(None);
        let make = move || {
            let mut loaded = loaded.lock().unwrap_or_else(PoisonError::into_inner);
            let engine: &Arc<dyn Engine> = match &mut *loaded {
                Some(engine) => engine,
                none => none.insert(load()?),
            };
            Worker::new(&**engine)
        };
        Self { one_core: Some(Pool::new(make)), ..self }
    }

    /// What runs.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// Finds the text regions of `image` (BGR), in reading order.
    pub fn detect(&self, image: ImageView<'_>, share: Share, times: &mut StageTimes) -> Result<Vec<TextBox>> {
        let workers = match (share, &self.one_core) {
            (Share::OneCore, Some(workers)) => workers,
            _ => &self.whole,
        };
        workers.with(|worker| self.detect_with(worker, image, times))
    }

    fn detect_with(&self, worker: &mut Worker, image: ImageView<'_>, times: &mut StageTimes) -> Result<Vec<TextBox>> {
        let padded = pad_tiny(image)?;
        let src = padded.as_ref().map_or(image, ImageBuf::view);
        let canvas = self.spec.resize.target(src.size);
        times.measure(Stage::DetPre, || {
            let shape = Shape::new(&[1, 3, canvas.height as usize, canvas.width as usize]);
            let params = Params { canvas, interpolation: Interpolation::Linear, normalize: self.spec.normalize, pad: 0.0 };
            let input = worker.session.input(0, shape)?;
            resize_norm::cpu::run(&[Item { src, resized: canvas }], &params, input, &mut worker.resize)
        })?;
        times.measure(Stage::DetInfer, || worker.session.run())?;
        times.measure(Stage::DetPost, || {
            let output = worker.session.output(0)?;
            if output.shape.elements() as u64 != canvas.area() {
                let found = format!("output {} for a {canvas} input; one probability per pixel is expected", output.shape);
                return Err(Error::device("cpu", format!("model {}", self.info.model), found));
            }
            let map = ProbabilityMap { data: output.as_f32()?, size: canvas, original: src.size };
            let mut boxes = db::cpu::boxes(map, &self.spec.db, &mut worker.db)?;
            db::order::reading_order(&mut boxes);
            Ok(boxes)
        })
    }
}

/// Pictures whose sides sum to less than 64 are put on a black canvas of at least 32 x 32 (reference rule).
fn pad_tiny(image: ImageView<'_>) -> Result<Option<ImageBuf>> {
    let Size { width, height } = image.size;
    if width + height >= 64 {
        return Ok(None);
    }
    let size = Size::new(width.max(32), height.max(32));
    let bytes = image.format.bytes();
    let (from, to) = (width as usize * bytes, size.width as usize * bytes);
    let mut data = vec![0; size.area() as usize * bytes];
    for (dst, src) in data.chunks_exact_mut(to).zip(image.data.chunks_exact(from)) {
        dst[..from].copy_from_slice(src);
    }
    ImageBuf::new(data, size, image.format).map(Some)
}

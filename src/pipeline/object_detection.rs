//! Object detection: the objects of every picture.

use super::config::PictureConfig;
use super::picture::{PictureModuleResult, PicturePipeline};
use crate::error::Result;
use crate::modules::{Detect, Loader};
use crate::result::{DetectedBox, DetectionResult, Header};

/// A loaded object detection pipeline.
pub type ObjectDetection = PicturePipeline<Detect>;

impl ObjectDetection {
    /// Finds, fetches and opens the network of `config`.
    pub fn open(config: &PictureConfig, loader: &Loader) -> Result<Self> {
        config.check("configuration")?;
        Self::new(
            loader.detect(&config.model, config.threshold)?.with_rules(config.rules.as_deref().cloned())?,
            config.batch_size,
            loader.threads(),
        )
    }
}

impl PictureModuleResult for Detect {
    type Result = DetectionResult;

    fn result(header: Header, boxes: Vec<DetectedBox>) -> DetectionResult {
        DetectionResult { header, boxes }
    }
}

//! Semantic segmentation: the class of every pixel of every picture.

use super::config::PictureConfig;
use super::picture::{PictureModuleResult, PicturePipeline};
use crate::error::Result;
use crate::modules::{Loader, Segment};
use crate::result::{Header, LabelMap, SegmentationResult};

/// A loaded semantic segmentation pipeline.
pub type SemanticSegmentation = PicturePipeline<Segment>;

impl SemanticSegmentation {
    /// Finds, fetches and opens the network of `config`.
    pub fn open(config: &PictureConfig, loader: &Loader) -> Result<Self> {
        config.check("configuration")?;
        Self::new(loader.segment(&config.model)?, config.batch_size, loader.threads())
    }
}

impl PictureModuleResult for Segment {
    type Result = SegmentationResult;

    fn result(header: Header, pred: LabelMap) -> SegmentationResult {
        SegmentationResult { header, pred }
    }
}

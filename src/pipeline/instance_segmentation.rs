//! Instance segmentation: the objects of every picture and their shapes.

use super::config::PictureConfig;
use super::picture::{PictureModuleResult, PicturePipeline};
use crate::error::Result;
use crate::modules::Loader;
use crate::modules::instances::{Instances, SegmentInstances};
use crate::result::{Header, InstanceResult};

/// A loaded instance segmentation pipeline.
pub type InstanceSegmentation = PicturePipeline<SegmentInstances>;

impl InstanceSegmentation {
    /// Finds, fetches and opens the network of `config`.
    pub fn open(config: &PictureConfig, loader: &Loader) -> Result<Self> {
        config.check("configuration")?;
        Self::new(loader.segment_instances(&config.model, config.threshold)?, config.batch_size, loader.threads())
    }
}

impl PictureModuleResult for SegmentInstances {
    type Result = InstanceResult;

    fn result(header: Header, output: Instances) -> InstanceResult {
        let Instances { boxes, masks } = output;
        InstanceResult { header, boxes, masks }
    }
}

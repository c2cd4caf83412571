//! Image classification: the most likely classes of every picture.

use super::config::PictureConfig;
use super::picture::{PictureModuleResult, PicturePipeline};
use crate::error::Result;
use crate::modules::Loader;
use crate::modules::classify::{Classes, Classify};
use crate::result::{ClassificationResult, Header};

/// A loaded image classification pipeline.
pub type ImageClassification = PicturePipeline<Classify>;

impl ImageClassification {
    /// Finds, fetches and opens the network of `config`.
    pub fn open(config: &PictureConfig, loader: &Loader) -> Result<Self> {
        config.check("configuration")?;
        Self::new(loader.classify(&config.model, config.topk)?, config.batch_size, loader.threads())
    }
}

impl PictureModuleResult for Classify {
    type Result = ClassificationResult;

    fn result(header: Header, output: Classes) -> ClassificationResult {
        let Classes { class_ids, scores, label_names } = output;
        ClassificationResult { header, class_ids, scores, label_names }
    }
}

//! The section `LayoutDetection` of a PaddleX 3.x file.

use super::DocumentConfig;
use crate::error::Result;
use crate::model::HpiConfig;
use crate::pipeline::config::nested::{choice, refused};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Layout {
    #[serde(rename = "module_name")]
    _module_name: Option<String>,
    model_name: String,
    model_dir: Option<String>,
    #[serde(rename = "batch_size")]
    _batch_size: Option<usize>,
    threshold: Option<Spanned<Ratio>>,
    layout_nms: Option<Spanned<bool>>,
    layout_unclip_ratio: Option<Spanned<Ratio>>,
    layout_merge_bboxes_mode: Option<Spanned<Merge>>,
    #[serde(default)]
    hpi_config: HpiConfig,
}

/// A number, two for the two sides, or one for each class.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ratio {
    One(f32),
    Sides([f32; 2]),
    Classes(IgnoredAny),
}

/// What becomes of regions that lie in others: one word, or one for each class.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    All(String),
    Classes(IgnoredAny),
}

impl Layout {
    pub fn put_into(self, config: &mut DocumentConfig, general: &HpiConfig, place: &str) -> Result<()> {
        match &self.threshold {
            None => {}
            Some(Spanned { value: Ratio::One(threshold), .. }) if (0.0..=1.0).contains(threshold) => {
                config.layout_threshold = Some(*threshold);
            }
            Some(other) => {
                return Err(refused(place, other, "`threshold` is one number from 0 to 1 in this version, for all classes; give that"));
            }
        }
        if let Some(nms) = self.layout_nms.filter(|nms| nms.value) {
            return Err(refused(place, &nms, "`layout_nms: True` is not in this version; set it to False"));
        }
        match self.layout_unclip_ratio {
            None | Some(Spanned { value: Ratio::One(1.0) | Ratio::Sides([1.0, 1.0]), .. }) => {}
            Some(other) => {
                return Err(refused(place, &other, "`layout_unclip_ratio` other than 1.0 is not in this version; leave it out"));
            }
        }
        match &self.layout_merge_bboxes_mode {
            None => {}
            Some(Spanned { value: Merge::All(mode), .. }) if mode == "union" => {}
            Some(other) => {
                let reason = "`layout_merge_bboxes_mode` other than union, which keeps all regions, is not in this version; leave it out";
                return Err(refused(place, other, reason));
            }
        }
        config.layout_model = Some(choice(self.model_name, self.model_dir, &self.hpi_config, general));
        Ok(())
    }
}

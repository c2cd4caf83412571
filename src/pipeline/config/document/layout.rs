//! The section `LayoutDetection` of a PaddleX 3.x file.

use super::DocumentConfig;
use crate::error::Result;
use crate::model::HpiConfig;
use crate::ops::layout::regions::{Merge, MergeMode, RegionRules, Unclip};
use crate::pipeline::config::nested::{choice, refused};
use crate::pipeline::config::or_default;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Layout {
    #[serde(rename = "module_name")]
    _module_name: Option<String>,
    model_name: String,
    model_dir: Option<String>,
    #[serde(rename = "batch_size")]
    _batch_size: Option<usize>,
    #[serde(rename = "use_hpip")]
    _use_hpip: Option<bool>,
    threshold: Option<Spanned<Threshold>>,
    layout_nms: Option<bool>,
    layout_unclip_ratio: Option<Spanned<Ratio>>,
    layout_merge_bboxes_mode: Option<Spanned<Mode>>,
    #[serde(default, deserialize_with = "or_default")]
    hpi_config: HpiConfig,
}

/// A score, or one for each class.
#[derive(Deserialize)]
#[serde(untagged)]
enum Threshold {
    One(f32),
    Classes(BTreeMap<u32, f32>),
    Other(IgnoredAny),
}

/// A factor, two for width and height, or such for each class.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ratio {
    Same(Factors),
    Classes(BTreeMap<u32, Factors>),
    Other(IgnoredAny),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Factors {
    One(f32),
    Sides([f32; 2]),
}

/// What becomes of regions that lie in others: one word, or one for each class.
#[derive(Deserialize)]
#[serde(untagged)]
enum Mode {
    All(String),
    Classes(BTreeMap<u32, String>),
    Other(IgnoredAny),
}

impl Factors {
    fn sides(self) -> Option<[f32; 2]> {
        let sides = match self {
            Self::One(both) => [both; 2],
            Self::Sides(sides) => sides,
        };
        sides.iter().all(|side| side.is_finite() && *side > 0.0).then_some(sides)
    }
}

impl Ratio {
    fn unclip(&self) -> Option<Unclip> {
        match self {
            Self::Same(factors) => factors.sides().map(Unclip::All),
            Self::Classes(by_class) => {
                by_class.iter().map(|(&class, factors)| Some((class, factors.sides()?))).collect::<Option<_>>().map(Unclip::Classes)
            }
            Self::Other(_) => None,
        }
    }
}

impl Mode {
    fn merge(&self) -> Option<Merge> {
        match self {
            Self::All(word) => mode(word).map(Merge::All),
            Self::Classes(by_class) => {
                by_class.iter().map(|(&class, word)| Some((class, mode(word)?))).collect::<Option<_>>().map(Merge::Classes)
            }
            Self::Other(_) => None,
        }
    }
}

fn mode(word: &str) -> Option<MergeMode> {
    match word {
        "union" => Some(MergeMode::Union),
        "large" => Some(MergeMode::Large),
        "small" => Some(MergeMode::Small),
        _ => None,
    }
}

impl Layout {
    pub fn put_into(self, config: &mut DocumentConfig, general: &HpiConfig, place: &str) -> Result<()> {
        let mut rules = RegionRules { suppress: self.layout_nms.unwrap_or(false), ..RegionRules::default() };
        let is_score = |score: &f32| (0.0..=1.0).contains(score);
        match &self.threshold {
            None => {}
            Some(Spanned { value: Threshold::One(score), .. }) if is_score(score) => config.layout_threshold = Some(*score),
            Some(Spanned { value: Threshold::Classes(scores), .. }) if scores.values().all(is_score) => {
                rules.thresholds = Some(scores.clone())
            }
            Some(other) => {
                return Err(refused(place, other, "`threshold` is a number from 0 to 1, or a map from numbers of classes to such"));
            }
        }
        if let Some(ratio) = &self.layout_unclip_ratio {
            let reason =
                "`layout_unclip_ratio` is a number above 0, two of them for width and height, or a map from numbers of classes to such";
            rules.unclip = ratio.value.unclip().ok_or_else(|| refused(place, ratio, reason))?;
        }
        if let Some(mode) = &self.layout_merge_bboxes_mode {
            let reason = "`layout_merge_bboxes_mode` is union, large or small, or a map from numbers of classes to such";
            rules.merge = mode.value.merge().ok_or_else(|| refused(place, mode, reason))?;
        }
        config.layout_rules = (rules != RegionRules::default()).then(|| Box::new(rules));
        config.layout_model = Some(choice(self.model_name, self.model_dir, &self.hpi_config, general));
        Ok(())
    }
}

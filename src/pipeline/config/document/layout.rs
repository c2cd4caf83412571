//! The section `LayoutDetection` of a PaddleX 3.x file.

use super::DocumentConfig;
use crate::error::Result;
use crate::model::HpiConfig;
use crate::ops::layout::regions::{Merge, MergeMode, RegionRules, Unclip};
use crate::pipeline::config::nested::{Given, Threshold, choice, refused, threshold};
use crate::pipeline::config::{is_no_name, or_default};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Layout {
    #[serde(rename = "module_name")]
    _module_name: Option<String>,
    model_name: String,
    model_dir: Option<Spanned<String>>,
    #[serde(rename = "batch_size")]
    _batch_size: Option<NonZeroUsize>,
    #[serde(rename = "use_hpip")]
    _use_hpip: Option<bool>,
    threshold: Option<Spanned<Threshold>>,
    layout_nms: Option<Spanned<OnOff>>,
    layout_unclip_ratio: Option<Spanned<Ratio>>,
    layout_merge_bboxes_mode: Option<Spanned<Mode>>,
    #[serde(default, deserialize_with = "or_default")]
    hpi_config: HpiConfig,
}

/// Yes, or no.
#[derive(Deserialize)]
#[serde(untagged)]
enum OnOff {
    Said(bool),
    Other(Given),
}

/// A factor, two for width and height, or such for each class.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ratio {
    Same(Factors),
    Classes(BTreeMap<u32, Factors>),
    Other(Given),
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
            Self::Other(given) => given.is_none().then_some(Unclip::Off),
        }
    }
}

impl Mode {
    fn merge(&self) -> Option<Merge> {
        match self {
            Self::All(word) if is_no_name(word) => Some(Merge::default()),
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
        let mut rules = RegionRules::default();
        match &self.layout_nms {
            None => {}
            Some(Spanned { value: OnOff::Said(on), .. }) => rules.suppress = *on,
            Some(Spanned { value: OnOff::Other(given), .. }) if given.is_none() => {}
            Some(other) => return Err(refused(place, other, "`layout_nms` is True or False")),
        }
        (config.layout_threshold, rules.thresholds) = threshold(&self.threshold, place)?;
        if let Some(ratio) = &self.layout_unclip_ratio {
            let reason =
                "`layout_unclip_ratio` is a number above 0, two of them for width and height, or a map from numbers of classes to such";
            rules.unclip = ratio.value.unclip().ok_or_else(|| refused(place, ratio, reason))?;
        }
        if let Some(mode) = &self.layout_merge_bboxes_mode {
            let reason = "`layout_merge_bboxes_mode` is union, large or small, or a map from numbers of classes to such";
            rules.merge = mode.value.merge().ok_or_else(|| refused(place, mode, reason))?;
        }
        config.layout_rules = Some(Box::new(rules));
        config.layout_model = Some(choice(self.model_name, self.model_dir, &self.hpi_config, general, place));
        Ok(())
    }
}

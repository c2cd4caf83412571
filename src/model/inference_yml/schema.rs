//! The keys and values of the dialect. What changes results has a closed set of values; other keys are collected.

use crate::model::spec::{BoxType, LimitType};
use crate::model::yaml::Unknown;
use crate::ops::db::ScoreMode;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use std::fmt;
use std::ops::RangeInclusive;

#[derive(Debug, Deserialize)]
pub(super) struct Global {
    pub model_name: String,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Debug, Deserialize)]
pub(super) struct PreProcess {
    pub transform_ops: Vec<Transform>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Debug)]
pub(super) enum Transform {
    DecodeImage(DecodeImage),
    DetResize(DetResizeForTest),
    Normalize(NormalizeImage),
    RecResize(RecResizeImg),
    /// A layout change every input goes through, or a step of training.
    Implied,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct DecodeImage {
    #[serde(default)]
    pub channel_first: bool,
    #[serde(rename = "img_mode")]
    _img_mode: Option<ChannelOrder>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Debug, Deserialize)]
pub(super) enum ChannelOrder {
    #[serde(rename = "BGR")]
    Bgr,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct DetResizeForTest {
    #[serde(default, deserialize_with = "side")]
    pub resize_long: Option<u32>,
    #[serde(default, deserialize_with = "side")]
    pub limit_side_len: Option<u32>,
    pub limit_type: Option<LimitType>,
    #[serde(default, deserialize_with = "size")]
    pub image_shape: Option<[u32; 2]>,
    #[serde(default)]
    pub keep_ratio: bool,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct NormalizeImage {
    pub mean: Option<[f32; 3]>,
    pub std: Option<[f32; 3]>,
    #[serde(default, deserialize_with = "quotient")]
    pub scale: Option<f32>,
    #[serde(rename = "order")]
    _order: Option<Order>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// The axis order at which statistics apply; it does not change the numbers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Order {
    Hwc,
    Chw,
}

#[derive(Debug, Deserialize)]
pub(super) struct RecResizeImg {
    pub image_shape: [u32; 3],
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Debug, Deserialize)]
pub(super) struct PostProcess {
    pub name: PostProcessName,
    #[serde(default, deserialize_with = "fraction")]
    pub thresh: Option<f32>,
    #[serde(default, deserialize_with = "fraction")]
    pub box_thresh: Option<f64>,
    #[serde(default, deserialize_with = "positive")]
    pub unclip_ratio: Option<f64>,
    pub max_candidates: Option<usize>,
    pub use_dilation: Option<bool>,
    pub score_mode: Option<ScoreMode>,
    pub box_type: Option<BoxType>,
    pub character_dict: Option<Vec<String>>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum PostProcessName {
    #[serde(rename = "DBPostProcess")]
    Db,
    #[serde(rename = "CTCLabelDecode")]
    Ctc,
}

impl<'de> Deserialize<'de> for Transform {
    /// A map of one entry: name of the step → its parameters or null.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneStep;
        impl<'de> Visitor<'de> for OneStep {
            type Value = Transform;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one step, as `Name: {parameters}`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Transform, A::Error> {
                let name: String = map.next_key()?.ok_or_else(|| A::Error::custom("a step without a name"))?;
                let step = match name.as_str() {
                    "DecodeImage" => Transform::DecodeImage(map.next_value::<Option<_>>()?.unwrap_or_default()),
                    "DetResizeForTest" => Transform::DetResize(map.next_value::<Option<_>>()?.unwrap_or_default()),
                    "NormalizeImage" => Transform::Normalize(map.next_value::<Option<_>>()?.unwrap_or_default()),
                    "RecResizeImg" => Transform::RecResize(map.next_value()?),
                    "ToCHWImage" | "KeepKeys" => map.next_value::<IgnoredAny>().map(|_| Transform::Implied)?,
                    name if name.ends_with("LabelEncode") => map.next_value::<IgnoredAny>().map(|_| Transform::Implied)?,
                    _ => {
                        let known = "DecodeImage, DetResizeForTest, NormalizeImage, RecResizeImg, ToCHWImage, KeepKeys, *LabelEncode";
                        return Err(A::Error::custom(format!("unknown step `{name}`; known: {known}")));
                    }
                };
                match map.next_key::<String>()? {
                    Some(second) => Err(A::Error::custom(format!("`{second}` needs a list entry of its own"))),
                    None => Ok(step),
                }
            }
        }
        deserializer.deserialize_map(OneStep)
    }
}

/// Sides in pixels, within what a tensor can have.
pub(super) const SIDES: RangeInclusive<u32> = 1..=65_536;
const SIDE_RULE: &str = "a side length is 1 to 65536 pixels";

fn side<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    checked(deserializer, |side| SIDES.contains(side), SIDE_RULE)
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[u32; 2]>, D::Error> {
    checked(deserializer, |size: &[u32; 2]| size.iter().all(|side| SIDES.contains(side)), SIDE_RULE)
}

fn fraction<'de, D: Deserializer<'de>, T: Deserialize<'de> + Copy + Into<f64>>(deserializer: D) -> Result<Option<T>, D::Error> {
    checked(deserializer, |value: &T| (0.0..=1.0).contains(&(*value).into()), "a threshold is within 0 to 1")
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    checked(deserializer, |value: &f64| *value > 0.0 && value.is_finite(), "must be a positive number")
}

fn checked<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    accepts: impl Fn(&T) -> bool,
    rule: &str,
) -> Result<Option<T>, D::Error> {
    match Option::deserialize(deserializer)? {
        Some(value) if !accepts(&value) => Err(D::Error::custom(rule)),
        value => Ok(value),
    }
}

/// A number or a quotient of numbers as Python writes it: `1./255.`, computed in f64 as the reference does.
fn quotient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let mut numbers = text.split('/').map(|n| n.trim().parse::<f64>());
    let value = match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(number)), None, None) => number,
        (Some(Ok(above)), Some(Ok(below)), None) => above / below,
        _ => f64::NAN,
    };
    match value.is_finite() {
        true => Ok(Some(value as f32)),
        false => Err(D::Error::custom(format!("`{text}` is not a number or a quotient like 1./255."))),
    }
}

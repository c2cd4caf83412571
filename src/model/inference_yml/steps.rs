//! Sections of the dialect that PaddleClas and PaddleOCR share: `PreProcess`, a list of steps named by their only key, and
//! `PostProcess`. What changes results has a closed set of values; other keys are collected.

use super::values::{channels, deviations, fraction, one_or_two_sides, quotient, side, sides, unclip};
use crate::model::spec::{BoxType, LimitType};
use crate::model::yaml::Unknown;
use crate::ops::db::ScoreMode;
use crate::ops::resize_norm::{Normalize, Scale};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_saphyr::Spanned;
use std::fmt;

#[derive(Debug, Deserialize)]
pub(super) struct PreProcess {
    pub transform_ops: Vec<Spanned<Transform>>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Debug)]
pub(super) enum Transform {
    DecodeImage(DecodeImage),
    Normalize(NormalizeImage),
    /// PaddleClas.
    Resize(ResizeImage),
    Crop(CropImage),
    /// PaddleOCR: detection, recognition, tables.
    DetResize(DetResizeForTest),
    RecResize(RecResizeImg),
    TableResize(ResizeTableImage),
    TablePadding(PaddingTableImage),
    /// A layout change every input goes through, or a step of training.
    Implied,
}

impl Transform {
    /// The names in a file, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::DecodeImage(_) => "DecodeImage",
            Self::Normalize(_) => "NormalizeImage",
            Self::Resize(_) => "ResizeImage",
            Self::Crop(_) => "CropImage",
            Self::DetResize(_) => "DetResizeForTest",
            Self::RecResize(_) => "RecResizeImg",
            Self::TableResize(_) => "ResizeTableImage",
            Self::TablePadding(_) => "PaddingTableImage",
            Self::Implied => "ToCHWImage",
        }
    }

    pub fn unknown(&self) -> Option<&Unknown> {
        match self {
            Self::DecodeImage(op) => Some(&op.unknown),
            Self::Normalize(op) => Some(&op.unknown),
            Self::Resize(op) => Some(&op.unknown),
            Self::Crop(op) => Some(&op.unknown),
            Self::DetResize(op) => Some(&op.unknown),
            Self::RecResize(op) => Some(&op.unknown),
            Self::TableResize(op) => Some(&op.unknown),
            Self::TablePadding(op) => Some(&op.unknown),
            Self::Implied => None,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct DecodeImage {
    #[serde(default)]
    pub channel_first: bool,
    /// PaddleOCR's way to name the colour order.
    pub img_mode: Option<ColourOrder>,
    /// PaddleClas' way.
    pub to_rgb: Option<bool>,
    #[serde(rename = "to_np")]
    _to_np: Option<bool>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum ColourOrder {
    Bgr,
    Rgb,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct NormalizeImage {
    #[serde(default, deserialize_with = "channels")]
    pub mean: Option<[f32; 3]>,
    #[serde(default, deserialize_with = "deviations")]
    pub std: Option<[f32; 3]>,
    #[serde(default, deserialize_with = "quotient")]
    pub scale: Option<f32>,
    #[serde(rename = "order")]
    _order: Option<AxisOrder>,
    #[serde(rename = "channel_num")]
    _channel_num: Option<Three>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl NormalizeImage {
    /// With the reference's defaults for what a file leaves out.
    pub fn typed(&self) -> Normalize {
        Normalize {
            scale: Scale::Times(self.scale.unwrap_or(1.0 / 255.0)),
            mean: self.mean.unwrap_or(Normalize::IMAGENET.mean),
            std: self.std.unwrap_or(Normalize::IMAGENET.std),
        }
    }
}

/// The axis order at which statistics apply; it does not change the numbers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AxisOrder {
    #[serde(rename = "")]
    Unsaid,
    Hwc,
    Chw,
}

/// The number of channels: pictures have three.
#[derive(Debug)]
struct Three;

impl<'de> Deserialize<'de> for Three {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            3 => Ok(Self),
            n => Err(D::Error::custom(format!("{n} channels are not in this version; known: 3"))),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ResizeImage {
    #[serde(default, deserialize_with = "side")]
    pub resize_short: Option<u32>,
    #[serde(default, deserialize_with = "one_or_two_sides")]
    pub size: Option<[u32; 2]>,
    /// The reference resizes with OpenCV's linear filter whatever these say.
    #[serde(rename = "interpolation")]
    _interpolation: Option<IgnoredAny>,
    #[serde(rename = "backend")]
    _backend: Option<IgnoredAny>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct CropImage {
    #[serde(default, deserialize_with = "one_or_two_sides")]
    pub size: Option<[u32; 2]>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct DetResizeForTest {
    #[serde(default, deserialize_with = "side")]
    pub resize_long: Option<u32>,
    #[serde(default, deserialize_with = "side")]
    pub limit_side_len: Option<u32>,
    pub limit_type: Option<LimitType>,
    #[serde(default, deserialize_with = "sides")]
    pub image_shape: Option<[u32; 2]>,
    #[serde(default)]
    pub keep_ratio: bool,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Debug, Deserialize)]
pub(super) struct RecResizeImg {
    pub image_shape: [u32; 3],
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ResizeTableImage {
    #[serde(default, deserialize_with = "side")]
    pub max_len: Option<u32>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct PaddingTableImage {
    #[serde(default, deserialize_with = "sides")]
    pub size: Option<[u32; 2]>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Debug, Deserialize)]
pub(super) struct PostProcess {
    pub name: Option<Spanned<PostProcessName>>,
    /// Classification: under a key of its own, or beside `name: Topk`.
    #[serde(rename = "Topk")]
    pub topk_section: Option<Topk>,
    topk: Option<usize>,
    label_list: Option<Vec<String>>,
    class_id_map_file: Option<String>,
    #[serde(rename = "main_indicator")]
    _main_indicator: Option<IgnoredAny>,
    #[serde(rename = "SavePreLabel")]
    _save_pre_label: Option<IgnoredAny>,
    /// Text detection.
    #[serde(default, deserialize_with = "fraction")]
    pub thresh: Option<f32>,
    #[serde(default, deserialize_with = "fraction")]
    pub box_thresh: Option<f64>,
    #[serde(default, deserialize_with = "unclip")]
    pub unclip_ratio: Option<f64>,
    pub max_candidates: Option<usize>,
    pub use_dilation: Option<bool>,
    pub score_mode: Option<ScoreMode>,
    pub box_type: Option<BoxType>,
    /// Text recognition and tables.
    pub character_dict: Option<Vec<String>>,
    pub merge_no_span_structure: Option<bool>,
    /// Which part of a distilled pair was exported, and the head that is its output.
    #[serde(rename = "model_name")]
    _model_name: Option<IgnoredAny>,
    #[serde(rename = "key")]
    _key: Option<IgnoredAny>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl PostProcess {
    /// What is said of classes, under a key of its own or beside `name: Topk`.
    pub fn classes(&self) -> Option<Classes<'_>> {
        let (topk, labels, file) = match &self.topk_section {
            Some(section) => (section.topk, &section.label_list, &section.class_id_map_file),
            None => (self.topk?, &self.label_list, &self.class_id_map_file),
        };
        Some(Classes { topk, labels: labels.as_deref(), file: file.as_deref() })
    }
}

/// What a classifier's results name.
pub(super) struct Classes<'a> {
    pub topk: usize,
    pub labels: Option<&'a [String]>,
    /// A file of lines `id name`, in place of the list.
    pub file: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Topk {
    topk: usize,
    label_list: Option<Vec<String>>,
    class_id_map_file: Option<String>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum PostProcessName {
    Topk,
    #[serde(rename = "DBPostProcess", alias = "DistillationDBPostProcess")]
    Db,
    #[serde(rename = "CTCLabelDecode", alias = "DistillationCTCLabelDecode")]
    Ctc,
    #[serde(rename = "TableLabelDecode")]
    Table,
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
                    "NormalizeImage" => Transform::Normalize(map.next_value::<Option<_>>()?.unwrap_or_default()),
                    "ResizeImage" => Transform::Resize(map.next_value::<Option<_>>()?.unwrap_or_default()),
                    "CropImage" => Transform::Crop(map.next_value::<Option<_>>()?.unwrap_or_default()),
                    "DetResizeForTest" => Transform::DetResize(map.next_value::<Option<_>>()?.unwrap_or_default()),
                    "RecResizeImg" => Transform::RecResize(map.next_value()?),
                    "ResizeTableImage" => Transform::TableResize(map.next_value::<Option<_>>()?.unwrap_or_default()),
                    "PaddingTableImage" => Transform::TablePadding(map.next_value::<Option<_>>()?.unwrap_or_default()),
                    "ToCHWImage" | "KeepKeys" | "TableBoxEncode" => map.next_value::<IgnoredAny>().map(|_| Transform::Implied)?,
                    name if name.ends_with("LabelEncode") => map.next_value::<IgnoredAny>().map(|_| Transform::Implied)?,
                    _ => {
                        let known = "DecodeImage, ResizeImage, CropImage, DetResizeForTest, RecResizeImg, ResizeTableImage, \
                                     NormalizeImage, PaddingTableImage, ToCHWImage, KeepKeys, TableBoxEncode, *LabelEncode";
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

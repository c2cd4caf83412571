//! Semantic segmentation, as PaddleSeg describes it. Reference: PaddleX 3.0-beta1, `SegPredictor`; its `ResizeByLong` and
//! `ResizeByShort` fail there, and mean here what they mean in PaddleSeg.

use super::Context;
use super::values::{channels, deviations, filter, one_or_two_sides, side, width_height};
use crate::error::Result;
use crate::model::spec::{SegResize, SegSize, SegmentationSpec};
use crate::model::yaml::Unknown;
use crate::ops::resize_norm::{Interpolation, Normalize, Scale};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;

/// The section `Deploy`.
#[derive(Debug, Deserialize)]
pub(super) struct Deploy {
    #[serde(default)]
    pub transforms: Vec<Spanned<Step>>,
    /// Names of the network's files and its shape: the files themselves say.
    #[serde(rename = "model")]
    _model: Option<IgnoredAny>,
    #[serde(rename = "params")]
    _params: Option<IgnoredAny>,
    #[serde(rename = "input_shape")]
    _input_shape: Option<IgnoredAny>,
    #[serde(rename = "output_dtype")]
    _output_dtype: Option<IgnoredAny>,
    /// Whether the graph ends in the choice of a class: so does the rank of its output say.
    #[serde(rename = "output_op")]
    _output_op: Option<OutputOp>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OutputOp {
    Argmax,
    Softmax,
    None,
}

/// A step of `transforms`. The parameters of all kinds lie beside `type`, which may stand anywhere among them.
#[derive(Debug, Deserialize)]
pub(super) struct Step {
    r#type: StepKind,
    /// Resize: `[width, height]`.
    #[serde(default, deserialize_with = "one_or_two_sides")]
    target_size: Option<[u32; 2]>,
    #[serde(default)]
    keep_ratio: bool,
    #[serde(default, deserialize_with = "side")]
    size_divisor: Option<u32>,
    #[serde(default, deserialize_with = "filter")]
    interp: Option<Interpolation>,
    /// ResizeByLong.
    #[serde(default, deserialize_with = "side")]
    long_size: Option<u32>,
    /// ResizeByShort.
    #[serde(default, deserialize_with = "side")]
    short_size: Option<u32>,
    /// Normalize.
    #[serde(default, deserialize_with = "channels")]
    mean: Option<[f32; 3]>,
    #[serde(default, deserialize_with = "deviations")]
    std: Option<[f32; 3]>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum StepKind {
    Resize,
    ResizeByLong,
    ResizeByShort,
    Normalize,
}

/// What the section means.
pub(super) fn spec(deploy: &Deploy, context: &Context<'_>) -> Result<SegmentationSpec> {
    let (mut resize, mut normalize) = (None, None);
    for step in &deploy.transforms {
        let op = &step.value;
        let rule = match (op.r#type, op.target_size, op.long_size, op.short_size) {
            (StepKind::Resize, Some(size), _, _) if op.keep_ratio => SegSize::Within(width_height(size)),
            (StepKind::Resize, Some(size), _, _) => SegSize::Fixed(width_height(size)),
            (StepKind::ResizeByLong, _, Some(side), _) => SegSize::Long(side),
            (StepKind::ResizeByShort, _, _, Some(side)) => SegSize::Short(side),
            (StepKind::Normalize, ..) if normalize.is_some() => {
                return Err(context.at(step, "a second Normalize is not in this version"));
            }
            (StepKind::Normalize, ..) => {
                normalize = Some(Normalize {
                    scale: Scale::Times(1.0 / 255.0),
                    mean: op.mean.unwrap_or([0.5; 3]),
                    std: op.std.unwrap_or([0.5; 3]),
                });
                continue;
            }
            (kind, ..) => return Err(context.at(step, format!("{kind:?} needs target_size, long_size or short_size"))),
        };
        if resize.is_some() || normalize.is_some() {
            return Err(context.at(step, "a resize must be the first step and the only one of its kind"));
        }
        resize = Some(SegResize { rule, size_divisor: op.size_divisor, interpolation: op.interp.unwrap_or(Interpolation::Linear) });
    }
    let normalize = normalize.ok_or_else(|| context.error("Deploy.transforms has no Normalize, which a segmenter needs"))?;
    Ok(SegmentationSpec { resize, normalize })
}

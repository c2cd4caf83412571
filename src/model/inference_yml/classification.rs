//! Classification, as PaddleClas describes it. Reference: PaddleX 3.0-beta1, `ClasPredictor`.

use super::steps::{Classes, ColourOrder, Transform};
use super::values::width_height;
use super::{Context, Labels};
use crate::error::Result;
use crate::model::spec::{ClassResize, ClassificationSpec};
use crate::ops::resize_norm::Interpolation;
use serde_saphyr::Spanned;

/// What a classifier's steps mean, and the part of `PostProcess` that speaks of its classes.
pub(super) fn spec(steps: &[Spanned<Transform>], classes: &Classes<'_>, context: &Context<'_>) -> Result<ClassificationSpec> {
    let (mut resize, mut crop, mut normalize) = (None, None, None);
    for step in steps {
        let late = |what: &str| Err(context.at(step, format!("{} stands behind {what}", step.value.name())));
        let again = || Err(context.at(step, format!("{} stands there twice, which is not in this version", step.value.name())));
        match &step.value {
            Transform::DecodeImage(decode) => {
                if decode.channel_first || decode.to_rgb == Some(false) || decode.img_mode == Some(ColourOrder::Bgr) {
                    return Err(context.at(step, "a classifier's pictures are RGB, with channels last"));
                }
            }
            Transform::Resize(_) if crop.is_some() || normalize.is_some() => return late("CropImage or NormalizeImage"),
            Transform::Resize(_) if resize.is_some() => return again(),
            Transform::Resize(op) => {
                resize = Some(match (op.resize_short, op.size) {
                    (Some(short), _) => ClassResize::Short(short),
                    (None, Some(size)) => ClassResize::Fixed(width_height(size)),
                    (None, None) => return Err(context.at(step, "ResizeImage needs resize_short or size")),
                });
            }
            Transform::Crop(_) if normalize.is_some() => return late("NormalizeImage"),
            Transform::Crop(_) if crop.is_some() => return again(),
            Transform::Crop(op) => crop = Some(width_height(op.size.unwrap_or([224; 2]))),
            Transform::Normalize(_) if normalize.is_some() => return again(),
            Transform::Normalize(op) => normalize = Some(op.typed()),
            Transform::Implied => {}
            other => return Err(context.at(step, format!("{} is no step of a classifier", other.name()))),
        }
    }
    if classes.topk == 0 {
        return Err(context.error("topk of PostProcess is 0, give 1 or more"));
    }
    let lacks = |what: &str| context.error(format!("PreProcess.transform_ops has no {what}, which a classifier needs"));
    let labels = match classes.labels {
        Some(labels) => labels.to_vec(),
        None => (context.labels)(Labels::Classes(classes.file))?.unwrap_or_default(),
    };
    Ok(ClassificationSpec {
        resize: resize.ok_or_else(|| lacks("ResizeImage"))?,
        // Whatever the file asks for: so does this release of the reference.
        interpolation: Interpolation::Linear,
        crop,
        normalize: normalize.ok_or_else(|| lacks("NormalizeImage"))?,
        topk: classes.topk,
        labels,
    })
}

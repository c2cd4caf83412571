//! Detection of objects, page regions and instances, as PaddleDetection describes it.
//! Reference: PaddleX 3.0-beta1, `DetPredictor`.

use super::values::{SIDES, channels, deviations, filter, height_width, one_or_two_sides};
use super::{Context, Labels};
use crate::error::Result;
use crate::model::spec::{Canvas, DetectionSpec, DetectorHead};
use crate::model::yaml::Unknown;
use crate::ops::resize_norm::{Interpolation, Normalize, Scale};
use serde::Deserialize;
use serde_saphyr::Spanned;

/// A step of `Preprocess`. The parameters of all kinds lie beside `type`, which may stand anywhere among them.
#[derive(Debug, Deserialize)]
pub(super) struct Step {
    r#type: StepKind,
    /// Resize: `[height, width]`.
    #[serde(default, deserialize_with = "one_or_two_sides")]
    target_size: Option<[u32; 2]>,
    #[serde(default)]
    keep_ratio: bool,
    #[serde(default, deserialize_with = "filter")]
    interp: Option<Interpolation>,
    /// NormalizeImage.
    #[serde(default, deserialize_with = "channels")]
    mean: Option<[f32; 3]>,
    #[serde(default, deserialize_with = "deviations")]
    std: Option<[f32; 3]>,
    is_scale: Option<bool>,
    norm_type: Option<NormType>,
    /// Pad: `[height, width]`.
    #[serde(default, deserialize_with = "one_or_two_sides")]
    size: Option<[u32; 2]>,
    #[serde(default, deserialize_with = "channels")]
    fill_value: Option<[f32; 3]>,
    /// PadStride.
    stride: Option<u32>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum StepKind {
    Resize,
    NormalizeImage,
    Pad,
    Permute,
    PadStride,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NormType {
    None,
    MeanStd,
}

/// The keys of a detector's file beside `Preprocess`.
pub(super) struct Settings<'a> {
    pub labels: Option<&'a [String]>,
    pub draw_threshold: Option<f32>,
    pub masks: bool,
    pub head: DetectorHead,
}

/// What a detector's file means.
pub(super) fn spec(steps: &[Spanned<Step>], settings: &Settings<'_>, context: &Context<'_>) -> Result<DetectionSpec> {
    let (mut resize, mut normalize, mut canvas) = (None, None, Canvas::Resized);
    for step in steps {
        let refuse = |reason: &str| Err(context.at(step, reason));
        let op = &step.value;
        match op.r#type {
            StepKind::Resize if resize.is_some() || normalize.is_some() || canvas != Canvas::Resized => {
                return refuse("Resize must be the first step and the only one of its kind");
            }
            StepKind::Resize => match op.target_size {
                Some(size) => resize = Some((height_width(size), op)),
                None => return refuse("Resize needs target_size"),
            },
            StepKind::NormalizeImage if normalize.is_some() => return refuse("a second NormalizeImage is not in this version"),
            StepKind::NormalizeImage => {
                let how = op.normalize();
                match canvas {
                    Canvas::Resized => {}
                    Canvas::Stride(_) => return refuse("NormalizeImage stands behind PadStride"),
                    // The free part is normalised too.
                    Canvas::Fixed { size, fill } => {
                        let Some(fill) = same(normalized(&how, fill)) else {
                            return refuse("Pad before NormalizeImage fills the channels with unlike values, which is not in this version");
                        };
                        canvas = Canvas::Fixed { size, fill };
                    }
                }
                normalize = Some(how);
            }
            StepKind::Pad => {
                let size = height_width(op.size.unwrap_or([640; 2]));
                let Some(fill) = same(op.fill_value.unwrap_or([127.5; 3])) else {
                    return refuse("a fill_value of unlike channels is not in this version");
                };
                canvas = Canvas::Fixed { size, fill };
            }
            StepKind::PadStride => match op.stride.unwrap_or(32) {
                0 => {}
                stride if !SIDES.contains(&stride) => return refuse("a stride of PadStride is a number from 1 to 65536"),
                stride if canvas == Canvas::Resized => canvas = Canvas::Stride(stride),
                _ => return refuse("PadStride beside Pad is not in this version"),
            },
            StepKind::Permute => {}
        }
    }
    let (target, resize) = resize.ok_or_else(|| context.error("Preprocess has no Resize, which a detector needs"))?;
    if let Canvas::Fixed { size, .. } = canvas
        && (size.width < target.width || size.height < target.height)
    {
        return Err(context.error("Pad.size is less than Resize.target_size"));
    }
    let labels = match settings.labels {
        Some(labels) => Some(labels.to_vec()),
        None => (context.labels)(Labels::Classes(None))?,
    };
    Ok(DetectionSpec {
        target,
        keep_ratio: resize.keep_ratio,
        interpolation: resize.interp.unwrap_or(Interpolation::Cubic),
        normalize,
        canvas,
        draw_threshold: settings.draw_threshold.unwrap_or(0.5),
        labels: labels.ok_or_else(|| context.error("there is no label_list, which a detector needs"))?,
        masks: settings.masks,
        head: settings.head,
    })
}

impl Step {
    /// `norm_type: none` without statistics scales only, as in training; with them it is no different from `mean_std`.
    fn normalize(&self) -> Normalize {
        let neutral = self.norm_type == Some(NormType::None);
        let default = |statistic: [f32; 3], neutrally: f32| if neutral { [neutrally; 3] } else { statistic };
        Normalize {
            scale: Scale::Times(if self.is_scale.unwrap_or(true) { 1.0 / 255.0 } else { 1.0 }),
            mean: self.mean.unwrap_or(default(Normalize::IMAGENET.mean, 0.0)),
            std: self.std.unwrap_or(default(Normalize::IMAGENET.std, 1.0)),
        }
    }
}

/// The value of each channel of a sample `v`.
fn normalized(how: &Normalize, v: f32) -> [f32; 3] {
    let scaled = match how.scale {
        Scale::Times(factor) => v * factor,
        Scale::Over(divisor) => v / divisor,
    };
    [0, 1, 2].map(|c| (scaled - how.mean[c]) / how.std[c])
}

fn same([a, b, c]: [f32; 3]) -> Option<f32> {
    (a == b && b == c).then_some(a)
}

//! Text detection, text recognition and table structure, as PaddleOCR describes them.
//! Reference: PaddleX 3.0-beta1, `DetResizeForTest`, `NormalizeImage`, `DBPostProcess`, `OCRReisizeNormImg`,
//! `CTCLabelDecode`, `TableLabelDecode`.

use super::steps::{ColourOrder, DetResizeForTest, PostProcess, PostProcessName, Transform};
use super::values::{SIDES, height_width};
use super::{Context, Labels};
use crate::error::{Error, Result};
use crate::image::Size;
use crate::model::spec::{CellScale, DetResize, LimitType, ModelSpec, TableSpec, TextDetectionSpec, TextRecognitionSpec};
use crate::ops::db::DbParams;
use crate::ops::resize_norm::Normalize;
use serde_saphyr::Spanned;

/// Detectors for which the reference has its own resize rule: only the number under `resize_long` counts.
const LIMITED_BY_NAME: [&str; 2] = ["PP-OCRv4_mobile_det", "PP-OCRv4_server_det"];

/// The one table network whose cells are fractions of the picture.
const CELLS_OF_THE_PICTURE: &str = "SLANet";

/// What the sections mean for the network that `name` is the post-processing of.
pub(super) fn spec(
    steps: &[Spanned<Transform>],
    post: &PostProcess,
    name: &Spanned<PostProcessName>,
    context: &Context<'_>,
) -> Result<ModelSpec> {
    for step in steps {
        if let Transform::DecodeImage(decode) = &step.value
            && (decode.channel_first || decode.img_mode == Some(ColourOrder::Rgb))
        {
            return Err(context.at(step, "pictures of text are BGR, with channels last: channel_first must be false, img_mode BGR"));
        }
    }
    let steps = Steps { steps, name, context };
    match name.value {
        PostProcessName::Db => Ok(ModelSpec::TextDetection(TextDetectionSpec {
            resize: steps
                .find("DetResizeForTest", |step| if let Transform::DetResize(op) = step { Some(op) } else { None })?
                .rule(context.name),
            max_side: None,
            normalize: steps.normalize()?,
            db: db(post),
            boxes: post.box_type.unwrap_or_default(),
            is_from_top: false,
        })),
        PostProcessName::Ctc => recognition(post, &steps).map(ModelSpec::TextRecognition),
        PostProcessName::Table => table(post, &steps).map(ModelSpec::Table),
        PostProcessName::Topk => Err(Error::internal("inference.yml", "a classifier among networks of text")),
    }
}

fn recognition(post: &PostProcess, steps: &Steps<'_>) -> Result<TextRecognitionSpec> {
    let image_shape = steps.find("RecResizeImg", |step| if let Transform::RecResize(op) = step { Some(op.image_shape) } else { None })?;
    if image_shape[0] != 3 || !image_shape.iter().all(|side| SIDES.contains(side)) {
        return Err(steps.context.error(format!("RecResizeImg.image_shape is {image_shape:?}; expected [3, height, width]")));
    }
    Ok(TextRecognitionSpec { image_shape, characters: TextRecognitionSpec::classes(steps.dictionary(post)?) })
}

fn table(post: &PostProcess, steps: &Steps<'_>) -> Result<TableSpec> {
    let max_len = steps.find("ResizeTableImage", |step| if let Transform::TableResize(op) = step { Some(op.max_len) } else { None })?;
    let size = steps.find("PaddingTableImage", |step| if let Transform::TablePadding(op) = step { Some(op.size) } else { None })?;
    let max_len = max_len.unwrap_or(488);
    // The reference pads to a square of the first number.
    let [side, _] = size.unwrap_or([488; 2]);
    if side < max_len {
        return Err(steps.context.error(format!("PaddingTableImage.size {side} is less than ResizeTableImage.max_len {max_len}")));
    }
    Ok(TableSpec {
        max_len,
        normalize: steps.normalize()?,
        canvas: height_width([side; 2]),
        tokens: TableSpec::classes(steps.dictionary(post)?, post.merge_no_span_structure.unwrap_or(false)),
        cells: if steps.context.name == CELLS_OF_THE_PICTURE { CellScale::Picture } else { CellScale::Canvas },
    })
}

/// The steps of `PreProcess` that the post-processing of this name needs.
struct Steps<'a> {
    steps: &'a [Spanned<Transform>],
    name: &'a Spanned<PostProcessName>,
    context: &'a Context<'a>,
}

impl<'a> Steps<'a> {
    fn find<T>(&self, what: &str, is: impl Fn(&'a Transform) -> Option<T>) -> Result<T> {
        let found = self.steps.iter().find_map(|step| is(&step.value));
        found.ok_or_else(|| self.context.at(self.name, format!("PreProcess.transform_ops has no {what}, which this PostProcess needs")))
    }

    fn normalize(&self) -> Result<Normalize> {
        self.find("NormalizeImage", |step| if let Transform::Normalize(op) = step { Some(op.typed()) } else { None })
    }

    fn dictionary(&self, post: &PostProcess) -> Result<Vec<String>> {
        let given = match &post.character_dict {
            Some(dictionary) => Some(dictionary.clone()),
            None => (self.context.labels)(Labels::Dictionary)?,
        };
        given.ok_or_else(|| {
            let reason =
                "there is no PostProcess.character_dict, nor an entry `character` in the metadata of an ONNX file; add the dictionary";
            self.context.at(self.name, reason)
        })
    }
}

impl DetResizeForTest {
    fn rule(&self, name: &str) -> DetResize {
        if LIMITED_BY_NAME.contains(&name) {
            return DetResize::Limit { side_len: self.resize_long.unwrap_or(960), limit_type: LimitType::Max };
        }
        match (self.image_shape, self.limit_side_len, self.resize_long) {
            (Some([height, width]), _, _) => DetResize::Fixed { size: Size::new(width, height), keep_ratio: self.keep_ratio },
            (None, Some(side_len), _) => DetResize::Limit { side_len, limit_type: self.limit_type.unwrap_or(LimitType::Min) },
            (None, None, Some(side_len)) => DetResize::Long { side_len },
            (None, None, None) => DetResize::Limit { side_len: 736, limit_type: LimitType::Min },
        }
    }
}

/// With the reference's defaults for what a file leaves out, which are not those of the shipped models.
fn db(post: &PostProcess) -> DbParams {
    DbParams {
        thresh: post.thresh.unwrap_or(0.3),
        box_thresh: post.box_thresh.unwrap_or(0.7),
        unclip_ratio: post.unclip_ratio.unwrap_or(2.0),
        max_candidates: post.max_candidates.unwrap_or(1000),
        use_dilation: post.use_dilation.unwrap_or(false),
        score_mode: post.score_mode.unwrap_or_default(),
    }
}

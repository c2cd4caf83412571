//! Suppression of overlapping boxes for detectors whose graph ends before it: `boxes [N, anchors, 4]` in pixels of the
//! picture, `scores [N, classes, anchors]`. The numbers are those the graphs of PaddleDetection (2024-10) run; the `NMS`
//! block that PicoDet's description carries is written after the graph was built and is not what it runs.

use super::detect::Row;
use crate::backend::IoSpec;
use crate::model::DetectorHead;
use crate::ops::nms::{Candidates, NmsParams, cpu};
use crate::tensor::TensorRef;

/// The suppression a network leaves out; `None` when its first output holds rows already.
///
/// # Errors
/// In words, when it leaves one out and nobody says which.
pub(super) fn needed(io: &IoSpec, head: DetectorHead, has_im_shape: bool) -> Result<Option<NmsParams>, String> {
    let [boxes, scores] = &io.outputs[..] else { return Ok(None) };
    if boxes.dims.len() != 3 || scores.dims.len() != 3 || boxes.dims[2].is_some_and(|sides| sides != 4) {
        return Ok(None);
    }
    let params =
        |score_threshold, nms_threshold, nms_top_k, keep_top_k| NmsParams { score_threshold, nms_threshold, nms_top_k, keep_top_k };
    match head {
        // YOLOv3 shares the name with PP-YOLOE+, but asks for the size of the picture.
        DetectorHead::Yolo if has_im_shape => Ok(Some(params(0.01, 0.45, 1000, 100))),
        DetectorHead::Yolo => Ok(Some(params(0.01, 0.7, 1000, 300))),
        DetectorHead::Yolox => Ok(Some(params(0.001, 0.65, 10000, 1000))),
        DetectorHead::PicoDet => Ok(Some(params(0.025, 0.6, 1000, 100))),
        DetectorHead::Other => Err("the network ends before the suppression of overlapping boxes, and `arch` names no family whose \
                                    suppression is known (YOLO, YOLOX, GFL)"
            .into()),
    }
}

/// The rows of all pictures, and how many belong to each.
///
/// # Errors
/// In words, when the outputs are not of the shapes above.
pub(super) fn rows(
    boxes: &TensorRef<'_>,
    scores: &TensorRef<'_>,
    pictures: usize,
    params: &NmsParams,
) -> Result<(Vec<Row>, Vec<usize>), String> {
    let (&[n, anchors, 4], &[same, classes, all]) = (boxes.shape.dims(), scores.shape.dims()) else {
        return Err(format!(
            "outputs {} and {}; boxes [pictures x anchors x 4] and scores [pictures x classes x anchors] are expected",
            boxes.shape, scores.shape
        ));
    };
    if (n, same, all) != (pictures, pictures, anchors) {
        return Err(format!("boxes {} with scores {} for {pictures} pictures", boxes.shape, scores.shape));
    }
    let say = |e: crate::Error| e.to_string();
    let (boxes, scores) = (boxes.as_f32().map_err(say)?, scores.as_f32().map_err(say)?);
    let (boxes, _) = boxes.as_chunks::<4>();
    let (mut rows, mut counts) = (Vec::new(), Vec::with_capacity(pictures));
    for picture in 0..pictures {
        let candidates = Candidates {
            boxes: &boxes[picture * anchors..(picture + 1) * anchors],
            scores: &scores[picture * classes * anchors..(picture + 1) * classes * anchors],
        };
        let kept = cpu::multiclass(candidates, params).map_err(say)?;
        counts.push(kept.len());
        rows.extend(kept.iter().map(|k| [k.class as f32, k.score, k.rect[0], k.rect[1], k.rect[2], k.rect[3]]));
    }
    Ok((rows, counts))
}

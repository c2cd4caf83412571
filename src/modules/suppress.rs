//! Suppression of overlapping boxes for detectors whose graph ends before it: `boxes [N, anchors, 4]` in pixels of the
//! picture, `scores [N, classes, anchors]`. The numbers are those the graphs of PaddleDetection (2024-10) run; the `NMS`
//! block that PicoDet's description carries is written after the graph was built and is not what it runs. `nms_top_k` bounds the candidates
//! of a class, as in Paddle; in graphs that paddle2onnx has converted it bounds what stays of them.

use super::detect::Rows;
use crate::backend::IoSpec;
use crate::device::{DeviceSlice, Stream};
use crate::error::Result;
use crate::model::DetectorHead;
use crate::ops::nms::cuda::{self, Batch, Classes, Scratch};
use crate::ops::nms::{Candidates, Kept, NmsParams, cpu};
use crate::tensor::Shape;
use crate::tensor::storage::download;
use crate::trace::Transfers;

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

/// The candidates in outputs of these shapes for so many pictures.
///
/// # Errors
/// In words, when they are not of the shapes above.
pub(super) fn batch(boxes: &Shape, scores: &Shape, pictures: usize) -> Result<Batch, String> {
    let (&[n, anchors, 4], &[same, classes, all]) = (boxes.dims(), scores.dims()) else {
        let expected = "boxes [pictures x anchors x 4] and scores [pictures x classes x anchors] are expected";
        return Err(format!("outputs {boxes} and {scores}; {expected}"));
    };
    if (n, same, all) != (pictures, pictures, anchors) {
        return Err(format!("boxes {boxes} with scores {scores} for {pictures} pictures"));
    }
    Ok(Batch { pictures, classes, anchors, mode: Classes::Apart })
}

/// The rows that stay of each picture.
pub(super) fn on_host(boxes: &[f32], scores: &[f32], batch: Batch, params: &NmsParams) -> Result<Rows> {
    let Batch { pictures, classes, anchors, .. } = batch;
    let (boxes, _) = boxes.as_chunks::<4>();
    let of_picture = |picture: usize| {
        let boxes = &boxes[picture * anchors..][..anchors];
        cpu::multiclass(Candidates { boxes, scores: &scores[picture * classes * anchors..][..classes * anchors] }, params)
    };
    (0..pictures).map(of_picture).collect::<Result<Vec<_>>>().map(rows)
}

/// The same by the GPU of `stream`, which keeps the candidates.
pub(super) fn on_gpu(
    stream: &Stream,
    boxes: DeviceSlice<f32>,
    scores: DeviceSlice<f32>,
    batch: Batch,
    params: &NmsParams,
    transfers: &mut Transfers,
) -> Result<Rows> {
    let (mut keys, mut counts, mut best) = (stream.alloc(batch.keys())?, stream.alloc(batch.counts())?, stream.alloc(batch.best())?);
    let mut scratch = Scratch { keys: keys.slice_mut(), counts: counts.slice_mut(), best: best.slice_mut() };
    let mut out = stream.alloc(batch.pictures * batch.stride(params))?;
    cuda::suppress(stream, boxes.cast()?, scores, batch, params, &mut scratch, &mut out.slice_mut())?;
    let found = download(out.slice(), stream, transfers)?;
    cuda::read(found.on_host()?, batch, params).map(rows)
}

fn rows(kept: Vec<Vec<Kept>>) -> Rows {
    let counts = kept.iter().map(Vec::len).collect();
    let row = |k: &Kept| [k.class as f32, k.score, k.rect[0], k.rect[1], k.rect[2], k.rect[3]];
    Rows { rows: kept.iter().flatten().map(row).collect(), counts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::TensorSpec;
    use crate::onnx::surgery::nms_tail::THRESHOLDS;
    use crate::tensor::DType;

    #[test]
    fn what_is_cut_off_a_graph_is_done_here() {
        let output = |last| TensorSpec { name: String::new(), dtype: DType::F32, dims: vec![None, None, last] };
        let io = IoSpec { inputs: Vec::new(), outputs: vec![output(Some(4)), output(None)] };
        let heads = [(DetectorHead::Yolo, true), (DetectorHead::Yolo, false), (DetectorHead::Yolox, false), (DetectorHead::PicoDet, false)];
        for ((head, has_im_shape), thresholds) in heads.into_iter().zip(THRESHOLDS) {
            let params = needed(&io, head, has_im_shape).unwrap().unwrap();
            assert_eq!([params.nms_threshold, params.score_threshold], thresholds, "{head:?}");
        }
    }
}

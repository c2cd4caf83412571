//! See [`Surgery::NmsTail`](super::Surgery::NmsTail).

use super::{end_at, float_output};
use crate::onnx::graph::{attribute, constant, is_standard};
use crate::onnx::proto::GraphProto;
use crate::onnx::tensor::floats;

/// Overlap and score of the suppressions that are done outside of graphs, as PaddleDetection exports them: of YOLOv3, PP-YOLOE+,
/// YOLOX, PicoDet.
pub const THRESHOLDS: [[f32; 2]; 4] = [[0.45, 0.01], [0.7, 0.01], [0.65, 0.001], [0.6, 0.025]];

/// Cuts a graph with one NonMaxSuppression; one with none, with several, or with other thresholds than [`THRESHOLDS`] stays.
pub(super) fn apply(graph: &mut GraphProto) -> usize {
    let mut found = graph.node.iter().filter(|n| n.op_type() == "NonMaxSuppression" && is_standard(n.domain()));
    let (Some(nms), None) = (found.next(), found.next()) else { return 0 };
    let [boxes, scores, _, overlap, score] = nms.input.as_slice() else { return 0 };
    let is_known = |[o, s]: &[f32; 2]| number(graph, overlap) == Some(*o) && number(graph, score) == Some(*s);
    if !THRESHOLDS.iter().any(is_known) {
        return 0;
    }
    // Boxes by centre and size are another contract than the one promised.
    if attribute(nms, "center_point_box").is_some_and(|a| a.i() != 0) {
        return 0;
    }
    let outputs = vec![float_output(boxes, 3), float_output(scores, 3)];
    end_at(graph, outputs);
    1
}

/// The constant `name`, if it is one number.
fn number(graph: &GraphProto, name: &str) -> Option<f32> {
    <[f32; 1]>::try_from(floats(constant(graph, name)?)?).ok().map(|[one]| one)
}

//! See [`Surgery::NmsTail`](super::Surgery::NmsTail).

use super::{end_at, float_output};
use crate::onnx::proto::GraphProto;

/// Cuts a graph with one NonMaxSuppression; one with none or several stays.
pub(super) fn apply(graph: &mut GraphProto) -> usize {
    let mut found = graph.node.iter().filter(|n| n.op_type() == "NonMaxSuppression" && matches!(n.domain(), "" | "ai.onnx"));
    let (Some(nms), None) = (found.next(), found.next()) else { return 0 };
    let [boxes, scores, ..] = nms.input.as_slice() else { return 0 };
    // Boxes by centre and size are another contract than the one promised.
    if crate::onnx::graph::attribute(nms, "center_point_box").is_some_and(|a| a.i() != 0) {
        return 0;
    }
    let outputs = vec![float_output(boxes, 3), float_output(scores, 3)];
    end_at(graph, outputs);
    1
}

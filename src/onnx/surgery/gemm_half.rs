//! See [`Surgery::GemmInHalf`](super::Surgery::GemmInHalf): casts around a matrix product.

use crate::onnx::graph::{Graph, NodeId, cast};
use crate::onnx::proto::tensor_proto::DataType;

/// The greatest number of float16.
const HALF_MAX: f32 = 65504.0;

/// Applies to every MatMul and Gemm but those of integers and those with a weight float16 cannot hold; counts them.
pub(super) fn apply(graph: &mut Graph) -> usize {
    graph.ids().filter(|id| narrow(graph, *id).is_some()).count()
}

fn narrow(graph: &mut Graph, id: NodeId) -> Option<()> {
    let node = graph.op(id, "MatMul").or_else(|| graph.op(id, "Gemm"))?.clone();
    let holds = |name: &String| match graph.constant(name) {
        Some(_) => graph.floats(name).is_some_and(|(_, values)| values.iter().all(|v| v.abs() <= HALF_MAX)),
        // A value that was narrowed by an earlier pass is none to narrow again.
        None => graph.maker(name).and_then(|m| graph.node(m)).is_none_or(|n| !casts_to(n, DataType::Float16)),
    };
    if !node.input.iter().filter(|v| !v.is_empty()).all(holds) {
        return None;
    }
    let output = node.output.first()?.clone();
    let mut inside = node;
    for input in inside.input.iter_mut().filter(|v| !v.is_empty()) {
        let narrowed = graph.new_name();
        let new = cast(input, &narrowed, DataType::Float16);
        graph.push(new);
        *input = narrowed;
    }
    let product = graph.new_name();
    inside.output = vec![product.clone()];
    graph.place(id, cast(&product, &output, DataType::Float));
    graph.push(inside);
    Some(())
}

fn casts_to(node: &crate::onnx::proto::NodeProto, dtype: DataType) -> bool {
    node.op_type() == "Cast" && crate::onnx::graph::attribute(node, "to").is_some_and(|a| a.i() == dtype as i64)
}

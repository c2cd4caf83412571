//! Changes for engines that refuse an operator: unlike the rewrites of [`fold`](mod@super::fold), what is cut off has to be done
//! outside of the graph, and what is done in less than float32 is chosen on purpose. Each is found by what stands in the
//! graph, applies wherever its pattern stands, and says how often it did.
//!
//! The blockers were measured on TensorRT-RTX 1.7.1: `NonMaxSuppression` has no implementation there; products of float32
//! matrices have none on Turing (compute capability 7.5).

mod gemm_conv;
mod gemm_half;
mod mask_resize;
mod nms_tail;

use super::graph::Graph;
use super::proto::{GraphProto, ModelProto, ValueInfoProto};
use super::proto::{TensorShapeProto, TypeProto, tensor_proto::DataType, tensor_shape_proto, type_proto};
use serde::{Deserialize, Serialize};

/// A change by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surgery {
    /// A detector ends where its NonMaxSuppression begins: outputs are boxes `[N, anchors, 4]` (left, top, right, bottom as the
    /// graph has them) and scores `[N, classes, anchors]`. What follows is `ops::nms`.
    NmsTail,
    /// Masks end before the Resize whose size is computed from the values of an input: the output is what is resized,
    /// at low resolution. What follows is `ops::mask`.
    MaskResize,
    /// A product with a constant matrix becomes a 1x1 convolution: the same numbers in float32.
    GemmAsConv,
    /// Any other matrix product is done in float16 and its result widened again.
    GemmInHalf,
}

impl Surgery {
    /// What a builder for a GPU of compute capability `capability` (75 is 7.5) of TensorRT-RTX needs, in order.
    pub fn for_tensorrt_rtx(capability: i32) -> &'static [Self] {
        match capability {
            75 => &[Self::NmsTail, Self::MaskResize, Self::GemmAsConv, Self::GemmInHalf],
            _ => &[Self::NmsTail, Self::MaskResize],
        }
    }
}

/// Applies changes in order; counts per change that applied.
pub fn apply(model: &mut ModelProto, changes: &[Surgery]) -> Vec<(Surgery, usize)> {
    let opset = model.opset_import.iter().find(|o| matches!(o.domain(), "" | "ai.onnx")).map_or(0, |o| o.version());
    // Before IR version 4 every constant had to be an input too.
    let ir_version = model.ir_version();
    let Some(proto) = model.graph.as_mut().filter(|_| ir_version >= 4) else { return Vec::new() };
    let mut applied = Vec::new();
    for change in changes {
        let count = match change {
            Surgery::NmsTail => nms_tail::apply(proto),
            Surgery::MaskResize => mask_resize::apply(proto),
            Surgery::GemmAsConv => opened(proto, |graph| gemm_conv::apply(graph, opset)),
            Surgery::GemmInHalf => opened(proto, gemm_half::apply),
        };
        if count > 0 {
            applied.push((*change, count));
        }
    }
    applied
}

fn opened(proto: &mut GraphProto, change: impl FnOnce(&mut Graph) -> usize) -> usize {
    let mut graph = Graph::open(proto);
    super::rewrite::constant::constants(&mut graph);
    let count = change(&mut graph);
    graph.close(proto);
    count
}

/// Lets a graph end at these values, of float32 and so many dimensions, and drops what nobody needs any more.
fn end_at(proto: &mut GraphProto, outputs: Vec<ValueInfoProto>) {
    proto.output = outputs;
    let mut needed: std::collections::HashSet<String> = proto.output.iter().map(|o| o.name().to_owned()).collect();
    let mut kept = Vec::new();
    for node in std::mem::take(&mut proto.node).into_iter().rev() {
        if node.output.iter().any(|o| needed.contains(o)) {
            super::graph::reads(&node, &mut needed);
            kept.push(node);
        }
    }
    kept.reverse();
    proto.node = kept;
    proto.initializer.retain(|t| needed.contains(t.name()));
    proto.input.retain(|v| needed.contains(v.name()));
    proto.value_info.clear();
}

/// An output of float32 with free dimensions.
pub(super) fn float_output(name: &str, rank: usize) -> ValueInfoProto {
    let dim = |i| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimParam(format!("{name}_{i}"))),
        ..Default::default()
    };
    let shape = TensorShapeProto { dim: (0..rank).map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: Some(DataType::Float as i32), shape: Some(shape) };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() });
    ValueInfoProto { name: Some(name.to_owned()), r#type, ..Default::default() }
}

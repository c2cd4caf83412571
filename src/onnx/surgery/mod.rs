//! Changes for engines that refuse an operator: unlike the rewrites of [`fold`](mod@super::fold), what is cut off has to be done
//! outside of the graph, and what is done in less than float32 is chosen on purpose. Each is found by what stands in the
//! graph, applies wherever its pattern stands, and says how often it did.
//!
//! [`decoder`] cuts a graph in two that no change within it helps; [`same_in_all_steps`] spares the second of the two work.
//!
//! The blockers were measured on TensorRT-RTX 1.7.1: sequences and Loops over several values are refused; `NonMaxSuppression` and `DeformConv` have no
//! implementation there; products of float32 matrices have none on Turing (compute capability 7.5).

pub mod decoder;
mod deform_conv;
mod gemm_conv;
mod gemm_half;
mod loop_body;
mod mask_resize;
pub mod nms_tail;
pub mod same_in_all_steps;
mod sequences;

use super::graph::{Graph, bodies, opset};
use super::proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use super::proto::{TensorShapeProto, TypeProto, tensor_proto::DataType, tensor_shape_proto, type_proto};
use crate::error::{Error, Result};
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
    /// A tensor that is made with sequences out of nothing but constants and shapes, such as the mask of a shifted window,
    /// becomes a constant where it is the same in all runs.
    SequencesAsConstants,
    /// A deformable convolution becomes one bilinear sampling for all its taps and a convolution over the taps.
    DeformConvAsSamples,
    /// A product with a constant matrix or vector becomes a 1x1 convolution: the same numbers in float32.
    GemmAsConv,
    /// Any other matrix product is done in float16 and its result widened again.
    GemmInHalf,
}

/// What [`Cut::Detections`](super::Cut::Detections) leaves out.
pub const DETECTIONS: [Surgery; 2] = [Surgery::NmsTail, Surgery::MaskResize];

/// What TensorRT itself needs, in order: by its documentation it has all operators of these networks but those on sequences.
pub const FOR_TENSORRT: [Surgery; 3] = [Surgery::NmsTail, Surgery::MaskResize, Surgery::SequencesAsConstants];

impl Surgery {
    /// What OpenVINO needs for `model`, in order. Of the operators on sequences it lacks SequenceMap only.
    pub fn for_openvino(model: &ModelProto) -> &'static [Self] {
        const ALL: [Surgery; 2] = [Surgery::DeformConvAsSamples, Surgery::SequencesAsConstants];
        let maps = model.graph.as_ref().is_some_and(|graph| graph.node.iter().any(|node| holds(node, &["SequenceMap"])));
        if maps { &ALL } else { &ALL[..1] }
    }

    /// Whether it changes matrix products.
    pub fn is_of_products(self) -> bool {
        matches!(self, Self::GemmAsConv | Self::GemmInHalf)
    }

    /// What a builder for a GPU of compute capability `capability` (75 is 7.5) of TensorRT-RTX needs, in order.
    pub fn for_tensorrt_rtx(capability: i32) -> &'static [Self] {
        match capability {
            75 => &[
                Self::NmsTail,
                Self::MaskResize,
                Self::SequencesAsConstants,
                Self::DeformConvAsSamples,
                Self::GemmAsConv,
                Self::GemmInHalf,
            ],
            _ => &[Self::NmsTail, Self::MaskResize, Self::SequencesAsConstants, Self::DeformConvAsSamples],
        }
    }
}

/// Outputs of a model at the shapes that an engine is for, or at some of them, by run: what a change asks that has to know values.
pub type Run<'a> = &'a dyn Fn(&ModelProto) -> Result<Vec<Vec<TensorProto>>>;

/// For changes that ask for no values.
///
/// # Errors
/// Always.
pub fn no_run(_: &ModelProto) -> Result<Vec<Vec<TensorProto>>> {
    Err(Error::internal("surgery", "a change asks for values"))
}

/// Applies changes in order; counts per change that applied.
///
/// # Errors
/// Those of `run`.
pub fn apply(model: &mut ModelProto, changes: &[Surgery], run: Run<'_>) -> Result<Vec<(Surgery, usize)>> {
    let opset = opset(model);
    // Before IR version 4 every constant had to be an input too.
    if model.ir_version() < 4 {
        return Ok(Vec::new());
    }
    let mut applied = Vec::new();
    for change in changes {
        let count = match change {
            Surgery::NmsTail => model.graph.as_mut().map_or(0, nms_tail::apply),
            Surgery::MaskResize => model.graph.as_mut().map_or(0, mask_resize::apply),
            Surgery::SequencesAsConstants => sequences::apply(model, run)?,
            Surgery::DeformConvAsSamples => opened(model, deform_conv::apply),
            Surgery::GemmAsConv => opened(model, |graph| gemm_conv::apply(graph, opset)),
            Surgery::GemmInHalf => opened(model, gemm_half::apply),
        };
        if count > 0 {
            applied.push((*change, count));
        }
    }
    Ok(applied)
}

/// Whether a node is one of these operators, or one in its bodies is.
fn holds(node: &NodeProto, operators: &[&str]) -> bool {
    operators.contains(&node.op_type()) || bodies(node).any(|body| body.node.iter().any(|node| holds(node, operators)))
}

fn opened(model: &mut ModelProto, change: impl FnOnce(&mut Graph) -> usize) -> usize {
    let Some(proto) = &mut model.graph else { return 0 };
    let mut graph = Graph::open(proto);
    super::rewrite::constant::constants(&mut graph);
    let count = change(&mut graph);
    graph.close(proto);
    count
}

/// Lets a graph end at these values, of float32 and so many dimensions, and drops what nobody needs any more.
fn end_at(proto: &mut GraphProto, outputs: Vec<ValueInfoProto>) {
    proto.output = outputs;
    let needed = prune(proto);
    proto.input.retain(|v| needed.contains(v.name()));
}

/// Drops nodes and constants that no output needs; names of all that is needed.
fn prune(proto: &mut GraphProto) -> std::collections::HashSet<String> {
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
    proto.value_info.clear();
    needed
}

/// An output of whatever type and shape its maker gives it.
pub(super) fn output(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.to_owned()), ..Default::default() }
}

/// An output of float32 with free dimensions.
pub(super) fn float_output(name: &str, rank: usize) -> ValueInfoProto {
    let dim = |i| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimParam(format!("{name}_{i}"))),
        ..Default::default()
    };
    float_value(name, Some(TensorShapeProto { dim: (0..rank).map(dim).collect() }))
}

/// A value of float32.
fn float_value(name: &str, shape: Option<TensorShapeProto>) -> ValueInfoProto {
    let tensor = type_proto::Tensor { elem_type: Some(DataType::Float as i32), shape };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() });
    ValueInfoProto { name: Some(name.to_owned()), r#type, ..Default::default() }
}

//! What is known of operators: which inputs of which are float16 in a converted graph, and which outputs are float32 in the original.

use crate::onnx::graph::{attribute, is_standard};
use crate::onnx::proto::{NodeProto, tensor_proto::DataType};
use half::f16;

/// Products: what float16 makes faster. They are summed in float32 by the hardware.
const PRODUCTS: [&str; 4] = ["Conv", "ConvTranspose", "MatMul", "Gemm"];

/// Light steps of which every input is a number to work on.
const ALL_INPUTS: [&str; 31] = [
    "Abs",
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Clip",
    "Concat",
    "DepthToSpace",
    "Div",
    "Elu",
    "Erf",
    "Flatten",
    "Gelu",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Max",
    "MaxPool",
    "Min",
    "Mul",
    "Neg",
    "PRelu",
    "Relu",
    "Sigmoid",
    "SpaceToDepth",
    "Sub",
    "Sum",
    "Tanh",
    "Transpose",
];

/// Steps whose first input is; the others say how.
const FIRST_INPUT: [&str; 10] = ["Expand", "Gather", "ReduceMax", "ReduceMin", "Reshape", "Slice", "Split", "Squeeze", "Tile", "Unsqueeze"];

/// Steps that stay in float32 and give the type they read first.
const KEPT: [&str; 42] = [
    "Ceil",
    "Cos",
    "CumSum",
    "DeformConv",
    "Dropout",
    "Einsum",
    "Exp",
    "Floor",
    "GatherElements",
    "GatherND",
    "GridSample",
    "GroupNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "Mod",
    "Pow",
    "RMSNormalization",
    "Range",
    "Reciprocal",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSumExp",
    "ReduceMean",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Resize",
    "Round",
    "ScatterElements",
    "ScatterND",
    "Selu",
    "Sign",
    "Sin",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "TopK",
    "Upsample",
];

/// Whether it is a product of many numbers.
pub(super) fn is_product(op: &str) -> bool {
    PRODUCTS.contains(&op)
}

/// The inputs that are float16 when `node` is done in float16; `None` for one that is not.
pub(super) fn half_inputs(node: &NodeProto) -> Option<Vec<usize>> {
    let op = node.op_type();
    // A second output is an index or a mask; pieces are alike.
    if node.output.len() != 1 && op != "Split" {
        return None;
    }
    let given = |index: &usize| node.input.get(*index).is_some_and(|name| !name.is_empty());
    let inputs = 0..node.input.len();
    let inputs: Vec<usize> = match op {
        _ if PRODUCTS.contains(&op) || ALL_INPUTS.contains(&op) => inputs.filter(given).collect(),
        _ if FIRST_INPUT.contains(&op) => vec![0],
        "Pad" => [0, 2].into_iter().filter(given).collect(),
        "Where" => vec![1, 2],
        _ => return None,
    };
    (!inputs.is_empty() && inputs.iter().all(given)).then_some(inputs)
}

/// Whether float16 holds the constant `v` well enough for `op`: a weight may become zero, since others stand beside it; any other small
/// number is there for what it is, such as one that keeps a divisor from zero.
pub(super) fn holds(op: &str, v: f32) -> bool {
    let half = f16::from_f32(v);
    half.is_finite() && (is_product(op) || op == "BatchNormalization" || (half.to_f32() == 0.0) == (v == 0.0))
}

/// How many of the first outputs are of the type that [`gives_float`] speaks of.
pub(super) fn float_outputs(node: &NodeProto) -> usize {
    match node.op_type() {
        "Split" => usize::MAX,
        _ => 1,
    }
}

/// Whether the first output of `node` is float32, given which values are.
pub(super) fn gives_float(node: &NodeProto, is_float: &impl Fn(&String) -> bool) -> bool {
    let float = |index: usize| node.input.get(index).is_some_and(is_float);
    if !is_standard(node.domain()) {
        return false;
    }
    match node.op_type() {
        "Cast" => attribute(node, "to").is_some_and(|a| a.i() == DataType::Float as i64),
        // Zeros of float32, unless it says otherwise.
        "ConstantOfShape" => {
            attribute(node, "value").is_none_or(|a| a.t.as_ref().is_some_and(|t| t.data_type == Some(DataType::Float as i32)))
        }
        "Where" => float(1) && float(2),
        "OneHot" => float(2),
        "Pad" => float(0),
        op => (is_product(op) || [&ALL_INPUTS[..], &FIRST_INPUT, &KEPT].iter().any(|ops| ops.contains(&op))) && float(0),
    }
}

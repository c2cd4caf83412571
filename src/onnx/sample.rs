//! A network small enough to check by hand: `y = relu(x W) + b`, x of [n, 4], y of [n, 3]. For self-tests of engines.

use super::graph::{int_attribute, new_node};
use super::proto::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_proto::DataType, tensor_shape_proto, type_proto,
};
use super::tensor::float_tensor;
use prost::Message;

/// Name of the input.
pub const INPUT: &str = "x";

/// Name of the output of [`places`].
pub const PLACES: &str = "places";

/// Row-major 4 by 3.
const W: [f32; 12] = [0.5, -1.25, 2.0, 1.5, 0.25, -0.75, -2.0, 1.0, 0.125, 3.0, -0.5, 1.0];
const B: [f32; 3] = [0.25, -0.5, 1.0];

/// The file.
pub fn bytes() -> Vec<u8> {
    let nodes = vec![
        new_node("MatMul", &[INPUT, "w"], "product", Vec::new()),
        new_node("Relu", &["product"], "positive", Vec::new()),
        new_node("Add", &["positive", "b"], "y", Vec::new()),
    ];
    model("sample", nodes, vec![float_tensor("w", &[4, 3], &W), float_tensor("b", &[3], &B)], rows("y", 3))
}

fn model(name: &str, node: Vec<NodeProto>, initializer: Vec<TensorProto>, output: ValueInfoProto) -> Vec<u8> {
    let (input, output) = (vec![rows(INPUT, 4)], vec![output]);
    let graph = GraphProto { name: Some(name.into()), node, initializer, input, output, ..Default::default() };
    let opset = OperatorSetIdProto { version: Some(13), ..Default::default() };
    ModelProto { ir_version: Some(8), opset_import: vec![opset], graph: Some(graph), ..Default::default() }.encode_to_vec()
}

/// A network whose output has a row for each element of x above 0, with where it stands: a size that depends on data.
pub fn places() -> Vec<u8> {
    let to_float = vec![int_attribute("to", DataType::Float as i64)];
    let nodes = vec![
        new_node("Relu", &[INPUT], "positive", Vec::new()),
        new_node("NonZero", &["positive"], "indices", Vec::new()),
        new_node("Cast", &["indices"], "numbers", to_float),
        new_node("Transpose", &["numbers"], PLACES, Vec::new()),
    ];
    model("places", nodes, Vec::new(), rows(PLACES, 2))
}

/// What the network gives for rows of four.
pub fn expected(x: &[f32]) -> Vec<f32> {
    let row = |x: &[f32]| -> [f32; 3] { std::array::from_fn(|c| (0..4).map(|i| x[i] * W[3 * i + c]).sum::<f32>().max(0.0) + B[c]) };
    x.chunks_exact(4).flat_map(row).collect()
}

fn rows(name: &str, columns: i64) -> ValueInfoProto {
    use tensor_shape_proto::{Dimension, dimension::Value};
    let dim = |value| Dimension { value: Some(value), ..Default::default() };
    let shape =
        TensorShapeProto { dim: vec![dim(Value::DimParam(if name == PLACES { "m" } else { "n" }.into())), dim(Value::DimValue(columns))] };
    let tensor = type_proto::Tensor { elem_type: Some(DataType::Float as i32), shape: Some(shape) };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() });
    ValueInfoProto { name: Some(name.into()), r#type, ..Default::default() }
}

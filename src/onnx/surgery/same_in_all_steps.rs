//! What each step of a decoder computes of the same values: products of a feature with a constant, as attention has them. The encoder computes
//! them once, and they are features then.

use super::decoder::Decoder;
use super::{float_value, prune};
use crate::onnx::graph::is_standard;
use crate::onnx::proto::{GraphProto, NodeProto, TensorProto, TensorShapeProto, ValueInfoProto};
use crate::onnx::proto::{tensor_proto::DataType, tensor_shape_proto::dimension::Value, type_proto};

/// Moves such products from the step to the encoder; how many.
pub fn move_products(decoder: &mut Decoder) -> usize {
    let Decoder { encoder, step, rules } = decoder;
    let (Some(encoder), Some(step)) = (&mut encoder.graph, &mut step.graph) else { return 0 };
    let mut moved = 0;
    for mut node in std::mem::take(&mut step.node) {
        let Some((shape, factor)) = factors(step, rules.features, &node) else {
            step.node.push(node);
            continue;
        };
        let (feature, product) = (node.input[0].clone(), node.output[0].clone());
        let [from, to] = [&feature, &product].map(|value| format!("{value}_out"));
        let factor = TensorProto { name: Some(format!("{to}_factor")), ..factor.clone() };
        (node.input, node.output) = (vec![from, factor.name().to_owned()], vec![to.clone()]);
        encoder.node.push(node);
        encoder.initializer.push(factor);
        encoder.output.insert(rules.features, float_value(&to, None));
        step.input.insert(rules.features, float_value(&product, Some(shape)));
        rules.features += 1;
        moved += 1;
    }
    prune(step);
    moved
}

/// What `node` multiplies where that is a feature, one of the first inputs of `step`, and a constant matrix of float32: the constant, and the
/// shape of the product.
fn factors<'a>(step: &'a GraphProto, features: usize, node: &NodeProto) -> Option<(TensorShapeProto, &'a TensorProto)> {
    let [feature, factor] = node.input.as_slice() else { return None };
    if node.op_type() != "MatMul" || !is_standard(node.domain()) {
        return None;
    }
    let feature = step.input[..features].iter().find(|input| input.name() == feature)?;
    let factor = step.initializer.iter().find(|tensor| tensor.name() == factor && tensor.data_type == Some(DataType::Float as i32))?;
    let &[_, columns] = factor.dims.as_slice() else { return None };
    let mut shape = shape_of(feature)?.clone();
    shape.dim.last_mut()?.value = Some(Value::DimValue(columns));
    Some((shape, factor))
}

fn shape_of(value: &ValueInfoProto) -> Option<&TensorShapeProto> {
    match value.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => tensor.shape.as_ref(),
        _ => None,
    }
}

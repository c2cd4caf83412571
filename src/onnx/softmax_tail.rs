//! Takes away the Softmax that ends a classifier over steps. The greedy CTC decoder picks the greatest class of a step,
//! which a softmax does not change, and needs the probability of that class at the steps it keeps only: there
//! `1 / sum(exp(x - max))` over the logits gives it, instead of an exponential per class and step inside the engine.

use super::OutputKind;
use super::graph::{attribute, bodies, constant, is_standard, opset};
use super::proto::{GraphProto, ModelProto, type_proto};
use super::tensor::floats;

/// Removes the Softmax over the last axis that makes the only output of the graph, if there is one; the output keeps its
/// name, shape and type and holds logits afterwards.
pub fn remove(model: &mut ModelProto) -> OutputKind {
    let opset = opset(model);
    try_remove(model, opset).map_or(OutputKind::Original, |()| OutputKind::Logits)
}

fn try_remove(model: &mut ModelProto, opset: i64) -> Option<()> {
    let graph = model.graph.as_mut()?;
    let [output] = graph.output.as_slice() else { return None };
    let at = graph.node.iter().position(|n| n.output.iter().any(|o| o == output.name()))?;
    let node = &graph.node[at];
    if node.op_type() != "Softmax" || !is_standard(node.domain()) {
        return None;
    }
    // Before operator set 13 the default axis was 1, and all axes from `axis` on were one: the same thing for the last axis.
    let axis = attribute(node, "axis").map_or(if opset < 13 { 1 } else { -1 }, |a| a.i());
    if axis != -1 && Some(axis + 1) != rank(output) {
        return None;
    }
    let (name, logits) = (output.name().to_owned(), node.input.first()?.clone());
    end_with(graph, at, &logits, &name)
}

/// Takes copies away that end the only output of the graph, as converters leave them: Identity, a product by one, a sum with zero.
pub fn remove_copies(model: &mut ModelProto) {
    while model.graph.as_mut().and_then(try_remove_copy).is_some() {}
}

fn try_remove_copy(graph: &mut GraphProto) -> Option<()> {
    let [output] = graph.output.as_slice() else { return None };
    let at = graph.node.iter().position(|n| n.output.iter().any(|o| o == output.name()))?;
    let node = graph.node.get(at).filter(|node| is_standard(node.domain()))?;
    let is_number = |value: f32| {
        let constant = node.input.get(1).and_then(|name| constant(graph, name));
        constant.is_some_and(|t| t.dims.len() <= 1 && floats(t).is_some_and(|values| values == [value]))
    };
    let is_copy = match node.op_type() {
        "Identity" => true,
        "Mul" => is_number(1.0),
        "Add" => is_number(0.0),
        _ => false,
    };
    let (name, value) = (output.name().to_owned(), node.input.first().filter(|_| is_copy)?.clone());
    end_with(graph, at, &value, &name)
}

/// Takes the node at `at` away, which makes the output `name` of `value`: that takes the name where it is made, and everything else
/// that reads it follows.
pub(super) fn end_with(graph: &mut GraphProto, at: usize, value: &str, name: &str) -> Option<()> {
    let maker = graph.node.iter().position(|n| n.output.iter().any(|o| o == value))?;
    if graph.node.iter().any(|n| bodies(n).next().is_some()) {
        return None;
    }
    graph.node[maker].output.iter_mut().filter(|o| *o == value).for_each(|o| name.clone_into(o));
    graph.node.iter_mut().flat_map(|n| &mut n.input).filter(|i| *i == value).for_each(|i| name.clone_into(i));
    graph.node.remove(at);
    graph.value_info.retain(|v| v.name() != name && v.name() != value);
    Some(())
}

fn rank(value: &super::proto::ValueInfoProto) -> Option<i64> {
    match value.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(t) => Some(t.shape.as_ref()?.dim.len() as i64),
        _ => None,
    }
}

//! What paddle2onnx makes that engines fail on, made right. Each fault is found by what stands in the graph; any other graph computes
//! what it did.
//!
//! - A column of what a NonMaxSuppression selected is taken by a Gather of one column and a Squeeze of all sides of one. Of one
//!   selected box that leaves a number without dimensions, which the Gather after it refuses, and OpenVINO refuses a number of
//!   dimensions that is not known. A Reshape to one dimension is what is meant.
//! - Of a PIR program, the body of a Loop states that values have no dimensions which have one: ONNX Runtime refuses it. A value whose
//!   shape is not stated is taken as it comes.
//! - A graph of old operators is said to be of IR version 3, in which constants have to be inputs too. None of its constants is.

use super::graph::{Graph, NodeId, attribute, new_node};
use super::proto::{GraphProto, ModelProto, type_proto};
use super::rewrite;

/// What the names of values begin with that are made of a PIR program; those of Loops from `.pdmodel` are stated right.
const OF_PIR: &str = "p2o.";

/// The first IR version in which constants need not be inputs.
const IR_VERSION: i64 = 4;

/// Mends `model` in place; counts the faults.
pub fn apply(model: &mut ModelProto) -> usize {
    let is_old = model.ir_version() < IR_VERSION;
    let Some(proto) = &mut model.graph else { return 0 };
    if is_old && proto.input.iter().any(|input| proto.initializer.iter().any(|constant| constant.name() == input.name())) {
        return 0;
    }
    let mut count = usize::from(is_old) + unstate_numbers(proto, false);
    if proto.node.iter().any(|node| node.op_type() == "NonMaxSuppression") {
        let mut graph = Graph::open(proto);
        rewrite::constant::constants(&mut graph);
        count += graph.ids().filter(|id| reshape_column(&mut graph, *id).is_some()).count();
        graph.close(proto);
    }
    if is_old {
        model.ir_version = Some(IR_VERSION);
    }
    count
}

/// Takes the shapes without dimensions from what goes in and out of the bodies of Loops, but for the number of the step.
fn unstate_numbers(graph: &mut GraphProto, is_body: bool) -> usize {
    let mut count = 0;
    let values = graph.input.iter_mut().skip(1).chain(&mut graph.output);
    for value in values.filter(|value| is_body && value.name().starts_with(OF_PIR)) {
        if let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_mut().and_then(|t| t.value.as_mut()) {
            count += usize::from(tensor.shape.take_if(|shape| shape.dim.is_empty()).is_some());
        }
    }
    for node in &mut graph.node {
        let is_body = node.op_type() == "Loop";
        let inner = node.attribute.iter_mut().filter_map(|a| a.g.as_mut());
        count += inner.map(|graph| unstate_numbers(graph, is_body)).sum::<usize>();
    }
    count
}

fn reshape_column(graph: &mut Graph, id: NodeId) -> Option<()> {
    let node = graph.op(id, "Squeeze").filter(|node| attribute(node, "axes").is_none())?;
    let ([column], [output]) = (node.input.as_slice(), node.output.as_slice()) else { return None };
    let gather = graph.op(graph.maker(column)?, "Gather").filter(|node| attribute(node, "axis").is_some_and(|a| a.i() == 1))?;
    let [selected, index] = gather.input.as_slice() else { return None };
    graph.op(graph.maker(selected)?, "NonMaxSuppression")?;
    if graph.constant(index)?.dims != [1] {
        return None;
    }
    // Elsewhere one box may be meant, and a number.
    let is_list = |reader: &NodeId| graph.op(*reader, "Gather").is_some_and(|node| node.input.first() == Some(output));
    if graph.is_pinned(output) || !graph.readers(output).iter().all(is_list) {
        return None;
    }
    let (column, output) = (column.clone(), output.clone());
    let line = graph.new_integers(&[-1]);
    graph.place(id, new_node("Reshape", &[&column, &line], &output, Vec::new()));
    Some(())
}

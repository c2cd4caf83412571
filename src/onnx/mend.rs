//! What paddle2onnx makes that engines fail on, made right. Each fault is found by what stands in the graph; any other graph computes
//! what it did.
//!
//! - A column of what a NonMaxSuppression selected is taken by a Gather of one column and a Squeeze of all sides of one. Of one
//!   selected box that leaves a number without dimensions, which the Gather after it refuses, and OpenVINO refuses a number of
//!   dimensions that is not known. A Reshape to one dimension is what is meant.
//! - Of a PIR program, the body of a Loop states that values have no dimensions which have one: ONNX Runtime refuses it. A value whose
//!   shape is not stated is taken as it comes.

use super::graph::{Graph, NodeId, attribute, new_node};
use super::proto::{ModelProto, NodeProto, type_proto};
use super::rewrite;

/// What the names of values begin with that are made of a PIR program; those of Loops from `.pdmodel` are stated right.
const OF_PIR: &str = "p2o.";

/// Mends `model` in place; counts the faults.
pub fn apply(model: &mut ModelProto) -> usize {
    // Before IR version 4 every constant had to be an input too.
    let ir_version = model.ir_version();
    let Some(proto) = model.graph.as_mut().filter(|_| ir_version >= 4) else { return 0 };
    let loops = proto.node.iter_mut().filter(|node| node.op_type() == "Loop");
    let mut count = loops.map(unstate_numbers).sum();
    if proto.node.iter().any(|node| node.op_type() == "NonMaxSuppression") {
        let mut graph = Graph::open(proto);
        rewrite::constant::constants(&mut graph);
        count += graph.ids().filter(|id| reshape_column(&mut graph, *id).is_some()).count();
        graph.close(proto);
    }
    count
}

/// Takes the shapes without dimensions from what goes in and out of the body of a Loop, but for the number of the step.
fn unstate_numbers(node: &mut NodeProto) -> usize {
    let body = node.attribute.iter_mut().find(|a| a.name() == "body").and_then(|a| a.g.as_mut());
    let values = body.into_iter().flat_map(|body| body.input.iter_mut().skip(1).chain(&mut body.output));
    let mut count = 0;
    for value in values.filter(|value| value.name().starts_with(OF_PIR)) {
        if let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_mut().and_then(|t| t.value.as_mut()) {
            count += usize::from(tensor.shape.take_if(|shape| shape.dim.is_empty()).is_some());
        }
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
    let (column, output) = (column.clone(), output.clone());
    let line = graph.new_integers(&[-1]);
    graph.place(id, new_node("Reshape", &[&column, &line], &output, Vec::new()));
    Some(())
}

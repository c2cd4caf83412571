//! A column of what a NonMaxSuppression selected, as paddle2onnx takes it: a Gather of one of three columns, and a Squeeze of all
//! sides of one. Of one selected box that leaves a number without dimensions, which the Gather after it refuses, and an
//! engine that wants to know the number of dimensions refuses the graph. A Reshape to one dimension is what is meant.

use crate::onnx::graph::{Graph, NodeId, attribute, new_node};

/// Applies to every such Squeeze; counts them.
pub(in crate::onnx) fn columns(graph: &mut Graph) -> usize {
    graph.ids().filter(|id| reshape(graph, *id).is_some()).count()
}

fn reshape(graph: &mut Graph, id: NodeId) -> Option<()> {
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

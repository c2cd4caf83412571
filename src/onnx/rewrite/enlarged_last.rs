//! The order of the two sides of a sum of which one is enlarged, as where a pyramid of features goes down a level. ONNX Runtime runs what
//! stands later in a file first: with the enlarging step before the other side's last one, the enlarged tensor is made when it
//! is added, instead of lying there while the other side is computed.

use crate::onnx::graph::{Graph, NodeId};

/// Applies to every such sum; counts them.
pub(in crate::onnx) fn apply(graph: &mut Graph) -> usize {
    graph.ids().filter(|id| move_other(graph, *id).is_some()).count()
}

fn move_other(graph: &mut Graph, sum: NodeId) -> Option<()> {
    let sides: [String; 2] = graph.op(sum, "Add")?.input.clone().try_into().ok()?;
    let makers = [&sides[0], &sides[1]].map(|side| graph.only_maker(side));
    let [Some(a), Some(b)] = makers else { return None };
    let other = match (graph.op(a, "Resize"), graph.op(b, "Resize")) {
        (Some(_), None) => b,
        (None, Some(_)) => a,
        _ => return None,
    };
    let node = graph.node(other)?.clone();
    graph.remove(other);
    graph.push(node);
    Some(())
}

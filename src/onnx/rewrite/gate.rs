//! Squeeze-and-excitation blocks: a gate per image and channel, made from spatial means, scales a tensor.

use super::ACTIVATIONS;
use super::conv::Conv;
use crate::onnx::graph::{Graph, NodeId, new_node};

/// `x + x * gate` becomes `x * (1 + gate)`: one pass over the large tensor less.
pub(in crate::onnx) fn residual(graph: &mut Graph) -> usize {
    graph.ids().filter(|id| shorten_residual(graph, *id).is_some()).count()
}

/// The spatial means of a 1x1 Conv become the 1x1 Conv of the means, where that reads fewer channels.
pub(in crate::onnx) fn pooled_conv(graph: &mut Graph) -> usize {
    graph.ids().filter(|id| pool_first(graph, *id).is_some()).count()
}

fn shorten_residual(graph: &mut Graph, id: NodeId) -> Option<()> {
    let [a, b] = graph.op(id, "Add")?.input.clone().try_into().ok()?;
    let (x, product, gate) = [(&a, &b), (&b, &a)].into_iter().find_map(|(x, product)| {
        graph.only_reader(product)?;
        let [p, q] = graph.op(graph.maker(product)?, "Mul")?.input.as_slice() else { return None };
        let gate = if p == x { q } else { p };
        ((p == x || q == x) && is_gate(graph, gate)).then(|| (x.clone(), product.clone(), gate.clone()))
    })?;
    let mul = graph.maker(&product)?;
    let output = graph.node(id)?.output.first()?.clone();
    let one = graph.new_constant(&[1], &[1.0]);
    let raised = graph.new_name();
    graph.place(mul, new_node("Add", &[&gate, &one], &raised, Vec::new()));
    graph.place(id, new_node("Mul", &[&x, &raised], &output, Vec::new()));
    Some(())
}

/// Whether a value comes from a global pooling through steps that keep its spatial size of one, convolutions among them: their
/// weights show that it is float32.
pub(super) fn is_gate(graph: &Graph, value: &str) -> bool {
    let (mut value, mut is_float) = (value, false);
    while let Some(id) = graph.maker(value) {
        let Some(node) = graph.node(id) else { return false };
        let next = match node.op_type() {
            "GlobalAveragePool" => return is_float,
            "Conv" if Conv::read(graph, id).is_some_and(|c| c.is_pointwise()) => {
                is_float = true;
                &node.input[0]
            }
            op if ACTIVATIONS.contains(&op) => &node.input[0],
            "Add" if node.input.get(1).is_some_and(|other| graph.scalar(other).is_some()) => &node.input[0],
            _ => return false,
        };
        value = next;
    }
    false
}

fn pool_first(graph: &mut Graph, id: NodeId) -> Option<()> {
    let node = graph.op(id, "GlobalAveragePool")?.clone();
    let value = node.input.first()?;
    let maker = graph.maker(value)?;
    Conv::read(graph, maker).filter(|c| c.is_pointwise() && 2 * c.channels_in() <= c.channels_out())?;
    let mut conv = graph.node(maker)?.clone();
    let means = graph.new_name();
    let pool = new_node("GlobalAveragePool", &[conv.input.first()?], &means, Vec::new());
    conv.input[0] = means;
    conv.name = None;
    conv.output.clone_from(&node.output);
    graph.place(id, conv);
    graph.push(pool);
    graph.sweep(value);
    Some(())
}

//! A chain of ConvTransposes whose kernels are as large as their strides, as at the end of a DB detector: each input
//! position makes a square of outputs of its own, so the chain is a chain of 1x1 convolutions with a channel per place in
//! the square, and one DepthToSpace at the end. All work is done at the small resolution, activations fuse into the
//! convolutions, and only the final few channels move.

use super::ACTIVATIONS;
use super::conv::Conv;
use crate::onnx::graph::{Graph, NodeId, int_attribute, ints_attribute, new_node};
use crate::onnx::proto::NodeProto;

/// Most channels before the DepthToSpace. Later convolutions of a chain keep one block of weights per place and
/// zeros elsewhere: worthwhile while they make few channels (one block of the engines' blocked layouts).
const MOST_CHANNELS: usize = 16;

/// Applies to every chain; counts the ConvTransposes gone.
pub(in crate::onnx) fn apply(graph: &mut Graph) -> usize {
    graph.ids().filter_map(|id| convert(graph, id)).sum()
}

/// One ConvTranspose and the activations after it.
struct Level {
    id: NodeId,
    conv: Conv,
    side: usize,
    activations: Vec<NodeId>,
}

fn convert(graph: &mut Graph, first: NodeId) -> Option<usize> {
    let input = graph.node(first)?.input.first()?.clone();
    let mut value = graph.node(first)?.output.first()?.clone();
    let mut levels = vec![level(graph, first)?];
    while let Some(reader) = graph.only_reader(&value) {
        match level(graph, reader) {
            Some(next) => levels.push(next),
            None if is_activation(graph, reader) => levels.last_mut()?.activations.push(reader),
            None => break,
        }
        value = graph.node(reader)?.output.first()?.clone();
    }
    let side: usize = levels.iter().map(|l| l.side).product();
    if levels.last()?.conv.channels_out() * side * side > MOST_CHANNELS {
        return None;
    }
    let (mut last, mut nodes) = (input, Vec::new());
    for i in 0..levels.len() {
        let (rows, weights, bias) = dense(&levels, i);
        let columns = weights.len() / rows;
        let w = graph.new_constant(&[rows as i64, columns as i64, 1, 1], &weights);
        let b = graph.new_constant(&[rows as i64], &bias);
        let made = graph.new_name();
        nodes.push(new_node("Conv", &[&last, &w, &b], &made, vec![ints_attribute("kernel_shape", &[1, 1])]));
        last = made;
        for id in &levels[i].activations {
            let made = graph.new_name();
            let activation = graph.node(*id)?;
            let others = activation.input.iter().skip(1).cloned();
            let input = std::iter::once(std::mem::replace(&mut last, made.clone())).chain(others).collect();
            nodes.push(NodeProto { input, output: vec![made], ..activation.clone() });
        }
    }
    nodes.push(new_node("DepthToSpace", &[&last], &value, vec![int_attribute("blocksize", side as i64)]));
    for level in &levels {
        graph.remove(level.id);
        level.activations.iter().for_each(|id| graph.remove(*id));
    }
    nodes.into_iter().for_each(|node| graph.push(node));
    Some(levels.len())
}

fn level(graph: &Graph, id: NodeId) -> Option<Level> {
    let conv = Conv::read(graph, id)?;
    Some(Level { id, side: conv.patch()?, conv, activations: Vec::new() })
}

/// Whether a node maps each element by itself.
fn is_activation(graph: &Graph, id: NodeId) -> bool {
    ACTIVATIONS.iter().any(|kind| graph.op(id, kind).is_some())
}

/// Number of output channels, weights and bias of the 1x1 convolution that stands for a level. A channel is named by its
/// place in the square of each level so far, outermost first, then by its channel in the level.
fn dense(levels: &[Level], index: usize) -> (usize, Vec<f32>, Vec<f32>) {
    let (before, level) = (&levels[..index], &levels[index]);
    let outer: usize = before.iter().map(|l| l.side * l.side).product();
    let (side, made, read) = (level.side, level.conv.channels_out(), level.conv.channels_in());
    let rows = outer * side * side * made;
    let columns = outer * read;
    let (from, shift) = level.conv.numbers();
    let (mut weights, mut bias) = (vec![0.0; rows * columns], vec![0.0; rows]);
    for o in 0..outer {
        for place in 0..side * side {
            for m in 0..made {
                let row = if index + 1 == levels.len() { last_place(before, o, side, place) } else { o * side * side + place };
                let row = row * made + m;
                bias[row] = shift[m] as f32;
                for c in 0..read {
                    weights[row * columns + o * read + c] = from[(c * made + m) * side * side + place] as f32;
                }
            }
        }
    }
    (rows, weights, bias)
}

/// The place in the square of all levels together, row by row as DepthToSpace counts.
fn last_place(before: &[Level], outer: usize, side: usize, place: usize) -> usize {
    let (mut rest, mut scale) = (outer, side);
    let (mut y, mut x) = (place / side, place % side);
    for level in before.iter().rev() {
        let here = rest % (level.side * level.side);
        rest /= level.side * level.side;
        y += here / level.side * scale;
        x += here % level.side * scale;
        scale *= level.side;
    }
    y * scale + x
}

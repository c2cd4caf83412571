//! A scale and shift that no Conv takes in become a Conv of one channel each, kernel 1x1: before a padded Conv, and, where they are
//! several steps on what a Conv has made, before a gate or a pooling (the learnable affine blocks of PP-LCNetV3).
//! ONNX Runtime keeps convolutions in a blocked layout; a Mul or Add by a constant between two of them costs
//! a reorder before, one after, and a pass for each: as a convolution it is one pass in the blocked layout.

use super::affine::{Affine, is_map, known_channels, step};
use super::conv::Conv;
use crate::onnx::graph::{Graph, NodeId, int_attribute, ints_attribute, new_node};

/// Channels per block of the blocked layout at its widest; other counts are not blocked for this kind of convolution.
const BLOCK: usize = 16;

/// Applies to whole maps of four dimensions; counts the new convolutions.
pub(in crate::onnx) fn apply(graph: &mut Graph) -> usize {
    let before_conv = graph.ids().filter(|id| convert_before(graph, *id).is_some()).count();
    before_conv + graph.ids().filter(|id| convert_chain(graph, *id).is_some()).count()
}

/// What a padded Conv reads.
fn convert_before(graph: &mut Graph, id: NodeId) -> Option<()> {
    let conv = Conv::read(graph, id).filter(|c| c.is_forward() && c.is_padded() && c.rank() == 4)?;
    let last = graph.maker(graph.node(id)?.input.first()?)?;
    convert(graph, last, conv.channels_in(), 1)
}

/// A chain that ends at `last`.
fn convert_chain(graph: &mut Graph, last: NodeId) -> Option<()> {
    let value = graph.node(last)?.output.first()?;
    let channels = known_channels(graph, value, 4)?;
    let goes_on = graph.only_reader(value).is_some_and(|reader| step(graph, reader, 4, channels).is_some());
    if goes_on || !is_map(graph, value) { None } else { convert(graph, last, channels, 2) }
}

/// Makes the steps that end at `last` one convolution, if there are as many as `least`.
fn convert(graph: &mut Graph, last: NodeId, channels: usize, least: usize) -> Option<()> {
    if !channels.is_multiple_of(BLOCK) {
        return None;
    }
    let value = graph.node(last)?.output.first()?.clone();
    let mut map = Affine::identity();
    let mut data = value.clone();
    let mut steps = 0;
    while let Some(maker) = graph.maker(&data).filter(|m| *m == last || graph.only_reader(&data).is_some()) {
        let Some((before, next)) = step(graph, maker, 4, channels) else { break };
        map = map.after(&next);
        data = before;
        steps += 1;
    }
    if steps < least {
        return None;
    }
    let column = |at: &dyn Fn(usize) -> f64| (0..channels).map(|c| at(c) as f32).collect::<Vec<_>>();
    let (weights, bias) = (column(&|c| map.scale.at(c)), column(&|c| map.shift.at(c)));
    if !weights.iter().chain(&bias).all(|v| v.is_finite()) {
        return None;
    }
    let n = channels as i64;
    let (w, b) = (graph.new_constant(&[n, 1, 1, 1], &weights), graph.new_constant(&[n], &bias));
    let attributes = vec![int_attribute("group", n), ints_attribute("kernel_shape", &[1, 1])];
    let between = graph.node(last)?.input.clone();
    graph.place(last, new_node("Conv", &[&data, &w, &b], &value, attributes));
    between.iter().for_each(|v| graph.sweep(v));
    Some(())
}

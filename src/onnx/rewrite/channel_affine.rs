//! A scale and shift that stay because a padded Conv reads them become a Conv of one channel each, kernel 1x1.
//! ONNX Runtime keeps convolutions in a blocked layout; a Mul or Add by a constant between two of them costs
//! a reorder before, one after, and a pass for each: as a convolution it is one pass in the blocked layout.

use super::affine::{Affine, step};
use super::conv::Conv;
use crate::onnx::graph::{Graph, NodeId, int_attribute, ints_attribute, new_node};

/// Channels per block of the blocked layout at its widest; other counts are not blocked for this kind of convolution.
const BLOCK: usize = 16;

/// Applies before every padded 2-D Conv; counts the new convolutions.
pub(in crate::onnx) fn apply(graph: &mut Graph) -> usize {
    graph.ids().filter(|id| convert_before(graph, *id).is_some()).count()
}

fn convert_before(graph: &mut Graph, id: NodeId) -> Option<()> {
    let conv = Conv::read(graph, id).filter(|c| c.is_forward() && c.is_padded() && c.rank() == 4)?;
    let channels = conv.channels_in();
    if !channels.is_multiple_of(BLOCK) {
        return None;
    }
    let value = graph.node(id)?.input.first()?.clone();
    let last = graph.maker(&value)?;
    let mut map = Affine::identity();
    let mut data = value.clone();
    while let Some(maker) = graph.maker(&data).filter(|m| *m == last || graph.only_reader(&data).is_some()) {
        let Some((before, next)) = step(graph, maker, 4, channels) else { break };
        map = map.after(&next);
        data = before;
    }
    if data == value {
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

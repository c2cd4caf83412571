//! Scales and shifts before a Conv go into its weights. Padding is zeros after the shift, so a padded convolution takes
//! in scales only; see [`super::channel_affine`] for the rest. Each Conv looks through the chain on its own: what other
//! readers still need stays.

use super::affine::{Affine, step};
use super::conv::Conv;
use crate::onnx::graph::{Graph, NodeId};

/// Applies to every Conv; counts them.
pub(in crate::onnx) fn apply(graph: &mut Graph) -> usize {
    graph.ids().filter(|id| fold_into(graph, *id).is_some()).count()
}

fn fold_into(graph: &mut Graph, id: NodeId) -> Option<()> {
    let mut conv = Conv::read(graph, id).filter(Conv::is_forward)?;
    let node = graph.node(id)?;
    let (original, output) = (node.input.first()?.clone(), node.output.first()?.clone());
    let mut input = original.clone();
    let mut map = Affine::identity();
    while let Some(maker) = graph.maker(&input) {
        let Some((data, before)) = step(graph, maker, conv.rank(), conv.channels_in()) else { break };
        if conv.is_padded() && !before.is_pure_scale() {
            break;
        }
        map = map.after(&before);
        input = data;
    }
    if input == original {
        return None;
    }
    conv.map_input(&map);
    if !conv.write(graph, id, &input, &output) {
        return None;
    }
    graph.sweep(&original);
    Some(())
}

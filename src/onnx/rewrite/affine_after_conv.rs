//! Conv or ConvTranspose, then a chain of scales, shifts and normalisations that only the next of them reads:
//! one convolution. ONNX Runtime does this for constants of shape `[1, C, 1, 1]` after Conv, not for one-element
//! constants (the learnable affine blocks of PP-LCNetV3) nor after ConvTranspose.

use super::affine::{Affine, step};
use super::conv::Conv;
use crate::onnx::graph::{Graph, NodeId};

/// Applies to every convolution; counts convolutions.
pub(in crate::onnx) fn apply(graph: &mut Graph) -> usize {
    graph.ids().filter(|id| fold_into(graph, *id).is_some()).count()
}

fn fold_into(graph: &mut Graph, id: NodeId) -> Option<()> {
    let mut conv = Conv::read(graph, id)?;
    let node = graph.node(id)?;
    let input = node.input.first()?.clone();
    let mut output = node.output.first()?.clone();
    let mut map = Affine::identity();
    let mut chain = Vec::new();
    while let Some(reader) = graph.only_reader(&output) {
        let Some((data, next)) = step(graph, reader, conv.rank(), conv.channels_out()) else { break };
        if data != output {
            break;
        }
        map = next.after(&map);
        output = graph.node(reader)?.output.first()?.clone();
        chain.push(reader);
    }
    if chain.is_empty() {
        return None;
    }
    conv.map_output(&map);
    // The chain goes first: two nodes must not make the same value.
    let removed: Vec<_> = chain.iter().filter_map(|c| Some((*c, graph.node(*c)?.clone()))).collect();
    chain.iter().for_each(|c| graph.remove(*c));
    if !conv.write(graph, id, &input, &output) {
        removed.into_iter().for_each(|(c, node)| graph.place(c, node));
        return None;
    }
    Some(())
}

//! See [`Surgery::MaskResize`](super::Surgery::MaskResize).

use super::{end_at, float_output};
use crate::onnx::proto::{GraphProto, NodeProto};
use std::collections::{HashMap, HashSet};

/// Cuts every output behind a Resize whose size depends on values of a graph input (not on its shape alone); counts them.
pub(super) fn apply(graph: &mut GraphProto) -> usize {
    let makers: HashMap<&str, &NodeProto> = graph.node.iter().flat_map(|n| n.output.iter().map(move |o| (o.as_str(), n))).collect();
    let inputs: HashSet<&str> = graph.input.iter().map(|v| v.name()).collect();
    let sized_by_values = |resize: &NodeProto| {
        let sizes = resize.input.iter().skip(1).filter(|v| !v.is_empty());
        sizes.map(String::as_str).any(|v| reads_values(v, &makers, &inputs))
    };
    let resizes: Vec<&NodeProto> = graph.node.iter().filter(|n| n.op_type() == "Resize" && sized_by_values(n)).collect();
    let mut cut = 0;
    let outputs = graph.output.clone().into_iter().map(|output| {
        let behind = resizes.iter().find(|r| r.output.first().is_some_and(|o| makes_elementwise(o, output.name(), &makers)));
        match behind.and_then(|r| r.input.first()) {
            Some(data) => {
                cut += 1;
                float_output(data, 4)
            }
            None => output,
        }
    });
    let outputs = outputs.collect();
    if cut > 0 {
        end_at(graph, outputs);
    }
    cut
}

/// Whether a value depends on the elements of a graph input.
fn reads_values<'a>(value: &'a str, makers: &HashMap<&'a str, &'a NodeProto>, inputs: &HashSet<&str>) -> bool {
    let (mut todo, mut seen) = (vec![value], HashSet::new());
    while let Some(value) = todo.pop() {
        if inputs.contains(value) {
            return true;
        }
        let Some(node) = makers.get(value).filter(|n| n.op_type() != "Shape") else { continue };
        todo.extend(node.input.iter().map(String::as_str).filter(|v| seen.insert(*v)));
    }
    false
}

/// Whether `output` is `from` with each element mapped by itself and the dimensions merged.
fn makes_elementwise(from: &str, output: &str, makers: &HashMap<&str, &NodeProto>) -> bool {
    let mut value = output;
    for _ in 0..16 {
        if value == from {
            return true;
        }
        let Some(node) = makers.get(value) else { return false };
        if !["Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Greater", "Sigmoid"].contains(&node.op_type()) {
            return false;
        }
        let Some(first) = node.input.first() else { return false };
        value = first;
    }
    false
}

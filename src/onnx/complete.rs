//! Whether a graph has all that its nodes read. Engines say of one that has not in their own words, and name the rewritten file.

use super::graph::bodies;
use super::proto::{GraphProto, NodeProto};
use std::collections::HashSet;

/// A tensor that is read and that neither the graph nor one around it has, with the node that reads it; `None` where it is an
/// output of the graph.
pub(super) fn lacking(graph: &GraphProto) -> Option<(&str, Option<&NodeProto>)> {
    lacking_within(graph, &HashSet::new())
}

fn lacking_within<'a>(graph: &'a GraphProto, around: &HashSet<&'a str>) -> Option<(&'a str, Option<&'a NodeProto>)> {
    let mut known = around.clone();
    known.insert(""); // an optional input that is left out
    known.extend(graph.input.iter().map(|input| input.name()));
    known.extend(graph.initializer.iter().map(|tensor| tensor.name()));
    known.extend(graph.sparse_initializer.iter().filter_map(|tensor| Some(tensor.values.as_ref()?.name())));
    known.extend(graph.node.iter().flat_map(|node| &node.output).map(String::as_str));
    let of_node = |node: &'a NodeProto| {
        let unknown = node.input.iter().map(String::as_str).find(|name| !known.contains(name)).map(|name| (name, Some(node)));
        unknown.or_else(|| bodies(node).find_map(|body| lacking_within(body, &known)))
    };
    let of_outputs = || graph.output.iter().map(|output| output.name()).find(|name| !known.contains(name)).map(|name| (name, None));
    graph.node.iter().find_map(of_node).or_else(of_outputs)
}

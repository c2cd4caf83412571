//! See [`Surgery::SequencesAsConstants`](super::Surgery::SequencesAsConstants).

use super::{Run, holds, prune};
use crate::error::Result;
use crate::onnx::graph::reads;
use crate::onnx::proto::{GraphProto, ModelProto, TensorProto};
use std::collections::{HashMap, HashSet};

/// Operators that make or read sequences.
const SEQUENCES: [&str; 8] = [
    "SequenceEmpty",
    "SequenceConstruct",
    "SequenceInsert",
    "SequenceErase",
    "SequenceAt",
    "SplitToSequence",
    "SequenceMap",
    "ConcatFromSequence",
];

/// Stores every tensor that is made with sequences, that no element of an input reaches, and that is the same in all runs;
/// counts them. Without such a tensor nothing is run.
pub(super) fn apply(model: &mut ModelProto, run: Run<'_>) -> Result<usize> {
    let Some(names) = model.graph.as_ref().map(made_with_sequences).filter(|names| !names.is_empty()) else { return Ok(0) };
    let runs = run(&ending_at(model, &names))?;
    let Some((first, others)) = runs.split_first() else { return Ok(0) };
    let same = |value: &&TensorProto| others.iter().all(|run| run.iter().any(|other| other == *value));
    let constants: Vec<TensorProto> = first.iter().filter(same).cloned().collect();
    if let Some(graph) = &mut model.graph {
        store(graph, &constants);
    }
    Ok(constants.len())
}

/// Values that depend on the shapes of inputs alone and on sequences, where they meet what depends on elements.
fn made_with_sequences(graph: &GraphProto) -> Vec<String> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name()).collect();
    let mut elements: HashSet<String> =
        graph.input.iter().map(|v| v.name()).filter(|v| !constants.contains(v)).map(str::to_owned).collect();
    let (mut sequential, mut found) = (HashSet::new(), Vec::new());
    let mut meet = |value: &String, sequential: &HashSet<String>| {
        if sequential.contains(value) && !found.contains(value) {
            found.push(value.clone());
        }
    };
    for node in &graph.node {
        let mut read = HashSet::new();
        reads(node, &mut read);
        if !["Shape", "Size"].contains(&node.op_type()) && !read.is_disjoint(&elements) {
            elements.extend(node.output.iter().cloned());
            node.input.iter().for_each(|value| meet(value, &sequential));
        } else if holds(node, &SEQUENCES) || !read.is_disjoint(&sequential) {
            sequential.extend(node.output.iter().filter(|v| !v.is_empty()).cloned());
        }
    }
    graph.output.iter().for_each(|output| meet(&output.name().to_owned(), &sequential));
    found
}

/// The part of a model that makes these values, whatever their type.
fn ending_at(model: &ModelProto, names: &[String]) -> ModelProto {
    let mut part = model.clone();
    if let Some(graph) = &mut part.graph {
        let known: HashMap<String, _> = graph.output.drain(..).map(|output| (output.name().to_owned(), output)).collect();
        let output = |name: &String| known.get(name).cloned().unwrap_or_else(|| super::output(name));
        graph.output = names.iter().map(output).collect();
        prune(graph);
    }
    part
}

/// Puts constants in the place of the values of their names.
fn store(graph: &mut GraphProto, constants: &[TensorProto]) {
    let names: HashSet<&str> = constants.iter().map(|t| t.name()).collect();
    // A node whose other outputs are read stays, and makes what nobody reads under another name.
    for output in graph.node.iter_mut().flat_map(|n| &mut n.output).filter(|o| names.contains(o.as_str())) {
        output.push_str("_at_run_time");
    }
    graph.initializer.extend(constants.iter().cloned());
    prune(graph);
}

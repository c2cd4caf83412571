//! A float32 graph with most of its work in float16: its inputs and outputs stay as they are. What loses too much in float16, or
//! is not in the list of `ops`, stays in float32, with casts between. Every value keeps its name for its float32 form, so that whatever
//! is not converted, bodies of Loop and If included, reads what it always read.
//!
//! The list does not name what sums, exponentiates or normalises over many elements (Softmax, ReduceMean, LayerNormalization, Pow, Exp),
//! nor what computes places (Resize, GridSample, TopK). A group of light steps without a product among them stays in float32 too: it
//! would cost casts and win nothing, and may compute sizes, or the small number that keeps a divisor from zero.

mod ops;

use super::graph::{Graph, NodeId, cast, int_attribute, is_standard, new_node};
use super::proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, tensor_proto::DataType, type_proto};
use super::tensor::tensor;
use super::{rewrite::constant, surgery::float_output};
use half::f16;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Part of every cache key of a converted graph: grows whenever another graph comes out than before.
pub const HALF_VERSION: u32 = 1;

/// What stays in float32 besides what always does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keep {
    /// Operators.
    pub operators: Vec<String>,
    /// Values that float16 cannot hold, by name.
    pub values: HashSet<String>,
}

/// A converted graph.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The graph.
    pub model: ModelProto,
    /// Names of the values that are float16 in it.
    pub values: Vec<String>,
    /// How many casts stand between the two.
    pub casts: usize,
}

/// Converts `model`; one older than IR version 4, whose constants are inputs too, stays as it is.
pub fn convert(model: &ModelProto, keep: &Keep) -> Converted {
    let (mut values, mut casts) = (Vec::new(), 0);
    let model = chosen(model, keep, |graph, chosen| {
        values = chosen.keys().flat_map(|id| outputs(graph, *id)).collect();
        casts = narrow(graph, chosen);
    });
    Converted { model, values, casts }
}

/// What `convert` gives as a graph in float32: what is float16 there is rounded to it here. An engine that has no float16 of its own runs
/// the converted graph in float32 and leaves most of the rounding out; it cannot leave it out of this one.
pub fn rounded(model: &ModelProto, keep: &Keep) -> ModelProto {
    chosen(model, keep, round)
}

/// `model` after `work` on the nodes that are to be done in float16.
fn chosen(model: &ModelProto, keep: &Keep, work: impl FnOnce(&mut Graph, &BTreeMap<NodeId, Vec<usize>>)) -> ModelProto {
    let mut model = model.clone();
    let ir_version = model.ir_version();
    let Some(proto) = model.graph.as_mut().filter(|_| ir_version >= 4) else { return model };
    let inputs = float_inputs(proto);
    let mut graph = Graph::open(proto);
    constant::constants(&mut graph);
    let candidates = candidates(&graph, &float_values(&graph, inputs), keep);
    let nodes = worthwhile(&graph, candidates);
    work(&mut graph, &nodes);
    graph.close(proto);
    model
}

/// `model` with one output more for each of `values`, in their order: the greatest absolute value of an element of it.
pub fn observed(model: &ModelProto, values: &[String]) -> ModelProto {
    let mut observed = model.clone();
    let Some(graph) = &mut observed.graph else { return observed };
    for (index, value) in values.iter().enumerate() {
        let (sizes, greatest) = (format!("observed_{index}_sizes"), format!("observed_{index}"));
        graph.node.push(new_node("Abs", &[value], &sizes, Vec::new()));
        graph.node.push(new_node("ReduceMax", &[&sizes], &greatest, vec![int_attribute("keepdims", 0)]));
        graph.output.push(float_output(&greatest, 0));
    }
    observed
}

fn float_inputs(proto: &GraphProto) -> HashSet<String> {
    let is_float = |v: &&ValueInfoProto| {
        let r#type = v.r#type.as_ref().and_then(|t| t.value.as_ref());
        matches!(r#type, Some(type_proto::Value::TensorType(t)) if t.elem_type == Some(DataType::Float as i32))
    };
    proto.input.iter().filter(is_float).map(|v| v.name().to_owned()).collect()
}

/// All values that are float32 beyond doubt: what is made by an operator of unknown type is not among them, nor are the constants.
fn float_values(graph: &Graph, mut known: HashSet<String>) -> HashSet<String> {
    for node in graph.ids().filter_map(|id| graph.node(id)) {
        let is_float = |name: &String| known.contains(name) || is_float_constant(graph, name);
        if ops::gives_float(node, &is_float) {
            known.extend(node.output.iter().take(ops::float_outputs(node)).filter(|o| !o.is_empty()).cloned());
        }
    }
    known
}

fn is_float_constant(graph: &Graph, name: &str) -> bool {
    graph.constant(name).is_some_and(|t| t.data_type == Some(DataType::Float as i32))
}

/// Nodes that can be done in float16, with the inputs that are to be.
fn candidates(graph: &Graph, float32: &HashSet<String>, keep: &Keep) -> BTreeMap<NodeId, Vec<usize>> {
    let fits = |node: &NodeProto, inputs: &[usize]| {
        let fits = |name: &String| match graph.constant(name) {
            Some(_) => graph.floats(name).is_some_and(|(_, values)| values.iter().all(|v| ops::holds(node.op_type(), *v))),
            None => float32.contains(name) && !keep.values.contains(name),
        };
        inputs.iter().all(|index| fits(&node.input[*index])) && node.output.iter().all(|o| float32.contains(o) && !keep.values.contains(o))
    };
    let one = |id: NodeId| {
        let node = graph.node(id).filter(|n| is_standard(n.domain()) && !keep.operators.iter().any(|o| o == n.op_type()))?;
        let inputs = ops::half_inputs(node)?;
        fits(node, &inputs).then_some((id, inputs))
    };
    graph.ids().filter_map(one).collect()
}

/// Those in a group with a product: groups are joined by the values that pass between them in float16.
fn worthwhile(graph: &Graph, candidates: BTreeMap<NodeId, Vec<usize>>) -> BTreeMap<NodeId, Vec<usize>> {
    let mut neighbours: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    for (&id, inputs) in &candidates {
        let node = graph.node(id).into_iter();
        let makers = node.flat_map(|node| inputs.iter().filter_map(|index| graph.maker(&node.input[*index])));
        for maker in makers.filter(|maker| candidates.contains_key(maker)) {
            neighbours.entry(id).or_default().push(maker);
            neighbours.entry(maker).or_default().push(id);
        }
    }
    let is_product = |id: &&NodeId| graph.node(**id).is_some_and(|node| ops::is_product(node.op_type()));
    let mut todo: Vec<NodeId> = candidates.keys().filter(is_product).copied().collect();
    let mut reached: HashSet<NodeId> = todo.iter().copied().collect();
    while let Some(id) = todo.pop() {
        let near = neighbours.get(&id).into_iter().flatten();
        todo.extend(near.filter(|near| reached.insert(**near)));
    }
    candidates.into_iter().filter(|(id, _)| reached.contains(id)).collect()
}

fn outputs(graph: &Graph, id: NodeId) -> Vec<String> {
    graph.node(id).map_or_else(Vec::new, |node| node.output.clone())
}

/// Puts the chosen nodes into float16; counts the casts.
fn narrow(graph: &mut Graph, chosen: &BTreeMap<NodeId, Vec<usize>>) -> usize {
    let mut halves: HashMap<String, String> = HashMap::new();
    let (mut narrowed, mut casts) = (Vec::new(), Vec::new());
    for &id in chosen.keys() {
        for value in outputs(graph, id) {
            let half = graph.new_name();
            let in_float32 = |reader: &NodeId| !chosen.contains_key(reader);
            if graph.is_pinned(&value) || graph.readers(&value).iter().any(in_float32) {
                casts.push(cast(&half, &value, DataType::Float));
            }
            halves.insert(value, half);
        }
    }
    for (&id, inputs) in chosen {
        let Some(mut node) = graph.node(id).cloned() else { continue };
        for &index in inputs {
            let value = node.input[index].clone();
            if !halves.contains_key(&value) {
                let half = graph.new_name();
                match half_constant(graph, &value, &half) {
                    Some(tensor) => graph.insert_constant(tensor),
                    None => casts.push(cast(&value, &half, DataType::Float16)),
                }
                halves.insert(value.clone(), half);
            }
            node.input[index].clone_from(&halves[&value]);
        }
        node.output.iter_mut().for_each(|output| output.clone_from(&halves[output]));
        narrowed.push((id, node));
    }
    narrowed.into_iter().for_each(|(id, node)| graph.place(id, node));
    let count = casts.len();
    casts.into_iter().for_each(|node| graph.push(node));
    count
}

/// Rounds what the chosen nodes read and make to float16.
fn round(graph: &mut Graph, chosen: &BTreeMap<NodeId, Vec<usize>>) {
    let mut rounded: HashMap<String, String> = HashMap::new();
    let makes: HashSet<String> = chosen.keys().flat_map(|id| outputs(graph, *id)).collect();
    for (&id, inputs) in chosen {
        let Some(mut node) = graph.node(id).cloned() else { continue };
        for &index in inputs {
            let value = node.input[index].clone();
            if makes.contains(&value) {
                continue;
            }
            if !rounded.contains_key(&value) {
                let constant = graph.floats(&value).map(|(dims, values)| (dims.to_vec(), values));
                let name = match constant {
                    Some((dims, values)) => {
                        graph.new_constant(&dims, &values.iter().map(|v| f16::from_f32(*v).to_f32()).collect::<Vec<_>>())
                    }
                    None => {
                        let name = graph.new_name();
                        through_half(graph, &value, &name);
                        name
                    }
                };
                rounded.insert(value.clone(), name);
            }
            node.input[index].clone_from(&rounded[&value]);
        }
        let made: Vec<(String, String)> = node.output.iter().map(|value| (graph.new_name(), value.clone())).collect();
        node.output = made.iter().map(|(exact, _)| exact.clone()).collect();
        graph.place(id, node);
        made.iter().for_each(|(exact, value)| through_half(graph, exact, value));
    }
}

fn through_half(graph: &mut Graph, from: &str, to: &str) {
    let half = graph.new_name();
    graph.push(cast(from, &half, DataType::Float16));
    graph.push(cast(&half, to, DataType::Float));
}

fn half_constant(graph: &Graph, value: &str, name: &str) -> Option<TensorProto> {
    let (dims, values) = graph.floats(value)?;
    let raw = values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
    Some(tensor(name, dims, DataType::Float16, raw))
}

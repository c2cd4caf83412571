//! A network that ends in a Loop which writes one token and its results a step, cut in two: what comes before the Loop, and
//! one step. The Loop itself, its counter, its buffers and its end, are left to whoever runs the two: see [`Rules`].
//!
//! Nothing is cut unless every output of the network is a buffer of such a Loop; whether the two parts then give what the whole
//! gives is to be tried before they are used, since the arithmetic of the counter is not followed.

use super::loop_body::{Body, whole_number};
use super::prune;
use crate::onnx::graph::{Graph, attribute, cast, int_attribute, new_node, reads};
use crate::onnx::proto::{GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto, ValueInfoProto};
use crate::onnx::proto::{tensor_proto::DataType, tensor_shape_proto::Dimension, tensor_shape_proto::dimension::Value, type_proto};
use crate::onnx::rewrite::constant::constants;
use crate::onnx::tensor::integers;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};

/// The two parts. All inputs and outputs are float32, whole numbers too.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoder {
    /// Inputs of the network to what the steps read: [`Rules::features`] values, then the state before the first step.
    pub encoder: ModelProto,
    /// The same values to the results of a step in the order of the network's outputs, its token `[N]`, and the next state.
    pub step: ModelProto,
    /// How steps are run.
    pub rules: Rules,
}

/// How the outputs of a network come out of its steps: step `i` gives row `i` of each output `[N, rows, width]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Values that every step reads; the other inputs of a step are the state.
    pub features: usize,
    /// Outputs: name, and whether a softmax over the last dimension is their end.
    pub outputs: Vec<(String, bool)>,
    /// Most steps.
    pub most: usize,
    /// The token that ends a sequence; steps end when all sequences of the batch have.
    pub end: i64,
    /// Whether the end is seen one step later than its token is made.
    pub late: bool,
    /// Rows of zeros (before the softmax) that outputs have behind those of the steps, within the most.
    pub more_rows: usize,
}

/// Whether there is a Loop in `model`, outside of bodies.
pub fn has_loop(model: &ModelProto) -> bool {
    model.graph.iter().any(|graph| graph.node.iter().any(|node| node.op_type() == "Loop"))
}

/// The parts of `model`, or `None` where it is not such a network.
pub fn cut(model: &ModelProto) -> Option<Decoder> {
    if !has_loop(model) {
        return None;
    }
    let mut whole = model.clone();
    let graph = with_constants(whole.graph.as_mut()?);
    let at = only(graph.node.iter().enumerate().filter(|(_, node)| node.op_type() == "Loop"))?.0;
    let node = graph.node[at].clone();
    let mut body = attribute(&node, "body")?.g.clone()?;
    let body = Body::new(with_constants(&mut body), &node)?;

    let results: Vec<(ResultOf<'_>, String)> = graph
        .output
        .iter()
        .map(|output| Some((result_of(graph, &node, &body, output.name())?, output.name().to_owned())))
        .collect::<Option<_>>()?;
    let more_rows = results.first()?.0.more_rows;
    if results.iter().any(|(result, _)| result.more_rows != more_rows || result.most != results[0].0.most) {
        return None;
    }
    let (token, end, late) = body.token().filter(|(_, end, _)| *end != 0)?; // a new buffer is full of zeros

    let mut made: Vec<&str> = results.iter().map(|(result, _)| result.written).collect();
    made.push(token);
    let Read { features, state, stored } = read(graph, &node, &body, &made)?;
    let rules = Rules {
        features: features.len(),
        outputs: results.iter().map(|(result, name)| (name.clone(), result.softmax)).collect(),
        most: results[0].0.most,
        end,
        late,
        more_rows,
    };
    let carried: Vec<usize> = features.iter().chain(&state).copied().collect();
    let (encoder, mut step) = (encoder(graph, &node, &body, &carried)?, step(&body, &carried, &made, &state, stored)?);
    for (output, (result, _)) in step.output.iter_mut().zip(&results) {
        *output = row(output.name(), result.width);
    }
    let with = |graph: GraphProto| ModelProto { graph: Some(graph), ..model.clone() };
    Some(Decoder { encoder: with(encoder), step: with(step), rules })
}

/// What a step reads: of what the Loop carries the values that stay and those that change, and constants from around the Loop.
struct Read {
    features: BTreeSet<usize>,
    state: BTreeSet<usize>,
    stored: Vec<TensorProto>,
}

/// Everything that `made` depends on, from step to step; `None` where a buffer is among it, or what no step has.
fn read(graph: &GraphProto, looped: &NodeProto, body: &Body<'_>, made: &[&str]) -> Option<Read> {
    let (mut features, mut state, mut stored) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let mut todo: Vec<String> = made.iter().map(|value| (*value).to_owned()).collect();
    let mut seen = HashSet::from([String::new()]); // the name of what is left out
    let constant = |name: &str| graph.initializer.iter().find(|t| t.name() == name);
    while let Some(value) = todo.pop() {
        if !seen.insert(value.clone()) {
            continue;
        }
        if let Some(node) = body.maker(&value) {
            let mut read = HashSet::new();
            reads(node, &mut read);
            todo.extend(read);
        } else if let Some(index) = body.carried(&value) {
            match (constant(&looped.input[index + 2]), body.is_kept(index)) {
                (Some(tensor), true) => stored.push(TensorProto { name: Some(value), ..tensor.clone() }),
                (None, true) => drop(features.insert(index)),
                (_, false) if body.buffer(index).is_some() => return None,
                (_, false) => {
                    state.insert(index);
                    todo.push(body.next(index).to_owned());
                }
            }
        } else if body.constant(&value).is_none() {
            stored.push(constant(&value)?.clone());
        }
    }
    stored.sort_by(|a, b| a.name().cmp(b.name())); // equal input gives equal files
    Some(Read { features, state, stored })
}

/// An output that is rows of a buffer.
struct ResultOf<'a> {
    /// What a step writes into it.
    written: &'a str,
    softmax: bool,
    most: usize,
    width: usize,
    more_rows: usize,
}

/// Follows an output back to the buffer: `[softmax] (buffer[:, 0 : counter (+ 1)])`.
fn result_of<'a>(graph: &GraphProto, looped: &NodeProto, body: &'a Body<'_>, output: &str) -> Option<ResultOf<'a>> {
    let maker = |value: &str| graph.node.iter().find(|node| node.output.iter().any(|o| o == value));
    let constant = |value: &str| integers(graph.initializer.iter().find(|t| t.name() == value)?);
    let mut node = maker(output)?;
    let softmax = node.op_type() == "Softmax";
    if softmax {
        if !attribute(node, "axis").is_none_or(|a| [-1, 2].contains(&a.i())) {
            return None;
        }
        node = maker(node.input.first()?)?;
    }
    let [data, start, end, axes, ..] = node.input.as_slice() else { return None };
    if node.op_type() != "Slice" || constant(start)? != [0] || constant(axes)? != [1] {
        return None;
    }
    // The end is the counter, through casts; what is added to it is a whole number.
    let (mut value, mut more_rows) = (end.as_str(), 0);
    while !looped.output.iter().any(|o| o == value) {
        let node = maker(value)?;
        match node.op_type() {
            "Cast" | "Reshape" | "Squeeze" | "Unsqueeze" | "Identity" => {}
            "Add" => {
                more_rows +=
                    graph.initializer.iter().find(|t| Some(t.name()) == node.input.get(1).map(String::as_str)).and_then(whole_number)?
            }
            _ => return None,
        }
        value = node.input.first()?;
    }
    let index = looped.output.iter().position(|o| o == data)?;
    let (buffer, written) = body.buffer(index)?;
    let [most, width] = [body.side(buffer, 1)?, body.side(buffer, 2)?];
    Some(ResultOf { written, softmax, most, width, more_rows: usize::try_from(more_rows).ok()? })
}

/// One step, out of the Loop's body.
fn step(body: &Body<'_>, carried: &[usize], made: &[&str], state: &BTreeSet<usize>, stored: Vec<TensorProto>) -> Option<GraphProto> {
    let mut graph = GraphProto { name: Some("step".into()), ..body.graph().clone() };
    graph.initializer.extend(stored);
    graph.input = carried.iter().map(|index| float_input(&mut graph.node, body.input(*index))).collect::<Option<_>>()?;
    let outputs = made.iter().copied().chain(state.iter().map(|index| body.next(*index)));
    let mut inner = Vec::new();
    graph.output = outputs.enumerate().map(|(at, value)| float_output(&mut inner, value, &format!("step_{at}"))).collect();
    graph.node.extend(inner);
    prune(&mut graph);
    Some(graph)
}

/// What comes before the Loop.
fn encoder(graph: &GraphProto, looped: &NodeProto, body: &Body<'_>, carried: &[usize]) -> Option<GraphProto> {
    let mut graph = graph.clone();
    let mut outputs = Vec::new();
    graph.output = carried
        .iter()
        .map(|index| Some(float_output(&mut outputs, looped.input.get(index + 2)?, body.input(*index).name())))
        .collect::<Option<_>>()?;
    graph.node.extend(outputs);
    prune(&mut graph);
    Some(graph)
}

/// An input as float32 under the name of `value`; the body reads it cast to the type it had, under a name behind it.
fn float_input(nodes: &mut Vec<NodeProto>, value: &ValueInfoProto) -> Option<ValueInfoProto> {
    let mut value = value.clone();
    let type_proto::Value::TensorType(tensor) = value.r#type.as_mut()?.value.as_mut()? else { return None };
    let had = tensor.elem_type.replace(DataType::Float as i32)?;
    if had != DataType::Float as i32 {
        let typed = format!("{}_typed", value.name());
        for name in nodes.iter_mut().flat_map(|node| &mut node.input).filter(|name| *name == value.name()) {
            name.clone_from(&typed);
        }
        nodes.insert(0, new_node("Cast", &[value.name()], &typed, vec![int_attribute("to", had.into())]));
    }
    Some(value)
}

/// A value as an output of float32 under another name.
fn float_output(nodes: &mut Vec<NodeProto>, value: &str, name: &str) -> ValueInfoProto {
    let name = format!("{name}_out");
    nodes.push(cast(value, &name, DataType::Float));
    super::float_value(&name, None)
}

/// A row of each item as an output, `[N, width]`.
fn row(name: &str, width: usize) -> ValueInfoProto {
    let width = Dimension { value: Some(Value::DimValue(width as i64)), ..Default::default() };
    super::float_value(name, Some(TensorShapeProto { dim: vec![Dimension::default(), width] }))
}

fn with_constants(proto: &mut GraphProto) -> &mut GraphProto {
    let mut graph = Graph::open(proto);
    constants(&mut graph);
    graph.close(proto);
    proto
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

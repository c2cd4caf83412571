//! A main graph opened for rewriting: who makes and who reads each value, which values are constants.
//!
//! Rewrites keep one promise: a value that other nodes, graph outputs or inner graphs (bodies of Loop and If) read
//! keeps its name and meaning. Closing sorts the nodes, so a new node may be put anywhere.

use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, attribute_proto::AttributeType, tensor_proto::DataType,
};
use super::tensor::{float_tensor, floats, integer_tensor, stated_dims};
use std::collections::{HashMap, HashSet};

/// Index of a node; stays valid until the graph is closed.
pub(super) type NodeId = usize;

/// See the module's description.
pub(super) struct Graph {
    nodes: Vec<Option<NodeProto>>,
    constants: HashMap<String, TensorProto>,
    /// Stated dimensions of the graph's inputs.
    inputs: HashMap<String, Vec<Option<i64>>>,
    /// Names of the constants as they came, so that equal input gives equal files.
    order: Vec<String>,
    /// Readers of each value; a node that reads a value twice counts twice.
    readers: HashMap<String, Vec<NodeId>>,
    makers: HashMap<String, NodeId>,
    /// Graph outputs, and values that inner graphs read by name.
    pinned: HashSet<String>,
    fresh: usize,
}

impl Graph {
    /// Opens a graph, leaving it without nodes and initializers until [`Graph::close`].
    pub(super) fn open(proto: &mut GraphProto) -> Self {
        let overridable: HashSet<&str> = proto.input.iter().map(|v| v.name()).collect();
        let mut graph = Self {
            nodes: Vec::new(),
            constants: HashMap::new(),
            inputs: proto.input.iter().map(|v| (v.name().to_owned(), stated_dims(v))).collect(),
            order: Vec::new(),
            readers: HashMap::new(),
            makers: HashMap::new(),
            pinned: proto.output.iter().map(|v| v.name().to_owned()).collect(),
            fresh: 0,
        };
        let (fixed, variable) = std::mem::take(&mut proto.initializer).into_iter().partition(|t| !overridable.contains(t.name()));
        proto.initializer = variable;
        for tensor in fixed as Vec<TensorProto> {
            graph.insert_constant(tensor);
        }
        for node in std::mem::take(&mut proto.node) {
            graph.push(node);
        }
        graph
    }

    /// Puts nodes and the constants still in use back. Stored value shapes go: rewrites may have outdated them.
    pub(super) fn close(mut self, proto: &mut GraphProto) {
        let used: HashSet<String> = self.readers.iter().filter(|(_, r)| !r.is_empty()).map(|(n, _)| n.clone()).chain(self.pinned).collect();
        let kept = self.order.iter().filter(|n| used.contains(*n)).filter_map(|n| self.constants.remove(n));
        proto.initializer.extend(kept);
        proto.node = in_order(self.nodes, &self.makers);
        proto.value_info.clear();
    }

    /// Adds a node.
    pub(super) fn push(&mut self, node: NodeProto) {
        let id = self.nodes.len();
        self.nodes.push(None);
        self.place(id, node);
    }

    /// Ids of all places; a removed node's place is empty.
    pub(super) fn ids(&self) -> std::ops::Range<NodeId> {
        0..self.nodes.len()
    }

    /// The node at a place.
    pub(super) fn node(&self, id: NodeId) -> Option<&NodeProto> {
        self.nodes[id].as_ref()
    }

    /// The node at a place if it is this standard operator.
    pub(super) fn op(&self, id: NodeId, kind: &str) -> Option<&NodeProto> {
        self.node(id).filter(|n| n.op_type() == kind && is_standard(n.domain()))
    }

    /// Takes a node out.
    pub(super) fn remove(&mut self, id: NodeId) {
        let Some(node) = self.nodes[id].take() else { return };
        for name in node.input.iter().filter(|n| !n.is_empty()) {
            if let Some(readers) = self.readers.get_mut(name)
                && let Some(at) = readers.iter().position(|r| *r == id)
            {
                readers.swap_remove(at);
            }
        }
        for name in &node.output {
            self.makers.remove(name);
        }
    }

    /// Puts a node at a place, instead of what is there.
    pub(super) fn place(&mut self, id: NodeId, node: NodeProto) {
        self.remove(id);
        for name in node.input.iter().filter(|n| !n.is_empty()) {
            self.readers.entry(name.clone()).or_default().push(id);
        }
        for name in node.output.iter().filter(|n| !n.is_empty()) {
            self.makers.insert(name.clone(), id);
        }
        inner_reads(&node, &mut self.pinned);
        self.nodes[id] = Some(node);
    }

    /// The node that makes a value.
    pub(super) fn maker(&self, value: &str) -> Option<NodeId> {
        self.makers.get(value).copied()
    }

    /// Nodes that read a value; empty for pinned values is no promise that nobody needs them.
    pub(super) fn readers(&self, value: &str) -> &[NodeId] {
        self.readers.get(value).map_or(&[], Vec::as_slice)
    }

    /// Whether a value must exist under its name whatever reads it inside this graph.
    pub(super) fn is_pinned(&self, value: &str) -> bool {
        self.pinned.contains(value)
    }

    /// The only reader of a value that nobody else needs.
    pub(super) fn only_reader(&self, value: &str) -> Option<NodeId> {
        match self.readers(value) {
            [one] if !self.is_pinned(value) => Some(*one),
            _ => None,
        }
    }

    /// The node that makes a value with one reader, which nobody else needs.
    pub(super) fn only_maker(&self, value: &str) -> Option<NodeId> {
        self.only_reader(value).and_then(|_| self.maker(value))
    }

    /// Lets every reader of one value read another.
    pub(super) fn redirect(&mut self, from: &str, to: &str) {
        for id in self.readers.remove(from).unwrap_or_default() {
            let Some(node) = &mut self.nodes[id] else { continue };
            for input in node.input.iter_mut().filter(|i| *i == from) {
                to.clone_into(input);
            }
            self.readers.entry(to.to_owned()).or_default().push(id);
        }
    }

    /// Removes the maker of a value that nobody needs, and what only it needed.
    pub(super) fn sweep(&mut self, value: &str) {
        let Some(id) = self.maker(value) else { return };
        let needed = |g: &Self, v: &String| g.is_pinned(v) || !g.readers(v).is_empty();
        let Some(node) = self.node(id).cloned() else { return };
        if node.output.iter().any(|v| needed(self, v)) {
            return;
        }
        self.remove(id);
        for input in &node.input {
            self.sweep(input);
        }
    }

    /// A constant.
    pub(super) fn constant(&self, name: &str) -> Option<&TensorProto> {
        self.constants.get(name)
    }

    /// A float32 constant: dimensions and elements.
    pub(super) fn floats(&self, name: &str) -> Option<(&[i64], Vec<f32>)> {
        let t = self.constant(name)?;
        Some((&t.dims, floats(t)?))
    }

    /// The element of a float32 constant that is one number, without dimensions that it would lend to what it meets.
    pub(super) fn scalar(&self, name: &str) -> Option<f32> {
        let (dims, values) = self.floats(name)?;
        match values.as_slice() {
            [one] if dims.len() <= 1 => Some(*one),
            _ => None,
        }
    }

    /// Stated dimensions of a graph input.
    pub(super) fn input_dims(&self, name: &str) -> Option<&[Option<i64>]> {
        self.inputs.get(name).map(Vec::as_slice)
    }

    /// Adds a constant under its own name.
    pub(super) fn insert_constant(&mut self, tensor: TensorProto) {
        let name = tensor.name().to_owned();
        if self.constants.insert(name.clone(), tensor).is_none() {
            self.order.push(name);
        }
    }

    /// Adds a float32 constant and returns its new name.
    pub(super) fn new_constant(&mut self, dims: &[i64], values: &[f32]) -> String {
        let name = self.new_name();
        self.insert_constant(float_tensor(&name, dims, values));
        name
    }

    /// Adds an int64 constant of one dimension and returns its new name.
    pub(super) fn new_integers(&mut self, values: &[i64]) -> String {
        let name = self.new_name();
        self.insert_constant(integer_tensor(&name, &[values.len() as i64], values));
        name
    }

    /// Adds an int64 constant without dimensions and returns its new name.
    pub(super) fn new_integer(&mut self, value: i64) -> String {
        let name = self.new_name();
        self.insert_constant(integer_tensor(&name, &[], &[value]));
        name
    }

    /// Adds a standard operator with one output and returns that output's new name.
    pub(super) fn add(&mut self, kind: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = self.new_name();
        self.push(new_node(kind, inputs, &output, attributes));
        output
    }

    /// A name no value has.
    pub(super) fn new_name(&mut self) -> String {
        loop {
            self.fresh += 1;
            let name = format!("folded_{}", self.fresh);
            let taken = self.constants.contains_key(&name)
                || self.makers.contains_key(&name)
                || self.readers.contains_key(&name)
                || self.pinned.contains(&name);
            if !taken {
                return name;
            }
        }
    }
}

/// The nodes, each after the makers of what it reads, else as they came.
fn in_order(mut nodes: Vec<Option<NodeProto>>, makers: &HashMap<String, NodeId>) -> Vec<NodeProto> {
    let mut sorted = Vec::with_capacity(nodes.len());
    let mut begun = vec![false; nodes.len()];
    for first in 0..nodes.len() {
        let mut stack = vec![first];
        while let Some(&id) = stack.last() {
            if let Some(node) = nodes[id].as_ref().filter(|_| !begun[id]) {
                begun[id] = true;
                let mut reads: HashSet<String> = HashSet::new();
                inner_reads(node, &mut reads);
                let reads = node.input.iter().chain(&reads);
                let mut before: Vec<NodeId> = reads.filter_map(|v| makers.get(v).copied()).filter(|m| !begun[*m]).collect();
                before.sort_unstable_by(|a, b| b.cmp(a));
                stack.extend(before);
            } else {
                stack.pop();
                sorted.extend(nodes[id].take());
            }
        }
    }
    sorted
}

/// Collects what a node and its bodies read by name.
pub(super) fn reads(node: &NodeProto, reads: &mut HashSet<String>) {
    reads.extend(node.input.iter().cloned());
    inner_reads(node, reads);
}

/// Collects what the bodies of a node read by name.
fn inner_reads(node: &NodeProto, reads: &mut HashSet<String>) {
    bodies(node).for_each(|body| pin_reads(body, reads));
}

/// Collects every name read inside a graph; names of its own make no harm.
fn pin_reads(graph: &GraphProto, pinned: &mut HashSet<String>) {
    pinned.extend(graph.output.iter().map(|v| v.name().to_owned()));
    for node in &graph.node {
        pinned.extend(node.input.iter().cloned());
        inner_reads(node, pinned);
    }
}

/// The value that every run has for `name`: of an initializer that is no input, or of a Constant, behind any Identity.
pub(super) fn constant<'a>(graph: &'a GraphProto, name: &str) -> Option<&'a TensorProto> {
    match graph.node.iter().find(|node| node.output.iter().any(|output| output == name)) {
        None if graph.input.iter().any(|input| input.name() == name) => None,
        None => graph.initializer.iter().find(|tensor| tensor.name() == name),
        Some(node) if node.op_type() == "Constant" => attribute(node, "value")?.t.as_ref(),
        Some(node) if node.op_type() == "Identity" => constant(graph, node.input.first()?),
        Some(_) => None,
    }
}

/// Whether the standard operators are in `domain`.
pub(super) fn is_standard(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// Version of the standard operators that a model asks for.
pub(super) fn opset(model: &ModelProto) -> i64 {
    model.opset_import.iter().find(|o| is_standard(o.domain())).map_or(0, |o| o.version())
}

/// Bodies of a node: graphs that it runs.
pub(super) fn bodies(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs))
}

/// An attribute by name.
pub(super) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|a| a.name() == name)
}

/// A standard operator with one output.
pub(super) fn new_node(kind: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: Some(kind.to_owned()),
        name: Some(format!("{kind}/{output}")),
        input: inputs.iter().map(|i| (*i).to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: attributes,
        ..Default::default()
    }
}

/// A conversion to another type of numbers.
pub(super) fn cast(from: &str, to: &str, dtype: DataType) -> NodeProto {
    new_node("Cast", &[from], to, vec![int_attribute("to", dtype as i64)])
}

/// An attribute that holds integers.
pub(super) fn ints_attribute(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(AttributeType::Ints as i32), ints: values.to_vec(), ..Default::default() }
}

/// An attribute that holds an integer.
pub(super) fn int_attribute(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(AttributeType::Int as i32), i: Some(value), ..Default::default() }
}

/// An attribute that holds a float.
pub(super) fn float_attribute(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(AttributeType::Float as i32), f: Some(value), ..Default::default() }
}

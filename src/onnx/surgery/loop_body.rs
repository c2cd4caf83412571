//! The body of a Loop: which values it carries from step to step, and which of them are buffers that it writes rows into.

use crate::onnx::graph::attribute;
use crate::onnx::proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto, tensor_proto::DataType};
use crate::onnx::proto::{tensor_shape_proto::dimension::Value, type_proto};
use crate::onnx::tensor::{elements, floats, integers};
use std::collections::HashMap;

/// A body, of which constants are initializers.
pub(super) struct Body<'a> {
    graph: &'a GraphProto,
    makers: HashMap<&'a str, &'a NodeProto>,
    constants: HashMap<&'a str, &'a TensorProto>,
    carried: HashMap<&'a str, usize>,
}

impl<'a> Body<'a> {
    /// The body of `node`, unless it gathers results by itself.
    pub(super) fn new(graph: &'a GraphProto, node: &NodeProto) -> Option<Self> {
        let count = node.input.len().checked_sub(2)?;
        if graph.input.len() != count + 2 || graph.output.len() != count + 1 {
            return None;
        }
        let makers = graph.node.iter().flat_map(|n| n.output.iter().map(move |o| (o.as_str(), n))).collect();
        let constants = graph.initializer.iter().map(|t| (t.name(), t)).collect();
        let carried = graph.input[2..].iter().enumerate().map(|(index, v)| (v.name(), index)).collect();
        Some(Self { graph, makers, constants, carried })
    }

    pub(super) fn graph(&self) -> &'a GraphProto {
        self.graph
    }

    pub(super) fn maker(&self, value: &str) -> Option<&'a NodeProto> {
        self.makers.get(value).copied()
    }

    pub(super) fn constant(&self, value: &str) -> Option<&'a TensorProto> {
        self.constants.get(value).copied()
    }

    /// The place of a value among those that are carried.
    pub(super) fn carried(&self, value: &str) -> Option<usize> {
        self.carried.get(value).copied()
    }

    /// A carried value as it comes in.
    pub(super) fn input(&self, index: usize) -> &'a ValueInfoProto {
        &self.graph.input[index + 2]
    }

    /// The name of a carried value as it goes out.
    pub(super) fn next(&self, index: usize) -> &'a str {
        self.graph.output[index + 1].name()
    }

    /// Whether a carried value never changes.
    pub(super) fn is_kept(&self, index: usize) -> bool {
        self.next(index) == self.input(index).name()
    }

    /// The value that another one is, under another shape or type.
    fn root(&self, mut value: &'a str) -> &'a str {
        while let Some(node) = self.maker(value) {
            let passes = match node.op_type() {
                "Identity" | "Cast" | "Squeeze" | "Unsqueeze" | "Reshape" | "Expand" => true,
                "Add" => node.input.get(1).is_some_and(|added| self.is_zero(added)),
                _ => false,
            };
            match node.input.first().filter(|_| passes) {
                Some(input) => value = input,
                None => break,
            }
        }
        value
    }

    fn is_zero(&self, value: &str) -> bool {
        self.constant(value).is_some_and(|tensor| {
            floats(tensor).is_some_and(|v| v.iter().all(|v| *v == 0.0)) || integers_of(tensor).is_some_and(|v| v.iter().all(|v| *v == 0))
        })
    }

    /// The buffer that goes out at `index`: its place as it comes in, and the value that a step writes into it.
    pub(super) fn buffer(&self, index: usize) -> Option<(usize, &'a str)> {
        let scatter = self.maker(self.root(self.next(index)))?;
        let [into, _, written] = scatter.input.as_slice() else { return None };
        let rows = scatter.op_type() == "ScatterElements" && attribute(scatter, "axis").is_some_and(|a| a.i() == 1);
        if !rows || attribute(scatter, "reduction").is_some_and(|a| a.s() != b"none") {
            return None;
        }
        Some((self.carried(into)?, self.root(written)))
    }

    /// Rows of a buffer `[N, rows, width]`, by `axis` 1, or their width, by 2.
    pub(super) fn side(&self, index: usize, axis: usize) -> Option<usize> {
        let type_proto::Value::TensorType(tensor) = self.input(index).r#type.as_ref()?.value.as_ref()? else { return None };
        match tensor.shape.as_ref()?.dim.get(axis)?.value.as_ref()? {
            Value::DimValue(side) => usize::try_from(*side).ok(),
            Value::DimParam(_) => None,
        }
    }

    /// What a step writes into the only buffer that is compared with a constant; that constant; and whether the comparison sees the
    /// buffer as it was before the step.
    pub(super) fn token(&self) -> Option<(&'a str, i64, bool)> {
        let mut found = None;
        for node in self.graph.node.iter().filter(|node| node.op_type() == "Equal") {
            let [buffer, end] = node.input.as_slice() else { continue };
            let Some(end) = self.constant(end).and_then(whole_number) else { continue };
            let place = |index: &usize| self.buffer(*index).is_some_and(|(into, _)| self.carried(buffer) == Some(into));
            let made = |index: &usize| self.buffer(*index).is_some() && self.root(self.next(*index)) == self.root(buffer);
            let late = (0..self.carried.len()).find(place);
            let Some(index) = late.or_else(|| (0..self.carried.len()).find(made)) else { continue };
            if found.replace((self.buffer(index)?.1, end, late.is_some())).is_some() {
                return None;
            }
        }
        found
    }
}

/// The element of a constant that has one, if it is a whole number.
pub(super) fn whole_number(tensor: &TensorProto) -> Option<i64> {
    match (integers_of(tensor).as_deref(), floats(tensor).as_deref()) {
        (Some(&[one]), _) => Some(one),
        (_, Some(&[one])) if one.fract() == 0.0 => Some(one as i64),
        _ => None,
    }
}

/// Whole numbers of either type.
fn integers_of(tensor: &TensorProto) -> Option<Vec<i64>> {
    if tensor.data_type != Some(DataType::Int32 as i32) {
        return integers(tensor);
    }
    let values: Vec<i64> = match &tensor.raw_data {
        Some(raw) => raw.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect(),
        None => tensor.int32_data.iter().map(|v| i64::from(*v)).collect(),
    };
    (elements(&tensor.dims) == Some(values.len())).then_some(values)
}

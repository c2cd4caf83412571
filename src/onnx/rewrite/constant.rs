//! What a converter leaves around constants and between nodes: Constant nodes, Identity, Reshape and Transpose of a constant.
//! They hide a pattern from every other rewrite.

use crate::onnx::graph::{Graph, NodeId, attribute};
use crate::onnx::proto::TensorProto;
use crate::onnx::tensor::{float_tensor, floats, integers};

/// Constants of all kinds become initializers; counts the nodes gone.
pub(in crate::onnx) fn constants(graph: &mut Graph) -> usize {
    graph.ids().filter(|id| to_initializer(graph, *id).is_some()).count()
}

/// Nodes that pass a value on go; counts them.
pub(in crate::onnx) fn identities(graph: &mut Graph) -> usize {
    graph.ids().filter(|id| bypass(graph, *id).is_some()).count()
}

fn to_initializer(graph: &mut Graph, id: NodeId) -> Option<()> {
    let node = graph.node(id)?;
    let [output] = node.output.as_slice() else { return None };
    let tensor = if graph.op(id, "Constant").is_some() {
        attribute(node, "value")?.t.clone()?
    } else if graph.op(id, "Identity").is_some() {
        graph.constant(node.input.first()?)?.clone()
    } else if graph.op(id, "Reshape").is_some() {
        let tensor = graph.constant(node.input.first()?)?;
        let shape = integers(graph.constant(node.input.get(1)?)?)?;
        TensorProto { dims: reshaped(&tensor.dims, &shape, attribute(node, "allowzero").is_some_and(|a| a.i() != 0))?, ..tensor.clone() }
    } else if graph.op(id, "Transpose").is_some() {
        transposed(graph.constant(node.input.first()?)?, attribute(node, "perm").map(|a| a.ints.as_slice()))?
    } else {
        return None;
    };
    let tensor = TensorProto { name: Some(output.clone()), ..tensor };
    graph.remove(id);
    graph.insert_constant(tensor);
    Some(())
}

/// Dimensions after Reshape: 0 keeps a dimension, -1 takes what is left.
fn reshaped(dims: &[i64], shape: &[i64], zero_is_zero: bool) -> Option<Vec<i64>> {
    let total = product(dims.iter())?;
    let mut out = shape.to_vec();
    for (i, d) in out.iter_mut().enumerate().filter(|(_, d)| **d == 0 && !zero_is_zero) {
        *d = *dims.get(i)?;
    }
    let known = product(out.iter().filter(|d| **d != -1))?;
    match out.iter().filter(|d| **d == -1).count() {
        0 => {}
        1 if known != 0 => out.iter_mut().filter(|d| **d == -1).for_each(|d| *d = total / known),
        _ => return None,
    }
    (product(out.iter()) == Some(total)).then_some(out)
}

/// A float32 tensor with its axes in another order; in reverse where none is given.
fn transposed(tensor: &TensorProto, order: Option<&[i64]>) -> Option<TensorProto> {
    let values = floats(tensor)?;
    let rank = tensor.dims.len();
    let order: Vec<usize> = match order {
        Some(order) => order.iter().map(|axis| usize::try_from(*axis)).collect::<Result<_, _>>().ok()?,
        None => (0..rank).rev().collect(),
    };
    let mut axes = order.clone();
    axes.sort_unstable();
    if !axes.into_iter().eq(0..rank) {
        return None;
    }
    let side = |axis: &usize| tensor.dims[*axis] as usize;
    // Elements from one to the next along an axis.
    let stride = |axis: &usize| (axis + 1..rank).map(|inner| side(&inner)).product::<usize>();
    let moved = (0..values.len()).map(|mut index| {
        let mut place = 0;
        for axis in order.iter().rev() {
            place += index % side(axis) * stride(axis);
            index /= side(axis);
        }
        values[place]
    });
    let dims: Vec<i64> = order.iter().map(|axis| tensor.dims[*axis]).collect();
    Some(float_tensor("", &dims, &moved.collect::<Vec<_>>()))
}

fn product<'a>(mut dims: impl Iterator<Item = &'a i64>) -> Option<i64> {
    dims.try_fold(1i64, |product, side| product.checked_mul(*side))
}

fn bypass(graph: &mut Graph, id: NodeId) -> Option<()> {
    let node = graph.op(id, "Identity")?;
    let ([input], [output]) = (node.input.as_slice(), node.output.as_slice()) else { return None };
    let (input, output) = (input.clone(), output.clone());
    if graph.is_pinned(&output) {
        return None;
    }
    graph.remove(id);
    graph.redirect(&output, &input);
    Some(())
}

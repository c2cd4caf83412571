//! HardSigmoid and HardSwish written out as Add, Clip, Mul and Div. ONNX Runtime fuses `HardSigmoid(x)`, and from 1.31 on
//! `x * HardSigmoid(x)`, into the convolution before; the long forms it runs step by step.

use crate::onnx::graph::{Graph, NodeId, attribute, float_attribute, new_node};

/// `clip(x + b, 0, d) / d` becomes HardSigmoid with alpha = 1 / d and beta = b / d.
pub(in crate::onnx) fn hard_sigmoid(graph: &mut Graph) -> usize {
    graph.ids().filter(|id| short_sigmoid(graph, *id).is_some()).count()
}

/// `x * clip(x + b, 0, d) / d` becomes `x * HardSigmoid(x)`.
pub(in crate::onnx) fn hard_swish(graph: &mut Graph) -> usize {
    graph.ids().filter(|id| short_swish(graph, *id).is_some()).count()
}

/// The `clip(x + b, 0, d)` that makes a value only one node reads.
struct Ramp {
    x: String,
    shift: f32,
    height: f32,
}

fn short_sigmoid(graph: &mut Graph, id: NodeId) -> Option<()> {
    let (clipped, divisor) = divided(graph, id)?;
    let ramp = ramp(graph, &clipped).filter(|r| same(r.height, divisor))?;
    let output = graph.node(id)?.output.first()?.clone();
    graph.place(id, sigmoid(&ramp, &output));
    graph.sweep(&clipped);
    Some(())
}

fn short_swish(graph: &mut Graph, id: NodeId) -> Option<()> {
    let (product, divisor) = divided(graph, id)?;
    graph.only_reader(&product)?;
    let mul = graph.maker(&product)?;
    let [a, b] = graph.op(mul, "Mul")?.input.clone().try_into().ok()?;
    let (clipped, ramp) = [(&a, &b), (&b, &a)].into_iter().find_map(|(clipped, x)| {
        let ramp = ramp(graph, clipped).filter(|r| r.x == *x && same(r.height, divisor))?;
        Some((clipped.clone(), ramp))
    })?;
    let output = graph.node(id)?.output.first()?.clone();
    let gate = graph.new_name();
    graph.place(mul, sigmoid(&ramp, &gate));
    graph.place(id, new_node("Mul", &[&ramp.x, &gate], &output, Vec::new()));
    graph.sweep(&clipped);
    Some(())
}

fn sigmoid(ramp: &Ramp, output: &str) -> crate::onnx::proto::NodeProto {
    let attributes = vec![float_attribute("alpha", 1.0 / ramp.height), float_attribute("beta", ramp.shift / ramp.height)];
    new_node("HardSigmoid", &[&ramp.x], output, attributes)
}

/// A node that divides by a constant: what it divides and by what.
fn divided(graph: &Graph, id: NodeId) -> Option<(String, f32)> {
    let node = graph.node(id)?;
    let [a, b] = node.input.as_slice() else { return None };
    let (data, divisor) = match node.op_type() {
        "Div" => (a, graph.scalar(b)?),
        "Mul" => graph.scalar(b).map(|s| (a, 1.0 / s)).or_else(|| graph.scalar(a).map(|s| (b, 1.0 / s)))?,
        _ => return None,
    };
    graph.op(id, node.op_type())?;
    (divisor.is_finite() && divisor > 0.0).then(|| (data.clone(), divisor))
}

fn ramp(graph: &Graph, value: &str) -> Option<Ramp> {
    graph.only_reader(value)?;
    let clip = graph.op(graph.maker(value)?, "Clip")?;
    let bound = |index: usize, name: &str| match clip.input.get(index) {
        Some(input) => graph.scalar(input),
        None => attribute(clip, name).map(|a| a.f()),
    };
    let (low, height) = (bound(1, "min")?, bound(2, "max")?);
    let shifted = clip.input.first()?;
    graph.only_reader(shifted)?;
    let [a, b] = graph.op(graph.maker(shifted)?, "Add")?.input.as_slice() else { return None };
    let (x, shift) = graph.scalar(b).map(|s| (a, s)).or_else(|| graph.scalar(a).map(|s| (b, s)))?;
    (low == 0.0 && height > 0.0).then(|| Ramp { x: x.clone(), shift, height })
}

/// Equal but for the rounding of a reciprocal.
fn same(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-6 * a.abs()
}

//! `scale * x + shift` with constants that are one number or one number per channel (axis 1).

use super::ACTIVATIONS;
use super::conv::Conv;
use crate::onnx::graph::{Graph, NodeId, attribute};
use crate::onnx::proto::NodeProto;

/// One value for all channels, or one per channel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PerChannel(Vec<f64>);

impl PerChannel {
    fn new(values: impl IntoIterator<Item = f32>) -> Self {
        Self(values.into_iter().map(f64::from).collect())
    }

    /// The value of channel `c`.
    pub(super) fn at(&self, c: usize) -> f64 {
        if self.0.len() == 1 { self.0[0] } else { self.0[c] }
    }

    /// Whether the constant fits a tensor of so many channels.
    fn fits(&self, channels: usize) -> bool {
        self.0.len() == 1 || self.0.len() == channels
    }

    /// Whether every value passes a test.
    pub(super) fn all(&self, test: impl Fn(f64) -> bool) -> bool {
        self.0.iter().all(|v| test(*v))
    }

    fn combine(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        let n = self.0.len().max(other.0.len());
        Self((0..n).map(|c| f(self.at(c), other.at(c))).collect())
    }
}

/// `scale * x + shift`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Affine {
    pub(super) scale: PerChannel,
    pub(super) shift: PerChannel,
}

impl Affine {
    /// `x` itself.
    pub(super) fn identity() -> Self {
        Self { scale: PerChannel(vec![1.0]), shift: PerChannel(vec![0.0]) }
    }

    /// This after `first`.
    pub(super) fn after(&self, first: &Self) -> Self {
        Self {
            scale: self.scale.combine(&first.scale, |a, b| a * b),
            shift: self.scale.combine(&first.shift, |a, b| a * b).combine(&self.shift, |a, b| a + b),
        }
    }

    /// Whether nothing is added.
    pub(super) fn is_pure_scale(&self) -> bool {
        self.shift.all(|v| v == 0.0)
    }
}

/// Reads a node as an affine map of one of its inputs, a tensor of `rank` dimensions and `channels` channels.
/// Returns the name of that input and the map.
pub(super) fn step(graph: &Graph, id: NodeId, rank: usize, channels: usize) -> Option<(String, Affine)> {
    let node = graph.node(id)?;
    let identity = Affine::identity();
    let (data, map) = if let Some(node) = graph.op(id, "BatchNormalization") {
        let [x, gamma, beta, mean, variance] = node.input.as_slice() else { return None };
        if node.output.iter().filter(|o| !o.is_empty()).count() != 1 || attribute(node, "training_mode").is_some_and(|a| a.i() != 0) {
            return None;
        }
        let parameter = |name: &str| Some(PerChannel::new(graph.floats(name)?.1)).filter(|p| p.0.len() == channels);
        let epsilon = attribute(node, "epsilon").map_or(1e-5, |a| f64::from(a.f()));
        let scale = parameter(gamma)?.combine(&parameter(variance)?, |g, v| g / (v + epsilon).sqrt());
        let shift = scale.combine(&parameter(mean)?, |s, m| -s * m).combine(&parameter(beta)?, |a, b| a + b);
        (x, Affine { scale, shift })
    } else {
        let [a, b] = node.input.as_slice() else { return None };
        let (data, constant, swapped) = match (graph.constant(a), graph.constant(b)) {
            (None, Some(_)) => (a, b, false),
            (Some(_), None) => (b, a, true),
            _ => return None,
        };
        let value = broadcast(graph, constant, rank)?;
        let is_one = value.0.len() == 1;
        let zero = PerChannel(vec![0.0]);
        let map = match (node.op_type(), swapped) {
            ("Mul", _) => Affine { scale: value, ..identity },
            ("Add", _) => Affine { shift: value, ..identity },
            ("Sub", false) => Affine { shift: zero.combine(&value, |z, v| z - v), ..identity },
            ("Sub", true) => Affine { scale: PerChannel(vec![-1.0]), shift: value },
            ("Div", false) => Affine { scale: PerChannel(vec![1.0]).combine(&value, |o, v| o / v), ..identity },
            _ => return None,
        };
        graph.op(id, node.op_type())?;
        // One channel that meets a value for each of many becomes many.
        if ends_gelu(graph, data) || !is_one && known_channels(graph, data, rank) != Some(channels) {
            return None;
        }
        (data, map)
    };
    let sound = map.scale.all(f64::is_finite) && map.shift.all(f64::is_finite) && map.scale.fits(channels) && map.shift.fits(channels);
    sound.then(|| (data.clone(), map))
}

/// How many nodes back the convolution or the number of channels of a value is looked for.
const LOOK_BACK: usize = 8;

/// Channels of a value of `rank` dimensions, where the nodes that make it tell.
pub(super) fn known_channels(graph: &Graph, value: &str, rank: usize) -> Option<usize> {
    channels_within(graph, value, rank, LOOK_BACK)
}

fn channels_within(graph: &Graph, value: &str, rank: usize, look_back: usize) -> Option<usize> {
    let Some(id) = graph.maker(value) else {
        let dims = graph.input_dims(value).filter(|dims| dims.len() == rank)?;
        return usize::try_from(dims.get(1).copied()??).ok();
    };
    if let Some(conv) = Conv::read(graph, id) {
        return (conv.rank() == rank).then(|| conv.channels_out());
    }
    let node = graph.node(id).filter(|_| look_back > 0)?;
    if node.op_type() == "BatchNormalization" {
        return Some(graph.floats(node.input.get(1)?)?.1.len());
    }
    // Of two inputs either may have one channel, and the other more.
    let of = |name: &String| channels_within(graph, name, rank, look_back - 1).filter(|channels| *channels > 1);
    like_output(node).iter().find_map(of)
}

/// The inputs of a node of which one has as many dimensions and channels as its output; none where its kind does not tell.
fn like_output(node: &NodeProto) -> &[String] {
    match node.op_type() {
        "Add" | "Mul" | "Sub" | "Div" => &node.input,
        op if ACTIVATIONS.contains(&op) => node.input.get(..1).unwrap_or_default(),
        "BatchNormalization" | "Clip" | "Erf" | "MaxPool" | "AveragePool" | "GlobalAveragePool" => node.input.get(..1).unwrap_or_default(),
        _ => &[],
    }
}

/// Whether a convolution over two dimensions has made `value`, and nothing since has changed how many it has.
pub(super) fn is_map(graph: &Graph, value: &str) -> bool {
    fn within(graph: &Graph, value: &str, look_back: usize) -> bool {
        let Some(id) = graph.maker(value) else { return false };
        if let Some(conv) = Conv::read(graph, id) {
            return conv.rank() == 4;
        }
        let node = graph.node(id).filter(|_| look_back > 0);
        node.is_some_and(|node| like_output(node).iter().any(|input| within(graph, input, look_back - 1)))
    }
    within(graph, value, LOOK_BACK)
}

/// Whether a value is `x * (1 + erf(..))`: engines know Gelu by its whole form, so the factor 1/2 after it stays.
fn ends_gelu(graph: &Graph, value: &str) -> bool {
    let made_by = |value: &str, kind: &str| graph.maker(value).and_then(|id| graph.op(id, kind));
    let reads = |node: &NodeProto, kind: &str| node.input.iter().any(|i| made_by(i, kind).is_some());
    made_by(value, "Mul").is_some_and(|mul| mul.input.iter().any(|i| made_by(i, "Add").is_some_and(|add| reads(add, "Erf"))))
}

/// A constant that broadcasts along all axes of a tensor of `rank` dimensions but axis 1.
fn broadcast(graph: &Graph, name: &str, rank: usize) -> Option<PerChannel> {
    let (dims, values) = graph.floats(name)?;
    let channel_axis_from_last = rank.checked_sub(2)?;
    let fits = dims.len() <= rank && dims.iter().rev().enumerate().all(|(i, d)| *d == 1 || i == channel_axis_from_last);
    (fits && !values.is_empty()).then(|| PerChannel::new(values))
}

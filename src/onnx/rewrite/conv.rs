//! Convolutions with constant weights, taken apart into numbers and put together again.

use super::affine::Affine;
use crate::onnx::graph::{Graph, NodeId, attribute};
use crate::onnx::proto::NodeProto;

/// Conv, or ConvTranspose, which stores its weights input channel first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Forward,
    Transposed,
}

/// A convolution whose weights and bias are float32 constants.
pub(super) struct Conv {
    kind: Kind,
    /// As in the file: out, in / group, kernel...; ConvTranspose: in, out / group, kernel...
    dims: Vec<usize>,
    weights: Vec<f64>,
    bias: Vec<f64>,
    group: usize,
    /// Whether zeros are, or may be, put around the input.
    padded: bool,
    /// Whether the kernel has one element, moves by one and is not padded.
    pointwise: bool,
    patch: Option<usize>,
    same: Option<usize>,
}

impl Conv {
    /// Reads the node at `id`.
    pub(super) fn read(graph: &Graph, id: NodeId) -> Option<Self> {
        let (node, kind) = match (graph.op(id, "Conv"), graph.op(id, "ConvTranspose")) {
            (Some(node), _) => (node, Kind::Forward),
            (_, Some(node)) => (node, Kind::Transposed),
            _ => return None,
        };
        let (dims, weights) = graph.floats(node.input.get(1)?)?;
        let dims: Vec<usize> = dims.iter().map(|d| usize::try_from(*d).ok()).collect::<Option<_>>()?;
        let group = attribute(node, "group").map_or(1, |a| a.i()).try_into().ok().filter(|g| *g > 0)?;
        if dims.len() < 3 || weights.is_empty() || !dims[0].is_multiple_of(group) {
            return None;
        }
        let out = if kind == Kind::Forward { dims[0] } else { dims[1] * group };
        let bias = match node.input.get(2).filter(|b| !b.is_empty()) {
            Some(name) => graph.floats(name)?.1,
            None => vec![0.0; out],
        };
        if bias.len() != out {
            return None;
        }
        let auto_pad = attribute(node, "auto_pad").map_or(&b"NOTSET"[..], |a| a.s());
        let pads_are_zero = attribute(node, "pads").is_none_or(|a| a.ints.iter().all(|p| *p == 0));
        let padded = !(auto_pad == b"VALID" || auto_pad == b"NOTSET" && pads_are_zero);
        let steps_are_one = attribute(node, "strides").is_none_or(|a| a.ints.iter().all(|s| *s == 1));
        let pointwise = kind == Kind::Forward && !padded && steps_are_one && dims[2..].iter().all(|k| *k == 1);
        let plain = |name: &str, value: i64| attribute(node, name).is_none_or(|a| a.ints.iter().all(|v| *v == value));
        let strides = attribute(node, "strides").map_or(&[][..], |a| &a.ints);
        let patch = match (dims.as_slice(), strides) {
            ([_, _, h, w], [sh, sw]) if h == w && sh == sw && *sh == *h as i64 => Some(*h),
            _ => None,
        };
        let alone = kind == Kind::Transposed && group == 1 && !padded && plain("dilations", 1) && plain("output_padding", 0);
        let patch = patch.filter(|_| alone && attribute(node, "output_shape").is_none());
        let pads = attribute(node, "pads").map_or(&[][..], |a| &a.ints);
        let same = match (dims.as_slice(), pads) {
            ([_, _, h, w], [reach, ..]) if h == w && *h as i64 == 2 * reach + 1 && pads.len() == 4 && plain("pads", *reach) => Some(*h),
            _ => None,
        };
        let one_by_one = kind == Kind::Forward && group == 1 && steps_are_one && auto_pad == b"NOTSET" && plain("dilations", 1);
        let same = same.filter(|_| one_by_one);
        let wide = |v: Vec<f32>| v.into_iter().map(f64::from).collect();
        Some(Self { kind, weights: wide(weights), bias: wide(bias), dims, group, padded, pointwise, patch, same })
    }

    /// Dimensions of its input and output tensors.
    pub(super) fn rank(&self) -> usize {
        self.dims.len()
    }

    /// Channels of its output.
    pub(super) fn channels_out(&self) -> usize {
        self.bias.len()
    }

    /// Channels of its input.
    pub(super) fn channels_in(&self) -> usize {
        if self.kind == Kind::Forward { self.dims[1] * self.group } else { self.dims[0] }
    }

    /// Whether zeros are, or may be, put around the input.
    pub(super) fn is_padded(&self) -> bool {
        self.padded
    }

    /// Whether each output element depends on one position of the input, the same.
    pub(super) fn is_pointwise(&self) -> bool {
        self.pointwise
    }

    /// Whether this is Conv, not ConvTranspose.
    pub(super) fn is_forward(&self) -> bool {
        self.kind == Kind::Forward
    }

    /// The side of the square that a ConvTranspose makes of each input position, if squares do not overlap.
    pub(super) fn patch(&self) -> Option<usize> {
        self.patch
    }

    /// The side of a square kernel that moves by one over the input with zeros around it, in one group, so that there are as many output
    /// positions as input positions.
    pub(super) fn same(&self) -> Option<usize> {
        self.same
    }

    /// Groups of channels.
    pub(super) fn group(&self) -> usize {
        self.group
    }

    /// Weights in file order, and the bias.
    pub(super) fn numbers(&self) -> (&[f64], &[f64]) {
        (&self.weights, &self.bias)
    }

    /// Output and input channel of a weight.
    fn channels_of(&self, index: usize) -> (usize, usize) {
        let kernel: usize = self.dims[2..].iter().product();
        let (first, second) = (index / kernel / self.dims[1], index / kernel % self.dims[1]);
        let of_group = first / (self.dims[0] / self.group) * self.dims[1] + second;
        if self.kind == Kind::Forward { (first, of_group) } else { (of_group, first) }
    }

    /// Makes the output what `map` makes of it now.
    pub(super) fn map_output(&mut self, map: &Affine) {
        for i in 0..self.weights.len() {
            self.weights[i] *= map.scale.at(self.channels_of(i).0);
        }
        for (c, b) in self.bias.iter_mut().enumerate() {
            *b = *b * map.scale.at(c) + map.shift.at(c);
        }
    }

    /// Makes the output of an unscaled input what it is now for an input mapped by `map`.
    /// A padded convolution, or one that overlaps its outputs, can take in a scale only: the caller sees to that.
    pub(super) fn map_input(&mut self, map: &Affine) {
        for i in 0..self.weights.len() {
            let (out, input) = self.channels_of(i);
            self.bias[out] += self.weights[i] * map.shift.at(input);
            self.weights[i] *= map.scale.at(input);
        }
    }

    /// Puts the changed numbers into the node at `id`, which then reads `input` and makes `output`.
    /// Does nothing and returns `false` when a number has left the range of float32.
    pub(super) fn write(&self, graph: &mut Graph, id: NodeId, input: &str, output: &str) -> bool {
        let narrow = |v: &[f64]| v.iter().map(|x| *x as f32).collect::<Vec<_>>();
        let (weights, bias) = (narrow(&self.weights), narrow(&self.bias));
        let Some(node) = graph.node(id).filter(|_| weights.iter().chain(&bias).all(|v| v.is_finite())) else { return false };
        let node = NodeProto { output: vec![output.to_owned()], ..node.clone() };
        let dims: Vec<i64> = self.dims.iter().map(|d| *d as i64).collect();
        let names = [input.to_owned(), graph.new_constant(&dims, &weights), graph.new_constant(&[bias.len() as i64], &bias)];
        graph.place(id, NodeProto { input: names.to_vec(), ..node });
        true
    }
}

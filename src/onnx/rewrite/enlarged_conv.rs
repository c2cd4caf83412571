//! Convolutions over maps that were enlarged by repeating each pixel, as where a pyramid of features is put together. Several taps of such a
//! kernel read the same pixel of the small map; added up beforehand they are one tap of a convolution over the small map, with a channel for
//! each place in the square that a pixel became. A kernel of 3x3 takes 4 products in place of 9 so, and the enlarged map is never made.

use super::affine::known_channels;
use super::conv::Conv;
use super::gate::is_gate;
use crate::onnx::graph::{Graph, NodeId, attribute, int_attribute, ints_attribute, new_node};
use crate::onnx::proto::NodeProto;
use std::ops::Range;
use std::slice::from_ref;

/// Fewest enlarged channels: putting the places together costs as much as the products of some 30 of them, and as those of 64 where the maps
/// are too large for caches (PP-OCRv4_mobile_det, PP-OCRv4_server_det).
const LEAST_CHANNELS: usize = 72;

/// A convolution that gives as many pixels as it reads.
struct Same {
    conv: Conv,
    side: usize,
    node: NodeProto,
}

impl Same {
    fn read(graph: &Graph, id: NodeId) -> Option<Self> {
        let conv = Conv::read(graph, id)?;
        Some(Self { side: conv.same().filter(|side| *side > 1)?, conv, node: graph.node(id)?.clone() })
    }

    /// The weights of the input channels `read`: [made, read, side, side].
    fn weights(&self, read: &[Range<usize>]) -> Vec<f64> {
        let (all, area) = (self.conv.channels_in(), self.side * self.side);
        let made = self.conv.numbers().0.chunks_exact(all * area);
        made.flat_map(|of_one| read.iter().flat_map(|r| &of_one[r.start * area..r.end * area])).copied().collect()
    }

    /// The convolution of the input channels `read`, which `value` holds, with the bias.
    fn part(&self, graph: &mut Graph, value: &str, read: &[Range<usize>]) -> String {
        let (side, made) = (self.side as i64, self.conv.channels_out() as i64);
        let dims = [made, read.iter().map(Range::len).sum::<usize>() as i64, side, side];
        let weights = graph.new_constant(&dims, &narrow(&self.weights(read)));
        self.convolve(graph, value, &weights)
    }

    /// The convolution with other weights, and the same bias.
    fn convolve(&self, graph: &mut Graph, value: &str, weights: &str) -> String {
        let inputs: Vec<&str> = [value, weights].into_iter().chain(self.node.input.get(2).map(String::as_str)).collect();
        graph.add("Conv", &inputs, self.node.attribute.clone())
    }

    /// The convolution of the input channels `read`, of which `small` holds every second pixel of every second row, without the bias.
    fn of_small(&self, graph: &mut Graph, small: &str, read: &[Range<usize>]) -> String {
        let (side, made) = (self.side, self.conv.channels_out());
        let (taps, falls) = taps(side);
        let weights = self.weights(read);
        let channels = weights.len() / (made * side * side);
        let mut sums = vec![0.0; 4 * made * channels * taps * taps];
        for place in 0..4 {
            let (rows, columns) = (&falls[place / 2], &falls[place % 2]);
            for (plane, from) in weights.chunks_exact(side * side).enumerate() {
                let start = (place * made * channels + plane) * taps * taps;
                for (tap, weight) in from.iter().enumerate() {
                    sums[start + rows[tap / side] * taps + columns[tap % side]] += weight;
                }
            }
        }
        let dims = [4 * made, channels, taps, taps].map(|d| d as i64);
        let weights = graph.new_constant(&dims, &narrow(&sums));
        let attributes = vec![ints_attribute("kernel_shape", &dims[2..]), ints_attribute("pads", &[taps as i64 / 2; 4])];
        let places = graph.add("Conv", &[small, &weights], attributes);
        let with_margin = graph.add("DepthToSpace", &[&places], vec![int_attribute("blocksize", 2)]);
        let [start, end, axes] = [[1, 1], [-1, -1], [2, 3]].map(|values| graph.new_integers(&values));
        graph.add("Slice", &[&with_margin, &start, &end, &axes], Vec::new())
    }
}

/// Number of taps of a small kernel for one of `side` over pixels that were doubled, and the tap that each of the large one falls on: for the
/// last pixel of a pair and for the first of the next, which one position of the small kernel gives.
fn taps(side: usize) -> (usize, [Vec<usize>; 2]) {
    let reach = (side / 2) as i64;
    let before = reach / 2 + 1;
    let falls = |pixel: i64| (-reach..=reach).map(|tap| ((pixel + tap).div_euclid(2) + before) as usize).collect();
    (2 * before as usize, [falls(-1), falls(0)])
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

/// A map whose pixels are repeated.
struct Enlarged {
    small: String,
    /// How many times, in both directions.
    factor: usize,
    resize: NodeProto,
}

impl Enlarged {
    /// What `value` is, if it has one reader.
    fn read(graph: &Graph, value: &str) -> Option<Self> {
        let resize = graph.op(graph.only_maker(value)?, "Resize")?;
        let word = |name: &str, default: &'static str| attribute(resize, name).map_or(default.as_bytes(), |a| a.s());
        let rounding = [word("coordinate_transformation_mode", "half_pixel"), word("nearest_mode", "round_prefer_floor")];
        let repeats = [[&b"asymmetric"[..], b"floor"], [b"half_pixel", b"round_prefer_floor"]].contains(&rounding);
        let [small, _, scales] = resize.input.as_slice() else { return None };
        let (_, scales) = graph.floats(scales)?;
        let factor = scales.get(2).map(|scale| *scale as usize).filter(|factor| *factor > 1)?;
        let is_plain = repeats && word("mode", "nearest") == b"nearest" && attribute(resize, "axes").is_none();
        let is_square = scales == [1.0, 1.0, factor as f32, factor as f32];
        (is_plain && is_square).then(|| Self { small: small.clone(), factor, resize: resize.clone() })
    }

    /// The map at half the size.
    fn half(self, graph: &mut Graph) -> String {
        if self.factor == 2 {
            return self.small;
        }
        let factor = (self.factor / 2) as f32;
        let scales = graph.new_constant(&[4], &[1.0, 1.0, factor, factor]);
        graph.add("Resize", &[&self.small, &self.resize.input[1], &scales], self.resize.attribute)
    }
}

/// Takes the enlarged ones of joined maps out of the convolution that reads them; counts the convolutions.
pub(in crate::onnx) fn of_joined(graph: &mut Graph) -> usize {
    graph.ids().filter(|id| split_joined(graph, *id).is_some()).count()
}

fn split_joined(graph: &mut Graph, id: NodeId) -> Option<()> {
    let same = Same::read(graph, id)?;
    let joined = same.node.input.first()?.clone();
    let concat = graph.op(graph.only_maker(&joined)?, "Concat")?.clone();
    attribute(&concat, "axis").filter(|a| a.i() == 1)?;
    let (mut enlarged, mut plain, mut end) = (Vec::new(), Vec::new(), 0);
    for value in &concat.input {
        let of = Enlarged::read(graph, value).filter(|of| of.factor.is_multiple_of(2));
        let channels = end..end + known_channels(graph, of.as_ref().map_or(value, |of| &of.small), 4)?;
        end = channels.end;
        match of {
            Some(of) => enlarged.push((of, channels)),
            None => plain.push((value.clone(), channels)),
        }
    }
    let (enlarged, of_enlarged): (Vec<_>, Vec<_>) = enlarged.into_iter().unzip();
    let (plain, of_plain): (Vec<_>, Vec<_>) = plain.into_iter().unzip();
    let pays = of_enlarged.iter().map(Range::len).sum::<usize>() >= LEAST_CHANNELS && !plain.is_empty();
    if end != same.conv.channels_in() || !pays {
        return None;
    }
    let join = |graph: &mut Graph, values: Vec<String>| match values.as_slice() {
        [one] => one.clone(),
        several => graph.add("Concat", &several.iter().map(String::as_str).collect::<Vec<_>>(), concat.attribute.clone()),
    };
    let halves = enlarged.into_iter().map(|of| of.half(graph)).collect();
    let (small, plain) = (join(graph, halves), join(graph, plain));
    let from_small = same.of_small(graph, &small, &of_enlarged);
    let from_plain = same.part(graph, &plain, &of_plain);
    graph.place(id, new_node("Add", &[&from_plain, &from_small], same.node.output.first()?, Vec::new()));
    graph.sweep(&joined);
    Some(())
}

/// Where a convolution reads the sum of an enlarged map and of a gated 1x1 convolution of few channels: convolves each, the few channels
/// with the product of both weights and the gate. The gate is one of a picture, so the graph is for one picture a run then.
pub(in crate::onnx) fn of_gated_sum(graph: &mut Graph) -> usize {
    graph.ids().filter(|id| split_sum(graph, *id).is_some()).count()
}

fn split_sum(graph: &mut Graph, id: NodeId) -> Option<()> {
    let same = Same::read(graph, id)?;
    let sum = same.node.input.first()?.clone();
    let [a, b] = graph.op(graph.only_maker(&sum)?, "Add")?.input.as_slice() else { return None };
    let doubled = |value: &str| Enlarged::read(graph, value).filter(|of| of.factor == 2);
    let (gated, small) = [(a, b), (b, a)].into_iter().find_map(|(gated, other)| Some((gated, doubled(other)?.small)))?;
    let [a, b] = graph.op(graph.only_maker(gated)?, "Mul")?.input.as_slice() else { return None };
    let (wide, gate) = [(a, b), (b, a)].into_iter().find(|(_, gate)| is_gate(graph, gate))?;
    let (gate, widening) = (gate.clone(), graph.only_maker(wide)?);
    let few = graph.node(widening)?.input.first()?.clone();
    // What it adds would have to end where the picture does.
    let widening = Conv::read(graph, widening).filter(|conv| conv.is_pointwise() && conv.numbers().1.iter().all(|bias| *bias == 0.0))?;
    let (read, between, made, side) = (widening.channels_in(), widening.channels_out(), same.conv.channels_out(), same.side);
    if 4 * read > between || between < LEAST_CHANNELS || widening.group() != 1 || same.conv.channels_in() != between {
        return None;
    }
    let from_small = same.of_small(graph, &small, from_ref(&(0..between)));
    // One row for each weight of the result, [made * side * side, read].
    let area = side * side;
    let weights = same.conv.numbers().0;
    let rows: Vec<f32> = (0..made * area * between)
        .map(|i| {
            let (row, channel) = (i / between, i % between);
            weights[(row / area * between + channel) * area + row % area] as f32
        })
        .collect();
    let [made, side, between, read] = [made, side, between, read].map(|n| n as i64);
    let rows = graph.new_constant(&[made * side * side, between], &rows);
    let columns = graph.new_constant(&[between, read], &narrow(widening.numbers().0));
    let (row, kernel) = (graph.new_integers(&[1, between]), graph.new_integers(&[made, side, side, read]));
    let gate = graph.add("Reshape", &[&gate, &row], Vec::new());
    let rows = graph.add("Mul", &[&rows, &gate], Vec::new());
    let product = graph.add("MatMul", &[&rows, &columns], Vec::new());
    let product = graph.add("Reshape", &[&product, &kernel], Vec::new());
    let weights = graph.add("Transpose", &[&product], vec![ints_attribute("perm", &[0, 3, 1, 2])]);
    let from_few = same.convolve(graph, &few, &weights);
    graph.place(id, new_node("Add", &[&from_few, &from_small], same.node.output.first()?, Vec::new()));
    graph.sweep(&sum);
    Some(())
}

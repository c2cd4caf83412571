//! See [`Surgery::DeformConvAsSamples`](super::Surgery::DeformConvAsSamples): where each tap of the kernel reads is a point of one
//! GridSample, of as many rows as there are taps and one column for each pixel of the output; a convolution over the rows sums them.

use crate::onnx::graph::{Graph, NodeId, attribute, int_attribute, ints_attribute, new_node};
use crate::onnx::proto::{NodeProto, tensor_proto::DataType};

/// Applies to every DeformConv in two dimensions with a constant kernel and the same offsets for all channels; counts them.
pub(super) fn apply(graph: &mut Graph) -> usize {
    graph.ids().filter(|id| convert(graph, *id).is_some()).count()
}

/// Integers of an attribute, `default` where it is left out; `None` where there are others than two or four.
fn pairs<const N: usize>(node: &NodeProto, name: &str, default: i64) -> Option<[i64; N]> {
    attribute(node, name).map_or(Some([default; N]), |a| a.ints.as_slice().try_into().ok())
}

fn convert(graph: &mut Graph, id: NodeId) -> Option<()> {
    let node = graph.op(id, "DeformConv")?.clone();
    let [x, kernel, offset, optional @ ..] = node.input.as_slice() else { return None };
    let optional = |index: usize| optional.get(index).filter(|name| !name.is_empty());
    let (dims, values) = graph.floats(kernel)?;
    let [made, read, height, width] = <[i64; 4]>::try_from(dims).ok()?;
    let ([down, right], [far_down, far_right]) = (pairs(&node, "strides", 1)?, pairs(&node, "dilations", 1)?);
    let [top, left, ..] = pairs::<4>(&node, "pads", 0)?;
    if attribute(&node, "offset_group").is_some_and(|a| a.i() != 1) {
        return None;
    }
    let output = node.output.first()?.clone();
    let taps = height * width;

    // Points are (x, y). Without an offset, tap (i, j) reads for output pixel (y, x) at (y * down + i * far_down - top, ...).
    let tap = |i: i64| [i % width * far_right - left, i / width * far_down - top].map(|v| v as f32);
    let tap = graph.new_constant(&[1, taps, 1, 2], &(0..taps).flat_map(tap).collect::<Vec<_>>());
    let size = graph.add("Shape", &[offset], Vec::new());
    let rows = line(graph, &size, 2, &[-1, 1, 1], [0.0, down as f32]);
    let columns = line(graph, &size, 3, &[1, -1, 1], [right as f32, 0.0]);
    let pixels = graph.add("Add", &[&rows, &columns], Vec::new());
    let flat = graph.new_integers(&[1, 1, -1, 2]);
    let pixels = graph.add("Reshape", &[&pixels, &flat], Vec::new());
    let unmoved = graph.add("Add", &[&tap, &pixels], Vec::new());

    // Offsets come as [N, taps * (y, x), rows, columns].
    let by_tap = graph.new_integers(&[0, taps, 2, -1]);
    let offset = graph.add("Reshape", &[offset, &by_tap], Vec::new());
    let offset = graph.add("Transpose", &[&offset], vec![ints_attribute("perm", &[0, 1, 3, 2])]);
    let swap = graph.new_integers(&[1, 0]);
    let offset = graph.add("Gather", &[&offset, &swap], vec![int_attribute("axis", 3)]);
    let points = graph.add("Add", &[&offset, &unmoved], Vec::new());

    // GridSample counts from -1 to 1 between the outer edges of the outermost pixels: p -> (2 p + 1) / size - 1.
    let picture = graph.add("Shape", &[x], Vec::new());
    let sides = graph.new_integers(&[3, 2]);
    let sides = graph.add("Gather", &[&picture, &sides], vec![int_attribute("axis", 0)]);
    let sides = graph.add("Cast", &[&sides], vec![int_attribute("to", DataType::Float as i64)]);
    let [one, two] = [1.0, 2.0].map(|v| graph.new_constant(&[1], &[v]));
    let points = graph.add("Mul", &[&points, &two], Vec::new());
    let points = graph.add("Add", &[&points, &one], Vec::new());
    let points = graph.add("Div", &[&points, &sides], Vec::new());
    let points = graph.add("Sub", &[&points, &one], Vec::new());
    let mut samples = graph.add("GridSample", &[x, &points], Vec::new());
    if let Some(mask) = optional(1) {
        let shape = graph.new_integers(&[0, 1, taps, -1]);
        let mask = graph.add("Reshape", &[mask, &shape], Vec::new());
        samples = graph.add("Mul", &[&samples, &mask], Vec::new());
    }

    let kernel = graph.new_constant(&[made, read, taps, 1], &values);
    let mut attributes = vec![ints_attribute("kernel_shape", &[taps, 1])];
    attributes.extend(attribute(&node, "group").cloned());
    let inputs: Vec<&str> = [samples.as_str(), &kernel].into_iter().chain(optional(0).map(String::as_str)).collect();
    let sums = graph.add("Conv", &inputs, attributes);
    let (front, start, end) = (graph.new_integers(&[0, made]), graph.new_integers(&[2]), graph.new_integers(&[4]));
    let size = graph.add("Slice", &[&size, &start, &end], Vec::new());
    let shape = graph.add("Concat", &[&front, &size], vec![int_attribute("axis", 0)]);
    graph.place(id, new_node("Reshape", &[&sums, &shape], &output, Vec::new()));
    Some(())
}

/// 0, 1, 2, ... along dimension `axis` of the size `size`, in the shape `shape`, times `step`.
fn line(graph: &mut Graph, size: &str, axis: i64, shape: &[i64], step: [f32; 2]) -> String {
    let [zero, one, axis] = [0, 1, axis].map(|v| graph.new_integer(v));
    let end = graph.add("Gather", &[size, &axis], vec![int_attribute("axis", 0)]);
    let range = graph.add("Range", &[&zero, &end, &one], Vec::new());
    let range = graph.add("Cast", &[&range], vec![int_attribute("to", DataType::Float as i64)]);
    let shape = graph.new_integers(shape);
    let range = graph.add("Reshape", &[&range, &shape], Vec::new());
    let step = graph.new_constant(&[1, 1, 2], &step);
    graph.add("Mul", &[&range, &step], Vec::new())
}

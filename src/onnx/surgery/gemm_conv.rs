//! See [`Surgery::GemmAsConv`](super::Surgery::GemmAsConv): `x W` with x of any shape [.., k] is a 1x1 convolution over k channels of
//! pictures of one pixel. A constant of one dimension is a column, which the result does not have.

use crate::onnx::graph::{Graph, NodeId, attribute, int_attribute, ints_attribute, new_node};

/// Applies to every MatMul with a constant matrix or vector on its right, and to such a Gemm; counts them.
pub(super) fn apply(graph: &mut Graph, opset: i64) -> usize {
    graph.ids().filter(|id| convert(graph, *id, opset).is_some()).count()
}

fn convert(graph: &mut Graph, id: NodeId, opset: i64) -> Option<()> {
    let gemm = graph.op(id, "Gemm").cloned();
    let node = gemm.clone().or_else(|| graph.op(id, "MatMul").cloned())?;
    let [x, w, ..] = node.input.as_slice() else { return None };
    let (dims, values) = graph.floats(w)?;
    let (rows, columns, is_vector) = match *dims {
        [rows, columns] => (rows as usize, columns as usize, false),
        [rows] => (rows as usize, 1, true),
        _ => return None,
    };
    let flag = |name: &str| attribute(&node, name).map_or(0, |a| a.i());
    let factor = |name: &str| attribute(&node, name).map_or(1.0, |a| a.f());
    if flag("transA") != 0 || factor("alpha") != 1.0 || factor("beta") != 1.0 {
        return None;
    }
    // Kernels are [made, read, 1, 1].
    let (read, made, kernel) = match flag("transB") {
        0 => (rows, columns, (0..rows * columns).map(|i| values[i % rows * columns + i / rows]).collect::<Vec<_>>()),
        _ => (columns, rows, values),
    };
    let bias = match node.input.get(2).filter(|b| !b.is_empty()) {
        None => None,
        Some(b) => Some(broadcast(graph, b, made)?),
    };
    let output = node.output.first()?.clone();
    let kernel = graph.new_constant(&[made as i64, read as i64, 1, 1], &kernel);
    let pixels = graph.new_integers(&[-1, read as i64, 1, 1]);
    let picture = graph.add("Reshape", &[x, &pixels], Vec::new());
    let kernel_shape = vec![ints_attribute("kernel_shape", &[1, 1])];
    let product = match bias {
        Some(bias) => {
            let bias = graph.new_constant(&[made as i64], &bias);
            graph.add("Conv", &[&picture, &kernel, &bias], kernel_shape)
        }
        None => graph.add("Conv", &[&picture, &kernel], kernel_shape),
    };
    let shape = if gemm.is_some() {
        graph.new_integers(&[-1, made as i64]) // a Gemm reads matrices only
    } else {
        // The leading dimensions of x, and the columns.
        let whole = graph.add("Shape", &[x], Vec::new());
        let leading = if opset >= 10 {
            let (start, end) = (graph.new_integers(&[0]), graph.new_integers(&[-1]));
            graph.add("Slice", &[&whole, &start, &end], Vec::new())
        } else {
            graph.add("Slice", &[&whole], vec![ints_attribute("starts", &[0]), ints_attribute("ends", &[-1])])
        };
        match is_vector {
            true => leading,
            false => {
                let columns = graph.new_integers(&[made as i64]);
                graph.add("Concat", &[&leading, &columns], vec![int_attribute("axis", 0)])
            }
        }
    };
    graph.place(id, new_node("Reshape", &[&product, &shape], &output, Vec::new()));
    Some(())
}

/// A bias that is the same for all rows.
fn broadcast(graph: &Graph, name: &str, columns: usize) -> Option<Vec<f32>> {
    let (dims, values) = graph.floats(name)?;
    let flat = dims.iter().rev().skip(1).all(|d| *d == 1);
    match values.len() {
        1 => Some(vec![values[0]; columns]),
        n if n == columns && flat => Some(values),
        _ => None,
    }
}

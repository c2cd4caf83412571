//! Changes of graphs for engines that refuse an operator: in ONNX Runtime, on fresh random inputs, the changed graph gives
//! what the original gave, and what was cut off is the value that stood there.

use super::double::in_onnx_runtime;
use crate::random::Random;
use hpinfer::onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto::AttributeType, tensor_proto::DataType, tensor_shape_proto, type_proto,
};
use hpinfer::onnx::surgery::{self, Surgery};
use hpinfer::tensor::{Data, Shape};
use prost::Message;

/// The same float32 sums in another order.
const SAME: f32 = 1e-5;
/// Products of numbers with 11 bits of mantissa, relative to the greatest result.
const HALF: f32 = 4e-3;

pub fn value(name: &str, dtype: DataType, dims: &[i64]) -> ValueInfoProto {
    use tensor_shape_proto::{Dimension, dimension::Value};
    let one = |(i, d): (usize, &i64)| {
        let value = if *d < 0 { Value::DimParam(format!("{name}{i}")) } else { Value::DimValue(*d) };
        Dimension { value: Some(value), ..Default::default() }
    };
    let shape = TensorShapeProto { dim: dims.iter().enumerate().map(one).collect() };
    let tensor = type_proto::Tensor { elem_type: Some(dtype as i32), shape: Some(shape) };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() });
    ValueInfoProto { name: Some(name.into()), r#type, ..Default::default() }
}

pub fn node(kind: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    let names = |n: &[&str]| n.iter().map(|n| (*n).to_owned()).collect();
    NodeProto { op_type: Some(kind.into()), input: names(inputs), output: names(outputs), attribute, ..Default::default() }
}

pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.into()), r#type: Some(AttributeType::Int as i32), i: Some(value), ..Default::default() }
}

pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: Some(name.into()), r#type: Some(AttributeType::Ints as i32), ints: values.to_vec(), ..Default::default() }
}

pub fn floats(name: &str, dims: &[i64], values: Vec<f32>) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: dims.to_vec(),
        data_type: Some(DataType::Float as i32),
        float_data: values,
        ..Default::default()
    }
}

pub fn integers(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    let data_type = Some(DataType::Int64 as i32);
    TensorProto { name: Some(name.into()), dims: dims.to_vec(), data_type, int64_data: values.to_vec(), ..Default::default() }
}

pub fn model(nodes: Vec<NodeProto>, constants: Vec<TensorProto>, inputs: Vec<ValueInfoProto>, outputs: Vec<ValueInfoProto>) -> ModelProto {
    let graph =
        GraphProto { name: Some("g".into()), node: nodes, initializer: constants, input: inputs, output: outputs, ..Default::default() };
    let opset = OperatorSetIdProto { version: Some(16), ..Default::default() };
    ModelProto { ir_version: Some(8), opset_import: vec![opset], graph: Some(graph), ..Default::default() }
}

/// Name, shape and elements of every output, as floats.
pub fn run(model: &ModelProto, inputs: &[(&str, &[usize], &[f32])]) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let engine = in_onnx_runtime(model.encode_to_vec());
    let mut session = engine.session().unwrap();
    for (index, spec) in engine.io().inputs.iter().enumerate() {
        let (_, shape, data) = inputs.iter().find(|(name, ..)| *name == spec.name).unwrap();
        session.input(index, Shape::new(shape)).unwrap().copy_from_slice(data);
    }
    session.run().unwrap();
    let read = |index: usize, name: &str| {
        let tensor = session.output(index).unwrap();
        let data = match tensor.data {
            Data::F32(d) => d.to_vec(),
            Data::I32(d) => d.iter().map(|v| *v as f32).collect(),
            Data::I64(d) => d.iter().map(|v| *v as f32).collect(),
        };
        (name.to_owned(), tensor.shape.dims().to_vec(), data)
    };
    engine.io().outputs.iter().enumerate().map(|(index, spec)| read(index, &spec.name)).collect()
}

/// Changes that ask for no run.
pub fn apply(model: &mut ModelProto, changes: &[Surgery]) -> Vec<(Surgery, usize)> {
    surgery::apply(model, changes, &|_| panic!("nothing here is to be run")).unwrap()
}

pub fn changed(original: &ModelProto, change: Surgery, places: usize) -> ModelProto {
    let mut model = original.clone();
    assert_eq!(apply(&mut model, &[change]), [(change, places)]);
    model
}

pub fn assert_near(a: &[(String, Vec<usize>, Vec<f32>)], b: &[(String, Vec<usize>, Vec<f32>)], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for ((name, shape, x), (_, other, y)) in a.iter().zip(b) {
        assert_eq!(shape, other, "{name}");
        let greatest = x.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let worst = x.iter().zip(y).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= tolerance * greatest, "{name}: {worst} of {greatest}");
    }
}

pub fn operators(model: &ModelProto) -> Vec<&str> {
    model.graph.as_ref().unwrap().node.iter().map(|n| n.op_type()).collect()
}

/// A product with a constant of three dimensions of rows, a Gemm with bias, and a product of two activations.
fn products(random: &mut Random) -> ModelProto {
    let nodes = vec![
        node("MatMul", &["x", "w"], &["a"], vec![]),
        node("Transpose", &["a"], &["t"], vec![ints("perm", &[0, 2, 1])]),
        node("MatMul", &["a", "t"], &["square"], vec![]),
        node("ReduceMean", &["a"], &["mean"], vec![ints("axes", &[1]), int("keepdims", 0)]),
        node("Gemm", &["mean", "v", "bias"], &["y"], vec![int("transB", 1)]),
    ];
    let constants =
        vec![floats("w", &[6, 5], random.floats(30)), floats("v", &[7, 5], random.floats(35)), floats("bias", &[7], random.floats(7))];
    let outputs = vec![value("square", DataType::Float, &[-1, -1, -1]), value("y", DataType::Float, &[-1, 7])];
    model(nodes, constants, vec![value("x", DataType::Float, &[-1, -1, 6])], outputs)
}

#[test]
fn products_with_constants_become_convolutions_of_the_same_numbers() {
    let mut random = Random::fresh("gemm as conv");
    products_become_convolutions(&products(&mut random), &mut random);
    // Before operator set 10 Slice had attributes in the place of inputs.
    let mut old = products(&mut random);
    old.opset_import[0].version = Some(9);
    products_become_convolutions(&old, &mut random);
}

fn products_become_convolutions(original: &ModelProto, random: &mut Random) {
    let new = changed(original, Surgery::GemmAsConv, 2);
    assert_eq!(operators(&new).iter().filter(|o| **o == "Conv").count(), 2);
    assert_eq!(operators(&new).iter().filter(|o| ["MatMul", "Gemm"].contains(o)).count(), 1, "that of two activations");
    for (n, l) in [(1, 1), (2, 9), (3, 4)] {
        let x = random.floats(n * l * 6);
        let inputs = [("x", &[n, l, 6][..], x.as_slice())];
        assert_near(&run(original, &inputs), &run(&new, &inputs), SAME);
    }
}

#[test]
fn constants_are_matrices_whatever_is_left_around_them() {
    let mut random = Random::fresh("transposed constants and vectors");
    let nodes = vec![
        node("Transpose", &["w"], &["w_t"], vec![ints("perm", &[1, 0])]),
        node("MatMul", &["x", "w_t"], &["a"], vec![]),
        node("Transpose", &["u"], &["u_t"], vec![]),
        node("MatMul", &["a", "u_t"], &["b"], vec![]),
        node("MatMul", &["b", "v"], &["y"], vec![]),
        // Of three dimensions it becomes a constant, and no matrix.
        node("Transpose", &["deep"], &["deep_t"], vec![ints("perm", &[2, 0, 1])]),
        node("Add", &["deep_t", "y"], &["z"], vec![]),
    ];
    let constants = vec![
        floats("w", &[5, 6], random.floats(30)),
        floats("u", &[4, 5], random.floats(20)),
        floats("v", &[4], random.floats(4)),
        floats("deep", &[1, 7, 3], random.floats(21)),
    ];
    let original = model(
        nodes,
        constants,
        vec![value("x", DataType::Float, &[-1, -1, 6])],
        vec![value("y", DataType::Float, &[-1, -1]), value("z", DataType::Float, &[3, 1, 7])],
    );
    let new = changed(&original, Surgery::GemmAsConv, 3);
    assert!(operators(&new).iter().all(|operator| !["MatMul", "Transpose"].contains(operator)), "{:?}", operators(&new));
    let x = random.floats(7 * 6);
    let inputs = [("x", &[1, 7, 6][..], x.as_slice())];
    assert_near(&run(&original, &inputs), &run(&new, &inputs), SAME);
    let vector = random.floats(6);
    let row = [("x", &[1, 1, 6][..], vector.as_slice())];
    assert_near(&run(&original, &row)[..1], &run(&new, &row)[..1], SAME);
}

#[test]
fn other_products_are_done_in_half_precision() {
    let mut random = Random::fresh("gemm in half");
    let original = products(&mut random);
    let new = changed(&original, Surgery::GemmInHalf, 3);
    assert!(apply(&mut new.clone(), &[Surgery::GemmInHalf]).is_empty(), "a second pass finds nothing");
    let x = random.floats(2 * 9 * 6);
    let inputs = [("x", &[2, 9, 6][..], x.as_slice())];
    assert_near(&run(&original, &inputs), &run(&new, &inputs), HALF);
    // A weight that float16 cannot hold stays in float32.
    let mut large = original.clone();
    large.graph.as_mut().unwrap().initializer[0].float_data[3] = 1e6;
    assert_eq!(apply(&mut large, &[Surgery::GemmInHalf]), [(Surgery::GemmInHalf, 2)]);
}

#[test]
fn turing_gets_convolutions_first_and_half_precision_for_the_rest() {
    let mut random = Random::fresh("turing");
    let original = products(&mut random);
    let mut new = original.clone();
    let applied = apply(&mut new, Surgery::for_tensorrt_rtx(75));
    assert_eq!(applied, [(Surgery::GemmAsConv, 2), (Surgery::GemmInHalf, 1)]);
    assert!(apply(&mut original.clone(), Surgery::for_tensorrt_rtx(86)).is_empty());
    let x = random.floats(9 * 6);
    let inputs = [("x", &[1, 9, 6][..], x.as_slice())];
    assert_near(&run(&original, &inputs), &run(&new, &inputs), HALF);
}

#[test]
fn a_detector_ends_where_its_suppression_begins() {
    let mut random = Random::fresh("nms tail");
    let original = model(
        vec![
            node("Mul", &["x", "scale"], &["boxes"], vec![]),
            node("Sigmoid", &["s"], &["scores"], vec![]),
            node("NonMaxSuppression", &["boxes", "scores", "most", "overlap", "least"], &["kept"], vec![]),
            node("Cast", &["kept"], &["rows"], vec![int("to", DataType::Float as i64)]),
        ],
        vec![
            floats("scale", &[1], vec![3.0]),
            integers("most", &[1], &[10]),
            floats("overlap", &[1], vec![0.7]),
            floats("least", &[1], vec![0.01]),
        ],
        vec![value("x", DataType::Float, &[-1, 8, 4]), value("s", DataType::Float, &[-1, 2, 8])],
        vec![value("rows", DataType::Float, &[-1, 3])],
    );
    // Another suppression than is done outside of it stays.
    let mut other = original.clone();
    let overlap = other.graph.as_mut().unwrap().initializer.iter_mut().find(|tensor| tensor.name() == "overlap").unwrap();
    overlap.float_data = vec![0.5];
    assert_eq!(apply(&mut other, &[Surgery::NmsTail]), []);
    let new = changed(&original, Surgery::NmsTail, 1);
    assert_eq!(operators(&new), ["Mul", "Sigmoid"]);
    assert_eq!(new.graph.as_ref().unwrap().initializer.len(), 1, "constants of the tail go too");
    let (x, s) = (random.floats(2 * 32), random.floats(2 * 16));
    let inputs = [("x", &[2, 8, 4][..], x.as_slice()), ("s", &[2, 2, 8][..], s.as_slice())];
    let got = run(&new, &inputs);
    // The original with the same two values as outputs.
    let mut open = original.clone();
    open.graph
        .as_mut()
        .unwrap()
        .output
        .extend([value("boxes", DataType::Float, &[-1, 8, 4]), value("scores", DataType::Float, &[-1, 2, 8])]);
    let all = run(&open, &inputs);
    assert_eq!(got.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(), ["boxes", "scores"]);
    assert_eq!(got, all[1..]);
    assert!(apply(&mut new.clone(), &[Surgery::NmsTail]).is_empty());
}

#[test]
fn masks_end_before_a_resize_to_a_size_that_is_fed() {
    let mut random = Random::fresh("mask resize");
    let tail = |sizes: Vec<NodeProto>| {
        let mut nodes = vec![node("Relu", &["x"], &["logits"], vec![])];
        nodes.extend(sizes);
        nodes.extend([
            node("Resize", &["logits", "", "", "size"], &["large"], vec![]),
            node("Sigmoid", &["large"], &["p"], vec![]),
            node("Greater", &["p", "half"], &["above"], vec![]),
            node("Cast", &["above"], &["masks"], vec![int("to", DataType::Int32 as i64)]),
        ]);
        model(
            nodes,
            vec![floats("half", &[1], vec![0.5]), integers("front", &[2], &[1, 3])],
            vec![value("x", DataType::Float, &[1, 3, 4, 4]), value("im_shape", DataType::Float, &[2])],
            vec![value("x2", DataType::Float, &[1, 3, 4, 4]), value("masks", DataType::Int32, &[1, 3, -1, -1])],
        )
    };
    let fed = vec![
        node("Identity", &["x"], &["x2"], vec![]),
        node("Cast", &["im_shape"], &["wanted"], vec![int("to", DataType::Int64 as i64)]),
        node("Concat", &["front", "wanted"], &["size"], vec![int("axis", 0)]),
    ];
    let original = tail(fed);
    let new = changed(&original, Surgery::MaskResize, 1);
    assert_eq!(operators(&new), ["Relu", "Identity"]);
    assert_eq!(new.graph.as_ref().unwrap().input.len(), 1, "nobody reads im_shape any more");
    let x = random.floats(48);
    let got = run(&new, &[("x", &[1, 3, 4, 4][..], x.as_slice())]);
    assert_eq!((got[1].0.as_str(), got[1].2.clone()), ("logits", x.iter().map(|v| v.max(0.0)).collect()));
    // A size that comes from a shape is nothing to cut.
    let by_shape = vec![
        node("Identity", &["x"], &["x2"], vec![]),
        node("Shape", &["im_shape"], &["n"], vec![]),
        node("Concat", &["front", "n", "n"], &["size"], vec![int("axis", 0)]),
    ];
    assert!(apply(&mut tail(by_shape), &[Surgery::MaskResize]).is_empty());
}

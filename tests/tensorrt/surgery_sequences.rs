//! Tensors made with sequences: constants where they are the same at all shapes of an engine, and left where they are not.

use super::surgery::{apply, floats, int, integers, ints, model, node, operators, run, value};
use crate::random::Random;
use hpinfer::onnx::proto::{ModelProto, TensorProto, tensor_proto::DataType};
use hpinfer::onnx::surgery::{self, Surgery};

/// `2 (x + sum)` of `x` [n, 3, w], where `sum` is that of the first rows of a table, put together as a sequence: as many as `x` has
/// in dimension `axis`.
pub fn shifted(random: &mut Random, axis: i64) -> ModelProto {
    let nodes = vec![
        node("Shape", &["x"], &["size"], vec![]),
        node("Slice", &["size", "from", "to"], &["count"], vec![]),
        node("Slice", &["table", "zero", "count"], &["rows"], vec![]),
        node("SplitToSequence", &["rows"], &["parts"], vec![]),
        node("ConcatFromSequence", &["parts"], &["mask"], vec![int("axis", 0)]),
        node("ReduceMean", &["mask"], &["sum"], vec![ints("axes", &[0, 1]), int("keepdims", 0)]),
        node("Add", &["x", "sum"], &["y"], vec![]),
        node("Mul", &["y", "two"], &["z"], vec![]),
    ];
    let constants = vec![
        integers("from", &[1], &[axis]),
        integers("to", &[1], &[axis + 1]),
        integers("zero", &[1], &[0]),
        floats("table", &[3, 4], random.floats(12)),
        floats("two", &[1], vec![2.0]),
    ];
    let outputs = vec![value("z", DataType::Float, &[-1, 3, -1])];
    model(nodes, constants, vec![value("x", DataType::Float, &[-1, 3, -1])], outputs)
}

/// Every output of `part` at two shapes of `x`.
pub fn at_two_shapes(part: &ModelProto) -> hpinfer::Result<Vec<Vec<TensorProto>>> {
    let at = |shape: [usize; 3]| {
        let x = vec![0.0; shape.iter().product()];
        let constant = |(name, dims, values): (String, Vec<usize>, Vec<f32>)| {
            floats(&name, &dims.iter().map(|d| *d as i64).collect::<Vec<_>>(), values)
        };
        run(part, &[("x", &shape, &x)]).into_iter().map(constant).collect()
    };
    Ok(vec![at([1, 3, 5]), at([2, 3, 6])])
}

#[test]
fn what_shapes_make_with_sequences_becomes_a_constant() {
    let mut random = Random::fresh("sequences");
    let original = shifted(&mut random, 1);
    let mut new = original.clone();
    let applied = surgery::apply(&mut new, &[Surgery::SequencesAsConstants], &at_two_shapes).unwrap();
    assert_eq!(applied, [(Surgery::SequencesAsConstants, 1)]);
    assert_eq!(operators(&new), ["Add", "Mul"]);
    let names: Vec<&str> = new.graph.as_ref().unwrap().initializer.iter().map(|t| t.name()).collect();
    assert_eq!(names, ["two", "sum"], "what made it goes with it");
    for shape in [[1, 3, 2], [4, 3, 7]] {
        let x = random.floats(shape.iter().product());
        let inputs = [("x", &shape[..], x.as_slice())];
        assert_eq!(run(&original, &inputs), run(&new, &inputs));
    }
    assert!(apply(&mut new, &[Surgery::SequencesAsConstants]).is_empty(), "a second pass runs nothing");
}

#[test]
fn what_changes_with_the_shape_or_the_elements_stays() {
    let mut random = Random::fresh("sequences that stay");
    let original = shifted(&mut random, 0);
    let mut same = original.clone();
    assert!(surgery::apply(&mut same, &[Surgery::SequencesAsConstants], &at_two_shapes).unwrap().is_empty());
    assert_eq!(same, original);
    let mut of_elements = original.clone();
    of_elements.graph.as_mut().unwrap().node[3].input[0] = "x".into();
    assert!(apply(&mut of_elements, &[Surgery::SequencesAsConstants]).is_empty());
    let failed = surgery::apply(&mut same, &[Surgery::SequencesAsConstants], &|_| Err(hpinfer::Error::internal("test", "no library")));
    assert!(failed.unwrap_err().to_string().contains("no library"));
}

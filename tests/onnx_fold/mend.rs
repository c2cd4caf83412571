//! Faults of a converter.

use super::builder::{Builder, operators_of, value};
use hpinfer::onnx::mend;
use hpinfer::onnx::proto::{
    AttributeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType, tensor_proto::DataType,
    type_proto,
};

/// Scores of the boxes that a suppression selects, taken as paddle2onnx takes them.
#[test]
fn the_columns_of_selected_boxes_have_one_dimension_for_any_number_of_boxes() {
    let scores = [0.2, 0.9, 0.6];
    for (least, expected) in [(0.1, vec![0.9, 0.6, 0.2]), (0.5, vec![0.9, 0.6]), (0.8, vec![0.9])] {
        let mut b = Builder::new("selection", &[1, 3, 4], 1);
        b.tensor("scores", &[1, 1, 3], scores.to_vec()).tensor("flat", &[3], scores.to_vec());
        b.tensor("overlap", &[1], vec![1.0]).tensor("least", &[1], vec![least]).integers("most", &[10]).integers("box", &[2]);
        b.node("NonMaxSuppression x,scores,most,overlap,least", "selected", &[]).node("Gather selected,box", "column", &[("axis", &[1])]);
        b.node("Squeeze column", "line", &[]).node("Gather line,order", "sorted", &[]).node("Gather flat,sorted", "y", &[]);
        let order: Vec<i64> = (0..expected.len() as i64).collect();
        b.integers("order", &order);
        let mut model = b.model();
        match b.try_run(&model, true) {
            Ok(found) => assert!(expected.len() > 1 && found == expected),
            Err(_) => assert_eq!(expected.len(), 1, "a number is no list of one"),
        }
        assert_eq!((mend::apply(&mut model), mend::apply(&mut model)), (1, 0));
        assert_eq!(operators_of(&model), "NonMaxSuppression Gather Reshape Gather Gather");
        assert_eq!(b.run(&model, true), expected);
    }
    // A number that says which is meant as a number.
    let mut b = Builder::new("the best", &[1, 3, 4], 0);
    b.tensor("scores", &[1, 1, 3], scores.to_vec()).tensor("flat", &[3], scores.to_vec()).tensor("overlap", &[1], vec![1.0]);
    b.integers("most", &[1]).integers("box", &[2]).node("NonMaxSuppression x,scores,most,overlap", "selected", &[]);
    b.node("Gather selected,box", "column", &[("axis", &[1])]).node("Squeeze column", "best", &[]).node("Gather flat,best", "y", &[]);
    let mut model = b.model();
    assert_eq!((mend::apply(&mut model), b.run(&model, true)), (0, vec![0.9]));
}

/// A value with a dimension that a body states to have none.
#[test]
fn a_loop_whose_body_states_the_wrong_shape_runs() {
    let mut b = Builder::new("loop", &[1], 1);
    b.integers("times", &[3]).tensor("first", &[1], vec![0.5]).tensor("one", &[1], vec![1.0]);
    let going = TensorProto { name: Some("going".into()), dims: vec![1], data_type: Some(DataType::Bool as i32), ..Default::default() };
    b.graph.initializer.push(TensorProto { int32_data: vec![1], ..going });
    b.node("Loop times,going,first", "y", &[]);
    let flag = |name: &str| {
        let tensor = type_proto::Tensor { elem_type: Some(DataType::Bool as i32), shape: Some(TensorShapeProto::default()) };
        let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() });
        ValueInfoProto { name: Some(name.into()), r#type, ..Default::default() }
    };
    let mut step = value("step", &[1]);
    if let Some(type_proto::Value::TensorType(tensor)) = step.r#type.as_mut().and_then(|t| t.value.as_mut()) {
        tensor.elem_type = Some(DataType::Int64 as i32);
    }
    let mut body = Builder::new("body", &[1], 1);
    body.node("Equal one,one", "p2o.go_on", &[]).node("Add p2o.before,one", "p2o.after", &[]);
    body.graph.input = vec![step, flag("p2o.go"), value("p2o.before", &[])];
    body.graph.output = vec![flag("p2o.go_on"), value("p2o.after", &[])];
    let body = Some(body.graph);
    let attribute = AttributeProto { name: Some("body".into()), r#type: Some(AttributeType::Graph as i32), g: body, ..Default::default() };
    b.graph.node[0].attribute.push(attribute);
    let mut model = b.model();
    b.try_run(&model, true).expect_err("the body states it otherwise");
    assert_eq!((mend::apply(&mut model), mend::apply(&mut model)), (4, 0));
    assert_eq!(b.run(&model, true), [3.5]);
}

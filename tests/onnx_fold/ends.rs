//! What is left out at the end of a recogniser.

use super::builder::{Builder, operators_of, value};
use hpinfer::onnx::proto::{AttributeProto, ModelProto, attribute_proto::AttributeType};
use hpinfer::onnx::{self, Cut, Model, OutputKind, Target, mend, softmax_tail};

#[test]
fn softmax_tail_goes_and_the_output_keeps_its_name() {
    for (opset, axis, removed) in [(13, Some(2), true), (13, None, true), (13, Some(-1), true), (13, Some(1), false), (11, None, false)] {
        let mut b = Builder::new("softmax tail", &[1, 5, 4], 3);
        b.opset = opset;
        b.weight("w", &[4, 6]).node("MatMul x,w", "1", &[]);
        match axis {
            Some(axis) => b.node("Softmax 1", "y", &[("axis", &[axis])]),
            None => b.node("Softmax 1", "y", &[]),
        };
        let original = b.model();
        let mut cut = original.clone();
        let kind = softmax_tail::remove(&mut cut);
        assert_eq!(kind, if removed { OutputKind::Logits } else { OutputKind::Original }, "opset {opset}, axis {axis:?}");
        assert_eq!(operators_of(&cut), if removed { "MatMul" } else { "MatMul Softmax" });
        if removed {
            let (probabilities, mut logits) = (b.run(&original, true), b.run(&cut, false));
            for row in logits.chunks_mut(6) {
                let sum: f32 = row.iter().map(|v| v.exp()).sum();
                row.iter_mut().for_each(|v| *v = v.exp() / sum);
            }
            assert!(probabilities.iter().zip(&logits).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }
}

#[test]
fn a_softmax_inside_the_graph_stays() {
    let mut b = Builder::new("inner softmax", &[1, 5, 4], 3);
    b.node("Softmax x", "1", &[]).node("Relu 1", "y", &[]);
    assert_eq!(softmax_tail::remove(&mut b.model()), OutputKind::Original);
}

#[test]
fn the_classifier_goes_and_the_output_keeps_its_name() {
    let mut b = Builder::new("classifier", &[1, 5, 4], 3);
    b.weight("k", &[4, 4]).weight("w", &[4, 6]).weight("b", &[6]);
    b.node("MatMul x,k", "1", &[]).node("MatMul 1,w", "2", &[]).node("Add 2,b", "3", &[]).node("Softmax 3", "y", &[("axis", &[2])]);
    b.weight("spare", &[2]).graph.input.push(value("spare", &[2])); // it keeps its value, so that nobody has to give one
    let original = b.model();
    the_classifier_goes(&mut b, original);
}

/// As the converter leaves it: of an IR version with other rules, and with copies at the end.
#[test]
fn the_classifier_goes_from_under_copies() {
    let mut b = Builder::new("classifier with copies", &[1, 5, 4], 3);
    b.weight("k", &[4, 4]).weight("w", &[4, 6]).weight("b", &[6]).tensor("zero", &[], vec![0.0]).tensor("one", &[1], vec![1.0]);
    let (name, r#type, t) = (Some("value".into()), Some(AttributeType::Tensor as i32), b.graph.initializer.pop());
    b.node("MatMul x,k", "1", &[]).node("MatMul 1,w", "2", &[]).node("Add 2,b", "3", &[]).node("Constant ", "one", &[]);
    let constant = b.graph.node.last_mut().expect("just put there");
    constant.input.clear();
    constant.attribute.push(AttributeProto { name, r#type, t, ..Default::default() });
    b.node("Mul 3,one", "4", &[]).node("Add 4,zero", "5", &[]).node("Identity 5", "6", &[]).node("Softmax 6", "7", &[("axis", &[2])]);
    b.node("Mul 7,one", "8", &[]).node("Identity 8", "y", &[]);
    let original = ModelProto { ir_version: Some(3), ..b.model() };
    the_classifier_goes(&mut b, original);
    // Values that a run may replace are no constants.
    let mut overridable = b.model();
    overridable.ir_version = Some(3);
    let graph = overridable.graph.as_mut().expect("a graph");
    graph.input.push(value("k", &[4, 4]));
    assert_eq!((mend::apply(&mut overridable), overridable.ir_version()), (0, 3));
}

fn the_classifier_goes(b: &mut Builder, original: ModelProto) {
    let model = || Model::from_proto(original.clone(), "m");
    let (bytes, report) = model().prepare(Target::OnnxRuntime, Cut::Classifier).expect("rewritten");
    let OutputKind::Features(classifier) = report.output else { panic!("{:?}", report.output) };
    assert_eq!((classifier.features(), classifier.classes()), (4, 6));
    let cut = Model::decode(&bytes, "m").expect("a model").proto;
    assert_eq!((operators_of(&cut).as_str(), cut.ir_version() >= 4), ("MatMul", true));
    assert_eq!(Model::from_proto(cut.clone(), "m").io().0, ["x"]);
    let (_, report) = model().prepare(Target::OnnxRuntime, Cut::Softmax).expect("rewritten");
    assert_eq!(report.output, OutputKind::Logits);

    let (probabilities, features) = (b.run(&b.model(), true), b.run(&cut, false));
    for (found, features) in probabilities.chunks(6).zip(features.chunks(4)) {
        let logit = |class: usize| {
            let terms = features.iter().zip(classifier.weights[class..].iter().step_by(6)).map(|(x, w)| x * w);
            terms.sum::<f32>() + classifier.bias[class]
        };
        let powers: Vec<f32> = (0..6).map(|class| logit(class).exp()).collect();
        let sum: f32 = powers.iter().sum();
        assert!(found.iter().zip(&powers).all(|(p, power)| (p - power / sum).abs() < 1e-5), "{found:?} {powers:?}");
    }

    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), classifier.to_bytes()).expect("written");
    assert_eq!(onnx::Classifier::read(file.path()).expect("read"), *classifier);
    std::fs::write(file.path(), &bytes).expect("written");
    assert!(onnx::Classifier::read(file.path()).expect_err("refused").to_string().contains("not a classifier"));
}

#[test]
fn a_classifier_that_is_read_elsewhere_too_stays() {
    for again in ["Add 1,b", "Add 1,1"] {
        let mut b = Builder::new("no classifier", &[1, 5, 4], 3);
        b.weight("w", &[4, 6]).weight("b", &[6]).node("MatMul x,w", "1", &[]);
        if again == "Add 1,b" {
            b.node(again, "2", &[]).node("Add 2,1", "3", &[])
        } else {
            b.node(again, "3", &[])
        };
        b.node("Softmax 3", "y", &[("axis", &[2])]);
        let (_, report) = Model::from_proto(b.model(), "m").prepare(Target::OnnxRuntime, Cut::Classifier).expect("rewritten");
        assert_eq!(report.output, OutputKind::Logits, "{again}");
    }
}

//! Operators that OpenVINO has not.

use super::builder::Builder;
use hpinfer::backend::select::{Libraries, Selector};
use hpinfer::backend::{BackendName, LoadOptions, Onnx};
use hpinfer::cache::Cache;
use hpinfer::onnx::Model;
use hpinfer::onnx::proto::{AttributeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType, tensor_proto::DataType, type_proto};
use hpinfer::tensor::Shape;
use hpinfer::verify::inputs::Input;
use hpinfer::verify::report::{Feed, Verdict, verify};
use std::path::Path;
use std::process::Command;

/// In a process of its own, as there can be one environment of ONNX Runtime in each.
#[test]
fn openvino_takes_graphs_with_operators_that_it_lacks() {
    let test = "onnx_fold::lacking::openvino_gets_what_is_made_with_sequences_as_a_constant_unless_the_batch_changes_it";
    let program = std::env::current_exe().expect("this test");
    let ran = Command::new(program).args(["--ignored", "--exact", test]).output().expect("a process");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
}

/// `x` times a side of its own, which passes through a SequenceMap: an operator that OpenVINO has not.
#[test]
#[ignore = "run by the one before"]
fn openvino_gets_what_is_made_with_sequences_as_a_constant_unless_the_batch_changes_it() {
    let cache = Cache::open(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"))).expect("a cache");
    let selector = Selector::new(cache, Libraries::default());
    for (axis, expected) in [(0, Verdict::Failed), (1, Verdict::Agrees)] {
        let mut b = Builder::new("sequences", &[-1, 3], 2);
        b.integers("axis", &[axis]).integers("each", &[1]).integers("two", &[2]).node("Shape x", "sides", &[]);
        // The same for a batch of one and of two.
        b.node("Gather sides,axis", "side", &[]).node("Max side,two", "least", &[]).node("SplitToSequence least,each", "parts", &[]);
        b.node("SequenceMap parts", "mapped", &[]).node("ConcatFromSequence mapped", "joined", &[("axis", &[0])]);
        b.node("CastLike joined,x", "factor", &[]).node("Mul x,factor", "y", &[]);
        b.opset = 17;
        let mut body = Builder::new("body", &[1], 1);
        body.node("Identity part", "same", &[]);
        let whole_number = |name: &str| {
            let tensor = type_proto::Tensor { elem_type: Some(DataType::Int64 as i32), shape: None };
            let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() });
            ValueInfoProto { name: Some(name.into()), r#type, ..Default::default() }
        };
        (body.graph.input, body.graph.output) = (vec![whole_number("part")], vec![whole_number("same")]);
        let map = b.graph.node.iter_mut().find(|node| node.op_type() == "SequenceMap").expect("just put there");
        let (r#type, g) = (Some(AttributeType::Graph as i32), Some(body.graph));
        map.attribute.push(AttributeProto { name: Some("body".into()), r#type, g, ..Default::default() });
        let onnx = Onnx::Bytes(Model::from_proto(b.model(), "sequences").to_bytes().into());
        let options = LoadOptions { onnx: Some(onnx), ..LoadOptions::new("sequences") };
        let input = Input { name: "x".into(), shape: Shape::new(&[5, 3]), data: (0..15).map(|i| i as f32).collect() };
        let backends = [BackendName::OnnxRuntime, BackendName::OpenVino];
        let report = verify(&selector, &backends, &options, &Feed::Inputs(&[input]), 1).expect("inputs");
        let run = report.runs.last().expect("OpenVINO's");
        assert_eq!((run.backend, run.verdict), (BackendName::OpenVino, expected), "axis {axis}: {:?}", run.reason);
    }
}

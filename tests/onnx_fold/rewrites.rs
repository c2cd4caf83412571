//! What costs an engine less.

use super::builder::{Builder, SAME, operators_of, value};
use hpinfer::onnx::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, attribute_proto::AttributeType};
use hpinfer::onnx::{Counts, Cut, Model, OutputKind, Target, fold::fold};

#[test]
fn constant_nodes_become_initializers() {
    let mut b = Builder::new("constants", &[1, 4, 5, 5], 4);
    b.weight("w", &[8, 4, 1, 1]);
    let tensor = b.graph.initializer.pop();
    b.graph.node.push(NodeProto {
        op_type: Some("Constant".into()),
        output: vec!["w".into()],
        attribute: vec![AttributeProto {
            name: Some("value".into()),
            r#type: Some(AttributeType::Tensor as i32),
            t: tensor,
            ..Default::default()
        }],
        ..Default::default()
    });
    b.node("Conv x,w", "y", &[]);
    b.expect(Counts { constants: 1, ..Counts::default() }, "Conv");
}

#[test]
fn identities_and_reshaped_constants_do_not_hide_a_pattern() {
    let mut b = Builder::new("identities", &[1, 4, 5, 5], 4);
    b.weight("w", &[6, 4, 1, 1]).weight("t", &[6]).node("Identity w", "same", &[]).node("Reshape t,shape", "column", &[]);
    b.integers("shape", &[1, -1, 1, 1]);
    b.node("Conv x,same", "1", &[]).node("Identity 1", "2", &[]).node("Add 2,column", "3", &[]).node("Mul 3,3", "4", &[]);
    b.node("Identity 4", "y", &[]);
    let counts = Counts { constants: 2, identities: 1, affine_after_conv: 1, ..Counts::default() };
    b.expect(counts, "Conv Mul Identity");
}

#[test]
fn affine_chain_after_conv_goes_into_its_weights() {
    let mut b = Builder::new("affine after conv", &[2, 4, 6, 7], 4);
    b.weight("w", &[8, 2, 3, 3]).weight("b", &[8]).weight("s", &[1]).weight("t", &[]).weight("u", &[1, 8, 1, 1]).positive("d", &[8, 1, 1]);
    b.positive("g", &[8]).weight("h", &[8]).weight("m", &[8]).positive("v", &[8]);
    b.node("Conv x,w,b", "1", &[("group", &[2]), SAME]).node("Mul s,1", "2", &[]).node("Add 2,t", "3", &[]);
    b.node("Sub u,3", "4", &[]).node("Div 4,d", "5", &[]).node("BatchNormalization 5,g,h,m,v", "y", &[]);
    b.expect(Counts { affine_after_conv: 1, ..Counts::default() }, "Conv");
}

#[test]
fn affine_chain_after_grouped_transposed_conv() {
    let mut b = Builder::new("affine after transposed conv", &[2, 4, 5, 3], 4);
    b.weight("w", &[4, 3, 2, 2]).weight("t", &[1, 6, 1, 1]);
    b.positive("g", &[6]).weight("h", &[6]).weight("m", &[6]).positive("v", &[6]);
    b.node("ConvTranspose x,w", "1", &[("group", &[2]), ("strides", &[2, 2])]).node("Add 1,t", "2", &[]);
    b.node("BatchNormalization 2,g,h,m,v", "3", &[]).node("Relu 3", "y", &[]);
    b.expect(Counts { affine_after_conv: 1, ..Counts::default() }, "ConvTranspose Relu");
}

#[test]
fn a_value_with_other_readers_keeps_its_meaning() {
    let mut b = Builder::new("shared value", &[1, 4, 5, 5], 4);
    b.weight("w", &[4, 4, 1, 1]).weight("s", &[1]);
    b.node("Conv x,w", "1", &[]).node("Mul 1,s", "2", &[]).node("Add 1,2", "y", &[]);
    b.expect(Counts::default(), "Conv Mul Add");
}

#[test]
fn constants_along_other_axes_stay() {
    let mut b = Builder::new("other axes", &[1, 4, 5, 5], 4);
    b.weight("w", &[5, 4, 1, 1]).weight("row", &[5]).node("Conv x,w", "1", &[]).node("Mul 1,row", "y", &[]);
    b.expect(Counts::default(), "Conv Mul");
}

#[test]
fn long_forms_of_hard_activations_are_shortened() {
    let mut b = Builder::new("hard swish", &[1, 4, 5, 5], 4);
    b.weight("w", &[16, 4, 1, 1]).tensor("three", &[1], vec![3.0]).tensor("0", &[], vec![0.0]).tensor("six", &[], vec![6.0]);
    b.tensor("sixth", &[], vec![1.0 / 6.0]);
    b.node("Conv x,w", "1", &[]).node("Add 1,three", "2", &[]).node("Clip 2,0,six", "3", &[]);
    b.node("Mul 1,3", "4", &[]).node("Div 4,six", "5", &[]);
    b.node("Add three,5", "6", &[]).node("Clip 6,0,six", "7", &[]).node("Mul 7,sixth", "y", &[]);
    let counts = Counts { hard_sigmoid: 1, hard_swish: 1, ..Counts::default() };
    b.expect(counts, "Conv HardSigmoid Mul HardSigmoid");
}

#[test]
fn a_constant_that_lends_its_dimensions_stays() {
    let mut b = Builder::new("more dimensions", &[1, 4, 5, 5], 5);
    b.tensor("three", &[1, 1, 1, 1, 1], vec![3.0]).tensor("0", &[], vec![0.0]).tensor("six", &[], vec![6.0]);
    b.node("Add x,three", "1", &[]).node("Clip 1,0,six", "2", &[]).node("Div 2,six", "y", &[]);
    b.expect(Counts::default(), "Add Clip Div");
}

#[test]
fn a_ramp_of_another_height_stays() {
    let mut b = Builder::new("another height", &[1, 4, 5, 5], 4);
    b.tensor("three", &[1], vec![3.0]).tensor("0", &[], vec![0.0]).tensor("six", &[], vec![6.0]).tensor("five", &[], vec![5.0]);
    b.node("Add x,three", "2", &[]).node("Clip 2,0,six", "3", &[]).node("Div 3,five", "y", &[]);
    b.expect(Counts::default(), "Add Clip Div");
}

#[test]
fn a_ramp_that_starts_elsewhere_than_at_nothing_stays() {
    let mut b = Builder::new("another start", &[1, 4, 5, 5], 4);
    b.tensor("three", &[1], vec![3.0]).tensor("one", &[], vec![1.0]).tensor("six", &[], vec![6.0]);
    b.node("Add x,three", "2", &[]).node("Clip 2,one,six", "3", &[]).node("Div 3,six", "y", &[]);
    b.expect(Counts::default(), "Add Clip Div");
}

#[test]
fn affine_chain_before_unpadded_conv_goes_into_its_weights() {
    let mut b = Builder::new("affine before conv", &[2, 4, 6, 7], 4);
    // Something is left by the second Relu whatever the numbers are.
    b.positive("w", &[6, 2, 2, 2]).positive("s", &[1]).positive("t", &[4, 1, 1]);
    b.node("Relu x", "0", &[]).node("Mul s,0", "1", &[]).node("Add 1,t", "2", &[]).node("Conv 2,w", "3", &[("group", &[2])]);
    b.weight("v", &[6, 1, 1]).node("Relu 3", "4", &[]).node("Mul 4,v", "5", &[]).weight("w2", &[3, 6, 3, 3]);
    b.node("Conv 5,w2", "y", &[SAME]);
    b.expect(Counts { affine_before_conv: 2, ..Counts::default() }, "Relu Conv Relu Conv");
}

/// Adds an attribute that is no list of integers to the last node.
fn attribute(b: &mut Builder, attribute: AttributeProto) {
    b.graph.node.last_mut().expect("a node").attribute.push(attribute);
}

#[test]
fn padding_that_is_named_in_words_is_padding() {
    let mut b = Builder::new("padded in words", &[2, 4, 6, 7], 4);
    b.weight("w", &[6, 4, 3, 3]).positive("t", &[4, 1, 1]).node("Add x,t", "1", &[]).node("Conv 1,w", "y", &[]);
    let (name, r#type, s) = (Some("auto_pad".into()), Some(AttributeType::String as i32), Some(b"SAME_UPPER".to_vec()));
    attribute(&mut b, AttributeProto { name, r#type, s, ..Default::default() });
    b.expect(Counts::default(), "Add Conv");
}

#[test]
fn a_normalisation_by_the_numbers_of_the_run_is_left_to_the_engine() {
    let mut b = Builder::new("training", &[1, 4, 5, 5], 4);
    b.weight("w", &[4, 4, 1, 1]).positive("g", &[4]).weight("b", &[4]).weight("m", &[4]).positive("v", &[4]);
    b.node("Conv x,w", "1", &[]).node("BatchNormalization 1,g,b,m,v", "y", &[]);
    assert_eq!(fold(&mut b.model(), Target::OnnxRuntime), Counts { affine_after_conv: 1, ..Counts::default() });
    let (name, r#type) = (Some("training_mode".into()), Some(AttributeType::Int as i32));
    attribute(&mut b, AttributeProto { name, r#type, i: Some(1), ..Default::default() });
    assert_eq!(fold(&mut b.model(), Target::OnnxRuntime), Counts::default());
}

/// The tensor grows as it meets the constant: a convolution in its place would read too few channels.
#[test]
fn one_channel_that_becomes_many_stays() {
    for (shape, step) in [([16, 16, 1, 1], "Mul"), ([3, 16, 3, 3], "Add")] {
        let mut b = Builder::new("one channel", &[2, 1, 6, 7], 4);
        b.weight("v", &[16, 1, 1]).weight("w", &shape).node("Relu x", "0", &[]).node(&format!("{step} 0,v"), "1", &[]);
        b.node("Conv 1,w", "y", if step == "Mul" { &[] } else { &[SAME] });
        b.expect(Counts::default(), &format!("Relu {step} Conv"));
    }
}

#[test]
fn a_normalisation_with_too_few_values_is_left_to_the_engine() {
    let mut b = Builder::new("too few", &[1, 4, 5, 5], 4);
    b.weight("w", &[4, 4, 1, 1]).positive("g", &[4]).weight("b", &[4]).weight("m", &[2]).positive("v", &[3]);
    b.node("Conv x,w", "1", &[]).node("BatchNormalization 1,g,b,m,v", "2", &[]).node("Conv 2,w", "y", &[]);
    assert_eq!(fold(&mut b.model(), Target::OnnxRuntime), Counts::default());
}

#[test]
fn gelu_keeps_its_form() {
    let mut b = Builder::new("gelu", &[1, 4, 5, 5], 4);
    b.tensor("root", &[], vec![2.0f32.sqrt()]).tensor("one", &[], vec![1.0]).tensor("half", &[], vec![0.5]).weight("w", &[3, 4, 1, 1]);
    b.node("Div x,root", "1", &[]).node("Erf 1", "2", &[]).node("Add 2,one", "3", &[]).node("Mul x,3", "4", &[]);
    b.node("Mul 4,half", "5", &[]).node("Conv 5,w", "y", &[]);
    b.expect(Counts::default(), "Div Erf Add Mul Mul Conv");
}

#[test]
fn each_conv_looks_through_the_affine_chain_it_can_take_in() {
    let mut b = Builder::new("fan-out", &[1, 16, 6, 7], 4);
    b.weight("s", &[1]).weight("t", &[1]).weight("wide", &[16, 16, 3, 3]).weight("narrow", &[16, 16, 1, 1]);
    b.node("Relu x", "0", &[]).node("Mul 0,s", "1", &[]).node("Add 1,t", "2", &[]);
    b.node("Conv 2,wide", "3", &[SAME]).node("Conv 2,narrow", "4", &[]).node("Add 3,4", "y", &[]);
    // The padded one needs the shifted value: a convolution of one channel each makes it.
    b.expect(Counts { affine_before_conv: 1, channel_affine: 1, ..Counts::default() }, "Relu Conv Conv Conv Add");
}

/// PP-LCNetV3's learnable affine between an activation and what follows it: a gate, or a pooling.
#[test]
fn affine_chain_before_a_gate_becomes_a_convolution() {
    let mut b = Builder::new("affine before a gate", &[2, 4, 6, 8], 4);
    b.weight("w", &[16, 4, 1, 1]).weight("s", &[1]).weight("t", &[1]).weight("w1", &[4, 16, 1, 1]).weight("w2", &[16, 4, 1, 1]);
    b.node("Conv x,w", "1", &[]).node("Relu 1", "2", &[]).node("Mul s,2", "3", &[]).node("Add 3,t", "4", &[]);
    b.node("GlobalAveragePool 4", "5", &[]).node("Conv 5,w1", "6", &[]).node("Relu 6", "7", &[]).node("Conv 7,w2", "8", &[]);
    b.node("HardSigmoid 8", "9", &[]).node("Mul 4,9", "y", &[]);
    let counts = Counts { channel_affine: 1, ..Counts::default() };
    b.expect(counts, "Conv Relu Conv GlobalAveragePool Conv Relu Conv HardSigmoid Mul");

    let mut b = Builder::new("affine before a pooling", &[1, 16, 6, 8], 4);
    b.weight("w", &[16, 1, 3, 3]).weight("s", &[1]).weight("t", &[16, 1, 1]);
    b.node("Conv x,w", "1", &[("group", &[16]), SAME]).node("Relu 1", "2", &[]).node("Mul s,2", "3", &[]).node("Add 3,t", "4", &[]);
    b.node("AveragePool 4", "y", &[("kernel_shape", &[3, 2]), ("strides", &[3, 2])]);
    b.expect(counts, "Conv Relu Conv AveragePool");
}

/// One step is one pass as it is, and a chain of no convolution is in no blocked layout.
#[test]
fn a_lone_step_before_a_gate_and_a_chain_without_a_convolution_stay() {
    let mut b = Builder::new("one step", &[1, 16, 6, 8], 4);
    b.weight("w", &[16, 16, 1, 1]).weight("s", &[1]).node("Conv x,w", "1", &[]).node("Relu 1", "2", &[]).node("Mul s,2", "3", &[]);
    b.node("GlobalAveragePool 3", "y", &[]);
    b.expect(Counts::default(), "Conv Relu Mul GlobalAveragePool");

    let mut b = Builder::new("no convolution", &[1, 16, 6, 8], 4);
    b.weight("s", &[1]).weight("t", &[1]).node("Mul s,x", "1", &[]).node("Add 1,t", "y", &[]);
    b.expect(Counts::default(), "Mul Add");

    let mut b = Builder::new("of a convolution, and flat", &[2, 16, 6, 8], 4);
    b.weight("w", &[16, 16, 1, 1]).weight("s", &[1]).weight("g", &[16]).weight("b", &[16]).weight("m", &[16]).positive("v", &[16]);
    b.node("Conv x,w", "1", &[]).node("GlobalAveragePool 1", "2", &[]).node("Flatten 2", "3", &[]);
    b.node("BatchNormalization 3,g,b,m,v", "4", &[]).node("Mul s,4", "y", &[]);
    b.expect(Counts::default(), "Conv GlobalAveragePool Flatten BatchNormalization Mul");
}

#[test]
fn channel_affine_needs_whole_blocks() {
    let mut b = Builder::new("part of a block", &[1, 12, 6, 7], 4);
    b.weight("t", &[1]).weight("w", &[16, 12, 3, 3]).node("Add x,t", "1", &[]).node("Conv 1,w", "y", &[SAME]);
    b.expect(Counts::default(), "Add Conv");
}

#[test]
fn gated_residual_takes_one_pass_and_pools_before_a_widening_conv() {
    let mut b = Builder::new("gate", &[2, 4, 6, 7], 4);
    b.weight("w", &[16, 4, 1, 1]).weight("b", &[16]).weight("w1", &[4, 16, 1, 1]).weight("w2", &[16, 4, 1, 1]);
    b.node("Conv x,w,b", "1", &[]).node("GlobalAveragePool 1", "2", &[]).node("Conv 2,w1", "3", &[]).node("Relu 3", "4", &[]);
    b.node("Conv 4,w2", "5", &[]).node("HardSigmoid 5", "6", &[]).node("Mul 1,6", "7", &[]).node("Add 1,7", "y", &[]);
    let counts = Counts { gated_residual: 1, pooled_conv: 1, ..Counts::default() };
    b.expect(counts, "Conv GlobalAveragePool Conv Conv Relu Conv HardSigmoid Add Mul");
}

#[test]
fn a_full_product_is_no_gate() {
    let mut b = Builder::new("no gate", &[2, 4, 6, 7], 4);
    b.node("Sigmoid x", "1", &[]).node("Mul x,1", "2", &[]).node("Add x,2", "y", &[]);
    b.expect(Counts::default(), "Sigmoid Mul Add");
}

#[test]
fn the_enlarged_side_of_a_sum_is_made_last() {
    let mut b = Builder::new("pyramid", &[1, 4, 6, 8], 4);
    b.weight("w1", &[4, 4, 2, 2]).weight("w2", &[4, 4, 1, 1]).tensor("none", &[0], vec![]).integers("sizes", &[1, 4, 6, 8]);
    b.node("Conv x,w2", "1", &[]).node("Conv x,w1", "2", &[("strides", &[2, 2])]).node("Resize 2,none,none,sizes", "3", &[]);
    b.node("Add 1,3", "4", &[]).node("Relu 4", "y", &[]);
    b.expect(Counts { enlarged_last: 1, ..Counts::default() }, "Conv Resize Conv Add Relu");

    // Read by another, it has to be there earlier anyway.
    b.graph.node.pop();
    b.node("Mul 4,1", "y", &[]);
    b.expect(Counts::default(), "Conv Conv Resize Add Mul");
}

#[test]
fn transposed_convs_of_separate_squares_become_pointwise() {
    let mut b = Builder::new("patches", &[2, 5, 4, 3], 4);
    b.weight("w1", &[5, 3, 2, 2]).weight("b1", &[3]).weight("w2", &[3, 1, 2, 2]);
    b.node("ConvTranspose x,w1,b1", "1", &[("strides", &[2, 2])]).node("Relu 1", "2", &[]);
    b.node("ConvTranspose 2,w2", "3", &[("strides", &[2, 2])]).node("Sigmoid 3", "y", &[]);
    b.expect(Counts { patch_conv: 2, ..Counts::default() }, "Conv Relu Conv Sigmoid DepthToSpace");
}

#[test]
fn transposed_convs_of_unequal_squares_become_pointwise() {
    let mut b = Builder::new("unequal patches", &[1, 3, 4, 3], 4);
    b.weight("w1", &[3, 4, 3, 3]).weight("w2", &[4, 1, 1, 1]).node("ConvTranspose x,w1", "1", &[("strides", &[3, 3])]);
    b.node("ConvTranspose 1,w2", "y", &[("strides", &[1, 1])]);
    b.expect(Counts { patch_conv: 2, ..Counts::default() }, "Conv Conv DepthToSpace");
    let mut b = Builder::new("unequal patches", &[1, 3, 4, 3], 4);
    b.weight("w1", &[3, 2, 1, 1]).weight("w2", &[2, 1, 3, 3]).node("ConvTranspose x,w1", "1", &[("strides", &[1, 1])]);
    b.node("ConvTranspose 1,w2", "y", &[("strides", &[3, 3])]);
    b.expect(Counts { patch_conv: 2, ..Counts::default() }, "Conv Conv DepthToSpace");
}

#[test]
fn overlapping_or_wide_squares_stay() {
    let mut b = Builder::new("overlap", &[1, 3, 4, 3], 4);
    b.weight("w", &[3, 1, 3, 3]).node("ConvTranspose x,w", "y", &[("strides", &[2, 2])]);
    b.expect(Counts::default(), "ConvTranspose");
    let mut b = Builder::new("wide", &[1, 3, 4, 3], 4);
    b.weight("w", &[3, 8, 2, 2]).node("ConvTranspose x,w", "y", &[("strides", &[2, 2])]);
    b.expect(Counts::default(), "ConvTranspose");
}

#[test]
fn openvino_keeps_what_it_fuses_itself() {
    let mut b = Builder::new("openvino", &[1, 16, 5, 5], 4);
    b.weight("t", &[1]).weight("w", &[16, 16, 3, 3]).node("Relu x", "1", &[]).node("Mul 1,t", "2", &[]).node("Conv 2,w", "y", &[SAME]);
    let mut folded = b.model();
    assert_eq!(fold(&mut folded, Target::OpenVino), Counts::default());
    assert_eq!(operators_of(&folded), "Relu Mul Conv");
}

#[test]
fn values_read_by_an_inner_graph_stay() {
    let mut b = Builder::new("inner graph", &[1, 4, 5, 5], 4);
    b.weight("w", &[4, 4, 1, 1]).weight("s", &[1]).tensor("unused", &[1], vec![1.0]);
    b.node("Conv x,w", "1", &[]).node("Mul 1,s", "2", &[]).node("Relu 2", "y", &[]);
    let mut inner = NodeProto { op_type: Some("If".into()), input: vec!["x".into()], output: vec!["z".into()], ..Default::default() };
    let body = GraphProto {
        node: vec![NodeProto { op_type: Some("Neg".into()), input: vec!["1".into()], output: vec!["n".into()], ..Default::default() }],
        output: vec![value("n", &[-1])],
        ..Default::default()
    };
    inner.attribute.push(AttributeProto { name: Some("then_branch".into()), g: Some(body), ..Default::default() });
    b.graph.node.push(inner);
    let mut folded = b.model();
    assert_eq!(fold(&mut folded, Target::OnnxRuntime), Counts::default());
    assert_eq!(operators_of(&folded), "Conv Mul Relu If");
    let names: Vec<_> = folded.graph.iter().flat_map(|g| &g.initializer).map(|t| t.name()).collect();
    assert_eq!(names, ["w", "s"]);
}

#[test]
fn initializers_that_are_inputs_can_be_overridden_and_stay() {
    let mut b = Builder::new("overridable", &[1, 4, 5, 5], 4);
    b.weight("w", &[4, 4, 1, 1]).weight("s", &[1]).node("Conv x,w", "1", &[]).node("Mul 1,s", "y", &[]);
    b.graph.input.push(value("s", &[1]));
    let mut folded = b.model();
    assert_eq!(fold(&mut folded, Target::OnnxRuntime), Counts::default());
    assert_eq!(operators_of(&folded), "Conv Mul");
    assert_eq!(folded.graph.map_or(0, |g| g.initializer.len()), 2);

    let mut b = Builder::new("overridable classifier", &[1, 5, 4], 3);
    b.weight("w", &[4, 6]).weight("b", &[6]).node("MatMul x,w", "1", &[]).node("Add 1,b", "2", &[]).node(
        "Softmax 2",
        "y",
        &[("axis", &[2])],
    );
    b.graph.input.push(value("w", &[4, 6]));
    let (_, report) = Model::from_proto(b.model(), "m").prepare(Target::OnnxRuntime, Cut::Classifier).expect("rewritten");
    assert_eq!(report.output, OutputKind::Logits);
}

#[test]
fn files_are_read_rewritten_and_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let (src, dst) = (dir.path().join("a.onnx"), dir.path().join("b.onnx"));
    let mut b = Builder::new("files", &[1, 5, 4], 3);
    b.weight("w", &[4, 6]).node("MatMul x,w", "1", &[]).node("Softmax 1", "y", &[("axis", &[2])]);
    let mut proto = b.model();
    proto.metadata_props.push(hpinfer::onnx::proto::StringStringEntryProto { key: Some("character".into()), value: Some("a\nb".into()) });
    std::fs::write(&src, Model::from_proto(proto.clone(), &src).to_bytes()).expect("written");
    for target in [Target::OnnxRuntime, Target::OpenVino] {
        let (bytes, report) = Model::read(&src).and_then(|m| m.prepare(target, Cut::Softmax)).expect("rewritten");
        assert_eq!(report.output, OutputKind::Logits);
        std::fs::write(&dst, bytes).expect("written");
        assert_eq!(Model::read(&dst).expect("read").metadata("character"), Some("a\nb"));
    }

    std::fs::write(&src, b"no model at all").expect("written");
    let error = Model::read(&src).and_then(|m| m.prepare(Target::OnnxRuntime, Cut::Nothing)).expect_err("refused").to_string();
    assert!(error.contains("a.onnx") && error.contains("not an ONNX model"), "{error}");
    proto.graph.as_mut().expect("a graph").initializer[0].data_location = Some(1);
    std::fs::write(&src, Model::from_proto(proto, &src).to_bytes()).expect("written");
    let error = Model::read(&src).and_then(|m| m.prepare(Target::OnnxRuntime, Cut::Nothing)).expect_err("refused").to_string();
    assert!(error.contains("separate file"), "{error}");
}

#[test]
fn a_tensor_that_is_read_and_not_there_is_named() {
    type Change = fn(&mut GraphProto);
    let node = |op: &str, inputs: &[&str], output: &str| NodeProto {
        op_type: Some(op.into()),
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        ..Default::default()
    };
    // x and w are added; in a body the sum and v, which comes from around it, are multiplied.
    let body = GraphProto { node: vec![node("Mul", &["y", "v"], "z")], output: vec![value("z", &[1])], ..Default::default() };
    let mut branch = node("If", &["y", ""], "out");
    branch.attribute = vec![AttributeProto { g: Some(body), ..Default::default() }];
    let whole = GraphProto {
        node: vec![node("Add", &["x", "w"], "y"), branch],
        input: vec![value("x", &[1]), value("v", &[1])],
        initializer: vec![TensorProto { name: Some("w".into()), ..Default::default() }],
        output: vec![value("out", &[1])],
        ..Default::default()
    };
    let check = |change: Change| {
        let mut graph = whole.clone();
        change(&mut graph);
        Model::from_proto(ModelProto { graph: Some(graph), ..Default::default() }, "model.onnx").require_tensors()
    };
    assert!(check(|_| ()).is_ok());
    let cases: [(Change, [&str; 2]); 3] = [
        (|graph| graph.initializer.clear(), ["`w`", "(Add)"]),
        (|graph| drop(graph.input.pop()), ["`v`", "(Mul)"]),
        (|graph| graph.output.push(value("more", &[1])), ["`more`", "is an output"]),
    ];
    for (change, says) in cases {
        let error = check(change).expect_err("refused").to_string();
        assert!(error.contains("model.onnx") && says.iter().all(|word| error.contains(word)), "{says:?} in {error}");
    }
}

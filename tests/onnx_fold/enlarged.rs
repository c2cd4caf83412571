//! Convolutions over enlarged maps.

use super::builder::{Builder, operators_of};
use hpinfer::onnx::proto::{AttributeProto, attribute_proto::AttributeType};
use hpinfer::onnx::{Counts, Target, fold::fold};

impl Builder {
    /// `output` is `input` enlarged by a factor; `words` are further attributes.
    fn resize(&mut self, input: &str, output: &str, factor: f32, words: &[(&str, &str)]) -> &mut Self {
        let scales = format!("scales_{output}");
        self.tensor("none", &[0], vec![]).tensor(&scales, &[4], vec![1.0, 1.0, factor, factor]);
        self.node(&format!("Resize {input},none,{scales}"), output, &[]);
        let words = words.iter().map(|(name, word)| AttributeProto {
            name: Some((*name).into()),
            r#type: Some(AttributeType::String as i32),
            s: Some(word.as_bytes().to_vec()),
            ..Default::default()
        });
        self.graph.node.last_mut().expect("the node above").attribute.extend(words);
        self
    }
}

/// The two ways of saying that pixels are repeated.
const REPEATED: [&[(&str, &str)]; 2] = [&[], &[("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor")]];
const LINEAR: &[(&str, &str)] = &[("mode", "linear")];

/// Maps of `x`, of which the first two are enlarged by 4 and by `factor`, joined and read by a convolution of `side`.
fn joined(side: i64, channels: i64, factor: f32, how: &[(&str, &str)]) -> Builder {
    let mut b = Builder::new("joined", &[2, 3, 4, 6], 4);
    b.weight("w1", &[channels, 3, 1, 1]).weight("w2", &[16, 3, 3, 3]).weight("w3", &[8, 3, 1, 1]);
    b.weight("w", &[5, channels + 24, side, side]).weight("b", &[5]);
    b.node("Conv x,w1", "1", &[]).resize("1", "2", 4.0, how);
    b.resize("x", "3", 4.0 / factor, LINEAR).node("Conv 3,w2", "4", &[("pads", &[1; 4])]).resize("4", "5", factor, how);
    b.resize("x", "6", 4.0, LINEAR).node("Conv 6,w3", "7", &[]);
    b.node("Concat 2,5,7", "8", &[("axis", &[1])]).node("Conv 8,w,b", "9", &[("pads", &[side / 2; 4])]).node("Relu 9", "y", &[]);
    b
}

#[test]
fn a_convolution_over_joined_maps_reads_the_enlarged_ones_as_they_were() {
    for side in [3, 5, 7, 9] {
        for how in REPEATED {
            let operators = "Conv Resize Conv Resize Conv Resize Concat Conv DepthToSpace Slice Conv Add Relu";
            joined(side, 56, 2.0, how).expect(Counts { enlarged_joined: 1, ..Counts::default() }, operators);
        }
    }
}

#[test]
fn maps_that_are_few_or_enlarged_in_another_way_stay_joined() {
    let operators = |folded| {
        let mut b: Builder = folded;
        let mut model = b.model();
        assert_eq!(fold(&mut model, Target::OnnxRuntime), Counts::default());
        b.run(&model, false);
        operators_of(&model)
    };
    let whole = "Conv Resize Resize Conv Resize Resize Conv Concat Conv Relu";
    let ceiling = [("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "ceil")];
    for other in [joined(3, 48, 2.0, &[]), joined(3, 56, 2.0, LINEAR), joined(3, 56, 2.0, &ceiling), joined(1, 56, 2.0, &[])] {
        assert_eq!(operators(other), whole);
    }
    let mut read_again = joined(3, 56, 2.0, &[]);
    read_again.graph.node.pop();
    read_again.weight("last", &[5, 80, 1, 1]).node("Conv 8,last", "10", &[]).node("Add 9,10", "y", &[]);
    assert_eq!(operators(read_again), "Conv Resize Resize Conv Resize Resize Conv Concat Conv Conv Add");
    let mut model = joined(3, 56, 2.0, &[]).model();
    assert_eq!(fold(&mut model, Target::Cuda), Counts::default(), "not measured on GPUs");
}

/// The finest level of a pyramid: a gated 1x1 convolution, with a bias or none, and the level above, enlarged, of which a convolution reads the sum.
fn pyramid(pictures: i64, few: i64, bias: &str) -> Builder {
    let mut b = Builder::new("finest level", &[pictures, few, 6, 10], 4);
    b.weight("above", &[72, few, 2, 2])
        .weight("wide", &[72, few, 1, 1])
        .weight("bias", &[72])
        .weight("w", &[5, 72, 3, 3])
        .weight("b", &[5]);
    b.weight("w1", &[6, 72, 1, 1]).weight("w2", &[72, 6, 1, 1]).positive("up", &[72]);
    b.node(&format!("Conv x,wide{bias}"), "1", &[]).node("GlobalAveragePool 1", "2", &[]).node("Conv 2,w1", "3", &[]);
    b.node("Relu 3", "4", &[]).node("Conv 4,w2,up", "5", &[]).node("HardSigmoid 5", "6", &[]).node("Mul 1,6", "7", &[]).node(
        "Add 1,7",
        "8",
        &[],
    );
    b.node("Conv x,above", "9", &[("strides", &[2, 2])]).resize("9", "10", 2.0, REPEATED[1]);
    b.node("Add 8,10", "11", &[]).node("Conv 11,w,b", "12", &[("pads", &[1; 4])]).node("Relu 12", "y", &[]);
    b
}

#[test]
fn a_convolution_over_a_gated_sum_reads_the_few_channels_and_the_map_as_it_was() {
    let counts = Counts { gated_residual: 1, pooled_conv: 1, enlarged_sum: 1, ..Counts::default() };
    let operators = "GlobalAveragePool Conv Conv Relu Conv HardSigmoid Add Conv Conv DepthToSpace Slice Reshape Mul MatMul Reshape Transpose Conv Add Relu";
    pyramid(1, 4, "").expect(counts, operators);
    let mut free = pyramid(-1, 4, "").model();
    assert_eq!(fold(&mut free, Target::OpenVino), counts);
    assert_eq!(free.graph.unwrap().input, pyramid(1, 4, "").graph.input, "one picture a run");
}

#[test]
fn a_gated_sum_of_many_pictures_or_channels_or_with_a_bias_stays() {
    let kept = Counts { gated_residual: 1, pooled_conv: 1, enlarged_last: 1, ..Counts::default() };
    let operators = "Conv GlobalAveragePool Conv Conv Relu Conv HardSigmoid Add Conv Resize Mul Add Conv Relu";
    for mut other in [pyramid(2, 4, ""), pyramid(1, 19, ""), pyramid(1, 4, ",bias")] {
        other.expect(kept, operators);
    }
    let mut many = pyramid(-1, 4, "").model();
    let as_on_gpus = Counts { gated_residual: 1, pooled_conv: 1, enlarged_last: 1, ..Counts::default() };
    assert_eq!(fold(&mut many, Target::Cuda), as_on_gpus, "pictures share runs there");
    assert_eq!(many.graph.unwrap().input, pyramid(-1, 4, "").graph.input);
}

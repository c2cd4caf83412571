//! Deformable convolutions as samples: in ONNX Runtime, on fresh random inputs, the numbers of the original.

use super::surgery::{apply, assert_near, changed, floats, int, ints, model, node, operators, run, value};
use crate::random::Random;
use hpinfer::onnx::proto::{AttributeProto, ModelProto, tensor_proto::DataType};
use hpinfer::onnx::surgery::Surgery;

/// Where a sample lies is rounded twice on the way to the range of -1 to 1: some 1e-6 of the side of a picture.
const SAMPLED: f32 = 1e-4;

/// A picture of 4 channels, a kernel of 2 rows and 3 columns, and what the convolution takes besides.
pub fn deformable(random: &mut Random, optional: &[&str], attributes: Vec<AttributeProto>, group: i64) -> ModelProto {
    let inputs: Vec<&str> = ["x", "kernel", "offset"].into_iter().chain(optional.iter().copied()).collect();
    let constants =
        vec![floats("kernel", &[6, 4 / group, 2, 3], random.floats((144 / group) as usize)), floats("bias", &[6], random.floats(6))];
    let mut reads = vec![value("x", DataType::Float, &[-1, 4, -1, -1]), value("offset", DataType::Float, &[-1, 12, -1, -1])];
    if optional.contains(&"mask") {
        reads.push(value("mask", DataType::Float, &[-1, 6, -1, -1]));
    }
    let attributes = attributes.into_iter().chain([int("group", group)]).collect();
    let outputs = vec![value("y", DataType::Float, &[-1, 6, -1, -1])];
    let mut model = model(vec![node("DeformConv", &inputs, &["y"], attributes)], constants, reads, outputs);
    model.opset_import[0].version = Some(19);
    model
}

#[test]
fn deformable_convolutions_become_samples_and_convolutions() {
    let mut random = Random::fresh("deformable convolution");
    let far = || vec![ints("strides", &[2, 1]), ints("dilations", &[1, 2]), ints("pads", &[1, 2, 0, 1])];
    for (optional, attributes, group) in [(&["bias", "mask"][..], far(), 1), (&["", "mask"][..], far(), 2), (&["bias"][..], Vec::new(), 1)]
    {
        let size = |h: usize, w: usize| if attributes.is_empty() { [h - 1, w - 2] } else { [h.div_ceil(2), w - 1] };
        let attributes = attributes.clone();
        let original = deformable(&mut random, optional, attributes, group);
        let new = changed(&original, Surgery::DeformConvAsSamples, 1);
        let made = operators(&new);
        assert!(made.contains(&"GridSample") && made.contains(&"Conv") && !made.contains(&"DeformConv"), "{made:?}");
        for [n, h, w] in [[1, 9, 7], [3, 4, 16], [2, 17, 5]] {
            let [rows, columns] = size(h, w);
            let x = random.floats(n * 4 * h * w);
            // Up to 3 pixels away: also out of the picture.
            let offset: Vec<f32> = random.floats(n * 12 * rows * columns).iter().map(|v| 3.0 * v).collect();
            let mask = random.floats(n * 6 * rows * columns);
            let inputs = [
                ("x", &[n, 4, h, w][..], x.as_slice()),
                ("offset", &[n, 12, rows, columns][..], offset.as_slice()),
                ("mask", &[n, 6, rows, columns][..], mask.as_slice()),
            ];
            assert_near(&run(&original, &inputs), &run(&new, &inputs), SAMPLED);
        }
    }
}

#[test]
fn offsets_that_differ_by_channel_stay() {
    let mut random = Random::fresh("offset groups");
    let mut model = deformable(&mut random, &["bias"], vec![int("offset_group", 2)], 1);
    assert!(apply(&mut model, &[Surgery::DeformConvAsSamples]).is_empty());
}

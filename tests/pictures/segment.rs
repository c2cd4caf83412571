//! Semantic segmentation.

use super::support::{assert_tensor, frame, index, list, picture, pictured, remembering};
use hpinfer::backend::fake::Output;
use hpinfer::image::Size;
use hpinfer::model::{SegResize, SegSize, SegmentationSpec};
use hpinfer::modules::network::Share;
use hpinfer::modules::{PictureModule, Segment};
use hpinfer::ops::resize_norm::{Interpolation, Normalize, Scale};
use hpinfer::pipeline::SemanticSegmentation;
use hpinfer::trace::StageTimes;
use serde_json::Value;

fn spec(resize: Option<SegSize>) -> SegmentationSpec {
    SegmentationSpec {
        resize: resize.map(|rule| SegResize { rule, size_divisor: None, interpolation: Interpolation::Linear }),
        normalize: Normalize { scale: Scale::Times(1.0 / 255.0), mean: [0.5; 3], std: [0.5; 3] },
    }
}

#[test]
fn inputs_equal_the_reference() {
    for case in list(&index(), "segment") {
        let (engine, fed) = remembering(&[("x", &[None; 4])], 1, |inputs| {
            let [n, _, h, w] = inputs[0].0.dims() else { panic!("four dimensions") };
            Ok(vec![Output::i32(&[*n, *h, *w], vec![3; n * h * w])])
        });
        let image = pictured(case);
        let found = Segment::new(engine, spec(None))
            .expect("a segmenter")
            .predict(&[image.view().into()], Share::Whole, &mut StageTimes::default())
            .expect("a map");
        assert_tensor(case, &fed.lock().expect("no panic")[0][0], [0.0; 3]);
        assert!(found[0].size() == image.size() && found[0].labels().iter().all(|&v| v == 3));
    }
}

#[test]
fn the_class_is_chosen_by_the_graph_or_here() {
    let size = Size::new(3, 2);
    let scores = vec![0.5, 2.0, -1.0, 0.0, 7.0, 1.0, 0.5, 1.0, -0.5, 0.0, 8.0, 0.0, 0.0, 2.0, -0.5, 0.0, 8.5, 3.0];
    let chosen = [0u8, 0, 1, 0, 2, 2]; // numpy.argmax over axis 0
    let outputs = [
        Output::i32(&[1, 2, 3], chosen.map(i32::from).to_vec()),
        Output::i64(&[1, 2, 3], chosen.map(i64::from).to_vec()),
        Output::i32(&[1, 1, 2, 3], chosen.map(i32::from).to_vec()),
        Output::f32(&[1, 3, 2, 3], scores),
    ];
    for output in outputs {
        let (engine, _) = remembering(&[("x", &[None; 4])], 1, move |_| Ok(vec![output.clone()]));
        let found = Segment::new(engine, spec(None)).expect("a segmenter").predict(
            &[picture(1, size).view().into()],
            Share::Whole,
            &mut StageTimes::default(),
        );
        assert_eq!(found.expect("a map")[0].labels(), chosen);
    }
    for (output, says) in [
        (Output::i32(&[1, 3, 2], vec![0; 6]), "output [1x3x2]"),
        (Output::f32(&[1, 2, 3], vec![0.0; 6]), "scores [1 x classes x 2x3] of two or more classes"),
        (Output::f32(&[1, 1, 2, 3], vec![0.9; 6]), "output [1x1x2x3]"),
        (Output::i32(&[1, 2, 3], vec![0, 1, 2, 3, 4, 256]), "a pixel of class 256"),
        (Output::i64(&[1, 2, 3], vec![0, 1, 2, 3, 4, -1]), "a pixel of class -1"),
    ] {
        let (engine, _) = remembering(&[("x", &[None; 4])], 1, move |_| Ok(vec![output.clone()]));
        let found = Segment::new(engine, spec(None)).expect("a segmenter").predict(
            &[picture(1, size).view().into()],
            Share::Whole,
            &mut StageTimes::default(),
        );
        let error = found.expect_err("refused").to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_resized_map_is_brought_back_as_opencv_does() {
    for case in list(&index(), "restore") {
        let pair = |key: &str| Size::new(case[key][0].as_u64().expect("a side") as u32, case[key][1].as_u64().expect("a side") as u32);
        let values = |key: &str| case[key].as_array().expect("a list").iter().filter_map(Value::as_i64).collect::<Vec<_>>();
        let (fed, original, labels) = (pair("size"), pair("original"), values("labels"));
        let (engine, _) = remembering(&[("x", &[None; 4])], 1, move |inputs| {
            assert_eq!(inputs[0].0.dims(), [1, 3, fed.height as usize, fed.width as usize]);
            Ok(vec![Output::i64(&[1, fed.height as usize, fed.width as usize], labels.clone())])
        });
        let segment = Segment::new(engine, spec(Some(SegSize::Fixed(fed)))).expect("a segmenter");
        let found = segment.predict(&[picture(1, original).view().into()], Share::Whole, &mut StageTimes::default()).expect("a map");
        let found: Vec<i64> = found[0].labels().iter().map(|&v| v.into()).collect();
        assert_eq!(found, values("restored"), "{fed} to {original}");
    }
}

#[test]
fn sizes_follow_the_rule() {
    let fed = |rule, divisor, size| {
        let mut spec = spec(Some(rule));
        spec.resize.as_mut().expect("a resize").size_divisor = divisor;
        let (engine, _) = remembering(&[("x", &[None; 4])], 1, |_| Ok(Vec::new()));
        Segment::new(engine, spec).expect("a segmenter").input_size(size).expect("a size")
    };
    let wide = Size::new(640, 427);
    assert_eq!(fed(SegSize::Fixed(Size::new(512, 256)), None, wide), Size::new(512, 256));
    assert_eq!(fed(SegSize::Within(Size::new(512, 256)), None, wide), Size::new(384, 256));
    assert_eq!(fed(SegSize::Long(320), None, wide), Size::new(320, 214)); // 213.5, half to even
    assert_eq!(fed(SegSize::Short(320), Some(32), wide), Size::new(480, 320));
}

#[test]
fn pictures_of_one_size_share_a_run_and_a_fixed_network_refuses_others() {
    let sizes = [Size::new(8, 6), Size::new(6, 8), Size::new(8, 6), Size::new(8, 6)];
    let frames: Vec<_> = sizes.iter().enumerate().map(|(n, &size)| frame(&format!("{n}.png"), picture(n as u64, size))).collect();
    let answer = |inputs: &[hpinfer::backend::fake::Input]| {
        let (shape, data) = &inputs[0];
        let [n, _, h, w] = shape.dims() else { panic!("four dimensions") };
        let red = data.chunks_exact(3 * h * w).flat_map(|p| p[..h * w].iter().map(|v| i32::from(*v > 0.0)));
        Ok(vec![Output::i32(&[*n, *h, *w], red.collect())])
    };
    let (engine, fed) = remembering(&[("x", &[None; 4])], 1, answer);
    let pipeline = SemanticSegmentation::new(Segment::new(engine, spec(None)).expect("a segmenter"), 8, 2).expect("a pipeline");
    for (frame, result) in frames.iter().zip(pipeline.predict(&frames)) {
        let result = result.expect("a result");
        let red: Vec<u8> = frame.image.view().pixels().unwrap().data.chunks(3).map(|p| u8::from(p[2] > 127)).collect();
        assert_eq!((result.pred.size(), result.pred.labels()), (frame.size(), &red[..]));
    }
    let mut runs: Vec<_> = fed.lock().expect("no panic").iter().map(|inputs| inputs[0].0.dims().to_vec()).collect();
    runs.sort();
    assert_eq!(runs, [[1, 3, 8, 6], [3, 3, 6, 8]]);

    let (engine, _) = remembering(&[("x", &[None, Some(3), Some(6), Some(8)])], 1, answer);
    let pipeline = SemanticSegmentation::new(Segment::new(engine, spec(None)).expect("a segmenter"), 8, 2).expect("a pipeline");
    let results = pipeline.predict(&frames);
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, true]);
    let error = results[1].as_ref().expect_err("refused").to_string();
    assert!(error.starts_with("1.png: ") && error.contains("pictures of 8x6 only, not of 6x8"), "{error}");
}

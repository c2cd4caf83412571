//! Detection and instance segmentation.

use super::support::{Fed, assert_tensor, floats, frame, index, list, number, picture, pictured, remembering};
use hpinfer::Result;
use hpinfer::backend::fake::{FakeEngine, Output};
use hpinfer::image::Size;
use hpinfer::model::{Canvas, DetectionSpec, DetectorHead};
use hpinfer::modules::network::Share;
use hpinfer::modules::{Detect, PictureModule, SegmentInstances};
use hpinfer::ops::resize_norm::{Interpolation, Normalize, Scale};
use hpinfer::pipeline::{InstanceSegmentation, ObjectDetection};
use hpinfer::result::DetectedBox;
use hpinfer::trace::StageTimes;
use serde_json::Value;
use std::sync::Arc;

const PICODET: [(&str, &[Option<usize>]); 2] = [("image", &[None; 4]), ("scale_factor", &[Some(1), Some(2)])];
const YOLO: [(&str, &[Option<usize>]); 2] = [("image", &[None; 4]), ("scale_factor", &[None, Some(2)])];
const DETR: [(&str, &[Option<usize>]); 3] = [("im_shape", &[None, Some(2)]), ("image", &[None; 4]), ("scale_factor", &[None, Some(2)])];

fn spec(masks: bool) -> DetectionSpec {
    DetectionSpec {
        target: Size::new(16, 8),
        keep_ratio: false,
        interpolation: Interpolation::Cubic,
        normalize: Some(Normalize { scale: Scale::Times(1.0 / 255.0), mean: [0.0; 3], std: [1.0; 3] }),
        canvas: Canvas::Resized,
        draw_threshold: 0.5,
        labels: ["person", "bicycle", "car"].map(str::to_owned).to_vec(),
        masks,
        head: DetectorHead::Other,
    }
}

fn of_case(case: &Value) -> DetectionSpec {
    let pair = |key: &str| Size::new(case[key][0].as_u64().expect("a side") as u32, case[key][1].as_u64().expect("a side") as u32);
    let three = |key: &str| floats(&case[key]).try_into().expect("three numbers");
    let canvas = match case["pad"][0].as_str() {
        Some("fixed") => {
            let side = case["pad"][1].as_u64().expect("a side") as u32;
            Canvas::Fixed { size: Size::new(side, side), fill: case["pad"][2].as_f64().expect("a value") as f32 }
        }
        Some("stride") => Canvas::Stride(case["pad"][1].as_u64().expect("a step") as u32),
        _ => Canvas::Resized,
    };
    DetectionSpec {
        target: pair("target"),
        keep_ratio: case["keep_ratio"] == true,
        interpolation: if case["interp"] == "cubic" { Interpolation::Cubic } else { Interpolation::Linear },
        normalize: (!case["mean"].is_null()).then(|| Normalize {
            scale: Scale::Times(1.0 / 255.0),
            mean: three("mean"),
            std: three("std"),
        }),
        canvas,
        ..spec(false)
    }
}

/// A detector whose rows are `rows` for every picture.
fn constant(inputs: &[(&str, &[Option<usize>])], rows: Vec<[f32; 6]>) -> (Arc<FakeEngine>, Fed) {
    let image = inputs.iter().position(|(name, _)| *name == "image").expect("an image");
    remembering(inputs, 2, move |inputs| {
        let n = inputs[image].0.dims()[0];
        Ok(vec![Output::f32(&[n * rows.len(), 6], rows.repeat(n).concat()), Output::i32(&[n], vec![rows.len() as i32; n])])
    })
}

fn detect(engine: Arc<FakeEngine>, size: Size) -> Result<Vec<DetectedBox>> {
    let found = Detect::new(engine, spec(false))?.predict(&[picture(1, size).view().into()], Share::Whole, &mut StageTimes::default())?;
    Ok(found.into_iter().next().expect("one picture"))
}

#[test]
fn inputs_equal_the_reference() {
    for case in list(&index(), "detect") {
        let (engine, fed) = constant(&DETR, Vec::new());
        let spec = of_case(case);
        let level = spec.normalize.map_or([1.0; 3], |n| n.std.map(|std| 1.0 / 255.0 / std));
        let detect = Detect::new(engine, spec).expect("a detector");
        detect.predict(&[pictured(case).view().into()], Share::Whole, &mut StageTimes::default()).expect("boxes");
        let fed = fed.lock().expect("no panic");
        assert_tensor(case, &fed[0][1], level);
        assert_eq!(fed[0][0].1, floats(&case["im_shape"]), "{}x{}", number(case, "width"), number(case, "height"));
        assert_eq!(fed[0][2].1, floats(&case["scale_factor"]), "{}x{}", number(case, "width"), number(case, "height"));
    }
}

#[test]
fn rows_above_the_threshold_become_boxes_cut_to_the_picture() {
    let rows = vec![
        [1.0, 0.75, -3.5, 4.25, 120.0, 60.5],
        [0.0, 0.5, 1.0, 1.0, 5.0, 5.0],              // not above
        [-1.0, 0.9, 1.0, 1.0, 5.0, 5.0],             // padding
        [2.0, 0.500_000_06, 10.5, -0.0, 20.0, 70.0], // just above
        [0.0, f32::NAN, 1.0, 1.0, 5.0, 5.0],
        [0.0, 0.9, 10.0, 10.0, 20.0, 20.0], // keeps its place though its score is higher
    ];
    for inputs in [&PICODET[..], &YOLO, &DETR] {
        let found = detect(constant(inputs, rows.clone()).0, Size::new(100, 64)).expect("boxes");
        let expected = [("bicycle", [0.0, 4.25, 100.0, 60.5]), ("car", [10.5, 0.0, 20.0, 64.0]), ("person", [10.0, 10.0, 20.0, 20.0])];
        let found: Vec<_> = found.iter().map(|b| (b.label.as_str(), b.coordinate)).collect();
        assert_eq!(found, expected);
        assert!(found[1].1[1].is_sign_positive());
    }
}

#[test]
fn rows_may_be_counted_in_floats() {
    let one = |count: f32| {
        let (engine, _) = remembering(&YOLO, 2, move |_| {
            Ok(vec![Output::f32(&[1, 6], vec![1.0, 0.9, 0.0, 0.0, 5.0, 5.0]), Output::f32(&[1], vec![count])])
        });
        detect(engine, Size::new(9, 9))
    };
    assert_eq!(one(1.0).expect("a box").len(), 1);
    assert!(one(0.5).expect_err("refused").to_string().contains("whole numbers expected"));
}

#[test]
fn sides_that_are_no_numbers_are_a_fault() {
    for side in 2..6 {
        // What is far out on its own side is cut to the picture.
        for bad in [f32::NAN, if side < 4 { f32::INFINITY } else { f32::NEG_INFINITY }] {
            let mut row = [1.0, 0.75, 3.5, 4.25, 12.0, 6.5];
            row[side] = bad;
            let message = detect(constant(&DETR, vec![row]).0, Size::new(100, 64)).expect_err("refused").to_string();
            assert!(message.contains("a box with the score 0.75 and the sides"), "{message}");
            row[1] = 0.25; // not above the threshold
            assert_eq!(detect(constant(&DETR, vec![row]).0, Size::new(100, 64)).expect("no box"), []);
        }
    }
}

#[test]
fn a_picture_that_becomes_too_large_fails_alone() {
    let (engine, fed) = constant(&DETR, Vec::new());
    let spec = DetectionSpec { target: Size::new(16, 8), canvas: Canvas::Stride(60_000), ..spec(false) };
    let detect = Detect::new(engine, spec).expect("a detector");
    let message = detect.input_size(Size::new(100, 64)).expect_err("refused").to_string();
    assert!(message.contains("100x64 becomes 60000x60000") && message.contains("megapixels"), "{message}");
    assert!(fed.lock().expect("no panic").is_empty());
}

#[test]
fn nothing_found_comes_in_several_forms() {
    type Outputs = fn() -> Vec<Output>;
    let forms: [Outputs; 5] = [
        || vec![Output::f32(&[0, 6], Vec::new()), Output::i32(&[1], vec![0])],
        || vec![Output::f32(&[1, 1], vec![-1.0]), Output::i32(&[1], vec![1])],
        || vec![Output::f32(&[1], vec![-1.0]), Output::i64(&[1], vec![0])],
        || vec![Output::f32(&[0, 6], Vec::new()), Output::i64(&[1], vec![0])],
        || vec![Output::f32(&[1, 6], vec![-1.0; 6]), Output::i32(&[1], vec![1])],
    ];
    for outputs in forms {
        let (engine, _) = remembering(&YOLO, 2, move |_| Ok(outputs()));
        assert_eq!(detect(engine, Size::new(9, 9)).expect("no box"), []);
    }
}

#[test]
fn outputs_that_do_not_fit_are_refused() {
    type Outputs = fn() -> Vec<Output>;
    let forms: [(Outputs, &str); 6] = [
        (|| vec![Output::f32(&[1, 5], vec![0.0; 5]), Output::i32(&[1], vec![1])], "rows of class, score"),
        (|| vec![Output::f32(&[1, 6], vec![0.0; 6]), Output::i32(&[1], vec![2])], "counted [2]"),
        (|| vec![Output::f32(&[1, 6], vec![0.0; 6]), Output::i32(&[2], vec![1, 0])], "for 1 pictures"),
        (|| vec![Output::f32(&[1, 6], vec![0.0; 6]), Output::i32(&[2], vec![-1, 2])], "for 1 pictures"),
        (|| vec![Output::i32(&[1, 6], vec![0; 6]), Output::i32(&[1], vec![1])], "float32 expected"),
        (|| vec![Output::f32(&[1, 6], vec![3.0, 0.9, 0.0, 0.0, 1.0, 1.0]), Output::i32(&[1], vec![1])], "class 3, label_list has 3 names"),
    ];
    for (outputs, says) in forms {
        let (engine, _) = remembering(&YOLO, 2, move |_| Ok(outputs()));
        let error = detect(engine, Size::new(9, 9)).expect_err("refused").to_string();
        assert!(error.contains(says), "{error}");
    }
    for (inputs, says) in [
        (&[("image", &[None; 4][..]), ("prompt", &[None; 2])][..], "`prompt` is unknown"),
        (&[("scale_factor", &[None; 2][..])], "no input for the picture"),
        (&[("image", &[None; 4][..]), ("x", &[None; 4])], "a second input"),
        (&[("image", &[None, Some(3), Some(9), Some(16)][..])], "pictures of 16x9 only, not of 16x8"),
    ] {
        let (engine, _) = remembering(inputs, 2, |_| Ok(Vec::new()));
        let error = Detect::new(engine, spec(false)).err().expect("refused").to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// Rows that tell the pictures of a batch apart: as many as its place in the batch, and where its mean sample puts them.
#[test]
fn rows_of_a_batch_go_to_their_pictures_and_picodet_runs_one_by_one() {
    let frames: Vec<_> = (0..5).map(|n| frame(&n.to_string(), picture(n, Size::new(20 + n as u32, 30)))).collect();
    let mut all = Vec::new();
    // What is converted from PP-YOLOE+ takes any number of pictures, and suppresses boxes of one.
    for (inputs, counts, most) in [(YOLO, None, 4), (PICODET, None, 1), (YOLO, Some(1), 1)] {
        let (mut engine, fed) = remembering(&inputs, 2, |inputs| {
            let (shape, data) = &inputs[0];
            let (mut rows, mut counts) = (Vec::new(), Vec::new());
            for picture in data.chunks_exact(data.len() / shape.dims()[0]) {
                let mean = picture.iter().sum::<f32>() / picture.len() as f32;
                let count = (mean * 1e4) as usize % 3;
                counts.push(count as i32);
                (0..count).for_each(|n| rows.extend([n as f32, 0.9, mean, 1.0, 10.0 + n as f32, 20.0]));
            }
            Ok(vec![Output::f32(&[rows.len() / 6, 6], rows), Output::i32(&[counts.len()], counts)])
        });
        Arc::get_mut(&mut engine).expect("no session yet").declare_output(1, &[counts]);
        let pipeline = ObjectDetection::new(Detect::new(engine, spec(false)).expect("a detector"), 4, 2).expect("a pipeline");
        all.push(pipeline.predict(&frames).into_iter().map(|r| r.expect("a result")).collect::<Vec<_>>());
        assert_eq!(fed.lock().expect("no panic").iter().map(|inputs| inputs[1].0.dims()[0]).max(), Some(most));
    }
    assert_eq!((&all[0], &all[0]), (&all[1], &all[2]));
    assert!(all[0].iter().any(|r| r.boxes.len() == 2) || all[0].iter().any(|r| r.boxes.len() == 1));
}

#[test]
fn masks_follow_their_rows_and_are_cut_to_their_boxes() {
    let size = Size::new(7, 5);
    // The mask of row n is 1 where (x + y + n) is even; the middle row is no result.
    let rows =
        [[0.0, 0.9, 1.4, 0.5, 4.5, 3.5], [1.0, 0.2, 0.0, 0.0, 7.0, 5.0], [2.0, 0.8, -2.0, 1.5, 3.0, 9.0], [1.0, 0.7, 5.0, 2.0, 3.0, 4.0]];
    let (engine, fed) = remembering(&DETR, 3, move |_| {
        let on = |i: usize| i32::from((i % 7 + i / 7 % 5 + i / 35).is_multiple_of(2));
        let masks = Output::i32(&[4, 5, 7], (0..140).map(on).collect());
        Ok(vec![Output::f32(&[4, 6], rows.concat()), Output::i32(&[1], vec![4]), masks])
    });
    let pipeline = InstanceSegmentation::new(SegmentInstances::new(engine, spec(true)).expect("a segmenter"), 8, 2).expect("a pipeline");
    let frames = [frame("a", picture(1, size)), frame("b", picture(2, size))];
    for result in pipeline.predict(&frames) {
        let result = result.expect("a result");
        let boxes: Vec<_> = result.boxes.iter().map(|b| (b.label.as_str(), b.pixels())).collect();
        // Halves go to the even side: 0.5 is 0, 1.5 and 2.5 are 2, 4.5 is 4.
        assert_eq!(boxes, [("person", [1, 0, 4, 4]), ("car", [0, 2, 3, 5]), ("bicycle", [5, 2, 3, 4])]);
        let masks: Vec<_> = result.masks.iter().map(|m| (m.size(), m.inside().to_vec())).collect();
        assert_eq!(masks[0], (Size::new(3, 4), vec![0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]));
        assert_eq!(masks[1], (Size::new(3, 3), vec![1, 0, 1, 0, 1, 0, 1, 0, 1]));
        assert_eq!(masks[2], (Size::new(0, 2), vec![]));
    }
    assert_eq!(fed.lock().expect("no panic").len(), 2, "one picture a run");

    let (engine, _) = remembering(&DETR, 3, |_| {
        let row = vec![0.0, 0.9, 0.0, 0.0, 4.0, 4.0];
        Ok(vec![Output::f32(&[1, 6], row), Output::i32(&[1], vec![1]), Output::i32(&[1, 7, 5], vec![0; 35])])
    });
    let segment = SegmentInstances::new(engine, spec(true)).expect("a segmenter");
    let error =
        segment.predict(&[picture(1, size).view().into()], Share::Whole, &mut StageTimes::default()).expect_err("refused").to_string();
    assert!(error.contains("masks [1x7x5]") && error.contains("7x5"), "{error}");
}

//! Classification.

use super::support::{Fed, assert_tensor, floats, frame, index, list, number, picture, pictured, remembering};
use hpinfer::backend::fake::Output;
use hpinfer::image::Size;
use hpinfer::model::{ClassResize, ClassificationSpec};
use hpinfer::modules::network::Share;
use hpinfer::modules::{Classify, PictureModule};
use hpinfer::ops::resize_norm::{Interpolation, Normalize};
use hpinfer::pipeline::ImageClassification;
use hpinfer::trace::StageTimes;
use proptest::prelude::*;

fn spec(short: u32, crop: u32) -> ClassificationSpec {
    ClassificationSpec {
        resize: ClassResize::Short(short),
        interpolation: Interpolation::Linear,
        crop: Some(Size::new(crop, crop)),
        normalize: Normalize::IMAGENET,
        topk: 3,
        labels: Vec::new(),
    }
}

/// A classifier of four classes whose scores are the mean of the first, second and third plane, and -1.
fn means(spec: ClassificationSpec) -> (Classify, Fed) {
    let (engine, fed) = remembering(&[("x", &[None; 4])], 1, |inputs| {
        let (shape, data) = &inputs[0];
        let plane = shape.dims()[2] * shape.dims()[3];
        let mut scores: Vec<f32> = Vec::new();
        for picture in data.chunks_exact(3 * plane) {
            scores.extend(picture.chunks_exact(plane).map(|p| p.iter().sum::<f32>() / plane as f32));
            scores.push(-1.0);
        }
        Ok(vec![Output::f32(&[shape.dims()[0], 4], scores)])
    });
    (Classify::new(engine, spec).expect("a classifier"), fed)
}

#[test]
fn inputs_equal_the_reference() {
    for case in list(&index(), "classify") {
        let (classify, fed) = means(spec(number(case, "short"), number(case, "crop")));
        classify.predict(&[pictured(case).view().into()], Share::Whole, &mut StageTimes::default()).expect("classes");
        assert_tensor(case, &fed.lock().expect("no panic")[0][0], [0.0; 3]);
    }
}

#[test]
fn classes_and_scores_equal_numpy() {
    for case in list(&index(), "topk") {
        let probabilities = floats(&case["p"]);
        let (engine, _) =
            remembering(&[("x", &[None; 4])], 1, move |_| Ok(vec![Output::f32(&[1, probabilities.len()], probabilities.clone())]));
        let classify = Classify::new(engine, ClassificationSpec { topk: number(case, "k") as usize, ..spec(8, 8) }).expect("a classifier");
        let found =
            classify.predict(&[picture(1, Size::new(8, 8)).view().into()], Share::Whole, &mut StageTimes::default()).expect("classes");
        let ids: Vec<u32> = case["class_ids"].as_array().expect("a list").iter().map(|v| v.as_u64().expect("an id") as u32).collect();
        assert_eq!((&found[0].class_ids, &found[0].scores), (&ids, &floats(&case["scores"])));
    }
    for row in list(&index(), "round") {
        let (score, expected) = (floats(row)[0], floats(row)[1]);
        let (engine, _) = remembering(&[("x", &[None; 4])], 1, move |_| Ok(vec![Output::f32(&[1, 1], vec![score])]));
        let classify = Classify::new(engine, spec(8, 8)).expect("a classifier");
        let found =
            classify.predict(&[picture(1, Size::new(8, 8)).view().into()], Share::Whole, &mut StageTimes::default()).expect("classes");
        assert_eq!(found[0].scores, [expected], "{score}");
    }
}

#[test]
fn of_equal_scores_the_lower_class_comes_first_and_labels_follow() {
    let (engine, _) = remembering(&[("x", &[None; 4])], 1, |_| Ok(vec![Output::f32(&[1, 4], vec![0.25, 0.5, 0.25, 0.5])]));
    let labels = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let classify = Classify::new(engine, ClassificationSpec { labels, ..spec(8, 8) }).expect("a classifier");
    let found = classify.predict(&[picture(1, Size::new(8, 8)).view().into()], Share::Whole, &mut StageTimes::default()).expect("classes");
    assert_eq!(found[0].class_ids, [1, 3, 0]);
    assert_eq!(found[0].label_names, ["b", "d", "a"]);
}

#[test]
fn what_does_not_fit_is_refused_with_its_reason() {
    let eight = picture(1, Size::new(8, 8));
    for (dims, data, says) in [
        (&[1, 2, 2][..], vec![0.0; 4], "[pictures x classes]"),
        (&[2, 4], vec![0.0; 8], "1 pictures"),
        (&[1, 3], vec![0.0; 3], "4 classes"),
    ] {
        let (dims, labels) = (dims.to_vec(), vec!["name".to_owned(); 4]);
        let (engine, _) = remembering(&[("x", &[None; 4])], 1, move |_| Ok(vec![Output::f32(&dims, data.clone())]));
        let classify = Classify::new(engine, ClassificationSpec { labels, ..spec(8, 8) }).expect("a classifier");
        let error = classify.predict(&[eight.view().into()], Share::Whole, &mut StageTimes::default()).expect_err("refused").to_string();
        assert!(error.contains(says) && error.contains("fake"), "{error}");
    }
    // A fixed size that the crop does not fit in, and a network of another size.
    let fixed = ClassificationSpec { resize: ClassResize::Fixed(Size::new(6, 9)), ..spec(8, 8) };
    let (engine, _) = remembering(&[("x", &[None; 4])], 1, |_| Ok(Vec::new()));
    assert!(Classify::new(engine, fixed).err().expect("refused").to_string().contains("crop of 8x8"));
    let (engine, _) = remembering(&[("x", &[None, Some(3), Some(9), Some(8)])], 1, |_| Ok(Vec::new()));
    let error = Classify::new(engine, spec(8, 8)).err().expect("refused").to_string();
    assert!(error.contains("pictures of 8x9") && error.contains("not of 8x8"), "{error}");
}

#[test]
fn a_long_thin_picture_that_is_not_cropped_fails_alone() {
    let (classify, fed) = means(ClassificationSpec { crop: None, ..spec(256, 8) });
    let pipeline = ImageClassification::new(classify, 2, 1).expect("a pipeline");
    let sizes = [Size::new(8, 300), Size::new(30_000, 2)];
    let results: Vec<_> =
        pipeline.predict(&sizes.map(|size| frame("a.png", picture(1, size)))).into_iter().map(|result| result.map(|_| ())).collect();
    assert!(results[0].is_ok());
    let message = results[1].as_ref().expect_err("too large").to_string();
    assert!(message.contains("30000x2 becomes 3840000x256") && message.contains("a CropImage"), "{message}");
    assert_eq!(fed.lock().expect("no panic").len(), 1);
}

#[test]
fn a_picture_smaller_than_the_crop_fails_alone_and_one_of_its_size_is_taken() {
    let pipeline = ImageClassification::new(means(spec(8, 10)).0, 4, 2).expect("a pipeline");
    // After the resize 8 x 8, 8 x 12, 12 x 8.
    for size in [Size::new(8, 8), Size::new(10, 15), Size::new(150, 100)] {
        let error = pipeline.predict(&[frame("small.png", picture(1, size))]).remove(0).expect_err("refused").to_string();
        assert!(error.starts_with("small.png: ") && error.contains("smaller than the crop of 10x10"), "{error}");
    }
    let pipeline = ImageClassification::new(means(spec(10, 10)).0, 4, 2).expect("a pipeline");
    let frames = [Size::new(7, 7), Size::new(10, 10), Size::new(3, 40)].map(|size| frame("a.png", picture(1, size)));
    assert!(pipeline.predict(&frames).iter().all(Result::is_ok));
}

#[test]
fn pictures_share_runs_up_to_the_batch_size_and_what_the_network_takes() {
    let frames: Vec<_> = (0..7).map(|n| frame(&n.to_string(), picture(n, Size::new(9 + n as u32, 12)))).collect();
    for (batch_size, dims, most) in [(4, [None; 4], 4), (100, [None; 4], 7), (4, [Some(1), None, None, None], 1)] {
        let (engine, fed) = remembering(&[("x", &dims)], 1, |inputs| {
            let n = inputs[0].0.dims()[0];
            Ok(vec![Output::f32(&[n, 1], vec![0.5; n])])
        });
        let pipeline =
            ImageClassification::new(Classify::new(engine, spec(8, 8)).expect("a classifier"), batch_size, 2).expect("a pipeline");
        let results = pipeline.predict(&frames);
        let names: Vec<_> = results.into_iter().map(|r| r.expect("a result").header.input_path.expect("a name")).collect();
        assert_eq!(names, ["0", "1", "2", "3", "4", "5", "6"]);
        let sizes: Vec<usize> = fed.lock().expect("no panic").iter().map(|inputs| inputs[0].0.dims()[0]).collect();
        assert_eq!((sizes.iter().max(), sizes.iter().sum()), (Some(&most), 7), "{sizes:?}");
    }
}

#[test]
fn a_run_that_fails_is_made_again_one_by_one() {
    let (engine, fed) = remembering(&[("x", &[None; 4])], 1, |inputs| {
        let (shape, data) = &inputs[0];
        if data.iter().any(|v| *v > 2.6) {
            return Err(hpinfer::Error::device("cpu", "model fake", "white is too bright"));
        }
        let n = shape.dims()[0];
        Ok(vec![Output::f32(&[n, 1], vec![0.5; n])])
    });
    let pipeline = ImageClassification::new(Classify::new(engine, spec(8, 8)).expect("a classifier"), 4, 1).expect("a pipeline");
    let plain =
        |level: u8| hpinfer::image::ImageBuf::new(vec![level; 192], Size::new(8, 8), hpinfer::image::PixelFormat::Bgr).expect("a picture");
    let results = pipeline.predict(&[frame("a", plain(10)), frame("b", plain(255)), frame("c", plain(20))]);
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(fed.lock().expect("no panic").len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn grouping_changes_no_result(sizes in proptest::collection::vec((1u32..40, 1u32..40), 1..9), batch_size in 1usize..9, threads in 1usize..4) {
        let frames: Vec<_> =
            sizes.iter().enumerate().map(|(n, &(w, h))| frame(&n.to_string(), picture(n as u64, Size::new(w, h)))).collect();
        let classify = |batch_size, threads| ImageClassification::new(means(spec(8, 8)).0, batch_size, threads).expect("a pipeline");
        let alone = classify(1, 1);
        let together = classify(batch_size, threads).predict(&frames);
        for (frame, result) in frames.iter().zip(together) {
            prop_assert_eq!(result.expect("a result"), alone.predict(std::slice::from_ref(frame)).remove(0).expect("a result"));
        }
    }
}

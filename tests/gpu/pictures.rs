//! The pipelines with one network, and the networks of documents, on a GPU: what they say is what they say on the processor. Pictures
//! are prepared, boxes suppressed, masks cut and classes chosen by the kernels; see `ocr` for the rest.

use super::emulated::{Emulated, cache, on_processor};
use super::ocr::left_on_device;
use super::stub::{DEVICES, Loaded};
use crate::random::Random;
use hpinfer::Result;
use hpinfer::backend::fake::{FakeEngine, Output};
use hpinfer::backend::{Engine, EngineSpec, Session};
use hpinfer::device::{Gpu, Stream};
use hpinfer::image::{Frame, ImageBuf, Picture, PixelFormat, Size};
use hpinfer::model::{CellScale, ModelSpec, ResolvedModel, Store, TableSpec, UnwarpingSpec};
use hpinfer::modules::network::Share;
use hpinfer::modules::{Classify, Detect, PictureModule, Segment, SegmentInstances, TableStructure, Unwarp};
use hpinfer::onnx::Cut;
use hpinfer::ops::difference::tiles;
use hpinfer::ops::resize_norm::{Normalize, Scale};
use hpinfer::trace::{StageTimes, Transfers};
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

/// A picture of random pixels.
fn frame(random: &mut Random, size: Size) -> Frame {
    let base = random.next();
    let data = (0..size.area() * 3).map(|i| ((base >> (8 * (i % 3))) as u8 / 2).saturating_add(random.next() as u8 / 4)).collect();
    Frame::from_image(ImageBuf::new(data, size, PixelFormat::Bgr).expect("a picture"))
}

fn miniature(name: &str) -> ResolvedModel {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/miniatures").join(name);
    Store::new(&cache()).resolve(folder.to_str().expect("UTF-8")).expect("a model")
}

fn engine(model: &ResolvedModel) -> Arc<dyn Engine> {
    on_processor(model, Cut::Nothing)
}

/// Runs `open`'s module over `engine` on the processor and on the stand-in's device, on the same frames, and compares; says what the
/// device was brought and gave.
fn same_on_both<M: PictureModule>(engine: Arc<dyn Engine>, open: impl Fn(Arc<dyn Engine>) -> Result<M>, frames: &[Frame]) -> Transfers
where
    M::Output: PartialEq + Debug,
{
    Loaded::get();
    let gpu = Gpu::open(None).expect("the stand-in opens");
    let on = |engine| {
        let (module, mut times) = (open(engine).expect("a module"), StageTimes::default());
        let views: Vec<_> = frames.iter().map(|frame| frame.image.view()).collect();
        let each = module.max_batch().min(views.len());
        let found: Vec<_> =
            views.chunks(each).flat_map(|some| module.predict(some, Share::OneCore, &mut times).expect("outputs")).collect();
        (found, times, module.info().device.clone())
    };
    let (expected, before, _) = on(engine.clone());
    let (found, times, device) = on(Emulated::beside(engine, &gpu, frames.iter().map(Frame::size).collect()));
    assert_eq!((found, &*device), (expected, "gpu:0"));
    assert_eq!((before.transfers, times.transfers.frames), (Transfers::default(), frames.len() as f64));
    times.transfers
}

fn detection(model: &ResolvedModel) -> hpinfer::model::DetectionSpec {
    let ModelSpec::Detection(spec) = &model.spec else { panic!("a detector") };
    spec.clone()
}

#[test]
fn classes_and_boxes_are_those_of_the_processor() {
    let _turn = Loaded::turn();
    let mut random = Random::fresh("pictures");
    let frames = [frame(&mut random, Size::new(33, 21)), frame(&mut random, Size::new(12, 40))];
    let model = miniature("classify");
    let ModelSpec::Classification(spec) = &model.spec else { panic!("a classifier") };
    let moved = same_on_both(engine(&model), |engine| Classify::new(engine, spec.clone()), &frames);
    assert_eq!((moved.uploads, moved.downloads, moved.downloaded_bytes), (3.0, 1.0, 2.0 * 4.0 * 4.0), "two pictures and their table");
    for name in ["detect_detr", "detect_yolo", "detect_picodet", "detect_cut", "detect_nothing"] {
        let model = miniature(name);
        let moved = same_on_both(engine(&model), |engine| Detect::new(engine, detection(&model)), &frames);
        assert!(moved.downloaded_bytes < 20_000.0, "{name}: {moved:?}");
    }
}

/// Faults of the device, in preparing and in what follows the network, name model, shape and step.
#[test]
fn faults_name_what_the_network_was_given() {
    let _turn = Loaded::turn();
    let stub = Loaded::get();
    let mut random = Random::fresh("pictures");
    let frames = [frame(&mut random, Size::new(33, 21)), frame(&mut random, Size::new(12, 40))];
    let model = miniature("classify");
    let ModelSpec::Classification(spec) = &model.spec else { panic!("a classifier") };
    let on_device = Emulated::on(engine(&model), &Gpu::open(None).expect("the stand-in opens"));
    let module = Classify::new(on_device, spec.clone()).expect("a module");
    let views: Vec<_> = frames.iter().map(|frame| frame.image.view()).collect();
    let predict = || module.predict(&views, Share::OneCore, &mut StageTimes::default());
    for (function, step) in [("cuLaunchKernel", "kernel resize_norm"), ("cuMemcpyDtoHAsync_v2", "copying 32 bytes from the device")] {
        stub.words(&format!("{DEVICES} fail={function} code=2"));
        let error = predict().expect_err(function).to_string();
        stub.words(DEVICES);
        assert!(error.contains(&format!("gpu:0, model miniature_classify, [2x3x8x8], {step}")), "{function}: {error}");
    }
    assert_eq!(predict().expect("it goes on").len(), 2);
}

/// Candidates of a random detector without its suppression, more than a block of the kernels has threads.
#[test]
fn boxes_are_suppressed_on_the_device() {
    let _turn = Loaded::turn();
    let mut random = Random::fresh("pictures");
    let (anchors, classes) = (700, 3);
    let boxes: Vec<f32> = (0..2 * anchors)
        .flat_map(|_| {
            let [x, y] = [random.unit() * 30.0, random.unit() * 30.0];
            [x, y, x + 2.0 + random.unit() * 10.0, y + 2.0 + random.unit() * 10.0]
        })
        .collect();
    let scores: Vec<f32> = (0..2 * anchors * classes).map(|_| random.unit()).collect();
    let outputs = vec![Output::f32(&[2, anchors, 4], boxes), Output::f32(&[2, classes, anchors], scores)];
    let inputs: [(&str, &[Option<usize>]); 2] = [("image", &[Some(2), Some(3), Some(16), Some(16)]), ("scale_factor", &[Some(2), Some(2)])];
    let mut fake = FakeEngine::with_io("candidates", &inputs, 2, move |_| Ok(outputs.clone()));
    fake.declare_output(0, &[Some(2), Some(anchors), Some(4)]);
    fake.declare_output(1, &[Some(2), Some(classes), Some(anchors)]);
    let frames = [frame(&mut random, Size::new(40, 40)), frame(&mut random, Size::new(44, 41))];
    let spec = detection(&miniature("detect_cut"));
    let moved = same_on_both(Arc::new(fake), |engine| Detect::new(engine, spec.clone()), &frames);
    assert_eq!(moved.downloads, 1.0, "the boxes that stay: {moved:?}");
}

#[test]
fn classes_of_pixels_are_those_of_the_processor() {
    let _turn = Loaded::turn();
    let mut random = Random::fresh("pictures");
    let size = Size::new(70, 37);
    let frames = [frame(&mut random, size), frame(&mut random, size)];
    for (name, bytes_a_pixel) in [("segment", 4.0), ("segment_int64", 8.0), ("segment_scores", 1.0)] {
        let model = miniature(name);
        let ModelSpec::Segmentation(spec) = &model.spec else { panic!("a segmenter") };
        let moved = same_on_both(engine(&model), |engine| Segment::new(engine, spec.clone()), &frames);
        assert_eq!(moved.downloaded_bytes, 2.0 * size.area() as f64 * bytes_a_pixel, "{name}");
    }
}

/// Masks of both forms: whole maps, of which the rows of a box come to the host, and logits, which are cut there.
#[test]
fn masks_are_those_of_the_processor() {
    let _turn = Loaded::turn();
    let mut random = Random::fresh("pictures");
    let model = miniature("instances");
    let frames = [frame(&mut random, Size::new(61, 33))];
    same_on_both(engine(&model), |engine| SegmentInstances::new(engine, detection(&model)), &frames);

    let size = Size::new(90, 70);
    let rows = vec![0.0, 0.9, 3.2, 1.0, 50.7, 60.0, 2.0, 0.2, 0.0, 0.0, 9.0, 9.0, 1.0, 0.7, 80.0, 20.0, 88.0, 90.0];
    let logits: Vec<f32> = (0..3 * 20 * 16).map(|_| random.unit() - 0.5).collect();
    let outputs = vec![Output::f32(&[3, 6], rows), Output::i32(&[1], vec![3]), Output::f32(&[1, 3, 20, 16], logits)];
    let inputs: [(&str, &[Option<usize>]); 3] = [("im_shape", &[None; 2]), ("image", &[None; 4]), ("scale_factor", &[None; 2])];
    let fake = FakeEngine::with_io("logits", &inputs, 3, move |_| Ok(outputs.clone()));
    let frames = [frame(&mut random, size)];
    let moved = same_on_both(Arc::new(fake), |engine| SegmentInstances::new(engine, detection(&model)), &frames);
    assert!(moved.downloaded_bytes < size.area() as f64, "the pixels of two boxes: {moved:?}");
}

/// An engine on a device whose data is in host memory.
struct FedOnHost {
    engine: Arc<dyn Engine>,
    spec: EngineSpec,
}

impl Engine for FedOnHost {
    fn spec(&self) -> &EngineSpec {
        &self.spec
    }

    fn session(&self) -> Result<Box<dyn Session>> {
        self.engine.session()
    }
}

/// The networks of documents: flat pages, and tables.
#[test]
fn pages_and_tables_are_those_of_the_processor() {
    let _turn = Loaded::turn();
    let mut random = Random::fresh("pictures");
    Loaded::get();
    let gpu = Gpu::open(None).expect("the stand-in opens");
    let frame = frame(&mut random, Size::new(75, 52));
    let flat: Arc<dyn Engine> =
        Arc::new(FakeEngine::new("flat", |inputs| Ok((inputs[0].0, inputs[0].1.iter().map(|v| 0.9 * v + 0.05).collect()))));
    let normalize = Normalize { scale: Scale::Times(1.0 / 255.0), ..Normalize::NONE };
    let page = |engine| {
        let mut times = StageTimes::default();
        let unwarp = Unwarp::new(engine, UnwarpingSpec { normalize }).expect("one");
        (unwarp.flatten(frame.image.view(), Share::OneCore, &mut times).expect("a page"), times.transfers)
    };
    let ((expected, _), (found, moved)) = (page(flat.clone()), page(Emulated::on(flat, &gpu)));
    assert_eq!((found.data(), moved.frames), (expected.data(), 1.0));

    let (steps, tokens) = (9, ["sos", "<tr>", "</tr>", "<td></td>", "eos"].map(str::to_owned).to_vec());
    let corners: Vec<f32> = (0..steps * 8).map(|_| random.unit()).collect();
    let likely: Vec<f32> = (0..steps * tokens.len()).map(|_| random.unit()).collect();
    let outputs = vec![Output::f32(&[1, steps, 8], corners), Output::f32(&[1, steps, tokens.len()], likely)];
    let fake: Arc<dyn Engine> = Arc::new(FakeEngine::with_io("table", &[("x", &[None; 4])], 2, move |_| Ok(outputs.clone())));
    let spec = TableSpec { max_len: 64, normalize, canvas: Size::new(64, 64), tokens, cells: CellScale::Picture };
    let table = |engine| {
        let mut times = StageTimes::default();
        let structure = TableStructure::new(engine, spec.clone()).expect("one").recognise(frame.image.view(), Share::OneCore, &mut times);
        (structure.expect("a structure"), times.transfers)
    };
    let ((expected, _), (found, moved)) = (table(fake.clone()), table(Emulated::on(fake.clone(), &gpu)));
    assert_eq!((&found, moved.downloads), (&expected, 2.0));
    // A decoder in steps works on the device with its data on the host; the table may lie on the device all the same.
    let mut spec_of_steps = fake.spec().clone();
    spec_of_steps.info.device = gpu.to_string();
    let steps = TableStructure::new(Arc::new(FedOnHost { engine: fake, spec: spec_of_steps }), spec.clone()).expect("one");
    let stream = Stream::new(&gpu).expect("a stream");
    let there = left_on_device(&frame, &stream, false);
    let mut times = StageTimes::default();
    let found = steps.recognise(there.image.view(), Share::OneCore, &mut times).expect("a structure");
    assert_eq!((found, times.transfers.downloads), (expected, 1.0));
}

/// Frames of a video that lie on a device are compared there, with one number as the answer.
#[test]
fn frames_are_compared_where_they_lie() {
    let _turn = Loaded::turn();
    let mut random = Random::fresh("frames");
    Loaded::get();
    let stream = Stream::new(&Gpu::open(None).expect("the stand-in opens")).expect("a stream");
    let (first, second) = (frame(&mut random, Size::new(75, 52)), frame(&mut random, Size::new(75, 52)));
    let other = frame(&mut random, Size::new(52, 75));
    for nv12 in [false, true] {
        let [a, b, c] = [&first, &second, &other].map(|frame| left_on_device(frame, &stream, nv12).image);
        let mut moved = Transfers::default();
        let [found, none] = [&b, &c].map(|other| tiles(&a, other, &mut moved).expect("compared"));
        assert_eq!((moved.frames, moved.uploads, moved.downloads, moved.downloaded_bytes), (0.0, 0.0, 1.0, 4.0 * 6.0));
        assert_eq!((tiles(&a, &a, &mut moved).expect("compared").map(|tiles| tiles.largest()), none), (Some(0.0), None));
        let [a, b] = [&a, &b].map(|picture| Picture::from(picture.on_host(&mut moved).expect("a copy")));
        assert_eq!(found, tiles(&a, &b, &mut moved).expect("compared"));
        assert!(found.as_ref().is_some_and(|tiles| tiles.largest() > 1.0), "{found:?}");
    }
    let [here, there] = [first.image.clone(), left_on_device(&first, &stream, false).image];
    assert_eq!(tiles(&here, &there, &mut Transfers::default()).expect("compared"), None, "nothing is copied unasked");
}

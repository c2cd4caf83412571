//! OCR on a GPU: the same pipeline over the same networks as on the processor, with everything around them on the device. The
//! device is the emulation; only the networks themselves are run by ONNX Runtime on the processor, on the memory of the device.

use super::emulated::{BY_LIBRARY, Emulated, cache, on_processor};
use super::stand_in::Narrow;
use super::stub::{DEVICES, Loaded};
use hpinfer::Result;
use hpinfer::backend::fake::FakeEngine;
use hpinfer::backend::record::{Recording, Replay};
use hpinfer::backend::{Engine, GpuSession};
use hpinfer::device::{Device, Gpu, GpuId, Stream};
use hpinfer::image::decode::Decoder;
use hpinfer::image::nv12::{YuvColours, YuvMatrix};
use hpinfer::image::{Frame, ImageBuf, PixelFormat, Plane, Planes, PointI, Resident, Size};
use hpinfer::model::{BoxType, DetResize, LimitType, ModelSpec, Store, TextDetectionSpec};
use hpinfer::modules::text_recognise::{Line, WidthRule};
use hpinfer::modules::{TextDetect, TextRecognise};
use hpinfer::onnx::Cut;
use hpinfer::ops::db::ScoreMode;
use hpinfer::ops::warp::curve::CurvePlan;
use hpinfer::pipeline::{Divided, Ocr, OcrConfig, Pipeline};
use hpinfer::result::{OcrResult, PipelineResult};
use hpinfer::source::{Source, SourceOptions};
use hpinfer::tensor::Shape;
use hpinfer::tensor::storage::stage;
use hpinfer::trace::{StageTimes, Transfers};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Largest difference of a score to that of the processor.
const SCORE_TOLERANCE: f32 = 1e-4;

/// The two networks of OCR with what is known of them.
pub struct Networks {
    pub engines: [Arc<dyn Engine>; 2],
    specs: [ModelSpec; 2],
    /// Their graphs, and what of those is left to others than the engine.
    pub files: [(PathBuf, Cut); 2],
}

impl Networks {
    pub fn open() -> Self {
        let store = Store::new(&cache());
        let open = |name: &str, cut: Cut| {
            let model = store.resolve(name).expect("a model");
            (on_processor(&model, cut), model.spec, (model.files.onnx.expect("a graph"), cut))
        };
        let (det, rec) = (open("PP-OCRv4_mobile_det", Cut::Nothing), open("PP-OCRv4_mobile_rec", Cut::Softmax));
        Self { engines: [det.0, rec.0], specs: [det.1, rec.1], files: [det.2, rec.2] }
    }

    pub fn pipeline(&self, engines: [Arc<dyn Engine>; 2], threads: usize) -> Ocr {
        self.pipeline_with(engines, threads, |_| ())
    }

    fn pipeline_with(&self, engines: [Arc<dyn Engine>; 2], threads: usize, change: impl Fn(&mut TextDetectionSpec)) -> Ocr {
        let (detect, recognise) = self.text_with(engines, change);
        Ocr::new(detect, recognise, &OcrConfig::default(), threads).expect("a pipeline")
    }

    /// A detector and a recogniser over two engines.
    pub fn text(&self, engines: [Arc<dyn Engine>; 2]) -> (TextDetect, TextRecognise) {
        self.text_with(engines, |_| ())
    }

    fn text_with(&self, engines: [Arc<dyn Engine>; 2], change: impl Fn(&mut TextDetectionSpec)) -> (TextDetect, TextRecognise) {
        let [det, rec] = engines;
        let (ModelSpec::TextDetection(det_spec), ModelSpec::TextRecognition(rec_spec)) = (&self.specs[0], &self.specs[1]) else {
            panic!("specifications of text networks")
        };
        let recognise = TextRecognise::new(rec, rec_spec.clone(), WidthRule::Reference);
        let mut det_spec = det_spec.clone();
        change(&mut det_spec);
        (TextDetect::new(det, det_spec).expect("a detector"), recognise)
    }

    pub fn on_cpu(&self) -> Ocr {
        self.pipeline(self.engines.clone(), 2)
    }

    pub fn on_gpu(&self, threads: usize) -> Ocr {
        Loaded::get();
        self.on(&Gpu::open(None).expect("the stand-in opens"), threads)
    }

    fn on(&self, gpu: &Arc<Gpu>, threads: usize) -> Ocr {
        self.pipeline(self.emulated(gpu), threads)
    }

    pub fn emulated(&self, gpu: &Arc<Gpu>) -> [Arc<dyn Engine>; 2] {
        self.engines.clone().map(|engine| Emulated::on(engine, gpu))
    }
}

pub fn picture(name: &str) -> Frame {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let item = Source::new(&[path], SourceOptions::default()).next().expect("an input");
    item.load(&Decoder::default()).expect("a picture")
}

pub fn plain(size: Size) -> Frame {
    Frame::from_image(ImageBuf::new(vec![200; size.area() as usize * 3], size, PixelFormat::Bgr).expect("a picture"))
}

pub fn compare(found: &OcrResult, expected: &OcrResult) {
    assert_eq!(found.dt_polys, expected.dt_polys);
    assert_eq!(found.rec_text, expected.rec_text);
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= SCORE_TOLERANCE);
    assert!(near(&found.dt_scores, &expected.dt_scores), "{:?} {:?}", found.dt_scores, expected.dt_scores);
    assert!(near(&found.rec_score, &expected.rec_score), "{:?} {:?}", found.rec_score, expected.rec_score);
    assert!(found.header.run.iter().all(|run| run.device == "gpu:0"), "{:?}", found.header.run);
}

/// Text, boxes and scores equal those of the processor; a picture is brought to the device once, and what comes back is small.
#[test]
fn ocr_on_a_gpu_reads_what_the_processor_reads() {
    let _turn = Loaded::turn();
    let networks = Networks::open();
    let frames = [picture("demo/delivery_note.png"), plain(Size::new(20, 17)), plain(Size::new(90, 40))];
    let expected = networks.on_cpu().predict(&frames);
    let (gpu, stub) = (networks.on_gpu(2), Loaded::get());
    let run = || -> Vec<(OcrResult, StageTimes)> { gpu.predict_timed(&frames).into_iter().map(|r| r.expect("a result")).collect() };
    let before = stub.counts();
    let found = run();
    let after = stub.counts();
    let mut lines = 0;
    for (((found, times), expected), frame) in found.iter().zip(&expected).zip(&frames) {
        compare(found, expected.as_ref().expect("a result"));
        lines += found.rec_text.len();
        let (moved, pixels) = (times.transfers, frame.image.view().pixels().unwrap().data.len() as f64);
        assert_eq!(moved.frames, 1.0, "{moved:?}");
        assert!(moved.uploaded_bytes >= pixels && moved.uploaded_bytes < pixels + 40_000.0, "{moved:?} for {pixels} bytes");
        assert!(moved.downloaded_bytes < 100_000.0, "{moved:?}");
    }
    assert!(lines >= 10, "{lines} lines");
    // The driver has seen the same and nothing else.
    let sum = |part: fn(&StageTimes) -> f64| found.iter().map(|(_, times)| part(times)).sum::<f64>();
    let taps = 2 * 32 * 32 * 32; // of at most two workers, each once
    let up = (after.uploaded_bytes - before.uploaded_bytes) as f64 - sum(|t| t.transfers.uploaded_bytes);
    let down = (after.downloaded_bytes - before.downloaded_bytes) as f64 - sum(|t| t.transfers.downloaded_bytes);
    assert!(up.abs() <= f64::from(taps) && down.abs() < 0.5, "{up} and {down} bytes more");
    let uploads = (after.uploads - before.uploads) as f64 - sum(|t| t.transfers.uploads);
    assert!((0.5..=2.5).contains(&uploads), "{uploads} uploads more than the taps");
    println!(
        "{} launches, {} uploads, {} downloads",
        after.launches - before.launches,
        after.uploads - before.uploads,
        after.downloads - before.downloads
    );
}

/// The picture of `frame` as a decoder leaves it on the device, rows longer than they need be: as it is, or as NV12.
pub fn left_on_device(frame: &Frame, stream: &Stream, nv12: bool) -> Frame {
    let (image, size) = (frame.image.view().pixels().expect("on the host"), frame.size());
    let (width, height) = (size.width as usize, size.height as usize);
    let pitch = (width * 3).next_multiple_of(256);
    let mut rows: Vec<Vec<u8>> = image.data.chunks(width * 3).map(<[u8]>::to_vec).collect();
    if nv12 {
        rows.iter_mut().for_each(|row| *row = row.chunks(3).map(|p| p[1] / 2 + 60).collect());
        rows.extend((0..height.div_ceil(2)).map(|y| (0..width.next_multiple_of(2)).map(|x| 100 + ((x * 7 + y * 3) % 50) as u8).collect()));
    }
    rows.iter_mut().for_each(|row| row.resize(pitch, 0x5a));
    let bytes = rows.concat();
    let mut memory = stream.alloc::<u8>(bytes.len()).expect("memory");
    let mut staged = stream.pinned(bytes.len()).expect("memory");
    staged.fill().expect("nothing under way").copy_from_slice(&bytes);
    stream.upload(&staged, &mut memory).expect("copied");
    let plane = |row: usize| Plane { address: memory.slice().address() + (row * pitch) as u64, pitch: pitch as u32 };
    let colours = YuvColours { matrix: YuvMatrix::Bt709, full_range: false };
    let planes = match nv12 {
        true => Planes::Nv12 { luma: plane(0), chroma: plane(height), colours },
        false => Planes::Interleaved(PixelFormat::Bgr, plane(0)),
    };
    // SAFETY: the memory goes with the picture, and was written by the stream.
    let resident = unsafe { Resident::from_raw(stream, planes, size, memory) }.expect("a picture");
    Frame::new(frame.id.clone(), resident)
}

/// Frames that a decoder left on the device are read there: nothing of them is uploaded, and none comes to the host.
#[test]
fn frames_that_lie_on_the_device_stay_there() {
    let _turn = Loaded::turn();
    let networks = Networks::open();
    let (gpu, stub) = (networks.on_gpu(2), Loaded::get());
    let stream = Stream::new(&Gpu::open(None).expect("the stand-in opens")).expect("a stream");
    let (note, odd) = (picture("demo/delivery_note.png"), plain(Size::new(91, 41)));
    let frames = [(&note, false), (&note, true), (&odd, true)].map(|(frame, nv12)| left_on_device(frame, &stream, nv12));
    let before = stub.counts();
    let found = gpu.predict_timed(&frames);
    let after = stub.counts();
    // The same frames on the processor, which has to ask for them.
    let mut transfers = Transfers::default();
    let copies = frames.clone().map(|frame| Frame { image: frame.image.on_host(&mut transfers).expect("a copy").into(), ..frame });
    assert_eq!(transfers.downloads, 5.0, "a plane each, and two of NV12");
    assert!(copies[0].image.view().pixels().unwrap().data == note.image.view().pixels().unwrap().data);
    let expected = networks.on_cpu().predict(&copies);
    for (found, expected) in found.into_iter().zip(expected) {
        let (found, times) = found.expect("a result");
        compare(&found, &expected.expect("a result"));
        let moved = times.transfers;
        assert!(moved.frames == 0.0 && moved.uploaded_bytes < 40_000.0 && moved.downloaded_bytes < 100_000.0, "{moved:?}");
    }
    assert!(after.uploaded_bytes - before.uploaded_bytes < 250_000, "{before:?} {after:?}");
    // What cannot work on them says so.
    let refused = |frame: &Frame, ocr: &Ocr| ocr.predict(std::slice::from_ref(frame)).remove(0).expect_err("refused").to_string();
    let error = refused(&frames[0], &networks.on_cpu());
    assert!(error.contains("it lies in memory of gpu:0, and the processor is to work on it"), "{error}");
    let second = networks.on(&Gpu::open(Some(&GpuId::Number(1))).expect("the stand-in opens"), 2);
    let error = refused(&frames[0], &second);
    assert!(error.contains("it lies in memory of gpu:0, and gpu:1 is to work on it"), "{error}");
    let error = refused(&left_on_device(&plain(Size::new(20, 17)), &stream, false), &gpu);
    assert!(error.contains("20x17 pixels in memory of gpu:0 are too few"), "{error}");
    // Of several devices each gets its own.
    let parts = [("gpu:0", gpu), ("gpu:1", second)];
    let parts = parts
        .map(|(name, ocr)| (Device::open_one(&name.parse().expect("a device")).expect("it opens"), Box::new(ocr) as Box<dyn Pipeline>));
    let divided = Divided::new(parts.into());
    let elsewhere = Stream::new(&Gpu::open(Some(&GpuId::Number(1))).expect("the stand-in opens")).expect("a stream");
    let mixed = [left_on_device(&odd, &elsewhere, true), frames[2].clone(), odd.clone(), left_on_device(&odd, &elsewhere, false)];
    for round in 0..3 {
        let ran = divided.process(&mixed).into_iter().map(|outcome| outcome.expect("a result").0.header().run[0].device.clone());
        let ran: Vec<String> = ran.collect();
        assert_eq!([&*ran[0], &*ran[1], &*ran[3]], ["gpu:1", "gpu:0", "gpu:1"], "round {round}: {ran:?}");
    }
}

/// Frames of one size go through detection together, which changes nothing of what is found; one that fails leaves the others.
#[test]
fn frames_of_one_size_share_runs_of_detection() {
    let _turn = Loaded::turn();
    let networks = Networks::open();
    Loaded::get();
    let gpu = Gpu::open(None).expect("the stand-in opens");
    let [det, rec] = networks.emulated(&gpu);
    let recording = Recording::default();
    let ocr = networks.pipeline([recording.wrap(det), rec], 2);
    let whole = picture("demo/delivery_note.png");
    let (width, height) = (whole.size().width as i32, 160);
    let part = |top: i32| whole.image.view().pixels().unwrap().part([0, top, width, top + height]).expect("pixels").expect("some");
    let mut frames: Vec<Frame> = (0..5).map(|i| Frame::from_image(part(100 + 90 * i))).collect();
    frames.insert(2, plain(Size::new(90, 40)));
    let expected = networks.on_cpu().predict(&frames);
    recording.start();
    let found = ocr.predict_timed(&frames);
    let mut runs: Vec<usize> = recording.stop().iter().map(|run| run.inputs()[0].0.dims()[0]).collect();
    runs.sort_unstable();
    assert_eq!(runs, [1, 1, 4], "pictures in each run of detection");
    let mut lines = 0;
    for (found, expected) in found.iter().zip(&expected) {
        let (found, times) = found.as_ref().expect("a result");
        compare(found, expected.as_ref().expect("a result"));
        lines += found.rec_text.len();
        assert!((times.transfers.frames - 1.0).abs() < 1e-9, "{:?}", times.transfers);
    }
    assert!(lines >= 5, "{lines} lines");
    // One of them lies on another device.
    let elsewhere = Stream::new(&Gpu::open(Some(&GpuId::Number(1))).expect("the stand-in opens")).expect("a stream");
    frames[3] = left_on_device(&frames[3], &elsewhere, false);
    let found = ocr.predict(&frames);
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        match found {
            Ok(found) if index != 3 => compare(found, expected.as_ref().expect("a result")),
            Err(error) if index == 3 => assert!(error.to_string().contains("gpu:1"), "{error}"),
            other => panic!("{index}: {other:?}"),
        }
    }
}

/// Lines of one width come in as many at once as the network's own engine takes, not in more that another has to run.
#[test]
fn lines_share_runs_as_far_as_their_engine_takes_them() {
    let _turn = Loaded::turn();
    let networks = Networks::open();
    Loaded::get();
    let gpu = Gpu::open(None).expect("the stand-in opens");
    let [det, rec] = networks.emulated(&gpu);
    let whole = picture("demo/delivery_note.png");
    let part = whole.image.view().pixels().unwrap().part([560, 310, whole.size().width as i32, 520]).expect("pixels").expect("some");
    let frames = [Frame::from_image(part)];
    let expected = networks.on_cpu().predict(&frames);
    let recording = Recording::default();
    let most_in_a_run = |rec| {
        recording.start();
        let found = networks.pipeline([det.clone(), recording.wrap(rec)], 1).predict(&frames);
        compare(found[0].as_ref().expect("a result"), expected[0].as_ref().expect("a result"));
        recording.stop().iter().map(|run| run.inputs()[0].0.dims()[0]).max().expect("runs")
    };
    let narrow: Arc<dyn Engine> = Arc::new(Narrow { engine: rec.clone(), passed_on: Arc::default() });
    let [free, bound] = [rec, narrow].map(most_in_a_run);
    assert!(free > 2 && bound == 2, "{free} and {bound} lines in a run");
}

/// Outlines of curved text, and scores of exact polygons, are found by the processor in what the network on the device gave.
#[test]
fn curved_text_and_slow_scores_are_those_of_the_processor() {
    let _turn = Loaded::turn();
    let networks = Networks::open();
    Loaded::get();
    let gpu = Gpu::open(None).expect("the stand-in opens");
    let whole = picture("demo/delivery_note.png");
    let part = whole.image.view().pixels().unwrap().part([0, 0, whole.size().width as i32, 240]).expect("pixels").expect("some");
    let frames = [Frame::from_image(part)];
    let curved = |spec: &mut TextDetectionSpec| spec.boxes = BoxType::Poly;
    let slow = |spec: &mut TextDetectionSpec| spec.db.score_mode = ScoreMode::Slow;
    for change in [&curved as &dyn Fn(&mut TextDetectionSpec), &slow] {
        let expected = networks.pipeline_with(networks.engines.clone(), 1, change).predict(&frames);
        let found = networks.pipeline_with(networks.emulated(&gpu), 1, change).predict_timed(&frames);
        let ((found, times), expected) = (found[0].as_ref().expect("a result"), expected[0].as_ref().expect("a result"));
        compare(found, expected);
        assert!(found.rec_text.len() >= 5 && times.transfers.frames == 1.0, "{:?}, {:?}", found.rec_text, times.transfers);
    }
}

/// A fault of the device names model and shapes, and fails the frames it was met in.
#[test]
fn faults_of_the_device_say_what_was_under_way() {
    let _turn = Loaded::turn();
    let networks = Networks::open();
    let (gpu, stub) = (networks.on_gpu(1), Loaded::get());
    let frame = [picture("demo/delivery_note.png")];
    for (function, expected) in [
        ("cuLaunchKernel", "gpu:0, model PP-OCRv4_mobile_det, 1 of 960x704, kernel resize"),
        ("cuMemAlloc_v2", "gpu:0, model PP-OCRv4_mobile_det, 1 of 960x704, allocating "),
    ] {
        stub.words(&format!("{DEVICES} fail={function} code=2"));
        let error = gpu.predict(&frame).remove(0).expect_err(function).to_string();
        stub.words(DEVICES);
        assert!(error.contains(expected), "{function}: {error}");
    }
    assert!(gpu.predict(&frame).remove(0).expect("a result").rec_text.len() >= 10);
}

/// A page in its full size: more pixels than the kernels that find boxes are made for.
#[test]
fn maps_too_large_for_the_kernels_are_read_by_the_processor() {
    let _turn = Loaded::turn();
    let networks = Networks::open();
    Loaded::get();
    let gpu = Gpu::open(None).expect("the stand-in opens");
    let part = picture("demo/delivery_note.png");
    let part = part.image.view().pixels().unwrap().part([40, 100, 740, 420]).expect("pixels").expect("some");
    let (size, width) = (Size::new(8256, 640), 8256 * 3);
    let mut page = vec![255; size.area() as usize * 3];
    for (y, row) in part.view().data.chunks(part.view().size.width as usize * 3).enumerate() {
        for x in [10, 7400] {
            page[(y + 150) * width + x * 3..][..row.len()].copy_from_slice(row);
        }
    }
    let frames = [Frame::from_image(ImageBuf::new(page, size, PixelFormat::Bgr).expect("a picture"))];
    let full = |spec: &mut TextDetectionSpec| spec.resize = DetResize::Limit { side_len: 640, limit_type: LimitType::Min };
    let expected = networks.pipeline_with(networks.engines.clone(), 1, full).predict(&frames);
    let found = networks.pipeline_with(networks.emulated(&gpu), 1, full).predict(&frames);
    let (found, expected) = (found[0].as_ref().expect("a result"), expected[0].as_ref().expect("a result"));
    compare(found, expected);
    assert!(found.rec_text.len() >= 6, "{:?}", found.rec_text);
}

/// Lines that no rectangle holds are straightened and read on the device, beside others.
#[test]
fn lines_along_a_curve_are_read_as_on_the_processor() {
    let _turn = Loaded::turn();
    let networks = Networks::open();
    Loaded::get();
    let gpu = Gpu::open(None).expect("the stand-in opens");
    let frame = picture("demo/delivery_note.png");
    let side = |radius: f64, degrees: f64| {
        let (sin, cos) = degrees.to_radians().sin_cos();
        PointI::new((400.0 - radius * cos) as i32, (420.0 - radius * sin) as i32)
    };
    let arc: Vec<f64> = (0..=12).map(|step| 15.0 + 12.5 * f64::from(step)).collect();
    let outline: Vec<PointI> = arc.iter().map(|&at| side(330.0, at)).chain(arc.iter().rev().map(|&at| side(280.0, at))).collect();
    let curved = CurvePlan::from_polygon(&outline, frame.size()).expect("a plan");
    assert!(matches!(curved, CurvePlan::Strips(_)), "{curved:?}");
    let straight = CurvePlan::from_polygon(&[[55, 140], [330, 140], [330, 175], [55, 175]].map(|[x, y]| PointI::new(x, y)), frame.size());
    let crops = [curved, straight.expect("a plan")];
    let ModelSpec::TextRecognition(spec) = &networks.specs[1] else { panic!("a recogniser") };
    let read = |engine| {
        let recognise = TextRecognise::new(engine, spec.clone(), WidthRule::Reference);
        let lines = crops.iter().map(|crop| Line { image: frame.image.view(), resident: None, crop }).collect::<Vec<_>>();
        let width = crops.iter().map(|crop| recognise.input_width(crop.size())).max().expect("lines");
        let texts = recognise.recognise(&lines, width, &mut StageTimes::default()).expect("texts");
        texts.into_iter().map(|text| (text.text, (text.score * 1e3).round())).collect::<Vec<_>>()
    };
    let on_device = Emulated::beside(networks.engines[1].clone(), &gpu, vec![frame.size()]);
    let (expected, found) = (read(networks.engines[1].clone()), read(on_device));
    assert_eq!(found, expected);
    assert!(found[1].0.contains("张晓明"), "{found:?}");
}

/// Frames are divided among devices; each result is that of one device alone.
#[test]
fn two_gpus_share_the_frames_of_a_run() {
    let _turn = Loaded::turn();
    let networks = Networks::open();
    Loaded::get();
    let devices = Device::open(&"gpu:0,1".parse().expect("a device")).expect("the stand-in opens");
    let part = |device: Device| {
        let ocr = networks.on(device.gpu().expect("a GPU"), 1);
        (device, Box::new(ocr) as Box<dyn Pipeline>)
    };
    let both = Divided::new(devices.into_iter().map(part).collect());
    let frame = [plain(Size::new(90, 40))];
    let device_of = |outcome: Result<(PipelineResult, StageTimes)>| match outcome.expect("a result").0 {
        PipelineResult::Ocr(result) => result.header.run[0].device.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((both.batch_size(), both.groups_at_once(), networks.on_cpu().groups_at_once()), (8, 8, usize::MAX));
    let used: BTreeSet<String> = (0..4).flat_map(|_| both.process(&frame)).map(device_of).collect();
    assert_eq!(used.into_iter().collect::<Vec<_>>(), ["gpu:0", "gpu:1"]);
    assert_eq!(both.run_records().iter().map(|run| &*run.device).collect::<Vec<_>>(), ["gpu:0", "gpu:0", "gpu:1", "gpu:1"]);
}

/// What a benchmark replays is what the pipeline fed the engine.
#[test]
fn runs_on_a_gpu_are_recorded_and_replayed() {
    let _turn = Loaded::turn();
    Loaded::get();
    let gpu = Gpu::open(None).expect("the stand-in opens");
    let engine: Arc<dyn Engine> = Arc::new(FakeEngine::new("m", |inputs| Ok((inputs[0].0, inputs[0].1.iter().map(|v| v * 2.0).collect()))));
    let recording = Recording::default();
    let engine = recording.wrap(Emulated::on(engine, &gpu));
    let mut session = engine.session().expect("a session");
    let session = session.on_gpu().expect("on the device");
    let stream = session.stream().clone();
    let shape = Shape::new(&[1, 1, 2, 3]);
    let fill = |session: &mut dyn GpuSession, values: &[f32]| {
        let staged = stage(values, &stream).and_then(|s| s.upload(&stream, &mut Transfers::default())).expect("on the device");
        stream.copy(staged.on_device().expect("there"), &mut session.input(0, shape).expect("lent")).expect("copied");
    };
    let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    recording.start();
    fill(session, &values);
    session.run().expect("a run");
    let runs = recording.stop();
    assert_eq!(runs.iter().map(|run| run.inputs().to_vec()).collect::<Vec<_>>(), [vec![(shape, values.to_vec())]]);
    let read = |session: &mut dyn GpuSession| {
        let output = session.outputs(1).expect("an output")[0];
        let copy = output.download(&stream, &mut Transfers::default()).expect("a copy");
        let read = copy.on_host().expect("read");
        (read.shape, read.as_f32().expect("floats").to_vec())
    };
    let expected = (shape, values.map(|v| v * 2.0).to_vec());
    assert_eq!(read(session), expected);
    let mut replay = Replay::default();
    let replayed = replay.prepare(&runs[0]).expect("prepared");
    replayed.run().expect("a run");
    assert_eq!(read(replayed.on_gpu().expect("on the device")), expected);
}

/// Once a worker has met a picture it has the memory for it.
#[test]
fn a_second_picture_of_a_size_allocates_nothing() {
    let _turn = Loaded::turn();
    let networks = Networks::open();
    let (gpu, stub) = (networks.on_gpu(1), Loaded::get());
    let whole = picture("demo/delivery_note.png");
    let size = whole.size();
    let part =
        whole.image.view().pixels().unwrap().part([0, 0, size.width as i32, (size.height / 5) as i32]).expect("pixels").expect("some");
    let frame = [Frame::from_image(part)];
    let read = || gpu.predict(&frame).pop().expect("one").expect("a result").rec_text;
    let first = read();
    let warm = stub.counts().allocations;
    assert!(!first.is_empty() && warm.iter().all(|&count| count > 0), "{first:?}, {warm:?}");
    assert_eq!((read(), stub.counts().allocations), (first, warm));
}

/// A pipeline that was opened has the memory for pictures of the usual size; where the device has too little then, it is for the
/// picture to say so.
#[test]
fn the_first_picture_of_the_usual_size_allocates_nothing() {
    let _turn = Loaded::turn();
    let networks = Networks::open();
    let (gpu, stub) = (networks.on_gpu(1), Loaded::get());
    let note = picture("demo/delivery_note.png");
    let (size, mut page) = (Size::new(1920, 1080), vec![255; 1920 * 1080 * 3]);
    let lines = note.image.view().pixels().unwrap().part([50, 40, 850, 400]).expect("pixels").expect("some");
    for (to, from) in page.chunks_mut(1920 * 3).skip(300).zip(lines.view().data.chunks(800 * 3)) {
        to[900..900 + from.len()].copy_from_slice(from);
    }
    let frame = [Frame::from_image(ImageBuf::new(page, size, PixelFormat::Bgr).expect("a picture"))];
    let made = || {
        let [device, pinned] = stub.counts().allocations;
        [device - BY_LIBRARY.load(Ordering::Relaxed), pinned]
    };
    let opened = made();
    let found = gpu.predict(&frame).pop().expect("one").expect("a result");
    assert_eq!((found.rec_text.len() >= 10, made()), (true, opened), "{:?}", found.rec_text);
    stub.words(&format!("{DEVICES} fail=cuMemAlloc_v2 code=2"));
    let poor = networks.on_gpu(1);
    stub.words(DEVICES);
    compare(&poor.predict(&frame).pop().expect("one").expect("a result"), &found);
}

//! OCR by TensorRT on a GPU, with a double of each: the device is the emulation, and engines are run by ONNX Runtime on the
//! processor, on the memory of the device and in the order of its streams.

use super::ocr::{compare, picture, plain};
use super::stub::Loaded;
use crate::double::{Double, Form, RunTensor, onnx_runtime};
use hpinfer::Result;
use hpinfer::backend::onnxruntime::OnnxRuntime;
use hpinfer::backend::select::{Libraries, Selector};
use hpinfer::backend::tensorrt::selftest;
use hpinfer::backend::{BackendName, Engine, LoadOptions, Onnx, Parallelism};
use hpinfer::cache::Cache;
use hpinfer::device::{Device, Gpu};
use hpinfer::image::Size;
use hpinfer::model::HpiConfig;
use hpinfer::modules::{Loader, LoaderOptions};
use hpinfer::pipeline::{Ocr, OcrConfig};
use hpinfer::tensor::Shape;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

fn cache() -> Cache {
    Cache::open(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"))).expect("a cache")
}

fn gpu() -> Device {
    Loaded::get();
    Device::Gpu(Gpu::open(None).expect("the stand-in opens"))
}

/// A graph by its length, and the shape of its input.
type Key = (usize, Vec<i64>);

/// Runs the graphs of engines by ONNX Runtime on the processor.
struct Processor {
    selector: Selector,
    engines: Mutex<BTreeMap<usize, Arc<dyn Engine>>>,
    /// Shapes of outputs.
    shapes: Mutex<BTreeMap<Key, Vec<i64>>>,
}

impl Processor {
    fn new() -> Self {
        let selector = Selector::new(cache(), Libraries::default());
        Self { selector, engines: Mutex::default(), shapes: Mutex::default() }
    }

    /// The engine of a graph; those of these tests differ in length.
    fn engine(&self, onnx: &[u8]) -> Arc<dyn Engine> {
        let mut engines = self.engines.lock().expect("no panic");
        let load = || {
            let options = LoadOptions {
                onnx: Some(Onnx::Bytes(Arc::new(onnx.to_vec()))),
                parallelism: Parallelism { streams: 1, threads_per_stream: 2 },
                ..LoadOptions::new("of an engine")
            };
            self.selector.load(Some(BackendName::OnnxRuntime), &options, &[]).expect("it loads")
        };
        engines.entry(onnx.len()).or_insert_with(load).clone()
    }

    fn run(&self, onnx: &[u8], inputs: &mut [RunTensor], outputs: &mut [RunTensor]) -> Result<()> {
        let key = (onnx.len(), inputs[0].shape().to_vec());
        let known = self.shapes.lock().expect("no panic").get(&key).cloned();
        let values = inputs[0].floats();
        if let (None, Some(shape)) = (&values, &known) {
            outputs[0].set_shape(shape);
            return Ok(());
        }
        let mut session = self.engine(onnx).session()?;
        let dims: Vec<usize> = key.1.iter().map(|&d| d as usize).collect();
        let input = session.input(0, Shape::try_from_slice(&dims)?)?;
        match &values {
            Some(values) => input.copy_from_slice(values),
            None => input.fill(0.0),
        }
        session.run()?;
        let found = session.output(0)?;
        let shape: Vec<i64> = found.shape.dims().iter().map(|&d| d as i64).collect();
        outputs[0].set_shape(&shape);
        if let Some(out) = outputs[0].floats() {
            out.copy_from_slice(found.as_f32()?);
        }
        self.shapes.lock().expect("no panic").insert(key, shape);
        Ok(())
    }
}

/// A double whose engines are run by `processor`, and the file that has a line for each build.
fn double(form: Form, processor: &Arc<Processor>) -> (Double, PathBuf) {
    let double = Double::new(form);
    let processor = processor.clone();
    double.on_run(move |onnx, inputs, outputs| processor.run(onnx, inputs, outputs).map_err(|e| e.to_string()));
    let count = double.folder.path().join("count");
    double.knobs(&format!("count={}", count.display()));
    (double, count)
}

fn loader(double: &Double) -> Loader {
    let libraries = Libraries { tensorrt: Some(double.folder.path().to_owned()), ..Libraries::default() };
    let options = LoaderOptions { device: gpu(), threads: 2, backend: Some(BackendName::TensorRt), libraries, ..LoaderOptions::default() };
    Loader::new(cache().with_engine_dir(&engine_dir(double)), options).expect("a loader")
}

/// Where engines are kept, so that the models' own folders stay as they are.
fn engine_dir(double: &Double) -> PathBuf {
    double.folder.path().join("engines")
}

/// Text, boxes and scores equal those of ONNX Runtime on the processor; engines are built at first use and once.
#[test]
fn ocr_by_tensorrt_reads_what_onnx_runtime_reads_on_the_processor() {
    let _turn = Loaded::turn();
    let frames = [picture("demo/delivery_note.png"), plain(Size::new(20, 17)), plain(Size::new(90, 40))];
    let options = LoaderOptions { threads: 2, backend: Some(BackendName::OnnxRuntime), ..LoaderOptions::default() };
    let config = OcrConfig::default();
    let expected = Ocr::open(&config, &Loader::new(cache(), options).expect("a loader")).expect("a pipeline").predict(&frames);
    let processor = Arc::new(Processor::new());
    for (form, version) in [(Form::Rtx, "rtx-1.7.1.7"), (Form::Ten, "10.16.1.7")] {
        let (double, count) = double(form, &processor);
        for _ in 0..2 {
            let ocr = Ocr::open(&config, &loader(&double)).expect("a pipeline");
            let mut lines = 0;
            for (found, expected) in ocr.predict_timed(&frames).into_iter().zip(&expected) {
                let (found, times) = found.expect("a result");
                compare(&found, expected.as_ref().expect("a result"));
                lines += found.rec_text.len();
                assert_eq!(times.transfers.frames, 1.0, "{:?}", times.transfers);
                assert!(times.transfers.downloaded_bytes < 100_000.0, "{:?}", times.transfers);
                let run = &found.header.run;
                let told: Vec<_> = run.iter().map(|r| [&r.backend, &r.version, &r.precision].map(String::as_str)).collect();
                let networks = if found.rec_text.is_empty() { 1 } else { 2 };
                assert_eq!(told, vec![["tensorrt", version, "float32"]; networks]);
                for run in run {
                    let [engine] = &run.engines[..] else { panic!("{run:?}") };
                    assert!(engine_dir(&double).join(format!("{engine}.engine")).is_file(), "{engine}");
                    assert!(!run.profiles.is_empty() && run.profiles.iter().all(|profile| profile.starts_with("x 1x3x")), "{run:?}");
                }
            }
            assert!(lines >= 10, "{lines} lines");
            assert_eq!(std::fs::read_to_string(&count).expect("builds were counted").lines().count(), 2, "{form:?}");
        }
    }
}

/// A picture that the engine has no profile for, where nothing else runs it either, is refused with the reason; the others are read.
#[test]
fn a_shape_outside_the_profiles_is_an_error_where_nothing_else_takes_it() {
    let _turn = Loaded::turn();
    let (double, _) = double(Form::Ten, &Arc::new(Processor::new()));
    let options = LoaderOptions {
        device: gpu(),
        threads: 2,
        backend: Some(BackendName::TensorRt),
        libraries: Libraries {
            tensorrt: Some(double.folder.path().to_owned()),
            onnx_runtime: Some(double.folder.path().join("libonnxruntime.so")),
            openvino: None,
        },
        ..LoaderOptions::default()
    };
    let loader = Loader::new(cache().with_engine_dir(&engine_dir(&double)), options).expect("a loader");
    let shapes = r#"{"backend_config": {"dynamic_shapes": {"x": [[1, 3, 32, 32], [1, 3, 64, 64], [1, 3, 64, 64]]}}}"#;
    let mut config = OcrConfig::default();
    config.text_det_model.hpi = HpiConfig::from_flag(shapes, "the test").expect("a configuration").into();
    let ocr = Ocr::open(&config, &loader).expect("a pipeline");
    let mut found = ocr.predict(&[plain(Size::new(90, 40)), plain(Size::new(50, 60))]);
    assert!(found.pop().expect("two").is_ok());
    let message = found.pop().expect("two").unwrap_err().to_string();
    assert!(message.contains("libonnxruntime.so"), "{message}");
}

#[test]
fn the_selftest_passes_on_the_device() {
    let _turn = Loaded::turn();
    for form in Form::ALL {
        let double = Double::new(form);
        double.computes_sample();
        let reference = || OnnxRuntime::on_processor(&onnx_runtime());
        let report = selftest::run(&double.open().expect("it opens"), &gpu(), reference).expect("a report");
        assert!(report.passed && report.memory == "device" && report.greatest_difference < Some(1e-6), "{report:?}");
        assert_eq!(report.recorded_runs, Some(4), "of the 13 with four rows those after the ninth: {report:?}");
    }
}

//! Half precision: what is converted and what is not, the comparison before a build, and what the builder then gets.

use super::double::{Double, Form, in_onnx_runtime, onnx_runtime, sample_options};
use super::surgery::{floats, int, integers, model, node, operators, run, value};
use crate::random::Random;
use crate::say::say;
use hpinfer::backend::onnxruntime::OnnxRuntime;
use hpinfer::backend::tensorrt::builder::Builder;
use hpinfer::backend::tensorrt::cache::EngineCache;
use hpinfer::backend::tensorrt::session::TensorRt;
use hpinfer::backend::{Backend, Engine, FixedSize, LoadOptions, NetworkKind, Onnx, Precision};
use hpinfer::cache::{Cache, sha256};
use hpinfer::device::Device;
use hpinfer::onnx::Cut;
use hpinfer::onnx::half::{Keep, convert, observed, rounded};
use hpinfer::onnx::proto::{ModelProto, tensor_proto::DataType};
use hpinfer::tensor::Shape;
use prost::Message;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Numbers with 11 bits of mantissa, through a few steps.
const HALF: f32 = 4e-3;

fn float16_constants(model: &ModelProto) -> usize {
    let constants = &model.graph.as_ref().unwrap().initializer;
    constants.iter().filter(|t| t.data_type == Some(DataType::Float16 as i32)).count()
}

/// A dense layer normalised by hand, with a product behind it and a size computed in floats beside it.
fn network(random: &mut Random) -> ModelProto {
    let nodes = vec![
        node("MatMul", &["x", "w"], &["a"], vec![]),
        node("ReduceMean", &["a"], &["mean"], vec![int("keepdims", 1)]),
        node("Sub", &["a", "mean"], &["centred"], vec![]),
        node("Pow", &["centred", "two"], &["squares"], vec![]),
        node("ReduceMean", &["squares"], &["variance"], vec![int("keepdims", 1)]),
        node("Add", &["variance", "least"], &["positive"], vec![]),
        node("Sqrt", &["positive"], &["deviation"], vec![]),
        node("Div", &["centred", "deviation"], &["normal"], vec![]),
        node("MatMul", &["normal", "v"], &["logits"], vec![]),
        node("Softmax", &["logits"], &["y"], vec![int("axis", -1)]),
        node("Shape", &["x"], &["size"], vec![]),
        node("Cast", &["size"], &["wide"], vec![int("to", DataType::Float as i64)]),
        node("Mul", &["wide", "many"], &["large"], vec![]),
        node("Cast", &["large"], &["rows"], vec![int("to", DataType::Int64 as i64)]),
    ];
    let constants = vec![
        floats("w", &[6, 8], random.floats(48)),
        floats("v", &[8, 5], random.floats(40)),
        floats("two", &[], vec![2.0]),
        floats("least", &[], vec![1e-9]),
        floats("many", &[], vec![4099.0]),
    ];
    let outputs =
        vec![value("y", DataType::Float, &[-1, 5]), value("rows", DataType::Int64, &[2]), value("normal", DataType::Float, &[-1, 8])];
    model(nodes, constants, vec![value("x", DataType::Float, &[-1, 6])], outputs)
}

#[test]
fn work_goes_to_half_precision_and_what_would_lose_by_it_stays() {
    let mut random = Random::fresh("half");
    let original = network(&mut random);
    let converted = convert(&original, &Keep::default());
    let graph = converted.model.graph.as_ref().unwrap();
    assert_eq!((&graph.input, &graph.output), (&original.graph.as_ref().unwrap().input, &original.graph.as_ref().unwrap().output));
    let mut values = converted.values.clone();
    values.sort();
    // Not the sum under the root, with a number that float16 has as zero; nor the size, which has more than 11 bits.
    assert_eq!(values, ["a", "centred", "logits", "normal"]);
    assert_eq!(float16_constants(&converted.model), 2);
    let x = random.floats(3 * 6);
    let inputs = [("x", &[3, 6][..], x.as_slice())];
    let (expected, found) = (run(&original, &inputs), run(&converted.model, &inputs));
    for ((name, shape, a), (_, other, b)) in expected.iter().zip(&found) {
        let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{name}: {worst:e}");
        assert!(shape == other && worst <= HALF * a.iter().fold(0.0, |m: f32, v| m.max(v.abs())), "{name}: {worst}");
        assert!(name != "rows" || worst == 0.0, "sizes are exact");
    }
    assert!(expected[0].2 != found[0].2, "nothing is rounded in float16 here");
    let simulated = run(&rounded(&original, &Keep::default()), &inputs);
    for ((name, shape, a), (_, other, b)) in expected.iter().zip(&simulated) {
        let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(shape == other && worst <= HALF * a.iter().fold(0.0, |m: f32, v| m.max(v.abs())), "{name}: {worst}");
    }
    let is_half = |v: &f32| half::f16::from_f32(*v).to_f32() == *v;
    assert!(simulated[2].2.iter().all(is_half) && !expected[2].2.iter().all(is_half), "values in float16 are rounded to it");
    // A second conversion finds nothing more to do.
    let again = convert(&converted.model, &Keep::default());
    assert!(again.values.is_empty(), "{:?}", again.values);
    let products = Keep { operators: vec!["MatMul".into()], ..Keep::default() };
    let none = convert(&original, &products);
    assert_eq!((none.values.len(), none.casts), (0, 0));
    let without = Keep { values: ["a".to_owned()].into(), ..Keep::default() };
    let mut values = convert(&original, &without).values;
    values.sort();
    assert_eq!(values, ["logits", "normal"].map(str::to_owned), "neither its maker nor its readers");
}

#[test]
fn constants_and_types_decide() {
    // A weight that float16 cannot hold, and a bound that it has as zero; a product of whole numbers is no float; a body of If reads what it always read.
    let mut random = Random::fresh("half constants");
    let nodes = vec![
        node("MatMul", &["x", "w"], &["a"], vec![]),
        node("Max", &["a", "least"], &["bounded"], vec![]),
        node("MatMul", &["bounded", "huge"], &["b"], vec![]),
        node("Gather", &["table", "place"], &["picked"], vec![]),
        node("Cast", &["picked"], &["floats"], vec![int("to", DataType::Float as i64)]),
        node("Add", &["b", "floats"], &["y"], vec![]),
    ];
    let mut huge = random.floats(16);
    huge[3] = 1e6;
    let constants = vec![
        floats("w", &[4, 4], random.floats(16)),
        floats("huge", &[4, 4], huge),
        floats("least", &[], vec![1e-9]),
        integers("table", &[4], &[3, 1, 4, 1]),
        integers("place", &[1], &[2]),
    ];
    let original = model(nodes, constants, vec![value("x", DataType::Float, &[-1, 4])], vec![value("y", DataType::Float, &[-1, 4])]);
    let converted = convert(&original, &Keep::default());
    assert_eq!(converted.values, ["a"]);
    assert_eq!(operators(&converted.model).iter().filter(|o| **o == "Cast").count(), 3);
    let x = random.floats(8);
    run(&converted.model, &[("x", &[2, 4][..], x.as_slice())]);
    // How large values become is measured.
    let seen = run(&observed(&original, &["a".into(), "b".into()]), &[("x", &[2, 4][..], x.as_slice())]);
    assert_eq!(seen.len(), 3);
    let most = run(&original, &[("x", &[2, 4][..], x.as_slice())])[0].2.iter().fold(0.0, |m: f32, v| m.max((v - 4.0).abs()));
    assert!((seen[2].2[0] - most).abs() <= 1e-3 * most, "{} {most}", seen[2].2[0]);
}

fn backend(double: &Double, home: &Path) -> TensorRt {
    let cache = EngineCache::new(Cache::open(Some(home)).unwrap());
    let reference = Arc::new(|| OnnxRuntime::on_processor(&onnx_runtime()));
    TensorRt::new(Builder::new(double.open().unwrap(), 0, cache).unwrap().comparing_with(reference), Device::Cpu)
}

fn options(model: &ModelProto) -> LoadOptions {
    let bytes = model.encode_to_vec();
    LoadOptions {
        model_sha256: sha256(&bytes),
        onnx: Some(Onnx::Bytes(Arc::new(bytes))),
        precision: Precision::Float16,
        ..sample_options()
    }
}

/// Loads `model` in half precision and runs it once; the graphs that the double was given.
fn built(form: Form, model: &ModelProto) -> hpinfer::Result<(Arc<dyn Engine>, Vec<ModelProto>)> {
    built_as(form, &options(model))
}

fn built_as(form: Form, options: &LoadOptions) -> hpinfer::Result<(Arc<dyn Engine>, Vec<ModelProto>)> {
    let (double, home) = (Double::new(form), tempfile::tempdir().unwrap());
    let given = Arc::new(Mutex::new(Vec::new()));
    let seen = given.clone();
    double.on_run(move |onnx, inputs, outputs| {
        seen.lock().unwrap().push(ModelProto::decode(onnx).map_err(|e| e.to_string())?);
        let rows = inputs[0].shape()[0];
        outputs.iter_mut().for_each(|output| output.set_shape(&[rows, 4]));
        outputs.iter_mut().filter_map(|output| output.floats()).for_each(|values| values.fill(0.0));
        Ok(())
    });
    let engine = backend(&double, home.path()).load(options)?;
    let mut session = engine.session()?;
    session.input(0, Shape::new(&[2, 4]))?.fill(0.5);
    session.run()?;
    drop(session);
    let given = std::mem::take(&mut *given.lock().unwrap());
    std::mem::forget((double, home)); // the engine lives on
    Ok((engine, given))
}

/// Two products; what is between them is `factor` large.
fn two_products(factor: f32) -> ModelProto {
    let mut random = Random::fresh("two products");
    let nodes = vec![
        node("MatMul", &["x", "w"], &["a"], vec![]),
        node("Mul", &["a", "up"], &["b"], vec![]),
        node("Mul", &["b", "down"], &["c"], vec![]),
        node("MatMul", &["c", "v"], &["y"], vec![]),
    ];
    let constants = vec![
        floats("w", &[4, 4], random.floats(16)),
        floats("v", &[4, 4], random.floats(16)),
        floats("up", &[], vec![factor]),
        floats("down", &[], vec![1.0 / factor]),
    ];
    model(nodes, constants, vec![value("x", DataType::Float, &[-1, 4])], vec![value("y", DataType::Float, &[-1, 4])])
}

#[test]
fn the_builder_gets_what_its_version_takes() {
    let original = two_products(2.0);
    for form in Form::ALL {
        let (engine, given) = built(form, &original).unwrap();
        assert_eq!(engine.info().precision, Precision::Float16);
        let halves = float16_constants(&given[0]);
        assert_eq!(halves > 0, form != Form::Ten, "{form:?}: by the graph, or by the flag");
    }
}

/// On TensorRT 10 too, whose flag needs no other graph.
#[test]
fn a_detector_in_half_precision_ends_before_its_suppression() {
    let mut random = Random::fresh("detector");
    let nodes = vec![
        node("Reshape", &["x", "box shape"], &["boxes"], vec![]),
        node("MatMul", &["x", "w"], &["s"], vec![]),
        node("Reshape", &["s", "score shape"], &["scores"], vec![]),
        node("NonMaxSuppression", &["boxes", "scores", "most", "overlap", "least"], &["kept"], vec![]),
        node("Cast", &["kept"], &["rows"], vec![int("to", DataType::Float as i64)]),
    ];
    let constants = vec![
        integers("box shape", &[3], &[1, -1, 4]),
        integers("score shape", &[3], &[1, 1, -1]),
        floats("w", &[4, 1], random.floats(4)),
        integers("most", &[1], &[10]),
        floats("overlap", &[1], vec![0.7]),
        floats("least", &[1], vec![0.01]),
    ];
    let detector = model(nodes, constants, vec![value("x", DataType::Float, &[-1, 4])], vec![value("rows", DataType::Float, &[-1, 3])]);
    for form in [Form::Ten, Form::Eleven] {
        let (_, given) = built_as(form, &LoadOptions { cut: Cut::Detections, ..options(&detector) }).unwrap();
        let operators: Vec<_> = given[0].graph.as_ref().unwrap().node.iter().map(|node| node.op_type()).collect();
        assert!(operators.contains(&"MatMul") && !operators.contains(&"NonMaxSuppression"), "{form:?}: {operators:?}");
    }
}

#[test]
fn numbers_too_large_for_half_precision_stay_in_full() {
    let original = two_products(60000.0);
    let (_, given) = built(Form::Eleven, &original).unwrap();
    assert!(float16_constants(&given[0]) > 0);
    let values = convert(&given[0], &Keep::default());
    assert!(values.casts < 8);
    let message = built(Form::Ten, &original).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("too large for float16") && message.contains("fp32"), "{message}");
}

#[test]
fn a_model_that_loses_too_much_is_refused() {
    // What is left of a difference of nearly equal numbers.
    let mut random = Random::fresh("cancellation");
    let nodes = vec![
        node("MatMul", &["x", "w"], &["a"], vec![]),
        node("Add", &["a", "much"], &["b"], vec![]),
        node("Sub", &["b", "much"], &["y"], vec![]),
    ];
    let constants = vec![floats("w", &[4, 4], random.floats(16)), floats("much", &[], vec![1000.0])];
    let lossy = model(nodes, constants, vec![value("x", DataType::Float, &[-1, 4])], vec![value("y", DataType::Float, &[-1, 4])]);
    for form in [Form::Ten, Form::Rtx] {
        let message = built(form, &lossy).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("float16 changes its outputs by") && message.contains("leave it in fp32"), "{message}");
    }
}

#[test]
fn engines_of_both_precisions_lie_side_by_side() {
    let (double, home) = (Double::new(Form::Eleven), tempfile::tempdir().unwrap());
    let count = home.path().join("count");
    double.knobs(&format!("count={}", count.display()));
    let original = two_products(1.0);
    for _ in 0..2 {
        for precision in [Precision::Float32, Precision::Float16] {
            let engine = backend(&double, home.path()).load(&LoadOptions { precision, ..options(&original) }).unwrap();
            assert_eq!(engine.info().precision, precision);
        }
    }
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "built\nbuilt\n");
}

/// A model that is installed already; else a line that says so.
pub fn installed(name: &str) -> Option<ModelProto> {
    let home = std::env::var_os("HPINFER_HOME").map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"), PathBuf::from);
    let file = home.join("official_models").join(name).join("inference.onnx");
    match std::fs::read(&file) {
        Ok(bytes) => Some(ModelProto::decode(&*bytes).unwrap()),
        Err(_) => {
            say(&format!("SKIPPED: {} is not installed", file.display()));
            None
        }
    }
}

/// The real networks of the default pipeline.
#[test]
fn text_networks_keep_what_they_say() {
    for (name, shape) in [("PP-OCRv4_mobile_det", [1, 3, 96, 160]), ("PP-OCRv4_mobile_rec", [1, 3, 48, 160])] {
        let Some(original) = installed(name) else { continue };
        let converted = convert(&original, &Keep::default());
        let mut random = Random::fresh(name);
        let x = random.floats(shape.iter().product());
        let once = |model: &ModelProto| {
            let engine = in_onnx_runtime(model.encode_to_vec());
            let mut session = engine.session().unwrap();
            session.input(0, Shape::new(&shape)).unwrap().copy_from_slice(&x);
            session.run().unwrap();
            session.output(0).unwrap().as_f32().unwrap().to_vec()
        };
        let exact = once(&original);
        let worst = [converted.model, rounded(&original, &Keep::default())].map(|model| {
            let found = once(&model);
            exact.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        });
        println!("{name}: {} of {} nodes, {} casts, worst {worst:?}", converted.values.len(), operators(&original).len(), converted.casts);
        // Its recipe allows for that.
        let (double, home) = (Double::new(Form::Eleven), tempfile::tempdir().unwrap());
        let size = FixedSize { height: Some(shape[2]), width: None };
        let module = if name.ends_with("det") { "text_detection" } else { "text_recognition" };
        let kind = NetworkKind { module: module.into(), size };
        let engine = backend(&double, home.path()).load(&LoadOptions { kind, ..options(&original) }).unwrap();
        assert_eq!(engine.info().precision, Precision::Float16);
        assert!(worst.iter().all(|worst| (f32::MIN_POSITIVE..0.05).contains(worst)), "{name}: {worst:?}");
    }
}

//! Networks that decode in a Loop: cut in two and run step by step on the double of TensorRT-RTX, they give what the whole gives.

use super::double::{Double, Form, compute, in_onnx_runtime, onnx_runtime, sample_options};
use super::session::backend;
use super::surgery::{apply, floats, int, integers, ints, model, node, run, value};
use crate::random::Random;
use hpinfer::backend::onnxruntime::OnnxRuntime;
use hpinfer::backend::openvino::OpenVino;
use hpinfer::backend::tensorrt::session::TensorRt;
use hpinfer::backend::{Backend, Engine, LoadOptions, NetworkKind, Onnx};
use hpinfer::cache::{Cache, sha256};
use hpinfer::onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, attribute_proto::AttributeType, tensor_proto::DataType,
};
use hpinfer::onnx::surgery::Surgery;
use hpinfer::onnx::surgery::decoder::{Rules, cut};
use hpinfer::onnx::surgery::same_in_all_steps::move_products;
use hpinfer::runtime;
use hpinfer::tensor::Shape;
use prost::Message;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Sums in float32 of some steps, relative to the greatest output.
const STEPS: f32 = 1e-5;
const MOST: i64 = 6;
const TOKENS: i64 = 5;

fn whole(name: &str, dims: &[i64], values: &[i64], dtype: DataType) -> TensorProto {
    let narrow = values.iter().map(|v| *v as i32).collect();
    match dtype {
        DataType::Int64 => integers(name, dims, values),
        _ => TensorProto {
            name: Some(name.into()),
            dims: dims.to_vec(),
            data_type: Some(dtype as i32),
            int32_data: narrow,
            ..Default::default()
        },
    }
}

/// Writes `row` [N, 1, ..] into `buffer` at the counter.
fn write(row: &str, buffer: &str, to: &str, index: &str) -> Vec<NodeProto> {
    let [shape, places] = ["shape", "places"].map(|what| format!("{row}_{what}"));
    vec![
        node("Shape", &[row], &[&shape], vec![]),
        node("Expand", &[index, &shape], &[&places], vec![]),
        node("ScatterElements", &[buffer, &places, row], &[to], vec![int("axis", 1)]),
    ]
}

/// A picture [N, 3, H, W] whose pixels a recurrent cell reads on average, with the token it made last; a step gives 2 coordinates and
/// scores of 5 tokens. Steps end when each sequence has the token `end`: `late` sees those before the step, and adds a row.
pub fn recurrent(random: &mut Random, end: i64, late: bool) -> ModelProto {
    use DataType::{Bool, Float, Int32, Int64};
    let mut nodes = vec![
        node("ReduceMean", &["features"], &["mean"], vec![ints("axes", &[1]), int("keepdims", 0)]),
        node("Cast", &["token"], &["token_wide"], vec![int("to", Int64 as i64)]),
        node("OneHot", &["token_wide", "tokens", "off_on"], &["hot"], vec![]),
        node("Concat", &["mean", "hot"], &["seen"], vec![int("axis", 1)]),
        node("MatMul", &["seen", "w"], &["a"], vec![]),
        node("Transpose", &["u"], &["u_t"], vec![ints("perm", &[1, 0])]),
        node("MatMul", &["hidden", "u_t"], &["b"], vec![]),
        node("Add", &["a", "b"], &["c"], vec![]),
        node("Tanh", &["c"], &["hidden_next"], vec![]),
        node("MatMul", &["hidden_next", "v"], &["scores"], vec![]),
        node("MatMul", &["hidden_next", "p"], &["places"], vec![]),
        node("Sigmoid", &["places"], &["corner"], vec![]),
        node("ArgMax", &["scores"], &["best"], vec![int("axis", 1), int("keepdims", 0)]),
        node("Cast", &["best"], &["token_next"], vec![int("to", Int32 as i64)]),
        node("Unsqueeze", &["scores", "one"], &["score_row"], vec![]),
        node("Unsqueeze", &["corner", "one"], &["corner_row"], vec![]),
        node("Unsqueeze", &["token_next", "one"], &["token_row"], vec![]),
        node("Reshape", &["counter", "deep"], &["index"], vec![]),
        node("Reshape", &["counter", "flat"], &["flat_index"], vec![]),
    ];
    nodes.extend(write("score_row", "score_buffer", "score_buffer_next", "index"));
    nodes.extend(write("corner_row", "corner_buffer", "corner_buffer_next", "index"));
    nodes.extend(write("token_row", "token_buffer", "token_buffer_next", "flat_index"));
    nodes.extend([
        node("Equal", &[if late { "token_buffer" } else { "token_buffer_next" }, "end"], &["is_end"], vec![]),
        node("Cast", &["is_end"], &["ends"], vec![int("to", Int32 as i64)]),
        node("ReduceMax", &["ends"], &["ended"], vec![ints("axes", &[1]), int("keepdims", 0)]),
        node("ReduceMin", &["ended"], &["all_ended"], vec![ints("axes", &[0]), int("keepdims", 0)]),
        node("Cast", &["all_ended"], &["done"], vec![int("to", Bool as i64)]),
        node("Not", &["done"], &["not_done"], vec![]),
        node("Add", &["counter", "step"], &["counter_next"], vec![]),
        node("Less", &["counter_next", "most"], &["within"], vec![]),
        node("And", &["within", "not_done"], &["go_on"], vec![]),
    ]);
    let carried = |next: &str| {
        let name = |name: &str| format!("{name}{next}");
        vec![
            value("features", Float, &[-1, -1, 3]),
            value(&name("hidden"), Float, &[-1, 4]),
            value(&name("token"), Int32, &[-1]),
            value(&name("counter"), Int64, &[]),
            value(&name("score_buffer"), Float, &[-1, MOST, TOKENS]),
            value(&name("corner_buffer"), Float, &[-1, MOST, 2]),
            value(&name("token_buffer"), Int32, &[-1, MOST]),
        ]
    };
    let body = GraphProto {
        name: Some("body".into()),
        node: nodes,
        input: [vec![value("turn", Int64, &[]), value("go", Bool, &[])], carried("")].concat(),
        output: [vec![value("go_on", Bool, &[])], carried("_next")].concat(),
        initializer: vec![
            floats("off_on", &[2], vec![0.0, 1.0]),
            integers("tokens", &[1], &[TOKENS]),
            integers("one", &[1], &[1]),
            integers("deep", &[3], &[1, 1, 1]),
            integers("flat", &[2], &[1, 1]),
            integers("step", &[], &[1]),
            integers("most", &[], &[MOST]),
            whole("end", &[], &[end], Int32),
        ],
        ..Default::default()
    };
    let starts = |name: &str, shape: &str, dtype: DataType| {
        let zero = AttributeProto {
            name: Some("value".into()),
            r#type: Some(AttributeType::Tensor as i32),
            t: Some(if dtype == Float { floats("", &[1], vec![0.0]) } else { whole("", &[1], &[0], dtype) }),
            ..Default::default()
        };
        [
            node("Concat", &["batch", shape], &[&format!("{name}_shape")], vec![int("axis", 0)]),
            node("ConstantOfShape", &[&format!("{name}_shape")], &[name], vec![zero]),
        ]
    };
    let mut nodes = vec![
        node("Reshape", &["x", "pixels"], &["by_pixel"], vec![]),
        node("Transpose", &["by_pixel"], &["features_0"], vec![ints("perm", &[0, 2, 1])]),
        node("Shape", &["x"], &["size"], vec![]),
        node("Slice", &["size", "zero", "first"], &["batch"], vec![]),
    ];
    for (name, shape, dtype) in [
        ("hidden_0", "four", Float),
        ("token_0", "none", Int32),
        ("score_0", "score_rows", Float),
        ("corner_0", "corner_rows", Float),
        ("token_rows_0", "most_rows", Int32),
    ] {
        nodes.extend(starts(name, shape, dtype));
    }
    let body = AttributeProto { name: Some("body".into()), r#type: Some(AttributeType::Graph as i32), g: Some(body), ..Default::default() };
    let reads = ["", "go_0", "features_0", "hidden_0", "token_0", "counter_0", "score_0", "corner_0", "token_rows_0"];
    nodes.push(node(
        "Loop",
        &reads,
        &["features_n", "hidden_n", "token_n", "counter_n", "score_n", "corner_n", "token_rows_n"],
        vec![body],
    ));
    let count = if late { "count_more" } else { "counter_n" };
    nodes.extend([
        node("Add", &["counter_n", "one_more"], &["count_more"], vec![]),
        node("Reshape", &[count, "first"], &["count"], vec![]),
        node("Slice", &["corner_n", "zero", "count", "first"], &["corners"], vec![]),
        node("Slice", &["score_n", "zero", "count", "first"], &["logits"], vec![]),
        node("Softmax", &["logits"], &["probabilities"], vec![int("axis", -1)]),
    ]);
    let weight = |random: &mut Random, name: &str, dims: [i64; 2]| {
        floats(name, &dims, random.floats((dims[0] * dims[1]) as usize).iter().map(|v| 3.0 * v).collect())
    };
    let constants = vec![
        weight(random, "w", [3 + TOKENS, 4]),
        weight(random, "u", [4, 4]),
        weight(random, "v", [4, TOKENS]),
        weight(random, "p", [4, 2]),
        integers("pixels", &[3], &[0, 3, -1]),
        integers("zero", &[1], &[0]),
        integers("first", &[1], &[1]),
        integers("four", &[1], &[4]),
        integers("none", &[0], &[]),
        integers("score_rows", &[2], &[MOST, TOKENS]),
        integers("corner_rows", &[2], &[MOST, 2]),
        integers("most_rows", &[1], &[MOST]),
        whole("go_0", &[], &[1], Bool),
        integers("counter_0", &[], &[0]),
        integers("one_more", &[], &[1]),
    ];
    let outputs = vec![value("corners", Float, &[-1, -1, 2]), value("probabilities", Float, &[-1, -1, TOKENS])];
    model(nodes, constants, vec![value("x", Float, &[-1, 3, -1, -1])], outputs)
}

fn options(model: &ModelProto) -> LoadOptions {
    let bytes = model.encode_to_vec();
    let kind = NetworkKind { module: "table_recognition".into(), ..Default::default() };
    LoadOptions { kind, model_sha256: sha256(&bytes), onnx: Some(Onnx::Bytes(Arc::new(bytes))), ..sample_options() }
}

/// Runs compute what ONNX Runtime does, whatever the network.
fn computes_every_network(double: &Double) {
    let engines: Mutex<HashMap<Vec<u8>, Arc<dyn Engine>>> = Mutex::default();
    double.on_run(move |onnx, inputs, outputs| {
        let engine = engines.lock().unwrap().entry(onnx.to_vec()).or_insert_with(|| in_onnx_runtime(onnx.to_vec())).clone();
        compute(&*engine, inputs, outputs)
    });
}

#[test]
fn a_network_that_decodes_in_a_loop_runs_step_by_step() {
    let mut random = Random::fresh("decoder");
    for late in [true, false] {
        // One that never ends by itself, and one that ends with the token of the third step of some picture.
        let (endless, x, tokens) = loop {
            let endless = recurrent(&mut random, 9, late);
            let x = random.floats(3 * 32 * 40);
            let probabilities = &run(&endless, &[("x", &[1, 3, 32, 40][..], &x)])[1].2;
            let best = |row: &[f32]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(at, _)| at as i64);
            let tokens: Vec<i64> = probabilities.chunks(TOKENS as usize).map(best).collect();
            if tokens[2] != 0 {
                break (endless, x, tokens);
            }
        };
        assert_eq!(steps_like_the_whole(&mut random, &endless, 9, late, &x), MOST as usize);
        let mut ending = endless.clone();
        let graph = ending.graph.as_mut().unwrap();
        let at = graph.node.iter().position(|n| n.op_type() == "Loop").unwrap();
        let end = body(graph, at).initializer.iter_mut().find(|t| t.name() == "end").unwrap();
        end.int32_data = vec![tokens[2] as i32];
        let first = tokens.iter().position(|token| *token == tokens[2]).unwrap();
        let rows = if late { first + 3 } else { first + 1 };
        assert_eq!(steps_like_the_whole(&mut random, &ending, tokens[2], late, &x), rows);
    }
}

/// With the one ONNX Runtime that this process has.
fn in_tests(tensorrt: TensorRt) -> TensorRt {
    tensorrt.comparing_with(Arc::new(|| OnnxRuntime::on_processor(&onnx_runtime())))
}

/// Compares the engine of `original` with the whole in ONNX Runtime; rows for the picture `x`.
fn steps_like_the_whole(random: &mut Random, original: &ModelProto, end: i64, late: bool, x: &[f32]) -> usize {
    let rules = cut(original).unwrap().rules;
    let outputs = vec![("corners".to_owned(), false), ("probabilities".to_owned(), true)];
    assert_eq!(rules, Rules { features: 1, outputs, most: MOST as usize, end, late, more_rows: late.into() });

    let double = Double::new(Form::Rtx);
    computes_every_network(&double);
    let home = tempfile::tempdir().unwrap();
    let engine = in_tests(backend(&double, home.path())).load(&options(original)).unwrap();
    // The parts were compared; the next start asks nobody again.
    let nobody = Arc::new(|| Err(hpinfer::Error::internal("test", "nobody is asked")));
    let again = backend(&double, home.path()).comparing_with(nobody.clone()).prepare(&options(original)).unwrap();
    assert_eq!(again.kept().unwrap().info().engines, engine.info().engines);
    assert!(backend(&double, tempfile::tempdir().unwrap().path()).comparing_with(nobody).prepare(&options(original)).is_err());
    let mut session = engine.session().unwrap();
    let mut rows = 0;
    for (n, h, w) in [(3, 33, 32), (2, 32, 48), (1, 32, 40)] {
        let other = random.floats(n * 3 * h * w);
        let x = if n == 1 { x } else { &other };
        session.input(0, Shape::new(&[n, 3, h, w])).unwrap().copy_from_slice(x);
        session.run().unwrap();
        for (index, (name, shape, expected)) in run(original, &[("x", &[n, 3, h, w][..], x)]).iter().enumerate() {
            let found = session.output(index).unwrap();
            assert_eq!((&engine.io().outputs[index].name, found.shape.dims()), (name, shape.as_slice()));
            let worst = expected.iter().zip(found.as_f32().unwrap()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= STEPS, "{name}: {worst}");
            rows = shape[1];
        }
    }
    rows
}

/// `recurrent`, of which every step multiplies the features with a constant first.
fn attending(random: &mut Random, late: bool) -> ModelProto {
    let mut model = recurrent(random, 9, late);
    let graph = model.graph.as_mut().unwrap();
    let at = graph.node.iter().position(|n| n.op_type() == "Loop").unwrap();
    let looped = body(graph, at);
    looped.node[0].input[0] = "projected".into();
    looped.node.insert(0, node("MatMul", &["features", "g"], &["projected"], vec![]));
    graph.initializer.push(floats("g", &[3, 3], random.floats(9)));
    model
}

/// A model in a file, and a folder for forms of it.
fn in_file(folder: &Path, model: &ModelProto) -> LoadOptions {
    let (file, bytes) = (folder.join("inference.onnx"), model.encode_to_vec());
    std::fs::write(&file, &bytes).unwrap();
    let cache_dir = Some(folder.join("compiled"));
    LoadOptions { model_sha256: sha256(&bytes), onnx: Some(Onnx::File(file)), cache_dir, ..sample_options() }
}

/// Names of the forms in a folder, by their ends.
fn kept(options: &LoadOptions) -> Vec<String> {
    let files = std::fs::read_dir(options.cache_dir.as_ref().unwrap()).unwrap();
    let files = files.map(Result::unwrap).filter(|entry| entry.file_type().unwrap().is_file()); // OpenVINO has folders there
    let mut names: Vec<String> = files.map(|file| file.file_name().into_string().unwrap()).collect();
    names.sort();
    names.iter().map(|name| name.rsplit('-').next().unwrap().to_owned()).collect()
}

fn outputs_like(engine: &dyn Engine, original: &ModelProto, x: &(Vec<usize>, Vec<f32>)) {
    let (dims, x) = (&x.0[..], &x.1[..]);
    let mut session = engine.session().unwrap();
    for _ in 0..2 {
        session.input(0, Shape::new(dims)).unwrap().copy_from_slice(x);
        session.run().unwrap();
        for (index, (name, shape, expected)) in run(original, &[("x", dims, x)]).iter().enumerate() {
            let found = session.output(index).unwrap();
            let spec = &engine.io().outputs[index];
            assert_eq!((&spec.name, spec.dims[2], found.shape.dims()), (name, Some(shape[2]), shape.as_slice()));
            let worst = expected.iter().zip(found.as_f32().unwrap()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= STEPS, "{name}: {worst}");
        }
    }
}

/// OpenVINO, as this process has it.
fn openvino() -> OpenVino {
    let cache = Cache::open(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"))).unwrap();
    let found = runtime::ensure(runtime::Library::OpenVino, &cache, None).unwrap();
    OpenVino::open(found, &cache, Arc::new(|| OnnxRuntime::on_processor(&onnx_runtime()))).unwrap()
}

#[test]
fn a_loop_runs_step_by_step_on_the_processor() {
    let mut random = Random::fresh("decoder on the processor");
    let backends: [Box<dyn Backend>; 2] = [Box::new(OnnxRuntime::open(&onnx_runtime().path, None).unwrap()), Box::new(openvino())];
    for (backend, late) in backends.iter().flat_map(|backend| [true, false].map(|late| (backend, late))) {
        let original = attending(&mut random, late);
        let mut decoder = cut(&original).unwrap();
        assert_eq!((move_products(&mut decoder), decoder.rules.features), (1, 2));
        let products = |model: &ModelProto| model.graph.as_ref().unwrap().node.iter().filter(|n| n.op_type() == "MatMul").count();
        assert_eq!((products(&decoder.encoder), products(&decoder.step)), (1, 4));

        let folder = tempfile::tempdir().unwrap();
        let options = in_file(folder.path(), &original);
        let inputs: Vec<_> =
            [(3, 33, 32), (2, 32, 48), (1, 32, 40), (4, 8, 8)].map(|(n, h, w)| (vec![n, 3, h, w], random.floats(n * 3 * h * w))).into();
        let check = |engine: &dyn Engine| {
            assert_eq!(engine.info().backend, backend.name());
            std::thread::scope(|scope| inputs.iter().for_each(|x| drop(scope.spawn(|| outputs_like(engine, &original, x)))));
        };
        check(&*backend.load(&options).unwrap());
        assert_eq!(kept(&options), ["encoder.onnx", "rules.json", "step.onnx"]);
        // The next start looks at the parts only.
        std::fs::write(folder.path().join("inference.onnx"), b"no network").unwrap();
        check(&*backend.load(&options).unwrap());
        // What is damaged is made again.
        let options = in_file(folder.path(), &original);
        let mut files = std::fs::read_dir(options.cache_dir.as_ref().unwrap()).unwrap().map(|file| file.unwrap().path());
        std::fs::write(files.find(|path| path.to_string_lossy().ends_with("-step.onnx")).unwrap(), b"x").unwrap();
        check(&*backend.load(&options).unwrap());
        let in_memory = LoadOptions { onnx: Some(Onnx::Bytes(Arc::new(original.encode_to_vec()))), cache_dir: None, ..options };
        check(&*backend.load(&in_memory).unwrap());
    }
}

/// Its rows begin at the second: the parts know nothing of that.
#[test]
fn a_loop_that_its_parts_do_not_stand_for_runs_as_one_graph() {
    let mut random = Random::fresh("a loop that stays");
    let mut original = attending(&mut random, true);
    let start = original.graph.as_mut().unwrap().initializer.iter_mut().find(|t| t.name() == "counter_0").unwrap();
    start.int64_data = vec![1];
    assert!(cut(&original).is_some());
    let folder = tempfile::tempdir().unwrap();
    let options = in_file(folder.path(), &original);
    let backend = OnnxRuntime::on_processor(&onnx_runtime()).unwrap();
    for _ in 0..2 {
        let engine = backend.load(&options).unwrap();
        assert_eq!(kept(&options), ["whole.onnx"]);
        outputs_like(&*engine, &original, &(vec![2, 3, 8, 8], random.floats(2 * 3 * 8 * 8)));
    }
}

#[test]
fn on_turing_a_step_keeps_its_state_in_float32() {
    let mut step = cut(&recurrent(&mut Random::fresh("step in float32"), 2, true)).unwrap().step;
    let changes = apply(&mut step, Surgery::for_tensorrt_rtx(75));
    assert_eq!(changes, [(Surgery::GemmAsConv, 4)]);
}

#[test]
fn other_loops_are_left_as_they_are() {
    let mut random = Random::fresh("loops that stay");
    let original = recurrent(&mut random, 2, true);
    let spoil = |change: fn(&mut GraphProto, usize)| {
        let mut other = original.clone();
        let graph = other.graph.as_mut().unwrap();
        let at = graph.node.iter().position(|n| n.op_type() == "Loop").unwrap();
        change(graph, at);
        cut(&other)
    };
    assert!(spoil(|_, _| ()).is_some());
    assert!(cut(&recurrent(&mut random, 0, true)).is_none(), "a new buffer is full of this token");
    // An output beside the buffers, rows that are added up, an end that is no constant.
    assert!(spoil(|graph, _| graph.output.push(value("hidden_n", DataType::Float, &[-1, 4]))).is_none());
    assert!(spoil(|graph, at| body(graph, at).node.iter_mut().filter(|n| n.op_type() == "ScatterElements").for_each(add_up)).is_none());
    assert!(spoil(|graph, at| body(graph, at).initializer.retain(|t| t.name() != "end")).is_none());
}

fn body(graph: &mut GraphProto, at: usize) -> &mut GraphProto {
    graph.node[at].attribute[0].g.as_mut().unwrap()
}

fn add_up(scatter: &mut NodeProto) {
    let text = Some(b"add".to_vec());
    let r#type = Some(AttributeType::String as i32);
    scatter.attribute.push(AttributeProto { name: Some("reduction".into()), r#type, s: text, ..Default::default() });
}

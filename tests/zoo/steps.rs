//! Networks that decode in a Loop on the processor: whole, and cut into an encoder and a step that run in turn. Processor time, of which
//! other programs take nothing away.

use super::store::Zoo;
use hpinfer::backend::joined::Joined;
use hpinfer::backend::select::{Libraries, Selector};
use hpinfer::backend::{BackendName, Engine, LoadOptions, Onnx, Parallelism, Session};
use hpinfer::cache::{Cache, sha256};
use hpinfer::onnx::proto::ModelProto;
use hpinfer::onnx::surgery::decoder::{Decoder, cut};
use hpinfer::onnx::surgery::same_in_all_steps::move_products;
use hpinfer::onnx::{Cut, Model, Target};
use hpinfer::tensor::Shape;
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;

/// Rounds in which each form runs once; one more before them warms up.
const ROUNDS: usize = 15;

/// Prints how long each form takes with so many threads and steps, and how far outputs are from those of the whole in ONNX Runtime.
pub fn measure(zoo: &Zoo, name: &str, threads_per_stream: usize, steps: usize, cache: &Cache) {
    use BackendName::{OnnxRuntime, OpenVino};
    let selector = Selector::new(cache.clone(), Libraries::default());
    let load = |backend, proto: &ModelProto| {
        let parallelism = Parallelism { streams: 1, threads_per_stream };
        let target = if backend == OpenVino { Target::OpenVino } else { Target::OnnxRuntime };
        let (onnx, _) = Model::from_proto(proto.clone(), name).prepare(target, Cut::Nothing).expect("a graph");
        let (model_sha256, onnx) = (sha256(&onnx), Some(Onnx::Bytes(Arc::new(onnx))));
        let options = LoadOptions { onnx, model_sha256, rewrite: false, parallelism, ..LoadOptions::new(name) };
        selector.load(Some(backend), &options, &[]).expect("an engine")
    };
    let mut model = Model::decode(&zoo.onnx(name), name).expect("a model").proto;
    let mut decoder = cut(&model).expect("a Loop that decodes");
    end_after(&mut model, decoder.rules.most, steps);
    decoder.rules.most = steps;
    let joined = |backends: [BackendName; 2], Decoder { encoder, step, rules }: &Decoder| -> Arc<dyn Engine> {
        let (encoder, step) = (load(backends[0], encoder), load(backends[1], step));
        let info = encoder.info().clone();
        Arc::new(Joined::new(encoder, step, rules, info).expect("parts of one network"))
    };
    let as_cut = joined([OnnxRuntime; 2], &decoder);
    assert_eq!(move_products(&mut decoder), 1);
    let forms: [(&str, Arc<dyn Engine>); 7] = [
        ("whole, ONNX Runtime", load(OnnxRuntime, &model)),
        ("whole, OpenVINO", load(OpenVino, &model)),
        ("in two parts, ONNX Runtime", as_cut),
        ("the same, products made once", joined([OnnxRuntime; 2], &decoder)),
        ("the same, OpenVINO", joined([OpenVino; 2], &decoder)),
        ("the same, OpenVINO before ONNX Runtime", joined([OpenVino, OnnxRuntime], &decoder)),
        ("the encoder alone, ONNX Runtime", load(OnnxRuntime, &decoder.encoder)),
    ];

    let inputs = zoo.expected(name).make_inputs();
    let [input] = &inputs[..] else { panic!("one input") };
    let mut sessions = forms.each_ref().map(|(_, engine)| engine.session().expect("a session"));
    let mut times = forms.each_ref().map(|_| Vec::new());
    for round in 0..=ROUNDS {
        for (session, times) in sessions.iter_mut().zip(&mut times) {
            let start = processor_ms();
            run(&mut **session, input.shape, &input.data);
            if round > 0 {
                times.push(processor_ms() - start);
            }
        }
    }
    let outputs = |session: &dyn Session| [0, 1].map(|index| floats(session, index));
    let expected = outputs(&*sessions[0]);
    let rows = expected[0].0.dims()[1];
    println!("{name} on {}, {threads_per_stream} threads: {rows} rows; ms of the processor: median (least to most)", input.shape);
    for (((form, _), session), times) in forms.iter().zip(&sessions).zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let far = match form.starts_with("the encoder") {
            true => String::new(),
            false => format!("; outputs differ by {:.0e}", difference(&expected, &outputs(&**session))),
        };
        println!("  {form}: {:.1} ({:.1} to {:.1}){far}", times[ROUNDS / 2], times[0], times[ROUNDS - 1]);
    }
}

/// Lets a network of `most` steps, which has that number less one as a constant, end after `steps`.
fn end_after(model: &mut ModelProto, most: usize, steps: usize) {
    let constants = model.graph.iter_mut().flat_map(|graph| &mut graph.node).flat_map(|node| &mut node.attribute);
    for tensor in constants.filter_map(|attribute| attribute.t.as_mut()) {
        let last = |steps: usize| (steps as i64 - 1).to_le_bytes().to_vec();
        if tensor.raw_data.as_ref() == Some(&last(most)) {
            tensor.raw_data = Some(last(steps));
        }
    }
}

/// What all threads of this process have taken.
fn processor_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 * 1e-6
}

fn run(session: &mut dyn Session, shape: Shape, data: &[f32]) {
    session.input(0, shape).expect("an input").copy_from_slice(data);
    session.run().expect("a run");
}

fn floats(session: &dyn Session, index: usize) -> (Shape, Vec<f32>) {
    let output = session.output(index).expect("an output");
    (output.shape, output.as_f32().expect("floats").to_vec())
}

/// The greatest difference in the rows of both: where its limit was changed the whole has a row of zeros more.
fn difference(a: &[(Shape, Vec<f32>)], b: &[(Shape, Vec<f32>)]) -> f32 {
    assert!(a.iter().zip(b).all(|(a, b)| a.0.dims()[2] == b.0.dims()[2]), "outputs of the same width");
    let pairs = a.iter().zip(b).flat_map(|(a, b)| a.1.iter().zip(&b.1));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

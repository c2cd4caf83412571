//! Networks that decode in a Loop on one thread of the processor: whole, and cut into an encoder and a step that run in turn, as
//! TensorRT gets them. Processor time, of which other programs take nothing away.

use super::store::Zoo;
use hpinfer::backend::select::{Libraries, Selector};
use hpinfer::backend::tensorrt::joined::Joined;
use hpinfer::backend::{BackendName, Engine, LoadOptions, Onnx, Parallelism, Session};
use hpinfer::cache::{Cache, sha256};
use hpinfer::onnx::Model;
use hpinfer::onnx::surgery::decoder::{Decoder, cut};
use hpinfer::tensor::Shape;
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;

/// Rounds in which each form runs once; one more before them warms up.
const ROUNDS: usize = 15;

/// Prints how long each form takes, and how far outputs are from those of the whole in ONNX Runtime.
pub fn measure(zoo: &Zoo, name: &str, cache: &Cache) {
    let selector = Selector::new(cache.clone(), Libraries::default());
    let load = |backend, what: &str, onnx: Vec<u8>| {
        let parallelism = Parallelism { streams: 1, threads_per_stream: 1 };
        let (name, model_sha256) = (format!("{name}{what}"), sha256(&onnx));
        let onnx = Some(Onnx::Bytes(Arc::new(onnx)));
        selector.load(Some(backend), &LoadOptions { onnx, model_sha256, rewrite: true, parallelism, ..LoadOptions::new(name) }, &[])
    };
    let file = zoo.onnx(name);
    let model = Model::decode(&file, name).expect("a model");
    let Decoder { encoder, step, rules } = cut(&model.proto).expect("a Loop that decodes");
    let ort = BackendName::OnnxRuntime;
    let [encoder, step] = [(encoder, ".encoder"), (step, ".step")]
        .map(|(proto, what)| load(ort, what, Model::from_proto(proto, name).to_bytes()).expect("a part"));
    let joined = Joined::new(encoder.clone(), step, &rules, encoder.info().clone()).expect("parts of one network");
    let whole = |backend| load(backend, "", file.clone()).expect("the whole");
    let forms: [(&str, Arc<dyn Engine>); 4] = [
        ("whole, ONNX Runtime", whole(ort)),
        ("whole, OpenVINO", whole(BackendName::OpenVino)),
        ("in two parts, ONNX Runtime", Arc::new(joined)),
        ("the encoder alone, ONNX Runtime", encoder),
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
    println!("{name} on {}: {} rows; ms of the processor: median (least to most)", input.shape, expected[0].0.dims()[1]);
    for (((form, _), session), times) in forms.iter().zip(&sessions).zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let far = match form.starts_with("the encoder") {
            true => String::new(),
            false => format!("; outputs differ by {:.0e}", difference(&expected, &outputs(&**session))),
        };
        println!("  {form}: {:.1} ({:.1} to {:.1}){far}", times[ROUNDS / 2], times[0], times[ROUNDS - 1]);
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

/// The greatest difference.
fn difference(a: &[(Shape, Vec<f32>)], b: &[(Shape, Vec<f32>)]) -> f32 {
    assert!(a.iter().zip(b).all(|(a, b)| a.0 == b.0), "outputs of the same shapes");
    let values = |outputs: &[(Shape, Vec<f32>)]| outputs.iter().flat_map(|(_, values)| values.clone()).collect::<Vec<_>>();
    values(a).iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

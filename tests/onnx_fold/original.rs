//! What the rewrites for OpenVINO are worth: its processor time for the original graphs and for those that it is given.

use hpinfer::backend::select::{Libraries, Selector, Wanted};
use hpinfer::backend::{BackendName, LoadOptions, Parallelism, host};
use hpinfer::cache::Cache;
use hpinfer::model::Store;
use hpinfer::modules::loader::load_options;
use hpinfer::onnx::Cut;
use hpinfer::tensor::Shape;
use hpinfer::trace::Transfers;
use hpinfer::verify::compare::compare;
use hpinfer::verify::inputs::{Input, picture};
use hpinfer::verify::run;
use std::path::Path;

/// Processor time of this process, seconds in steps of 10 ms.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("ticks") / 100.0).sum()
}

/// `cargo test --test onnx_fold -- --ignored original_graph --nocapture`
#[test]
#[ignore = "a measurement of a minute or two, printed with --nocapture"]
fn openvino_on_the_original_graph_and_on_what_it_is_given() {
    let cache = Cache::open(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"))).expect("a cache");
    let (store, selector) = (Store::new(&cache), Selector::new(cache.clone(), Libraries::default()));
    let one = Parallelism { streams: 1, threads_per_stream: 1 };
    let (detector, reader) = ("PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec");
    for (name, [height, width], runs) in
        [(detector, [736, 960], 8), (detector, [320, 320], 40), (reader, [48, 320], 120), (reader, [48, 640], 60), (reader, [48, 1280], 30)]
    {
        let options = load_options(&cache, &store.resolve(name).expect("a model"), one).expect("options");
        let ways = [
            ("original", LoadOptions { rewrite: false, ..options.clone() }),
            ("rewritten", options.clone()),
            ("without the last layer", LoadOptions { cut: Cut::Classifier, ..options }),
        ];
        let inputs = [Input { name: "x".into(), shape: Shape::new(&[1, 3, height, width]), data: picture([1, 3, height, width], 1, 2) }];
        let ways = &ways[..if name == reader { 3 } else { 2 }];
        let engines: Vec<_> = ways
            .iter()
            .map(|(_, options)| selector.load(Wanted::exactly(BackendName::OpenVino), options, &[]).expect("it loads"))
            .collect();
        let [original, rewritten] = [0, 1].map(|way| run(&*engines[way], &inputs, 0).expect("it runs"));
        let differences = compare(&original.outputs, &rewritten.outputs).expect("the same outputs");
        let error = differences.iter().fold(0f64, |most, difference| most.max(difference.max_rel));
        let mut sessions: Vec<_> = engines.iter().map(|engine| engine.session().expect("a session")).collect();
        let mut times = vec![Vec::new(); ways.len()];
        for round in 0..8 {
            for (session, times) in sessions.iter_mut().zip(&mut times) {
                let before = processor_time();
                for _ in 0..runs {
                    host::feed(&mut **session, 0, inputs[0].shape, &inputs[0].data, &mut Transfers::default()).expect("fed");
                    session.run().expect("it runs");
                }
                // The first round prepares the engine for the shape.
                times.extend((round > 0).then(|| (processor_time() - before) * 1e3 / f64::from(runs)));
            }
        }
        for ((way, _), times) in ways.iter().zip(&mut times) {
            times.sort_by(f64::total_cmp);
            println!("{name} {width}x{height} {way}: {:.2} ms ({:.2} to {:.2})", times[3], times[0], times[6]);
        }
        println!("{name} {width}x{height}: outputs differ by {error:.0e} of the greatest");
    }
}

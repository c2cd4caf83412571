//! Runs of TensorRT that repeat, recorded as graphs of the stand-in.

use super::stub::{DEVICES, Loaded};
use crate::double::{Double, Form, sample_options};
use hpinfer::backend::tensorrt::builder::Builder;
use hpinfer::backend::tensorrt::cache::EngineCache;
use hpinfer::backend::tensorrt::session::TensorRt;
use hpinfer::backend::{Backend, Engine, GpuSession, LoadOptions, ShapeRange};
use hpinfer::cache::Cache;
use hpinfer::device::{Device, Gpu};
use hpinfer::onnx::sample;
use hpinfer::tensor::Shape;
use hpinfer::tensor::storage::stage;
use hpinfer::trace::Transfers;
use std::path::Path;
use std::sync::Arc;

/// Runs before one is recorded: eight as they are, one of the context that is recorded.
const BEFORE: u64 = 9;

/// The sample network, for 1 to 64 rows.
fn engine(double: &Double, home: &Path) -> Arc<dyn Engine> {
    double.computes_sample();
    Loaded::get();
    let cache = EngineCache::new(Cache::open(Some(home)).expect("a cache"));
    let builder = Builder::new(double.open().expect("it opens"), 0, cache).expect("a builder");
    let range = ShapeRange::new([vec![1, 4], vec![2, 4], vec![64, 4]]).expect("a range").expect("of a shape");
    let options = LoadOptions { shapes: [(sample::INPUT.to_owned(), range)].into(), ..sample_options() };
    let device = Device::Gpu(Gpu::open(None).expect("the stand-in opens"));
    TensorRt::new(builder, device).load(&options).expect("an engine")
}

/// A run on `rows` rows; its result is right.
fn run(session: &mut dyn GpuSession, rows: usize, seed: usize) {
    let x: Vec<f32> = (0..rows * 4).map(|i| ((i + seed) as f32).sin()).collect();
    let (stream, mut transfers) = (session.stream().clone(), Transfers::default());
    let placed = stage(&x, &stream).and_then(|s| s.upload(&stream, &mut transfers)).expect("on the device");
    stream.copy(placed.on_device().expect("there"), &mut session.input(0, Shape::new(&[rows, 4])).expect("lent")).expect("copied");
    session.run().expect("a run");
    let y = session.outputs(1).expect("an output")[0].download(&stream, &mut transfers).expect("a copy");
    let y = y.on_host().expect("read");
    assert_eq!((y.shape, y.as_f32().expect("floats")), (Shape::new(&[rows, 3]), &sample::expected(&x)[..]), "{rows} rows, seed {seed}");
}

#[test]
fn a_shape_that_comes_often_is_one_launch() {
    let _turn = Loaded::turn();
    for form in Form::ALL {
        let (double, home) = (Double::new(form), tempfile::tempdir().expect("a folder"));
        let engine = engine(&double, home.path());
        let mut session = engine.session().expect("a session");
        let session = session.on_gpu().expect("on the device");
        let launches = || Loaded::get().counts().graph_launches;
        let before = launches();
        (0..30).for_each(|seed| run(session, 8, seed));
        assert_eq!(launches() - before, 30 - BEFORE, "{form:?}");
        // Another shape in between; the recorded one is still known.
        run(session, 3, 1);
        run(session, 8, 2);
        run(session, 3, 3);
        assert_eq!(launches() - before, 31 - BEFORE);
        // More rows need other memory, and what was recorded on the old one is not used again.
        run(session, 40, 4);
        let moved = launches();
        (0..10).for_each(|seed| run(session, 8, seed));
        assert_eq!(launches() - moved, 8, "{form:?}: after a run as it is and one of the new context");
    }
}

/// A run that waits for the size of an output cannot be recorded; its results come all the same.
#[test]
fn a_run_whose_output_depends_on_data_is_not_recorded() {
    let _turn = Loaded::turn();
    for form in Form::ALL {
        let (double, home) = (Double::new(form), tempfile::tempdir().expect("a folder"));
        let engine = engine(&double, home.path());
        double.knobs("late=y");
        let mut session = engine.session().expect("a session");
        let session = session.on_gpu().expect("on the device");
        let before = Loaded::get().counts().graph_launches;
        (0..30).for_each(|seed| run(session, 1 + seed % 3, seed));
        assert_eq!(Loaded::get().counts().graph_launches, before, "{form:?}");
    }
}

/// Memory for the shapes that an engine was built for is there before the first picture is.
#[test]
fn the_first_run_on_usual_shapes_finds_its_memory() {
    let _turn = Loaded::turn();
    for form in Form::ALL {
        let (double, home) = (Double::new(form), tempfile::tempdir().expect("a folder"));
        let engine = engine(&double, home.path());
        let allocations = || Loaded::get().counts().allocations;
        let opened = allocations();
        let mut first = engine.session().expect("a session");
        assert_eq!(allocations(), opened, "{form:?}: it was made with the engine");
        let mut second = engine.session().expect("another session");
        assert!(allocations()[0] > opened[0], "{form:?}");
        for session in [&mut first, &mut second] {
            let session = session.on_gpu().expect("on the device");
            assert!(session.outputs(1).is_err(), "{form:?}: nothing ran yet");
            let made = allocations();
            for rows in [2, 1, 2] {
                session.input(0, Shape::new(&[rows, 4])).expect("lent");
                session.run().expect("a run");
                assert_eq!(session.outputs(1).expect("an output")[0].shape, Shape::new(&[rows, 3]));
            }
            assert_eq!(allocations(), made, "{form:?}: usual shapes and smaller ones");
            session.input(0, Shape::new(&[64, 4])).expect("lent");
            assert!(allocations()[0] > made[0], "{form:?}: others get what they need");
            session.run().expect("a run");
            run(session, 2, 5);
        }
    }
}

#[test]
fn few_shapes_are_recorded_at_a_time() {
    let _turn = Loaded::turn();
    let (double, home) = (Double::new(Form::Rtx), tempfile::tempdir().expect("a folder"));
    let engine = engine(&double, home.path());
    let mut session = engine.session().expect("a session");
    let session = session.on_gpu().expect("on the device");
    run(session, 64, 0);
    let objects = double.alive();
    for rows in 1..=40 {
        (0..12).for_each(|seed| run(session, rows, seed));
    }
    assert_eq!(double.alive() - objects, 16, "contexts");
}

#[test]
fn where_nothing_can_be_recorded_runs_go_on() {
    let _turn = Loaded::turn();
    for function in ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"] {
        let (double, home) = (Double::new(Form::Eleven), tempfile::tempdir().expect("a folder"));
        let engine = engine(&double, home.path());
        let mut session = engine.session().expect("a session");
        let session = session.on_gpu().expect("on the device");
        let stub = Loaded::get();
        let before = stub.counts().graph_launches;
        stub.words(&format!("{DEVICES} fail={function} code=900"));
        (0..30).for_each(|seed| run(session, 8, seed));
        stub.words(DEVICES);
        assert_eq!(stub.counts().graph_launches, before, "{function}");
        (0..30).for_each(|seed| run(session, 8, seed));
        assert_eq!(stub.counts().graph_launches, before, "{function}: it has failed too often");
    }
}

/// A library that loads something makes the whole device wait, which fails while work is recorded.
#[test]
fn nothing_is_recorded_while_a_library_loads_something() {
    let _turn = Loaded::turn();
    let (double, home) = (Double::new(Form::Eleven), tempfile::tempdir().expect("a folder"));
    let engine = engine(&double, home.path());
    let mut session = engine.session().expect("a session");
    let session = session.on_gpu().expect("on the device");
    let (gpu, launches) = (session.stream().gpu().clone(), || Loaded::get().counts().graph_launches);
    let before = launches();
    let loading = gpu.for_loading();
    (0..30).for_each(|seed| run(session, 8, seed));
    assert_eq!(launches(), before);
    drop(loading);
    (0..30).for_each(|seed| run(session, 8, seed));
    assert_eq!(launches() - before, 30, "the context was there");
}

/// What another thread does to the device may spoil what is recorded meanwhile.
#[test]
fn after_one_failure_runs_are_recorded_all_the_same() {
    let _turn = Loaded::turn();
    let (double, home) = (Double::new(Form::Ten), tempfile::tempdir().expect("a folder"));
    let engine = engine(&double, home.path());
    let mut session = engine.session().expect("a session");
    let session = session.on_gpu().expect("on the device");
    let stub = Loaded::get();
    let before = stub.counts().graph_launches;
    stub.words(&format!("{DEVICES} fail=cuStreamEndCapture code=901"));
    (0..BEFORE as usize + 1).for_each(|seed| run(session, 8, seed));
    stub.words(DEVICES);
    assert_eq!(stub.counts().graph_launches, before);
    (0..20).for_each(|seed| run(session, 8, seed));
    assert!(stub.counts().graph_launches - before >= 10, "{}", stub.counts().graph_launches - before);
}

//! An engine and the one that stands in for it, both with their data in the memory of a device.

use super::emulated::Emulated;
use super::stub::Loaded;
use hpinfer::backend::fake::{FakeEngine, Input};
use hpinfer::backend::host;
use hpinfer::backend::stand_in::{Numbers, Open, WithStandIn};
use hpinfer::backend::{Engine, EngineSpec, Session};
use hpinfer::device::Gpu;
use hpinfer::tensor::Shape;
use hpinfer::trace::Transfers;
use hpinfer::{Error, Result};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Takes up to two rows.
pub struct Narrow {
    pub engine: Arc<dyn Engine>,
    pub passed_on: Arc<AtomicUsize>,
}

impl Engine for Narrow {
    fn spec(&self) -> &EngineSpec {
        self.engine.spec()
    }

    fn session(&self) -> Result<Box<dyn Session>> {
        self.engine.session()
    }

    fn refuses(&self, shapes: &[Shape]) -> Option<String> {
        (shapes[0].dims()[0] > 2).then(|| "two rows at most".into())
    }

    fn passed_on(&self, _shapes: &[Shape]) {
        self.passed_on.fetch_add(1, Ordering::Relaxed);
    }
}

/// Multiplies by `factor` on the device.
fn times(factor: f32, gpu: &Arc<Gpu>) -> Arc<dyn Engine> {
    let run = move |inputs: &[Input]| Ok((inputs[0].0, inputs[0].1.iter().map(|v| v * factor).collect()));
    Emulated::on(Arc::new(FakeEngine::new("m", run)), gpu)
}

/// What comes of `rows` rows.
fn run(session: &mut dyn Session, rows: usize) -> Vec<f32> {
    let values: Vec<f32> = (0..rows * 3).map(|v| v as f32).collect();
    host::feed(session, 0, Shape::new(&[rows, 1, 1, 3]), &values, &mut Transfers::default()).expect("fed");
    session.run().expect("a run");
    let outputs = host::outputs(session, 1, &mut Transfers::default()).expect("an output");
    outputs[0].tensor().expect("read").as_f32().expect("floats").to_vec()
}

fn expected(rows: usize, factor: f32) -> Vec<f32> {
    (0..rows * 3).map(|v| v as f32 * factor).collect()
}

#[test]
fn what_an_engine_refuses_goes_to_the_other_and_comes_back() {
    let _turn = Loaded::turn();
    Loaded::get();
    let gpu = Gpu::open(None).expect("the stand-in opens");
    let passed_on = Arc::new(AtomicUsize::new(0));
    let engine = Arc::new(Narrow { engine: times(2.0, &gpu), passed_on: passed_on.clone() });
    let device = gpu.clone();
    let open: Open = Box::new(move || Ok(times(3.0, &device)));
    let both = WithStandIn::built(engine, open, &Numbers::default());
    let marks = both.info().stand_in.clone().expect("marks");
    assert_eq!([2, 3].map(|rows| both.runs_itself(&[Shape::new(&[rows, 1, 1, 3])])), [true, false]);
    let mut session = both.session().expect("a session");
    for (rows, factor) in [(1, 2.0), (4, 3.0), (4, 3.0), (2, 2.0), (3, 3.0), (1, 2.0)] {
        assert_eq!(run(&mut *session, rows), expected(rows, factor), "{rows} rows");
        assert_eq!((session.ran().has(marks.own), session.ran().has(marks.built)), (factor == 3.0, factor == 2.0));
    }
    assert_eq!(passed_on.load(Ordering::Relaxed), 3);
}

/// The engine comes between a run and the reading of its outputs, which are those of that run.
#[test]
fn outputs_are_those_of_the_run_though_the_engine_came_since() {
    let _turn = Loaded::turn();
    Loaded::get();
    let gpu = Gpu::open(None).expect("the stand-in opens");
    let (go, device) = (Arc::new(Mutex::new(())), gpu.clone());
    let held = go.lock().expect("no panic");
    let (wait, built) = (go.clone(), times(2.0, &gpu));
    let build = Box::new(move || {
        let _go = wait.lock().map_err(|e| Error::internal("test", e.to_string()))?;
        Ok(built)
    });
    let open: Open = Box::new(|| Err(Error::internal("test", "it is not needed again")));
    let wanted = times(2.0, &gpu).info().clone();
    let stop = Arc::new(AtomicBool::default());
    let both = WithStandIn::building(wanted, (times(3.0, &device), open), 2, &Numbers::default(), stop, build).expect("a thread");
    let marks = both.info().stand_in.clone().expect("marks");
    let mut session = both.session().expect("a session");
    assert_eq!(run(&mut *session, 2), expected(2, 3.0));
    host::feed(&mut *session, 0, Shape::new(&[1, 1, 1, 3]), &[1.0, 2.0, 3.0], &mut Transfers::default()).expect("fed");
    session.run().expect("a run");
    drop(held);
    // A session made now tells when the engine is there.
    while !both.session().expect("a session").ran().has(marks.built) {
        std::thread::yield_now();
    }
    let outputs = host::outputs(&mut *session, 1, &mut Transfers::default()).expect("an output");
    assert_eq!(outputs[0].tensor().expect("read").as_f32().expect("floats"), [3.0, 6.0, 9.0]);
    drop(outputs);
    assert!(session.ran().has(marks.own));
    assert_eq!(run(&mut *session, 2), expected(2, 2.0));
    assert!(session.ran().has(marks.built));
}

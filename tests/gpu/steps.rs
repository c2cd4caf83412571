//! A network in two engines, of which one runs once and the other step by step, both on a device.

use super::emulated::Emulated;
use super::stub::Loaded;
use hpinfer::backend::Engine;
use hpinfer::backend::fake::{FakeEngine, Output};
use hpinfer::backend::joined::Joined;
use hpinfer::device::Gpu;
use hpinfer::onnx::surgery::decoder::Rules;
use hpinfer::tensor::Shape;
use std::sync::Arc;

const END: f32 = 7.0;

/// Twice the input, and a count that begins at zero.
fn encoder() -> FakeEngine {
    FakeEngine::with_io("m", &[("x", &[None, Some(3)])], 2, |inputs| {
        let (shape, x) = &inputs[0];
        let rows = shape.dims()[0];
        Ok(vec![Output::f32(&[rows, 3], x.iter().map(|v| v * 2.0).collect()), Output::f32(&[rows, 1], vec![0.0; rows])])
    })
}

/// The count and what it is reached with, the token of the end when the count is the first feature, and the next count.
fn step() -> FakeEngine {
    FakeEngine::with_io("m", &[("features", &[None, Some(3)]), ("count", &[None, Some(1)])], 3, |inputs| {
        let (features, counts) = (&inputs[0].1, &inputs[1].1);
        let rows = counts.len();
        let row = |(at, count): (usize, &f32)| [*count, features[at * 3 + 1] + count];
        let token = |(at, count): (usize, &f32)| if *count >= features[at * 3] { END } else { 0.0 };
        Ok(vec![
            Output::f32(&[rows, 2], counts.iter().enumerate().flat_map(row).collect()),
            Output::f32(&[rows], counts.iter().enumerate().map(token).collect()),
            Output::f32(&[rows, 1], counts.iter().map(|count| count + 1.0).collect()),
        ])
    })
}

#[test]
fn steps_on_a_device_give_what_they_give_on_the_processor() {
    let _turn = Loaded::turn();
    Loaded::get();
    let gpu = Gpu::open(None).expect("the stand-in opens");
    let rules = Rules { features: 1, outputs: vec![("rows".into(), false)], most: 9, end: END as i64, late: false, more_rows: 0 };
    let joined = |encoder: Arc<dyn Engine>, step: Arc<dyn Engine>| {
        let info = encoder.info().clone();
        Joined::new(encoder, step, &rules, info).expect("they go together").session().expect("a session")
    };
    let mut here = joined(Arc::new(encoder()), Arc::new(step()));
    let mut there = joined(Emulated::on(Arc::new(encoder()), &gpu), Emulated::on(Arc::new(step()), &gpu));
    assert!(there.on_gpu().is_none(), "its data is in the memory of the host");
    // Twice the first number of a picture is the step at which its sequence ends.
    for (x, steps) in [(vec![1.0, 5.0, 0.0, 1.5, 6.0, 0.0], 4), (vec![0.0, 1.0, 0.0], 1), (vec![20.0, 1.0, 0.0, 0.5, 2.0, 0.0], 9)] {
        let rows = x.len() / 3;
        for session in [&mut here, &mut there] {
            session.input(0, Shape::new(&[rows, 3])).expect("an input").copy_from_slice(&x);
            session.run().expect("a run");
        }
        let [expected, found] = [&here, &there].map(|session| session.output(0).expect("an output"));
        assert_eq!((expected.shape, found.shape), (Shape::new(&[rows, steps, 2]), expected.shape));
        assert_eq!(found.as_f32().expect("floats"), expected.as_f32().expect("floats"));
        assert_eq!(found.as_f32().expect("floats")[1], x[1] * 2.0);
    }
}

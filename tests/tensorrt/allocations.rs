//! A run on the shapes of the run before allocates nothing on this side of the library.

use super::double::{Double, Form, sample_options};
use super::session::backend;
use hpinfer::backend::{Backend, Session};
use hpinfer::tensor::Shape;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Instant;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting per thread.
struct Counting;

// SAFETY: everything is the system's allocator's; the counter is a plain number without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A session on a library whose runs cost next to nothing, to be used within `work`.
fn with_session(form: Form, work: impl FnOnce(&mut dyn Session)) {
    let double = Double::new(form);
    double.on_run(|_, inputs, outputs| {
        let rows = inputs[0].shape()[0];
        outputs[0].set_shape(&[rows, 3]);
        if let (Some(x), Some(y)) = (inputs[0].floats(), outputs[0].floats()) {
            y[0] = x[0] + 1.0;
        }
        Ok(())
    });
    let home = tempfile::tempdir().unwrap();
    let engine = backend(&double, home.path()).load(&sample_options()).unwrap();
    work(&mut *engine.session().unwrap());
}

/// What a call costs on this side of the library, and in the double of it; other shapes in turn are bound anew.
#[test]
#[ignore = "a measurement: cargo test --release --test tensorrt what_a_run_costs -- --ignored --nocapture"]
fn what_a_run_costs() {
    for form in Form::ALL {
        with_session(form, |session| {
            for (what, shapes) in [("one shape", [4, 4]), ("two shapes in turn", [4, 8])] {
                let mut run = |rounds: usize| {
                    for round in 0..rounds {
                        session.input(0, Shape::new(&[shapes[round % 2], 4])).unwrap();
                        session.run().unwrap();
                    }
                };
                run(1000);
                let start = Instant::now();
                run(20_000);
                println!("{form:?}, {what}: {:.2} us a run", start.elapsed().as_secs_f64() * 1e6 / 20_000.0);
            }
        });
    }
}

#[test]
fn a_repeated_run_allocates_nothing() {
    for form in Form::ALL {
        with_session(form, |session| {
            let shape = Shape::new(&[4, 4]);
            let mut run = |first: f32| {
                session.input(0, shape).unwrap()[0] = first;
                session.run().unwrap();
                assert_eq!(session.output(0).unwrap().as_f32().unwrap()[0], first + 1.0);
            };
            run(0.0);
            let before = ALLOCATIONS.get();
            for round in 0..100u8 {
                run(f32::from(round));
            }
            assert_eq!(ALLOCATIONS.get() - before, 0, "{form:?}");
        });
    }
}

//! A run on the shapes of the run before allocates nothing on this side of the library.

use super::double::{Double, Form, sample_options};
use super::session::backend;
use hpinfer::backend::Backend;
use hpinfer::tensor::Shape;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

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

#[test]
fn a_repeated_run_allocates_nothing() {
    for form in Form::ALL {
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
        let mut session = engine.session().unwrap();
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
    }
}

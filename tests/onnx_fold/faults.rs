//! Runs that OpenVINO refuses, and those after them.

use super::builder::Builder;
use hpinfer::backend::select::{Libraries, Selector, Wanted};
use hpinfer::backend::{BackendName, Engine, LoadOptions, Onnx, Parallelism, Session};
use hpinfer::cache::Cache;
use hpinfer::onnx::Model;
use hpinfer::tensor::Shape;
use hpinfer::{Error, Result};
use std::path::Path;
use std::sync::Arc;

/// Sums of threes of `count` numbers, if it can be divided so.
fn run(session: &mut dyn Session, count: usize) -> Result<Vec<f32>> {
    session.input(0, Shape::new(&[count]))?.iter_mut().enumerate().for_each(|(i, x)| *x = i as f32);
    session.run()?;
    Ok(session.output(0)?.as_f32()?.to_vec())
}

/// The engine of a network that runs on multiples of three numbers only.
fn engine(parallelism: Parallelism) -> Arc<dyn Engine> {
    let cache = Cache::open(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"))).expect("a cache");
    let mut b = Builder::new("threes", &[-1], 2);
    b.integers("rows", &[-1, 3]).tensor("ones", &[3, 1], vec![1.0; 3]).node("Reshape x,rows", "m", &[]).node("MatMul m,ones", "y", &[]);
    let onnx = Onnx::Bytes(Model::from_proto(b.model(), "threes").to_bytes().into());
    let options = LoadOptions { onnx: Some(onnx), parallelism, ..LoadOptions::new("threes") };
    Selector::new(cache, Libraries::default()).load(Wanted::exactly(BackendName::OpenVino), &options, &[]).expect("OpenVINO takes it")
}

fn expected(count: usize) -> Vec<f32> {
    (0..count / 3).map(|row| (9 * row + 3) as f32).collect()
}

/// What one worker does to what all share is no matter of the others.
#[test]
fn workers_get_right_answers_while_runs_of_others_fail() {
    for (streams, threads_per_stream) in [(2, 1), (1, 2), (1, 1)] {
        let engine = engine(Parallelism { streams, threads_per_stream });
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let engine = &engine;
                scope.spawn(move || {
                    let mut session = engine.session().expect("a session");
                    for round in 0..120 {
                        let count = 3 * (1 + (worker + round) % 5) + usize::from(round % (3 + worker) == 0);
                        match run(&mut *session, count) {
                            Ok(found) => assert_eq!(found, expected(count - count % 3), "{count} numbers, worker {worker}, round {round}"),
                            Err(error) => {
                                assert!(count % 3 != 0, "{count} numbers, worker {worker}, round {round}: {error}");
                                session = engine.session().expect("another one");
                                continue;
                            }
                        }
                        assert_eq!(count % 3, 0, "worker {worker}, round {round}: an answer to what cannot be run");
                    }
                });
            }
        });
    }
}

#[test]
fn after_a_run_that_fails_the_next_ones_are_right() {
    for (streams, threads_per_stream) in [(1, 1), (2, 1), (1, 2)] {
        let parallelism = Parallelism { streams, threads_per_stream };
        let engine = engine(parallelism);
        let right = |session: &mut dyn Session, count: usize| {
            assert_eq!(run(session, count).expect("a run"), expected(count), "{count} numbers, {parallelism:?}");
        };
        let [mut first, mut second] = [0, 1].map(|_| engine.session().expect("a session"));
        right(&mut *first, 6);
        for count in [4, 7] {
            let error = run(&mut *second, count).expect_err("no threes");
            assert!(matches!(&error, Error::Device { stage, .. } if stage.contains(&format!("[{count}]"))), "{error}");
            second = engine.session().expect("another one");
            right(&mut *second, count - 1);
            // The other one had its request before.
            right(&mut *first, 9);
            right(&mut *first, 6);
        }
    }
}

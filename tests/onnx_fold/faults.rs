//! Runs that OpenVINO refuses, and those after them.

use super::builder::Builder;
use hpinfer::backend::select::{Libraries, Selector, Wanted};
use hpinfer::backend::{BackendName, LoadOptions, Onnx, Parallelism, Session};
use hpinfer::cache::Cache;
use hpinfer::onnx::Model;
use hpinfer::tensor::Shape;
use hpinfer::{Error, Result};
use std::path::Path;

/// Sums of threes of `count` numbers, if it can be divided so.
fn run(session: &mut dyn Session, count: usize) -> Result<Vec<f32>> {
    session.input(0, Shape::new(&[count]))?.iter_mut().enumerate().for_each(|(i, x)| *x = i as f32);
    session.run()?;
    Ok(session.output(0)?.as_f32()?.to_vec())
}

#[test]
fn after_a_run_that_fails_the_next_ones_are_right() {
    let cache = Cache::open(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"))).expect("a cache");
    let selector = Selector::new(cache, Libraries::default());
    let mut b = Builder::new("threes", &[-1], 2);
    b.integers("rows", &[-1, 3]).tensor("ones", &[3, 1], vec![1.0; 3]).node("Reshape x,rows", "m", &[]).node("MatMul m,ones", "y", &[]);
    let onnx = Onnx::Bytes(Model::from_proto(b.model(), "threes").to_bytes().into());
    for (streams, threads_per_stream) in [(1, 1), (2, 1), (1, 2)] {
        let parallelism = Parallelism { streams, threads_per_stream };
        let options = LoadOptions { onnx: Some(onnx.clone()), parallelism, ..LoadOptions::new("threes") };
        let engine = selector.load(Wanted::exactly(BackendName::OpenVino), &options, &[]).expect("OpenVINO takes it");
        let right = |session: &mut dyn Session, count: usize| {
            let expected: Vec<f32> = (0..count / 3).map(|row| (9 * row + 3) as f32).collect();
            assert_eq!(run(session, count).expect("a run"), expected, "{count} numbers, {parallelism:?}");
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

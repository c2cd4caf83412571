//! Proof that the binding works with the library at hand: a tiny network is built, loaded, and run, and the result compared
//! with the one computed here. What could not be done on this machine is said, not passed over.

use super::builder::{Builder, Source};
use super::cache::EngineCache;
use super::ffi::{BuildOptions, Library, Range};
use super::recipe::Arithmetic;
use super::session::session;
use crate::backend::{Onnx, Session};
use crate::cache::{Cache, sha256};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::onnx::sample;
use crate::tensor::Shape;
use crate::tensor::storage::stage;
use crate::trace::Transfers;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// What happened.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of the library in full.
    pub library: String,
    /// Whether that minor version was compared with NVIDIA's headers.
    pub compared_with_headers: bool,
    /// Whether it can build engines.
    pub has_builder: bool,
    /// The GPU.
    pub gpu: String,
    /// Where tensors lay.
    pub memory: &'static str,
    /// Steps in their order, with milliseconds; the last one may have failed.
    pub steps: Vec<Step>,
    /// The greatest difference between the engine's output and the expected one.
    pub greatest_difference: Option<f32>,
    /// Whether everything was done and right.
    pub passed: bool,
}

/// One step.
#[derive(Debug, Serialize)]
pub struct Step {
    /// What was done.
    pub step: &'static str,
    /// How long it took.
    pub milliseconds: f64,
    /// What went wrong.
    pub error: Option<String>,
}

/// Full float32 on both sides of a network of two steps.
const TOLERANCE: f32 = 1e-5;

/// Runs the test with `library` on `device`, in a cache of its own; the processor is for test doubles of the library.
///
/// # Errors
/// [`Error::Backend`] when there is no GPU to run it on; a step that fails is part of the report.
pub fn run(library: &Arc<Library>, device: &Device) -> Result<Report> {
    let versions = *library.versions();
    let folder = tempfile::tempdir().map_err(Error::io("create", &std::env::temp_dir()))?;
    if let Some(gpu) = device.gpu() {
        gpu.make_current()?;
    }
    let number = device.gpu().map_or(0, |gpu| gpu.info().number);
    let builder = Builder::new(library.clone(), number, EngineCache::new(Cache::open(Some(folder.path()))?))?;
    let mut report = Report {
        library: versions.to_string(),
        compared_with_headers: versions.checked,
        has_builder: versions.has_builder,
        gpu: builder.gpu().to_string(),
        memory: if device.gpu().is_some() { "device" } else { "host" },
        steps: Vec::new(),
        greatest_difference: None,
        passed: false,
    };
    if let Some(difference) = steps(&builder, device, &mut report.steps) {
        report.greatest_difference = Some(difference);
        report.passed = difference <= TOLERANCE;
    }
    Ok(report)
}

fn steps(builder: &Builder, device: &Device, steps: &mut Vec<Step>) -> Option<f32> {
    let range = Range { input: sample::INPUT.into(), min: vec![1, 4], opt: vec![2, 4], max: vec![8, 4] };
    let options = BuildOptions { profiles: vec![vec![range]], ..BuildOptions::default() };
    let bytes = sample::bytes();
    let source = Source { model: "selftest".into(), sha256: sha256(&bytes), onnx: Onnx::Bytes(Arc::new(bytes)) };
    let engine = || builder.engine(&source, &options, &Arithmetic::Float32);
    step(steps, "build", engine)?;
    let made = step(steps, "load from the cache", engine)?;
    let mut session = step(steps, "context", || session(&made.engine, device, "selftest"))?;
    step(steps, "run", || {
        let mut worst = 0.0f32;
        // A shape that comes often gets a context of its own, and is recorded.
        for rows in [2, 8, 1].into_iter().chain([4; 12]).chain([8, 4]) {
            let x: Vec<f32> = (0..rows * 4).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
            let y = run_once(&mut *session, Shape::new(&[rows, 4]), &x)?;
            let expected = sample::expected(&x);
            if y.len() != expected.len() {
                return Err(Error::internal("selftest", format!("{} outputs, {} expected", y.len(), expected.len())));
            }
            worst =
                y.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(worst, |w, d| if d.is_nan() { f32::INFINITY } else { w.max(d) });
        }
        Ok(worst)
    })
}

/// The output for one input, on whichever memory the session works.
fn run_once(session: &mut dyn Session, shape: Shape, x: &[f32]) -> Result<Vec<f32>> {
    let Some(session) = session.on_gpu() else {
        session.input(0, shape)?.copy_from_slice(x);
        session.run()?;
        return Ok(session.output(0)?.as_f32()?.to_vec());
    };
    let (stream, mut transfers) = (session.stream().clone(), Transfers::default());
    let placed = stage(x, &stream)?.upload(&stream, &mut transfers)?;
    stream.copy(placed.on_device()?, &mut session.input(0, shape)?)?;
    session.run()?;
    let y = session.outputs(1)?[0].download(&stream, &mut transfers)?;
    Ok(y.on_host()?.as_f32()?.to_vec())
}

fn step<T>(steps: &mut Vec<Step>, name: &'static str, work: impl FnOnce() -> Result<T>) -> Option<T> {
    let start = Instant::now();
    let done = work();
    let error = done.as_ref().err().map(ToString::to_string);
    steps.push(Step { step: name, milliseconds: (start.elapsed().as_secs_f64() * 1e6).round() / 1e3, error });
    done.ok()
}

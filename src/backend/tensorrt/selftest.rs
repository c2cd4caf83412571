//! Proof that the binding works with the library at hand: tiny networks are built, loaded, and run, and the results compared
//! with those of ONNX Runtime. What could not be done on this machine is said, not passed over.

use super::builder::{Builder, Source};
use super::cache::EngineCache;
use super::ffi::{Abi, BuildOptions, Library, Range};
use super::recipe::Arithmetic;
use super::session::{on_gpu, session};
use crate::backend::reference::{self, Feed};
use crate::backend::{Backend, Onnx, Session};
use crate::cache::{Cache, sha256};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::onnx::{Model, sample};
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
    /// Runs that were one launch of recorded work, a CUDA graph: those of a shape that comes often. `None` on the host, and where
    /// `HPINFER_TENSORRT_GRAPHS` is `off`.
    pub recorded_runs: Option<u64>,
    /// What the engine's output was compared with.
    pub reference: Option<String>,
    /// The greatest difference between the two.
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

/// Least, usual and greatest number of rows of each profile.
const PROFILES: [[i64; 3]; 2] = [[1, 2, 4], [5, 8, 16]];
/// Rows of the inputs, from one profile to the other and back. A shape that comes often gets a context of its own, and is recorded.
const ROWS: [usize; 18] = [2, 8, 1, 4, 4, 4, 4, 4, 16, 4, 4, 4, 4, 4, 4, 4, 8, 4];

/// Runs the test with `library` on `device`, in a cache of its own, against what `reference` opens; the processor is for test doubles
/// of the library.
///
/// # Errors
/// [`Error::Backend`] when there is no GPU to run it on; a step that fails is part of the report.
pub fn run(library: &Arc<Library>, device: &Device, reference: impl FnOnce() -> Result<Arc<dyn Backend>>) -> Result<Report> {
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
        recorded_runs: None,
        reference: None,
        greatest_difference: None,
        passed: false,
    };
    let feeds: Vec<Feed> = ROWS.map(feed).into();
    let found = steps(&builder, device, &feeds, &mut report);
    let expected = found.as_ref().and_then(|found| step(&mut report.steps, "onnx_runtime", || expected(&*reference()?, found, &feeds)));
    if let (Some(found), Some((version, expected))) = (found, expected) {
        let found: Vec<_> = found.into_iter().flat_map(|(_, outputs)| outputs).collect();
        let difference = difference(&found, &expected);
        report.reference = Some(version);
        report.greatest_difference = Some(difference);
        report.passed = difference <= TOLERANCE;
    }
    Ok(report)
}

fn feed(rows: usize) -> Feed {
    let values = (0..rows * 4).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
    vec![(sample::INPUT.to_owned(), Shape::new(&[rows, 4]), values)]
}

/// A network, and its outputs.
type Ran = (Vec<u8>, Vec<Vec<f32>>);

/// What `reference` is, and what it makes of `feeds` with all the networks.
fn expected(reference: &dyn Backend, networks: &[Ran], feeds: &[Feed]) -> Result<(String, Vec<Vec<f32>>)> {
    let (mut version, mut all) = (String::new(), Vec::new());
    for (network, _) in networks {
        let engine = reference::load("selftest", &Model::decode(network, "selftest")?, reference)?;
        let outputs = reference::outputs(&*engine, feeds, |_, tensor| tensor.as_f32().map(<[f32]>::to_vec))?;
        all.extend(outputs.into_iter().flatten().collect::<Result<Vec<_>>>()?);
        version = format!("{} {}", engine.info().backend, engine.info().version);
    }
    Ok((version, all))
}

fn difference(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    let is_like = found.iter().map(Vec::len).eq(expected.iter().map(Vec::len));
    let differences = found.iter().flatten().zip(expected.iter().flatten()).map(|(a, b)| (a - b).abs());
    let start = if is_like { 0.0 } else { f32::INFINITY };
    differences.fold(start, |worst, d| if d.is_nan() { f32::INFINITY } else { worst.max(d) })
}

/// What engines make of `feeds`.
fn steps(builder: &Builder, device: &Device, feeds: &[Feed], report: &mut Report) -> Option<Vec<Ran>> {
    let steps = &mut report.steps;
    let profile = |rows: [i64; 3]| {
        let [min, opt, max] = rows.map(|rows| vec![rows, 4]);
        vec![Range { input: sample::INPUT.into(), min, opt, max }]
    };
    let options = BuildOptions { profiles: PROFILES.map(profile).into(), ..BuildOptions::default() };
    let engine_of = |network: Vec<u8>| {
        let sha256 = sha256(&network);
        builder.engine(&Source::new("selftest", Onnx::Bytes(Arc::new(network)), sha256), &options, &Arithmetic::Float32)
    };
    let engine = || engine_of(sample::bytes());
    // All that can be asked of the lean runtime, which has no builder.
    step(steps, "refuse what is no plan", || match builder.library().load(b"no plan") {
        Err(_) => Ok(()),
        Ok(_) => Err(Error::backend("tensorrt", "what is no plan was taken for one", "choose onnx_runtime")),
    })?;
    step(steps, "build", engine)?;
    let made = step(steps, "load from the cache", engine)?;
    let run = |session: &mut dyn Session| feeds.iter().flatten().map(|(_, shape, values)| run_once(session, *shape, values)).collect();
    let outputs = match device.gpu() {
        None => {
            let mut session = step(steps, "context", || session(&made.engine, device, "selftest"))?;
            step(steps, "run", || run(&mut *session))?
        }
        Some(gpu) => {
            let mut session = step(steps, "context", || on_gpu(&made.engine, gpu, "selftest"))?;
            let outputs = step(steps, "run", || run(&mut session))?;
            report.recorded_runs = session.launches();
            outputs
        }
    };
    let mut found = vec![(sample::bytes(), outputs)];
    // TensorRT-RTX has no NonZero.
    if builder.library().versions().abi != Abi::Rtx {
        let places = || {
            let made = engine_of(sample::places())?;
            match device.gpu() {
                None => run(&mut *session(&made.engine, device, "selftest")?),
                Some(gpu) => run(&mut on_gpu(&made.engine, gpu, "selftest")?),
            }
        };
        found.push((sample::places(), step(steps, "sizes that depend on data", places)?));
    }
    Some(found)
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

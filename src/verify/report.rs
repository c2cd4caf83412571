//! One network on several backends: what each made of the same inputs, compared with the first.

use super::compare::{Difference, compare};
use super::inputs::{self, Input};
use super::{Output, run};
use crate::backend::select::{Selector, Wanted};
use crate::backend::{BackendName, IoSpec, LoadOptions, Precision, RunInfo};
use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;

/// Greatest relative error of float32 arithmetic in ONNX Runtime, whose order of sums changes with the graph's form.
pub const ONNX_RUNTIME_TOLERANCE: f64 = 1e-4;

/// Greatest relative error of float32 arithmetic in another library.
pub const FLOAT32_TOLERANCE: f64 = 1e-3;

/// Greatest relative error of arithmetic with fewer bits.
pub const NARROW_TOLERANCE: f64 = 5e-2;

/// What came of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The first that ran; the others are compared with it.
    Reference,
    /// It ran and agrees with the reference.
    Agrees,
    /// It ran and does not agree with the reference.
    Differs,
    /// It did not run.
    Failed,
}

/// One run of a network.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The backend.
    pub backend: BackendName,
    /// Whether the graph was rewritten for it.
    pub rewritten: bool,
    /// What ran; `None` when it did not load.
    pub ran: Option<RunInfo>,
    /// What came of it.
    pub verdict: Verdict,
    /// Why it failed or cannot be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Milliseconds to load the network.
    pub load_ms: Option<f64>,
    /// Milliseconds of the first run.
    pub first_ms: Option<f64>,
    /// The median milliseconds of later runs.
    pub run_ms: Option<f64>,
    /// Differences from the reference, output by output.
    pub differences: Vec<Difference>,
}

/// One network on several backends.
#[derive(Clone, Debug, Serialize)]
pub struct ModelReport {
    /// Name of the model.
    pub model: String,
    /// Shapes of the inputs by name; none when nothing loaded.
    pub inputs: BTreeMap<String, Vec<usize>>,
    /// The reference, then the others.
    pub runs: Vec<RunReport>,
    /// What the reference made of the inputs.
    #[serde(skip)]
    pub reference: Option<Vec<Output>>,
}

impl ModelReport {
    /// Whether every backend ran and agrees.
    pub fn is_good(&self) -> bool {
        self.runs.iter().all(|run| matches!(run.verdict, Verdict::Reference | Verdict::Agrees))
    }
}

/// What to feed a network.
pub enum Feed<'a> {
    /// Random numbers, see [`inputs::random`].
    Random {
        /// Height and width in pixels of a picture where the network takes any.
        usual: [usize; 2],
        /// Seed of the numbers.
        seed: u64,
    },
    /// These inputs.
    Inputs(&'a [Input]),
}

impl Feed<'_> {
    fn make(&self, model: &str, io: &IoSpec) -> Result<Vec<Input>> {
        match self {
            Self::Random { usual, seed } => inputs::random(model, io, *usual, *seed),
            Self::Inputs(inputs) => Ok(inputs.to_vec()),
        }
    }
}

/// Runs the network of `options` on `backends`: with the graph as it is on the first, and where that does not run on the next, until there
/// is a reference; and on each with the graph in the form that it runs fastest, if it has another one. Each runs once and then `rounds` times for the clock.
///
/// # Errors
/// [`Error::Config`] without backends or inputs. What a backend says is part of the report.
pub fn verify(selector: &Selector, backends: &[BackendName], options: &LoadOptions, feed: &Feed<'_>, rounds: usize) -> Result<ModelReport> {
    if backends.is_empty() {
        return Err(Error::config("--backend", "no backend to run"));
    }
    let mut report = ModelReport { model: options.model.clone(), inputs: BTreeMap::new(), runs: Vec::new(), reference: None };
    let (mut inputs, mut library) = (None, None);
    let rewrites = |backend: BackendName| backend != BackendName::PaddleInfer;
    for (backend, rewrite) in backends.iter().flat_map(|&backend| [(backend, false), (backend, true)]) {
        // One that has no other form runs as it is, whether or not there is a reference.
        let is_needed = if rewrite { rewrites(backend) } else { report.reference.is_none() || !rewrites(backend) };
        if !is_needed {
            continue;
        }
        let mut run = RunReport::of(backend, rewrite);
        let options = LoadOptions { rewrite, ..options.clone() };
        let outputs = run.fill(selector, &options, feed, &mut inputs, rounds);
        match (outputs, &report.reference) {
            (Err(Failure::Inputs(e)), _) => return Err(e),
            (Err(Failure::Engine(e)), _) => run.reason = Some(e.to_string().trim_end().to_owned()),
            (Ok(outputs), Some(reference)) => {
                run.judge(reference, &outputs, tolerance(library == Some(backend), backend, options.precision))
            }
            (Ok(outputs), None) => {
                run.verdict = Verdict::Reference;
                (report.reference, library) = (Some(outputs), Some(backend));
            }
        }
        report.runs.push(run);
    }
    report.inputs = inputs.unwrap_or_default().iter().map(|i| (i.name.clone(), i.shape.dims().to_vec())).collect();
    Ok(report)
}

/// Greatest relative error allowed; whether the reference is of the same library.
fn tolerance(is_own: bool, backend: BackendName, precision: Precision) -> f64 {
    match (precision, backend) {
        (Precision::Float32, BackendName::OnnxRuntime) if is_own => ONNX_RUNTIME_TOLERANCE,
        (Precision::Float32, _) => FLOAT32_TOLERANCE,
        _ => NARROW_TOLERANCE,
    }
}

enum Failure {
    /// There is nothing to run any backend on.
    Inputs(Error),
    /// This backend does not run it.
    Engine(Error),
}

impl RunReport {
    fn of(backend: BackendName, rewritten: bool) -> Self {
        let (ran, reason) = (None, None);
        let (load_ms, first_ms, run_ms) = (None, None, None);
        Self { backend, rewritten, ran, verdict: Verdict::Failed, reason, load_ms, first_ms, run_ms, differences: Vec::new() }
    }

    /// Runs and notes what ran and how long it took. `inputs` are made by the first network that loads.
    fn fill(
        &mut self,
        selector: &Selector,
        options: &LoadOptions,
        feed: &Feed<'_>,
        inputs: &mut Option<Vec<Input>>,
        rounds: usize,
    ) -> Result<Vec<Output>, Failure> {
        let start = Instant::now();
        let engine = selector.load(Wanted::exactly(self.backend), options, &[]).map_err(Failure::Engine)?;
        self.load_ms = Some(start.elapsed().as_secs_f64() * 1e3);
        self.ran = Some(engine.info().clone());
        let inputs = match inputs {
            Some(inputs) => inputs,
            none => none.insert(feed.make(&options.model, engine.io()).map_err(Failure::Inputs)?),
        };
        let ran = run(&*engine, inputs, rounds).map_err(Failure::Engine)?;
        if engine.info().stand_in.as_ref().is_some_and(|stand_in| ran.ran.has(stand_in.own)) {
            let reason = format!("model {}: its engine does not take these inputs, and another ran in its place", options.model);
            return Err(Failure::Engine(Error::backend(self.backend.as_str(), reason, "state wider dynamic_shapes in hpi_config")));
        }
        (self.first_ms, self.run_ms) = (Some(ran.first_ms), ran.run_ms);
        Ok(ran.outputs)
    }

    fn judge(&mut self, reference: &[Output], outputs: &[Output], tolerance: f64) {
        match compare(reference, outputs) {
            Ok(differences) => {
                let agrees = differences.iter().all(|d| d.within(tolerance));
                self.verdict = if agrees { Verdict::Agrees } else { Verdict::Differs };
                self.differences = differences;
            }
            Err(reason) => (self.verdict, self.reason) = (Verdict::Differs, Some(reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_differs_or_fails_is_not_good() {
        let (inputs, reference) = (BTreeMap::new(), None);
        let mut report = ModelReport { model: "m".into(), inputs, runs: Vec::new(), reference };
        for (verdict, expected) in
            [(Verdict::Reference, true), (Verdict::Agrees, true), (Verdict::Differs, false), (Verdict::Failed, false)]
        {
            report.runs = vec![RunReport { verdict, ..RunReport::of(BackendName::OpenVino, false) }];
            assert_eq!(report.is_good(), expected, "{verdict:?}");
        }
    }
}

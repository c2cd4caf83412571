//! Whether backends agree: runs a network on the same inputs wherever it can run and compares what comes out.
//! [`inputs`] makes inputs for a network nobody has pictures for, [`compare`] says how two sets of outputs differ,
//! [`rows`] pairs the rows of detectors, [`report`] is all of it for one model. No picture is prepared and no result interpreted here: this is about engines.

pub mod compare;
pub mod inputs;
pub mod report;
pub mod rows;

use crate::backend::{Engine, host};
use crate::error::{Error, Result};
use crate::tensor::{Data, Shape, TensorRef};
use crate::trace::{EngineSet, Transfers};
use inputs::Input;
use std::time::Instant;

/// Elements of an output, kept after the session has gone on.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 32-bit integers.
    I32(Vec<i32>),
    /// 64-bit integers.
    I64(Vec<i64>),
}

impl Values {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::I64(v) => v.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element `index`; exact for floats and for integers below 2^53.
    pub fn at(&self, index: usize) -> f64 {
        match self {
            Self::F32(v) => f64::from(v[index]),
            Self::I32(v) => f64::from(v[index]),
            Self::I64(v) => v[index] as f64,
        }
    }

    /// Whether the elements are whole numbers by type.
    pub fn are_integers(&self) -> bool {
        !matches!(self, Self::F32(_))
    }

    /// All elements, see [`Values::at`].
    pub fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.len()).map(|i| self.at(i))
    }
}

/// One output of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Name in the graph.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Shape,
    /// Row-major elements.
    pub values: Values,
}

impl Output {
    fn of(name: &str, tensor: TensorRef<'_>) -> Self {
        let values = match tensor.data {
            Data::F32(v) => Values::F32(v.to_vec()),
            Data::I32(v) => Values::I32(v.to_vec()),
            Data::I64(v) => Values::I64(v.to_vec()),
        };
        Self { name: name.to_owned(), shape: tensor.shape, values }
    }
}

/// What a network made of its inputs, and how long that took.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Outputs of the first run, in graph order.
    pub outputs: Vec<Output>,
    /// Milliseconds of the first run, in which engines prepare themselves for the shapes.
    pub first_ms: f64,
    /// The median milliseconds of later runs; `None` when there were none.
    pub run_ms: Option<f64>,
    /// What ran, where an engine has another one that stands in for it.
    pub ran: EngineSet,
}

/// Runs `engine` on `inputs`, which are found by name, once and then `rounds` times for the clock.
///
/// # Errors
/// [`Error::Config`] when the network has an input that `inputs` lack; what the engine reports.
pub fn run(engine: &dyn Engine, inputs: &[Input], rounds: usize) -> Result<Ran> {
    let mut session = engine.session()?;
    let mut once = || -> Result<f64> {
        for (index, spec) in engine.io().inputs.iter().enumerate() {
            let input = inputs.iter().find(|input| input.name == spec.name).ok_or_else(|| {
                let given: Vec<_> = inputs.iter().map(|i| i.name.as_str()).collect();
                Error::config(&engine.info().model, format!("the network has an input `{}`; given: {}", spec.name, given.join(", ")))
            })?;
            host::feed(&mut *session, index, input.shape, &input.data, &mut Transfers::default())?;
        }
        host::settle(&mut *session)?;
        let start = Instant::now();
        session.run()?;
        host::settle(&mut *session)?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    let first_ms = once()?;
    let mut times = (0..rounds).map(|_| once()).collect::<Result<Vec<_>>>()?;
    times.sort_by(f64::total_cmp);
    let specs = &engine.io().outputs;
    let found = host::outputs(&mut *session, specs.len(), &mut Transfers::default())?;
    let outputs = specs.iter().zip(&found).map(|(spec, output)| Ok(Output::of(&spec.name, output.tensor()?))).collect::<Result<_>>()?;
    drop(found);
    Ok(Ran { outputs, first_ms, run_ms: times.get(rounds / 2).copied(), ran: session.ran() })
}

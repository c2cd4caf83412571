//! A child with Paddle Inference and one loaded network.

use super::child::{Child, Fault, told};
use super::program::PaddleFiles;
use super::region::Region;
use super::{PaddleRunMode, fault};
use crate::error::{Error, Result};
use crate::runtime::PaddleRuntime;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// The child's program.
const SCRIPT: &str = include_str!("worker.py");

/// How long loading and one run may take. A child that stands still is given up earlier.
const LOAD_LIMIT: Duration = Duration::from_secs(600);
const RUN_LIMIT: Duration = Duration::from_secs(600);

/// All that is needed to start a worker.
pub(super) struct Start {
    pub runtime: PaddleRuntime,
    pub files: PaddleFiles,
    pub mode: PaddleRunMode,
    pub threads: usize,
    pub model: String,
}

/// Names the program's inputs and outputs have in the engine, in its order.
#[derive(Debug, Deserialize)]
pub(super) struct Names {
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
}

/// Where an output lies in the shared memory of results.
#[derive(Debug, Deserialize)]
pub(super) struct Place {
    pub dtype: String,
    pub shape: Vec<usize>,
    pub offset: usize,
}

/// A running child.
pub(super) struct Worker(Child);

impl Worker {
    /// Starts a child and loads the network in it.
    pub fn start(start: &Start) -> Result<(Self, Names)> {
        let program = start.files.require_program()?;
        let mut child = Child::start(&start.runtime.python, SCRIPT, start.threads)?;
        let question = json!({
            "do": "open",
            "imports": start.runtime.imports.iter().map(|path| told(path)).collect::<Result<Vec<_>>>()?,
            "module": told(&start.runtime.module)?,
            "program": told(program)?,
            "params": told(&start.files.params)?,
            "threads": start.threads,
            "one_dnn": start.mode == PaddleRunMode::Mkldnn,
        });
        let names = child.ask(&question, LOAD_LIMIT).map_err(|e| {
            let next_step = match start.mode {
                PaddleRunMode::Mkldnn => "choose the run mode `paddle`, or another backend",
                PaddleRunMode::Paddle => "check that the folder's files belong together, or choose another backend",
            };
            Error::backend("paddle_infer", format!("model {} ({}): {}", start.model, program.display(), e.reason()), next_step)
        })?;
        tracing::debug!("{}: paddle_infer works in process {}", start.model, child.id());
        Ok((Self(child), names))
    }

    /// Lets the child see the memory of the tensors.
    pub fn share(&mut self, inputs: &[Region], results: &Region) -> Result<(), Fault> {
        let inputs: Vec<String> = inputs.iter().map(Region::place).collect();
        self.0.ask::<Value>(&json!({"do": "share", "inputs": inputs, "outputs": results.place()}), LOAD_LIMIT).map(|_| ())
    }

    /// Runs the network on inputs of these shapes.
    pub fn run(&mut self, shapes: &[&[usize]]) -> Result<Vec<Place>, Fault> {
        self.0.ask(&json!({"do": "run", "shapes": shapes}), RUN_LIMIT)
    }
}

impl Place {
    /// Bytes of the result, and where they end.
    pub fn range(&self, model: &str) -> Result<std::ops::Range<usize>> {
        let size = match self.dtype.as_str() {
            "float32" | "int32" => 4,
            "int64" => 8,
            other => return Err(fault(model, &[], format!("an output is of type {other}, which is not handled"))),
        };
        let bytes = self.shape.iter().try_fold(size, |product: usize, &extent| product.checked_mul(extent));
        let end = bytes.and_then(|bytes| self.offset.checked_add(bytes));
        end.map(|end| self.offset..end).ok_or_else(|| Error::internal("paddle worker", format!("impossible result {self:?}")))
    }
}

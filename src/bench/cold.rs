//! From the start of a process to its first result: when nothing but downloads is there, when engines of TensorRT were imported, and
//! when what is compiled, converted and measured on this machine is cached.

use super::child::answer;
use super::machine::Machine;
use super::resources::milliseconds;
use super::run::PipelineSource;
use super::{inputs, stats};
use crate::error::{Error, Result};
use crate::pipeline::process_one;
use crate::result::RunRecord;
use crate::trace::plural;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// What is there when a process starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Libraries and models.
    Downloads,
    /// And engines of TensorRT that were brought from elsewhere.
    Imported,
    /// And all that earlier runs made of them.
    Cached,
}

/// One start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct First {
    /// Opening the pipeline.
    pub open_ms: f64,
    /// What ran.
    pub models: Vec<RunRecord>,
}

/// All starts of a kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Starts {
    /// What was there.
    pub start: Start,
    /// From the start of each process to its first result.
    pub first_result_ms: Vec<f64>,
    /// Of these, opening the pipeline.
    pub open_ms: Vec<f64>,
    /// What ran in the last one.
    pub models: Vec<RunRecord>,
}

/// What was measured, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ColdReport {
    /// Version of the program.
    pub hpinfer: String,
    /// When it began, UTC.
    pub date: String,
    /// Where it ran.
    pub machine: Machine,
    /// Pipeline name; for a pipeline file its name and SHA-256.
    pub pipeline: String,
    /// Flags that decide what is computed, where they are given, by their names. Early reports have none, nor the next.
    pub settings: Option<BTreeMap<String, String>>,
    /// The picture.
    pub input: String,
    /// SHA-256 of its file.
    pub sha256: Option<String>,
    /// Cores.
    pub threads: usize,
    /// SHA-256 of the networks that ran, by their models; reports of earlier versions have none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, String>,
    /// Each kind.
    pub starts: Vec<Starts>,
}

impl Start {
    /// What there is, for people.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Downloads => "libraries and models",
            Self::Imported => "engines of TensorRT, too",
            Self::Cached => "all that earlier runs made, too",
        }
    }

    /// Its name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Downloads => "downloads",
            Self::Imported => "imported",
            Self::Cached => "cached",
        }
    }
}

impl ColdReport {
    /// What was measured and where, for people.
    pub fn heading(&self) -> String {
        let name = Path::new(&self.input).file_name().unwrap_or_default().to_string_lossy();
        let what = format!("{} on {name}, {}", self.pipeline, plural(self.threads, "thread"));
        format!("{what}; hpinfer {}, {}\n{}", self.hpinfer, self.date, self.machine)
    }
}

impl Starts {
    /// None yet.
    pub fn new(start: Start) -> Self {
        Self { start, first_result_ms: Vec::new(), open_ms: Vec::new(), models: Vec::new() }
    }

    /// The median time to the first result, and that of opening.
    pub fn medians(&self) -> [f64; 2] {
        [&self.first_result_ms, &self.open_ms].map(|samples| stats::median(samples))
    }

    /// Starts `command`, which reads `job` from standard input, and answers with a line of JSON ([`First`]) on standard output
    /// once it has its first result.
    pub fn time(&mut self, command: Command, job: &[u8]) -> Result<()> {
        let (first, took): (First, _) = answer(command, job, |reason| Error::device("cpu", "bench cold", reason))?;
        self.first_result_ms.push(milliseconds(took));
        self.open_ms.push(first.open_ms);
        self.models = first.models;
        Ok(())
    }
}

/// Inside the measured process: opens the pipeline of `source` on `threads` cores and works on one file.
pub fn first_result(source: &PipelineSource, threads: usize, file: PathBuf) -> Result<First> {
    let started = Instant::now();
    let pipeline = source.open_with(threads, None)?;
    let open_ms = milliseconds(started.elapsed());
    let picture = inputs::decode(file, &source.decoder)?;
    process_one(pipeline.as_ref(), &picture.frame)?;
    Ok(First { open_ms, models: pipeline.run_records().to_vec() })
}

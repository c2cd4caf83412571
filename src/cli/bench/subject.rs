//! What the measurements of one pipeline have in common.

use crate::backend::EngineBuild;
use crate::bench::inputs;
use crate::cli::args::{EngineArgs, GlobalArgs, counted};
use crate::cli::pictures::PictureArgs;
use crate::cli::plan::{self, Plan};
use crate::error::{Error, Result};
use crate::source::{Source, SourceOptions};
use std::ffi::OsString;
use std::path::PathBuf;

/// A pipeline, and what it is measured on.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Subject {
    /// Pipeline name or pipeline file; a path that exists wins over a name
    #[arg(long, value_name = "NAME|FILE")]
    pipeline: Option<String>,
    /// File, folder or glob; may be given several times
    #[arg(short, long, value_name = "PATH", num_args = 1..)]
    pub input: Vec<OsString>,
    /// Cores to work on [default: all this process may use]
    #[arg(long, value_name = "N", env = "HPINFER_THREADS", value_parser = counted())]
    threads: Option<usize>,
    #[command(flatten)]
    pub pictures: PictureArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

impl Subject {
    /// Its name or file.
    pub fn pipeline(&self) -> Result<&str> {
        plan::required_pipeline(self.pipeline.as_deref())
    }

    /// What its flags mean.
    pub fn plan(&self) -> Result<Plan> {
        of_one_engine(&self.engine)?;
        Plan::new(self.pipeline()?, self.threads, &self.engine)
    }

    /// Its pictures. One that cannot be used is an error: the others would be other work.
    pub fn files(&self, global: &GlobalArgs) -> Result<Vec<PathBuf>> {
        let options = SourceOptions { offline: global.offline, ..SourceOptions::default() };
        let (files, refused) = inputs::files(Source::new(&self.input, options));
        match refused.into_iter().next() {
            Some(refused) => Err(Error::input(refused.name, refused.reason)),
            None if files.is_empty() => Err(Error::config("--input", "no picture to measure: give files, folders or globs")),
            None => Ok(files),
        }
    }
}

/// Refuses flags by which a network changes its engine while it is measured.
pub(super) fn of_one_engine(engine: &EngineArgs) -> Result<()> {
    match engine.engine_build {
        Some(EngineBuild::Background) => {
            Err(Error::config("--engine-build", "a measurement is of one engine; give blocking or never, or leave it out"))
        }
        _ => Ok(()),
    }
}

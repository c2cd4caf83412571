//! `hpinfer bench cold`: how long a start takes to its first result.

use super::subject::Subject;
use super::{Job, ReportFiles, networks, pipeline_identity, settings, step_command};
use crate::backend::tensorrt::cache::EngineCache;
use crate::bench::cases::{Case, Variant};
use crate::bench::cold::{ColdReport, Start, Starts};
use crate::bench::machine::{Machine, utc};
use crate::bench::{csv, page, table};
use crate::cache::sha256_file;
use crate::cli::args::GlobalArgs;
use crate::cli::table::{write_table, write_text};
use crate::cli::{engine, plan};
use crate::error::{Error, Result};
use std::io::Write;
use std::time::SystemTime;

/// `hpinfer bench cold`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ColdArgs {
    #[command(flatten)]
    subject: Subject,
    /// Starts of each kind; the kinds take turns
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeat: usize,
    #[command(flatten)]
    files: ReportFiles,
}

/// Runs the command.
pub(super) fn run(args: &ColdArgs, global: &GlobalArgs, out: &mut impl Write) -> Result<u8> {
    if args.repeat == 0 {
        return Err(Error::config("--repeat", "0 starts; give 1 or more"));
    }
    args.files.check(&args.subject.input, None)?;
    let (date, plan) = (utc(SystemTime::now()), args.subject.plan()?);
    let Some(file) = args.subject.files(global)?.into_iter().next() else {
        return Err(Error::internal("bench cold", "no file among some"));
    };
    let (cache, threads) = (plan::cache(global)?, plan.loader.threads);
    let input = file.to_string_lossy().into_owned();
    let case = Case { variant: Variant::Default, threads };
    let Subject { engine, pictures, .. } = args.subject.clone();
    let pipeline = args.subject.pipeline()?.to_owned();
    let (files, named) = (vec![file.clone()], pipeline.clone());
    let job = Job { case, pipeline: named, engine, pictures, files, repeat: 0, warmup: 0, load_seconds: None, trace: None };
    let job = job.to_json()?;
    // Fetches what is missing, and fills the cache: no start that counts has that to do.
    let mut filled = Starts::new(Start::Cached);
    filled.time(step_command(global, "run-cold")?, &job)?;
    let networks = networks(engine::models_of(plan.config.clone()), &cache, &filled.models)?;
    let engines = engine::files_of(&cache, plan.config, &filled.models)?;
    let kinds = [Start::Downloads, Start::Imported, Start::Cached].into_iter();
    let mut starts: Vec<_> = kinds.filter(|kind| *kind != Start::Imported || !engines.is_empty()).map(Starts::new).collect();
    for _ in 0..args.repeat {
        for starts in &mut starts {
            if starts.start == Start::Cached {
                starts.time(step_command(global, "run-cold")?, &job)?;
                continue;
            }
            let folder = tempfile::tempdir().map_err(Error::io("create a folder in", &std::env::temp_dir()))?;
            let engine_dir = folder.path().join("engines");
            let bare = cache.with_fetched_only(folder.path())?.with_engine_dir(&engine_dir);
            if starts.start == Start::Imported {
                let imported = EngineCache::new(bare.clone());
                engines.iter().try_for_each(|file| imported.import(file, None).map(drop))?;
            }
            let in_bare = GlobalArgs { cache_dir: Some(bare.root().to_owned()), ..global.clone() };
            let mut command = step_command(&in_bare, "run-cold")?;
            command.env("HPINFER_ENGINE_DIR", &engine_dir);
            starts.time(command, &job)?;
        }
    }
    let machine = Machine::read();
    let (hpinfer, pipeline) = (env!("CARGO_PKG_VERSION").into(), pipeline_identity(&pipeline)?);
    let (settings, sha256) = (Some(settings(&args.subject.engine)?), Some(sha256_file(&file)?));
    let report = ColdReport { hpinfer, date, machine, pipeline, settings, input, sha256, threads, networks, starts };
    args.files.write(&report, csv::cold, page::cold, out, |out| {
        write_text(out, &format!("{}\n\n", report.heading()))?;
        write_table(out, table::STARTS, &report.starts.iter().map(table::starts).collect::<Vec<_>>())
    })
}

//! `hpinfer model list | info | pull | verify | convert`.

use super::model_info;
use super::table::{write_json, write_table, write_text};
use crate::backend::paddle::convert::{self, Converted};
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::model::{Integrity, ModelStatus, ResolvedModel, Store};
use std::io::Write;

/// What to do with models.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ModelCommand {
    /// List the models this version knows by name, and where they are
    List {
        /// Only those that this pipeline can use
        #[arg(long, value_name = "NAME")]
        pipeline: Option<String>,
        /// Print a JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show what a model expects and returns, where it comes from and what was published of it
    Info {
        /// Model name, or the folder of an exported model
        name: String,
        /// Print a JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Download models into the cache; damaged ones are replaced
    Pull {
        /// Model names; without any, those that a first run of the OCR pipeline fetches
        names: Vec<String>,
    },
    /// Compare the models on this machine with their checksums
    Verify {
        /// Model names; all that are on this machine when none is given
        names: Vec<String>,
    },
    /// Convert a model in Paddle's own format to ONNX, once; prints where the file is
    Convert {
        /// Model name, or the folder of an exported model
        name: String,
    },
}

const HEADINGS: [&str; 4] = ["MODEL", "MODULE", "SIZE", "WHERE"];

impl ModelCommand {
    /// Runs the command on the models of `cache` and writes what it found to `out`.
    ///
    /// # Errors
    /// What the [`Store`] reports; [`Error::Config`] for a pipeline nobody knows; [`Error::Missing`] when `verify` finds a
    /// damaged model; [`Error::Io`] when `out` cannot be written.
    pub fn run(&self, cache: &Cache, out: &mut impl Write) -> Result<()> {
        let store = Store::new(cache);
        match self {
            Self::List { pipeline, json } => {
                let models = usable(store.list()?, pipeline.as_deref())?;
                match json {
                    true => write_json(out, &models.iter().map(model_info::entry).collect::<Vec<_>>()),
                    false => write_table(out, HEADINGS, &models.iter().map(row).collect::<Vec<_>>()),
                }
            }
            Self::Info { name, json: true } => write_json(out, &model_info::to_json(&store.describe(name)?)),
            Self::Info { name, json: false } => write_text(out, &model_info::to_text(&store.describe(name)?)),
            Self::Pull { names } => {
                let pinned = store.list()?.into_iter().filter(|model| model.pinned.is_some()).map(|model| model.name);
                let names = if names.is_empty() { pinned.collect() } else { names.clone() };
                store.pull(&names)?;
                let rows: Vec<_> = store.list()?.iter().filter(|model| names.contains(&model.name)).map(row).collect();
                write_table(out, HEADINGS, &rows)
            }
            Self::Verify { names } => verify(&store, names, out),
            Self::Convert { name } => {
                let Converted { onnx, .. } = onnx_of(cache, &store.resolve(name)?)?;
                write_text(out, &format!("{}\n", onnx.display()))
            }
        }
    }
}

/// The ONNX file of a model, and what is made of it is filed under: converted where the model has none.
pub(super) fn onnx_of(cache: &Cache, model: &ResolvedModel) -> Result<Converted> {
    match (&model.files.onnx, &model.files.paddle) {
        (None, Some(paddle)) => {
            let converted = convert::to_onnx(cache, &model.name, paddle, &model.sha256(cache)?);
            converted.map_err(|e| e.with_next_step(model.remedy.as_deref()))
        }
        _ => Ok(Converted { onnx: model.onnx()?.to_owned(), key: model.sha256(cache)? }),
    }
}

/// The models that `pipeline` can use.
fn usable(models: Vec<ModelStatus>, pipeline: Option<&str>) -> Result<Vec<ModelStatus>> {
    let Some(pipeline) = pipeline else { return Ok(models) };
    let mut names: Vec<_> = models.iter().flat_map(|model| &model.pipelines).cloned().collect();
    let usable: Vec<_> = models.into_iter().filter(|model| model.pipelines.iter().any(|name| name == pipeline)).collect();
    if usable.is_empty() {
        names.sort();
        names.dedup();
        return Err(Error::config("--pipeline", format!("`{pipeline}` does not exist; known: {}", names.join(", "))));
    }
    Ok(usable)
}

fn verify(store: &Store, names: &[String], out: &mut impl Write) -> Result<()> {
    let (mut damaged, mut absent, mut here) = (Vec::new(), Vec::new(), 0);
    for (name, integrity) in store.verify(names)? {
        let verdict = match integrity {
            Integrity::Absent if names.is_empty() => continue,
            Integrity::Absent => {
                absent.push(name.clone());
                "not on this machine".to_owned()
            }
            Integrity::Intact => "intact".to_owned(),
            Integrity::Unrecorded => "here; nobody knows its checksum".to_owned(),
            Integrity::Damaged(reason) => {
                damaged.push(name.clone());
                format!("damaged: {reason}")
            }
        };
        here += 1;
        write_text(out, &format!("{name}: {verdict}\n"))?;
    }
    if here == 0 {
        write_text(out, "no model is on this machine\n")?;
    }
    for (names, what) in [(damaged, "the checksum differs"), (absent, "it is not on this machine")] {
        if !names.is_empty() {
            let names = names.join(" ");
            return Err(Error::missing(format!("intact copy of {names}"), what, format!("run `hpinfer model pull {names}`")));
        }
    }
    Ok(())
}

fn row(model: &ModelStatus) -> [String; 4] {
    let place = model.folder.as_ref().map_or("not downloaded".into(), |path| path.display().to_string());
    let megabytes = model.pinned.as_ref().map_or(model.published.size_mb, |(bytes, _)| *bytes as f64 / 1e6);
    [model.name.clone(), model.module.as_str().into(), format!("{megabytes:.1} MB"), place]
}

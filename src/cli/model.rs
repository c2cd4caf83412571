//! `hpinfer model list | pull | verify`.

use super::table::{write_json, write_table, write_text};
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::model::{Integrity, ModelStatus, Store};
use serde_json::{Value, json};
use std::io::Write;

/// What to do with models.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ModelCommand {
    /// List the models this version knows by name, and where they are
    List {
        /// Print a JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Download models into the cache; damaged ones are replaced
    Pull {
        /// Model names; all known models when none is given
        names: Vec<String>,
    },
    /// Compare the models in the cache with their checksums
    Verify,
}

impl ModelCommand {
    /// Runs the command on the models of `cache` and writes what it found to `out`.
    ///
    /// # Errors
    /// What the [`Store`] reports; [`Error::Missing`] when `verify` finds a damaged model; [`Error::Io`] when
    /// `out` cannot be written.
    pub fn run(&self, cache: &Cache, out: &mut impl Write) -> Result<()> {
        let store = Store::new(cache)?;
        match self {
            Self::List { json: true } => write_json(out, &store.list().iter().map(entry).collect::<Vec<_>>()),
            Self::List { json: false } => {
                let rows: Vec<_> = store.list().iter().map(row).collect();
                write_table(out, ["MODEL", "MODULE", "SIZE", "WHERE"], &rows)
            }
            Self::Pull { names } => {
                store.pull(names)?;
                let wanted = |model: &ModelStatus| names.is_empty() || names.contains(&model.name);
                let rows: Vec<_> = store.list().iter().filter(|model| wanted(model)).map(row).collect();
                write_table(out, ["MODEL", "MODULE", "SIZE", "WHERE"], &rows)
            }
            Self::Verify => verify(&store, out),
        }
    }
}

fn verify(store: &Store, out: &mut impl Write) -> Result<()> {
    let mut damaged = Vec::new();
    for (name, integrity) in store.verify()? {
        let verdict = match integrity {
            Integrity::Intact => "intact".to_owned(),
            Integrity::Absent => "not in the cache".to_owned(),
            Integrity::Damaged(reason) => {
                damaged.push(name.clone());
                format!("damaged: {reason}")
            }
        };
        write_text(out, &format!("{name}: {verdict}\n"))?;
    }
    match damaged.join(" ") {
        names if names.is_empty() => Ok(()),
        names => {
            Err(Error::missing(format!("intact copy of {names}"), "the checksum differs", format!("run `hpinfer model pull {names}`")))
        }
    }
}

fn row(model: &ModelStatus) -> [String; 4] {
    let place = model.onnx.as_ref().map_or("not downloaded".into(), |path| path.display().to_string());
    [model.name.clone(), model.module.as_str().into(), format!("{:.1} MB", model.bytes as f64 / 1e6), place]
}

fn entry(model: &ModelStatus) -> Value {
    json!({
        "name": model.name,
        "module": model.module,
        "pipelines": model.pipelines,
        "path": model.onnx,
        "bytes": model.bytes,
        "sha256": model.sha256,
        "archive_url": model.archive_url,
        "archive_mb": model.archive_mb,
    })
}

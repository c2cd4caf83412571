//! Where the result of a step goes, and that it harms nothing there.

use super::{LlmArgs, PipelineArg};
use crate::cli::table::{write_json, write_text};
use crate::cli::{ALL_DONE, SOME_FAILED};
use crate::error::{Error, Result};
use crate::extract::ChatResult;
use crate::source::NamedInputs;
use clap::Args;
use serde::Serialize;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where the result goes.
#[derive(Clone, Debug, Args)]
pub(super) struct OutputArg {
    /// File for the result; `-`: standard output [default: -]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl OutputArg {
    /// The file, if it is one and not standard output.
    fn file(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| *path != Path::new("-"))
    }

    /// Refuses a place that cannot be written to, or that holds one of `inputs`, the pipeline file or the key, before any work is done.
    pub fn check<I: AsRef<OsStr>>(&self, inputs: &[I], pipeline: &PipelineArg, llm: Option<&LlmArgs>) -> Result<()> {
        let Some(path) = self.file() else { return Ok(()) };
        let key = llm.and_then(|llm| llm.llm_key_file.as_ref()).map(|file| file.as_os_str());
        let inputs: Vec<&OsStr> = inputs.iter().map(AsRef::as_ref).chain([pipeline.pipeline.as_ref()]).chain(key).collect();
        let refused = |reason: &str| Err(Error::config("--output", format!("{} {reason}", path.display())));
        if path.is_dir() {
            return refused("is a folder; name a file in it");
        }
        if NamedInputs::new(&inputs).contains(path) {
            return refused("is an input too, and would be written over; name another file");
        }
        if is_special(path) {
            return Ok(());
        }
        let folder = crate::cache::folder_of(path);
        let tried = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
        tried.map(drop).map_err(Error::io("write", path))
    }

    /// Writes a result to where it goes; to standard output when that fails.
    pub fn write(&self, result: &impl Serialize, out: &mut impl Write) -> Result<()> {
        let Some(path) = self.file() else { return write_json(out, result) };
        let text = serde_json::to_string_pretty(result).map_err(|e| Error::internal("result as JSON", e.to_string()))? + "\n";
        let written = if is_special(path) {
            let open = OpenOptions::new().append(true).open(path); // what a shell has written there stays
            open.and_then(|mut file| file.write_all(text.as_bytes())).map_err(Error::io("write", path))
        } else {
            // What a link points to is replaced, not the link.
            crate::cache::write_atomic(&path.canonicalize().unwrap_or_else(|_| path.to_owned()), text.as_bytes())
        };
        written.or_else(|e| write_text(out, &text).and(Err(e)))
    }

    /// Writes an answer; exit status 1 when it is not a whole one.
    pub fn write_answer(&self, result: &ChatResult, out: &mut impl Write) -> Result<u8> {
        self.write(result, out)?;
        if let Some(error) = &result.error {
            tracing::error!("{error}");
        }
        Ok(if result.is_whole() { ALL_DONE } else { SOME_FAILED })
    }
}

/// Whether a pipe, a device or the like has this name, such as /dev/stdout, whatever that is: it is written to, and never replaced.
fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| !meta.is_file()) || path.starts_with("/dev") || path.starts_with("/proc")
}

//! Paddle's formats to ONNX, once: the product is kept in the cache under the content hash of the model and the version of
//! the converter. The converter works in a child with bounds of time and memory; what it made is read back and compared
//! with the program's inputs and outputs before it gets its name. A program that it refuses is not tried again; a product that
//! is not as it was made, by the digest beside it, is made again. That costs what the hash of the model itself does: 0.05 s for 100 MB.
//!
//! `.pdmodel` goes through paddle2onnx 1.3.1, PIR through 2.1.0 with Paddle's library. Where a folder has both, `.pdmodel`
//! is taken: it needs a download of 4 MB instead of 0.2 GB.

use super::child::{Child, Fault, told};
use super::params;
use super::program::{PaddleFiles, file_name, read_io, weights};
use super::verdict::Verdict;
use crate::cache::rooms::CONVERTED;
use crate::cache::{Cache, Progress, publish, sha256, sha256_file, write_atomic};
use crate::error::{Error, Result};
use crate::onnx::{Model, mend};
use crate::runtime::PaddlePart;
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The child's program.
const SCRIPT: &str = include_str!("convert.py");

/// Grows whenever a conversion gives another graph than before with the same converter.
const CONVERSION_VERSION: u32 = 3;

/// How long a conversion may take; the largest models of the list take half a minute.
const LIMIT: Duration = Duration::from_secs(900);

/// What came of a conversion.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// Length of the ONNX file.
    Bytes(u64),
    /// What the converter does not take.
    Refused(String),
}

/// A model that was converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// The ONNX file in the cache.
    pub onnx: PathBuf,
    /// What it is filed under, 64 hexadecimal digits: the hash of model and converter.
    pub key: String,
}

/// The ONNX form of `files`, from the cache or made now. `model` names it in messages; `hash` is its content hash.
///
/// # Errors
/// [`Error::Backend`] when it cannot be converted; [`Error::Missing`] when the converter cannot be installed;
/// [`Error::Config`] when the cache cannot be written.
pub fn to_onnx(cache: &Cache, model: &str, files: &PaddleFiles, hash: &str) -> Result<Converted> {
    let (program, part) = match (&files.pdmodel, &files.pir) {
        (Some(pdmodel), _) => (pdmodel, PaddlePart::PdmodelConverter),
        (None, Some(pir)) => (pir, PaddlePart::PirConverter),
        (None, None) => return Err(Error::internal("conversion", format!("{} stands without a program", files.params.display()))),
    };
    let key = sha256(format!("{hash} paddle2onnx {} {CONVERSION_VERSION}", part.version()).as_bytes());
    let name = file_name(model, &key);
    let place = |ending: &str| cache.root().join(CONVERTED).join(format!("{name}.{ending}"));
    let (converted, refusal) = (Converted { onnx: place("onnx"), key }, place("refused.json"));
    let (digest, was_there) = (place("onnx.sha256"), converted.onnx.exists());
    if is_whole(&converted.onnx, &digest) {
        return Ok(converted);
    }
    if was_there {
        tracing::warn!("{} is not as it was made; {model} is converted again", converted.onnx.display());
    }
    let fail = |reason: String| {
        let what = format!("model {model} ({}) cannot be converted to ONNX: {reason}", program.display());
        Error::backend("paddle2onnx", what, "choose paddle_infer, which reads the program itself")
    };
    if let Some(verdict) = Verdict::read(&refusal) {
        verdict.heed(&refusal).map_err(&fail)?;
    }
    let expected = read_io(program)?; // a file that is no program is told before anything is installed
    params::check(&files.params, files.pdmodel.as_deref().and_then(weights))?;
    let runtime = part.ensure(cache)?;
    let folder = cache.subdir(CONVERTED)?;
    let _lock = cache.lock(&name)?;
    if is_whole(&converted.onnx, &digest) {
        return Ok(converted); // by another process, while this one waited
    }
    let _progress = Progress::spinner(format!("converting {model} to ONNX"));
    // Under a name of its own for each model, so that what an earlier one left when it was ended goes away.
    let partial = format!(".{name}.partial");
    let _ = std::fs::remove_dir_all(folder.join(&partial)); // mostly there is none
    let work = tempfile::Builder::new().prefix(&partial).rand_bytes(0).tempdir_in(&folder);
    let work = work.map_err(|e| cache.refused("create", &folder, &e))?;
    let question = json!({
        "before": runtime.before.as_deref().map(told).transpose()?,
        "module": told(&runtime.module)?,
        "program": told(program)?,
        "params": told(&files.params)?,
        "folder": told(work.path())?,
        "seconds": LIMIT.as_secs(),
        "memory": files.memory_bound(program)?,
    });
    let mut child = Child::start(&runtime.python, SCRIPT, 1)?;
    let bytes = match child.ask(&question, LIMIT) {
        Ok(Outcome::Bytes(bytes)) => bytes,
        Ok(Outcome::Refused(reason)) | Err(Fault::Crashed(reason)) => {
            let by = format!("paddle2onnx {}", part.version());
            Verdict { model: model.to_owned(), by, refused: Some(reason.clone()) }.keep(&refusal);
            return Err(fail(reason));
        }
        Err(fault) => return Err(fail(fault.reason())),
    };
    let made = work.path().join("model.onnx");
    let mut graph = Model::read(&made).map_err(|e| fail(e.to_string()))?; // the converter's own fault
    graph.require_tensors()?;
    let io = graph.io();
    let names = |specs: &[crate::backend::TensorSpec]| specs.iter().map(|spec| spec.name.clone()).collect::<Vec<_>>();
    let (mut inputs, mut wanted) = (io.0, names(&expected.inputs));
    inputs.sort();
    wanted.sort();
    if inputs != wanted || io.1.len() != expected.outputs.len() {
        return Err(fail(format!(
            "the converter made inputs {inputs:?} and {} outputs of {wanted:?} and {}",
            io.1.len(),
            expected.outputs.len()
        )));
    }
    let faults = mend::apply(&mut graph.proto);
    if faults > 0 {
        write_atomic(&made, &graph.to_bytes())?;
    }
    write_atomic(&digest, sha256_file(&made)?.as_bytes())?; // first: whoever sees the file finds this
    publish(&made, &converted.onnx).map_err(|e| cache.refused("rename", &made, &e))?;
    tracing::info!("{model}: converted by paddle2onnx {} to {bytes} bytes, {faults} faults mended", part.version());
    Ok(converted)
}

/// Whether the file is there and has the digest that was kept when it was made.
fn is_whole(onnx: &Path, digest: &Path) -> bool {
    let kept = std::fs::read_to_string(digest);
    kept.is_ok_and(|kept| sha256_file(onnx).is_ok_and(|found| found == kept))
}

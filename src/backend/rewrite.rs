//! Rewritten forms of a model: of a file, made once and kept in the cache folder under the model's content hash; else in memory.

use super::{BackendName, LoadOptions, Onnx};
use crate::cache::write_atomic;
use crate::error::Result;
use crate::onnx::{Model, OutputKind, REWRITE_VERSION, Target};
use std::path::Path;
use std::sync::Arc;

/// A graph to load, and whether its first output holds logits.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The network.
    pub onnx: Onnx,
    /// Whether a final softmax was left out.
    pub logits: bool,
}

/// The form of the model that `target` runs fastest. The original where no rewrite is wanted, or where the graph cannot
/// be rewritten: that is slower, not wrong.
pub fn form(options: &LoadOptions, target: Target) -> Result<Graph> {
    let onnx = options.require_onnx(target.into())?;
    let original = Graph { onnx: onnx.clone(), logits: false };
    if !options.rewrite {
        return Ok(original);
    }
    let kept = match (onnx, &options.cache_dir) {
        (Onnx::File(_), Some(folder)) => Some(Kept::new(options, target, folder)),
        _ => None,
    };
    if let Some(graph) = kept.as_ref().and_then(Kept::find) {
        return Ok(graph);
    }
    let made = match onnx {
        Onnx::File(path) => Model::read(path),
        Onnx::Bytes(bytes) => Model::decode(bytes, &options.model),
    };
    let (bytes, report) = match made.and_then(|model| model.prepare(target, !options.logits)) {
        Ok(made) => made,
        Err(e) => {
            tracing::warn!("{}: the graph is used as it is: {e}", options.model);
            return Ok(original);
        }
    };
    tracing::debug!("{}: {:?}", options.model, report.counts);
    match kept {
        Some(kept) => kept.keep(report.output, &bytes),
        None => Ok(Graph { onnx: Onnx::Bytes(Arc::new(bytes)), logits: report.output == OutputKind::Logits }),
    }
}

impl From<Target> for BackendName {
    fn from(target: Target) -> Self {
        match target {
            Target::OnnxRuntime => Self::OnnxRuntime,
            Target::OpenVino => Self::OpenVino,
        }
    }
}

/// The places of one model's rewritten form. Whether logits were asked for is part of the name: a graph without a final
/// softmax answers both the same.
struct Kept {
    stem: std::path::PathBuf,
}

impl Kept {
    fn new(options: &LoadOptions, target: Target, folder: &Path) -> Self {
        let key = options.model_sha256.get(..16).unwrap_or(&options.model_sha256);
        let asked = if options.logits { "logits" } else { "output" };
        Self { stem: folder.join(format!("{}-{key}-{target:?}{REWRITE_VERSION}-{asked}", options.model)) }
    }

    fn file(&self, kind: OutputKind) -> Graph {
        let suffix = if kind == OutputKind::Logits { "-cut.onnx" } else { "-whole.onnx" };
        let mut path = self.stem.clone().into_os_string();
        path.push(suffix);
        Graph { onnx: Onnx::File(path.into()), logits: kind == OutputKind::Logits }
    }

    fn find(&self) -> Option<Graph> {
        let known = [OutputKind::Logits, OutputKind::Original].map(|kind| self.file(kind));
        known.into_iter().find(|graph| matches!(&graph.onnx, Onnx::File(path) if path.is_file()))
    }

    fn keep(&self, kind: OutputKind, bytes: &[u8]) -> Result<Graph> {
        let graph = self.file(kind);
        if let Onnx::File(path) = &graph.onnx {
            write_atomic(path, bytes)?;
        }
        Ok(graph)
    }
}

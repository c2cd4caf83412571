//! Rewritten forms of a model: of a file, made once and kept in the cache folder under the model's content hash; else in memory.

use super::{BackendName, LoadOptions, Onnx};
use crate::cache::write_atomic;
use crate::error::Result;
use crate::onnx::{Classifier, Model, OutputKind, REWRITE_VERSION, Target};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A graph to load, and what its first output holds.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The network.
    pub onnx: Onnx,
    /// What was left out at the end.
    pub output: OutputKind,
}

/// The form of the model that `target` runs fastest. The original where no rewrite is wanted, or where the graph cannot
/// be rewritten: that is slower, not wrong.
///
/// # Errors
/// [`Error::Input`](crate::Error::Input) for a graph that lacks a tensor.
pub fn form(options: &LoadOptions, target: Target) -> Result<Graph> {
    let onnx = options.require_onnx(target.into())?;
    let original = Graph { onnx: onnx.clone(), output: OutputKind::Original };
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
    if let Ok(model) = &made {
        model.require_tensors()?;
    }
    let (bytes, report) = match made.and_then(|model| model.prepare(target, options.cut)) {
        Ok(made) => made,
        Err(e) => {
            tracing::warn!("{}: the graph is used as it is: {e}", options.model);
            return Ok(original);
        }
    };
    tracing::debug!("{}: {:?}", options.model, report.counts);
    match kept {
        Some(kept) => kept.keep(report.output, &bytes),
        None => Ok(Graph { onnx: Onnx::Bytes(Arc::new(bytes)), output: report.output }),
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

/// The places of one model's rewritten form. What might be cut is part of the name: a graph without a final softmax answers
/// all wishes the same.
struct Kept {
    stem: PathBuf,
}

impl Kept {
    fn new(options: &LoadOptions, target: Target, folder: &Path) -> Self {
        let key = options.model_sha256.get(..16).unwrap_or(&options.model_sha256);
        Self { stem: folder.join(format!("{}-{key}-{target:?}{REWRITE_VERSION}-{:?}", options.model, options.cut)) }
    }

    fn path(&self, kind: &str) -> PathBuf {
        let mut path = self.stem.clone().into_os_string();
        path.push(kind);
        path.into()
    }

    fn graph(&self, output: OutputKind) -> Graph {
        let path = match output {
            OutputKind::Original => self.path("-whole.onnx"),
            OutputKind::Logits => self.path("-logits.onnx"),
            OutputKind::Features(_) => self.path("-features.onnx"),
        };
        Graph { onnx: Onnx::File(path), output }
    }

    fn classifier(&self) -> PathBuf {
        self.path("-classifier.onnx")
    }

    fn find(&self) -> Option<Graph> {
        let there = |graph: &Graph| matches!(&graph.onnx, Onnx::File(path) if path.is_file());
        let known = [OutputKind::Logits, OutputKind::Original].map(|kind| self.graph(kind));
        known.into_iter().find(there).or_else(|| {
            let classifier = Classifier::read(&self.classifier()).ok()?;
            Some(self.graph(OutputKind::Features(Arc::new(classifier)))).filter(there)
        })
    }

    fn keep(&self, output: OutputKind, bytes: &[u8]) -> Result<Graph> {
        if let OutputKind::Features(classifier) = &output {
            write_atomic(&self.classifier(), &classifier.to_bytes())?;
        }
        let graph = self.graph(output);
        if let Onnx::File(path) = &graph.onnx {
            write_atomic(path, bytes)?;
        }
        Ok(graph)
    }
}

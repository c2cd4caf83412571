//! Rewritten forms of a model, made once and kept in the cache folder under the model's content hash.

use super::LoadOptions;
use crate::cache::write_atomic;
use crate::error::Result;
use crate::onnx::{self, OutputKind, REWRITE_VERSION, Target};
use std::path::PathBuf;

/// A graph to load, and whether its first output holds logits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// The ONNX file.
    pub path: PathBuf,
    /// Whether a final softmax was left out.
    pub logits: bool,
}

/// The form of the model that `target` runs fastest, from the cache or made now. The original where no cache folder
/// is given, or where the graph cannot be rewritten: that is slower, not wrong.
pub fn cached(options: &LoadOptions, target: Target) -> Result<Graph> {
    let original = Graph { path: options.onnx.clone(), logits: false };
    let Some(folder) = &options.cache_dir else {
        return Ok(original);
    };
    // Whether logits were asked for is part of the name: a graph without a final softmax answers both the same.
    let key = options.model_sha256.get(..16).unwrap_or(&options.model_sha256);
    let asked = if options.logits { "logits" } else { "output" };
    let file = |kind: OutputKind| {
        let kind = if kind == OutputKind::Logits { "cut" } else { "whole" };
        folder.join(format!("{}-{key}-{target:?}{REWRITE_VERSION}-{asked}-{kind}.onnx", options.model))
    };
    for kind in [OutputKind::Logits, OutputKind::Original] {
        if file(kind).is_file() {
            return Ok(Graph { path: file(kind), logits: kind == OutputKind::Logits });
        }
    }
    let (bytes, report) = match onnx::prepare(&options.onnx, target, !options.logits) {
        Ok(made) => made,
        Err(e) => {
            tracing::warn!("{}: the graph is used as it is: {e}", options.model);
            return Ok(original);
        }
    };
    tracing::debug!("{}: {:?}", options.model, report.counts);
    write_atomic(&file(report.output), &bytes)?;
    Ok(Graph { path: file(report.output), logits: report.output == OutputKind::Logits })
}

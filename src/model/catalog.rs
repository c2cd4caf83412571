//! The models this program knows by name, out of the recipes in `engines/`.

use super::inference_yml::Processing;
use super::spec::{ModelSpec, Module};
use super::{metadata, yaml};
use crate::cache::{Folder, Member, Wheel};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The recipes, by file name.
const RECIPES: [(&str, &str); 2] = [
    ("engines/text_detection.yaml", include_str!("../../engines/text_detection.yaml")),
    ("engines/text_recognition.yaml", include_str!("../../engines/text_recognition.yaml")),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    module: Module,
    models: Vec<RecipeModel>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecipeModel {
    name: String,
    pipelines: Vec<String>,
    source: Source,
    archive_url: String,
    archive_mb: f64,
    inference: Processing,
}

/// Where the ONNX file of a model comes from.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    project: String,
    version: String,
    wheel: String,
    wheel_sha256: String,
    wheel_bytes: u64,
    member: String,
    pub sha256: String,
    pub bytes: u64,
}

/// A model known by name.
#[derive(Debug)]
pub(super) struct Known {
    pub name: String,
    pub module: Module,
    pub pipelines: Vec<String>,
    pub source: Source,
    /// The vendor's archive in Paddle's own format, and its size as published.
    pub archive_url: String,
    pub archive_mb: f64,
    processing: Processing,
}

/// Every model of the recipes.
pub(super) fn known() -> Result<Vec<Known>> {
    let mut all = Vec::new();
    for (place, text) in RECIPES {
        let recipe: Recipe = yaml::parse(text, place)?;
        if let Some(key) = recipe.models.iter().flat_map(|model| model.inference.unknown()).next() {
            return Err(Error::config(place, format!("unknown key `{key}`")));
        }
        all.extend(recipe.models.into_iter().map(|model| Known {
            name: model.name,
            module: recipe.module,
            pipelines: model.pipelines,
            source: model.source,
            archive_url: model.archive_url,
            archive_mb: model.archive_mb,
            processing: model.inference,
        }));
    }
    Ok(all)
}

impl Known {
    /// Name of the network's file in a model folder, as PaddleX has it.
    pub const ONNX: &'static str = "inference.onnx";

    /// The folder of the cache the model lies in.
    pub fn folder(&self) -> Folder<'_> {
        let Source { member, bytes, sha256, .. } = &self.source;
        let path = Path::new("official_models").join(&self.name);
        Folder { path, members: vec![Member { from: member, to: Self::ONNX, bytes: *bytes, sha256: Some(sha256) }] }
    }

    /// The network's file, below the root of the cache.
    pub fn onnx(&self) -> PathBuf {
        self.folder().path.join(Self::ONNX)
    }

    /// The wheel that holds it.
    pub fn wheel(&self) -> Wheel<'_> {
        let Source { project, version, wheel, wheel_sha256, wheel_bytes, .. } = &self.source;
        Wheel { project, version, file: wheel, sha256: wheel_sha256, bytes: *wheel_bytes }
    }

    /// What surrounds the network, whose file is at `onnx`.
    pub fn spec(&self, onnx: &Path) -> Result<ModelSpec> {
        self.processing.spec(&self.name, &self.name, || dictionary(Some(onnx), &self.name))
    }
}

/// The dictionary of a recogniser whose configuration, at `place`, has none.
pub(super) fn dictionary(onnx: Option<&Path>, place: &str) -> Result<Vec<String>> {
    onnx.map_or(Ok(None), metadata::characters_from_onnx)?.ok_or_else(|| {
        let reason = "there is no PostProcess.character_dict, nor an entry `character` in the metadata of an ONNX file; add the dictionary";
        Error::config(place, reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_read_whole() {
        let known = known().unwrap();
        let names: Vec<_> = known.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec"]);
        for model in &known {
            assert!(model.pipelines.iter().any(|p| p == "OCR"));
            assert!([&model.source.sha256, &model.source.wheel_sha256].iter().all(|s| s.len() == 64));
        }
    }
}

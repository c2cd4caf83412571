//! Pipeline files. Two dialects are read into one typed configuration: PaddleX 3.0-beta1 (`Global` + flat
//! `Pipeline`) and PaddleX 3.x (`pipeline_name` + nested `SubModules` and `SubPipelines`, see `nested`). Unknown keys are errors with their
//! place; a known key that asks for what this version does not do is an error too, never ignored.

mod document;
mod nested;
mod ocr;
mod picture;
#[cfg(test)]
mod tests;

pub use document::{DocumentConfig, Questions};
pub use ocr::OcrConfig;
pub use picture::PictureConfig;

use super::{
    Divided, DocumentTask, ImageClassification, InstanceSegmentation, ObjectDetection, Ocr, Pages, Pipeline, PipelineName, SealRecognition,
    SemanticSegmentation, TableRecognition, Task,
};
use crate::cache::Cache;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::yaml::said;
use crate::modules::{Loader, LoaderOptions};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::num::NonZeroUsize;
use std::path::Path;

/// Which dialect a pipeline file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PaddleX 3.0-beta1: `Global`, `Pipeline`.
    V3Beta1,
    /// PaddleX 3.x: `pipeline_name`, `SubModules`, `SubPipelines`.
    V3,
}

impl Dialect {
    fn of(text: &str, place: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Keys {
            pipeline_name: Option<IgnoredAny>,
            #[serde(rename = "SubModules")]
            modules: Option<IgnoredAny>,
            #[serde(rename = "Global")]
            global: Option<IgnoredAny>,
            #[serde(rename = "PreProcess")]
            model: Option<IgnoredAny>,
        }
        if text.trim().is_empty() {
            return Err(Error::config(place, "the file is empty; --get_pipeline_config writes one to start from"));
        }
        let keys: Keys = read_yaml(text, place)?;
        if keys.model.is_some() {
            return Err(Error::config(
                place,
                "this describes a model, not a pipeline; give a pipeline's name, and the model's folder with --model",
            ));
        }
        let is_nested = keys.modules.is_some() || keys.pipeline_name.is_some();
        match (is_nested, keys.global) {
            (true, _) => Ok(Self::V3),
            (false, Some(_)) => Ok(Self::V3Beta1),
            (false, None) => Err(Error::config(place, "this is no pipeline file: it has neither `Global` nor `pipeline_name`")),
        }
    }
}

impl std::fmt::Display for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V3Beta1 => "PaddleX 3.0-beta1",
            Self::V3 => "PaddleX 3.x",
        })
    }
}

/// Configuration of any pipeline.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one a run")]
#[non_exhaustive]
pub enum PipelineConfig {
    /// Of OCR.
    Ocr(OcrConfig),
    /// Of a pipeline with one network.
    Picture(PictureConfig),
    /// Of a pipeline for documents.
    Document(DocumentConfig),
}

impl PipelineConfig {
    /// The defaults of a pipeline.
    pub fn of(name: PipelineName) -> Self {
        match name {
            PipelineName::Ocr => Self::Ocr(OcrConfig::default()),
            PipelineName::Picture(task) => Self::Picture(PictureConfig::new(task)),
            PipelineName::Document(task) => Self::Document(DocumentConfig::new(task)),
        }
    }

    /// Reads a pipeline file of either dialect.
    pub fn read(path: &Path) -> Result<(Self, Dialect)> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Parses the text of a pipeline file; `place` names it in errors.
    pub fn parse(text: &str, place: &str) -> Result<(Self, Dialect)> {
        let dialect = Dialect::of(text, place)?;
        let config = match named_pipeline(text, dialect, place)? {
            PipelineName::Ocr => Self::Ocr(OcrConfig::parse(text, dialect, place)?),
            PipelineName::Picture(task) => Self::Picture(PictureConfig::parse(text, task, dialect, place)?),
            PipelineName::Document(task) => Self::Document(DocumentConfig::parse(text, task, dialect, place)?),
        };
        Ok((config, dialect))
    }

    /// `error`, and if it is about a model that is missing, or of another kind, with the key and the line by which the pipeline file `path` names that.
    pub fn placed(error: Error, path: &Path) -> Error {
        let model = match &error {
            Error::Missing { what, .. } => what.strip_prefix("model "),
            Error::Config { place, .. } => Some(place.strip_prefix("model ").unwrap_or(place)),
            _ => None,
        };
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let named = text.lines().zip(1..).find_map(|(line, number)| {
            let (key, value) = line.split_once(':')?;
            let value = value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
            (!value.is_empty() && model? == value).then(|| format!(" ({}, line {number}: `{}`)", path.display(), key.trim()))
        });
        let Some(place) = named else { return error };
        match error {
            Error::Missing { what, reason, next_step } => Error::missing(what + &place, reason, next_step),
            Error::Config { place: model, reason } => Error::config(model + &place, reason),
            other => other,
        }
    }

    /// Which pipeline.
    pub fn name(&self) -> PipelineName {
        match self {
            Self::Ocr(_) => PipelineName::Ocr,
            Self::Picture(config) => PipelineName::Picture(config.task),
            Self::Document(config) => PipelineName::Document(config.task),
        }
    }

    /// The device the file names.
    pub fn device(&self) -> Option<&str> {
        match self {
            Self::Ocr(config) => config.device.as_deref(),
            Self::Picture(config) => config.device.as_deref(),
            Self::Document(config) => config.text.device.as_deref(),
        }
    }

    /// Opens the pipeline on each of `devices`, which share the cores of `options`, to divide frames among them.
    ///
    /// # Errors
    /// Those of [`open`](Self::open); [`Error::Config`] when there is no device.
    pub fn open_on(&self, devices: &[Device], cache: &Cache, options: &LoaderOptions) -> Result<Box<dyn Pipeline>> {
        let threads = (options.threads / devices.len().max(1)).max(1);
        let open = |device: &Device| {
            let loader = Loader::new(cache.clone(), LoaderOptions { device: device.clone(), threads, ..options.clone() })?;
            Ok((device.clone(), self.open(&loader)?))
        };
        let mut parts = devices.iter().map(open).collect::<Result<Vec<_>>>()?;
        match parts.len() {
            0 => Err(Error::config("device", "none is given")),
            1 => Ok(parts.remove(0).1),
            _ => Ok(Box::new(Divided::new(parts))),
        }
    }

    /// Finds, fetches and opens the networks, on the device of `loader`.
    pub fn open(&self, loader: &Loader) -> Result<Box<dyn Pipeline>> {
        Ok(match self {
            Self::Ocr(config) => Box::new(Ocr::open(config, loader)?),
            Self::Document(config) => match config.task {
                DocumentTask::Seals => Box::new(SealRecognition::open(config, loader)?),
                DocumentTask::Tables => Box::new(TableRecognition::open(config, loader)?),
                DocumentTask::Pages => Box::new(Pages::open(config, loader)?),
            },
            Self::Picture(config) => match config.task {
                Task::ImageClassification => Box::new(ImageClassification::open(config, loader)?),
                Task::ObjectDetection => Box::new(ObjectDetection::open(config, loader)?),
                Task::SemanticSegmentation => Box::new(SemanticSegmentation::open(config, loader)?),
                Task::InstanceSegmentation => Box::new(InstanceSegmentation::open(config, loader)?),
            },
        })
    }
}

/// The name in a pipeline file, whatever else it holds.
fn named_pipeline(text: &str, dialect: Dialect, place: &str) -> Result<PipelineName> {
    #[derive(Deserialize)]
    struct Named {
        pipeline_name: String,
    }
    #[derive(Deserialize)]
    struct Nested {
        #[serde(rename = "Global")]
        global: Named,
    }
    let name = match dialect {
        Dialect::V3 => read_yaml::<Named>(text, place)?.pipeline_name,
        Dialect::V3Beta1 => read_yaml::<Nested>(text, place)?.global.pipeline_name,
    };
    PipelineName::find(&name, place)
}

fn read_yaml<T: for<'de> Deserialize<'de>>(text: &str, place: &str) -> Result<T> {
    // Errors name line and column, and show no lines: a file may hold the key of a language model.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| Error::config(place, said(&e)))
}

/// A value, or its default where the file has `null`, as PaddleX reads it.
fn or_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A line of a file: `None` where there is none.
type Line<T> = Option<Option<T>>;

fn line<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Line<T>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A device, where one is named.
fn device<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|name| !is_no_name(name)))
}

/// Says that pictures do not share runs of a network, where `key` asks for that. Results do not depend on it.
fn one_by_one(key: &str, size: Option<NonZeroUsize>, place: &str) {
    if size.is_some_and(|size| size.get() > 1) {
        tracing::warn!("{place}: {key} above 1 has no effect: pages and regions run one by one");
    }
}

/// Whether `name` is one of PaddleX's words for none.
fn is_no_name(name: &str) -> bool {
    name.trim().is_empty() || name.eq_ignore_ascii_case("none")
}

/// `Global` of a 3.0-beta1 file; its name has been read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Global {
    #[serde(rename = "pipeline_name")]
    _pipeline_name: IgnoredAny,
    #[serde(rename = "input", default)]
    _input: IgnoredAny,
}

/// A 3.0-beta1 file, with `P` as its section `Pipeline`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound = "P: Default + Deserialize<'de>")]
struct Beta1<P> {
    #[serde(rename = "Global")]
    _global: Global,
    #[serde(rename = "Pipeline", default, deserialize_with = "or_default")]
    pipeline: P,
    #[serde(rename = "Serving")]
    _serving: Option<IgnoredAny>,
}

/// `pp_option` of a 3.0-beta1 file: how Paddle Inference runs where PaddleX's plugin does not.
struct PpOption;

impl<'de> Deserialize<'de> for PpOption {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tracing::warn!(
            "pp_option is for PaddleX without its plugin and is passed over; hpi_config says what runs here: its backend, and for paddle_infer \
             the run_mode in its backend_config"
        );
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// Compatibility settings of a 3.0-beta1 file without an effect here: this program needs no licence.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct HpiParams {
    #[serde(rename = "serial_number")]
    _serial_number: Option<String>,
    #[serde(rename = "update_license")]
    _update_license: Option<bool>,
}

//! `inference.yml` of an exported model, in the dialects of PaddleClas, PaddleDetection, PaddleSeg and PaddleOCR, and the
//! [`ModelSpec`] it means. Which dialect a file speaks is seen from its sections; keys stand in any order.
//!
//! What changes results is read strictly: an unknown transform, post-processing or value is an error at
//! `file:line:column`. A key this reader does not know is named in one warning per file.

mod classification;
mod detection;
mod segmentation;
mod steps;
mod text;
mod values;

use super::hpi::HpiHints;
use super::spec::{DetectorHead, ModelSpec, UnwarpingSpec};
use super::yaml::{self, Unknown};
use crate::error::{Error, Result};
use crate::ops::resize_norm::{Normalize, Scale};
use serde::Deserialize;
use serde_saphyr::Spanned;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use steps::{PostProcess, PostProcessName, PreProcess, Transform};

/// Keys that say how PaddleDetection's own runner runs a network, or repeat what is part of its graph.
const IMPLIED: [&str; 6] = ["mode", "metric", "use_dynamic_shape", "min_subgraph_size", "NMS", "fpn_stride"];

/// The network whose file describes nothing: the reference has its steps in code.
const UNWARPING: &str = "UVDoc";

/// A whole `inference.yml`.
#[derive(Debug, Deserialize)]
pub(super) struct InferenceYml {
    #[serde(default, rename = "Global")]
    global: Global,
    #[serde(default, rename = "Hpi")]
    hpi: HpiHints,
    /// PaddleClas and PaddleOCR.
    #[serde(rename = "PreProcess")]
    pre: Option<PreProcess>,
    #[serde(rename = "PostProcess")]
    post: Option<PostProcess>,
    /// PaddleClas' configuration of a training, which holds the same two sections.
    #[serde(rename = "Infer")]
    infer: Option<Infer>,
    /// PaddleDetection.
    #[serde(rename = "Preprocess")]
    detection: Option<Vec<Spanned<detection::Step>>>,
    label_list: Option<Vec<String>>,
    #[serde(default, deserialize_with = "values::fraction")]
    draw_threshold: Option<f32>,
    #[serde(default)]
    mask: bool,
    #[serde(default)]
    arch: DetectorHead,
    /// PaddleSeg.
    #[serde(rename = "Deploy")]
    deploy: Option<segmentation::Deploy>,
    #[serde(flatten)]
    unknown: Unknown,
}

#[derive(Debug, Default, Deserialize)]
struct Global {
    model_name: Option<String>,
    #[serde(flatten)]
    unknown: Unknown,
}

#[derive(Debug, Deserialize)]
struct Infer {
    transforms: Vec<Spanned<Transform>>,
    #[serde(rename = "PostProcess")]
    post: PostProcess,
}

/// A list of labels that a file leaves out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Labels<'a> {
    /// Names of classes, perhaps in this file of lines `id name`.
    Classes(Option<&'a str>),
    /// The characters or tokens of a dictionary.
    Dictionary,
}

/// Where else labels may be found.
pub(super) type FindLabels<'a> = dyn Fn(Labels<'_>) -> Result<Option<Vec<String>>> + 'a;

/// What is known of a file while its sections are read.
struct Context<'a> {
    /// Name of the model.
    name: &'a str,
    /// The file, in messages.
    place: &'a str,
    labels: &'a FindLabels<'a>,
}

impl Context<'_> {
    fn error(&self, reason: impl Into<String>) -> Error {
        Error::config(self.place, reason)
    }

    fn at<T>(&self, what: &Spanned<T>, reason: impl Into<String>) -> Error {
        yaml::error_at(self.place, what, reason)
    }
}

impl InferenceYml {
    /// Reads `text`, found at `place`, and warns of keys it does not know.
    pub fn read(text: &str, place: &str) -> Result<Self> {
        let file: Self = yaml::parse(text, place)?;
        let unknown: Vec<_> = file.unknown().map(String::as_str).collect();
        if !unknown.is_empty() {
            warn_once(format!("{place}: ignoring unknown keys: {}", unknown.join(", ")));
        }
        Ok(file)
    }

    /// What the file says of engines.
    pub fn hpi(&self) -> &HpiHints {
        &self.hpi
    }

    /// `Global.model_name`.
    pub fn model_name(&self) -> Option<&str> {
        self.global.model_name.as_deref()
    }

    /// What the file, found at `place`, means for the model called `name`.
    pub fn spec(&self, name: &str, place: &str, labels: &FindLabels<'_>) -> Result<ModelSpec> {
        let context = Context { name, place, labels };
        let described = match (&self.pre, &self.infer) {
            (Some(pre), infer) => Some((&pre.transform_ops, self.post.as_ref().or(infer.as_ref().map(|infer| &infer.post)))),
            (None, Some(infer)) => Some((&infer.transforms, self.post.as_ref().or(Some(&infer.post)))),
            (None, None) => None,
        };
        match (described, &self.detection, &self.deploy) {
            (Some((steps, post)), None, None) => described_by_steps(steps, post, &context),
            (None, Some(steps), None) => {
                let labels = self.label_list.as_deref();
                let settings = detection::Settings { labels, draw_threshold: self.draw_threshold, masks: self.mask, head: self.arch };
                detection::spec(steps, &settings, &context).map(ModelSpec::Detection)
            }
            (None, None, Some(deploy)) => segmentation::spec(deploy, &context).map(ModelSpec::Segmentation),
            (None, None, None) if name == UNWARPING => {
                let normalize = Normalize { scale: Scale::Times(1.0 / 255.0), mean: [0.0; 3], std: [1.0; 3] };
                Ok(ModelSpec::Unwarping(UnwarpingSpec { normalize }))
            }
            (None, None, None) => {
                Err(context.error("it says nothing of inputs: there is no PreProcess, no Preprocess and no Deploy section"))
            }
            _ => Err(context.error("it holds more than one of the sections PreProcess, Preprocess and Deploy")),
        }
    }

    /// The keys that mean nothing to the reader.
    pub fn unknown(&self) -> impl Iterator<Item = &String> {
        let top = self.unknown.keys().filter(|key| !IMPLIED.contains(&key.as_str()));
        let steps = self.pre.iter().flat_map(|pre| &pre.transform_ops).chain(self.infer.iter().flat_map(|infer| &infer.transforms));
        let posts = self.post.iter().chain(self.infer.iter().map(|infer| &infer.post));
        let sections = steps
            .filter_map(|step| step.value.unknown())
            .chain(self.pre.iter().map(|pre| &pre.unknown))
            .chain(posts.flat_map(|post| std::iter::once(&post.unknown).chain(post.topk_section.iter().map(|topk| &topk.unknown))))
            .chain(self.detection.iter().flatten().map(|step| &step.value.unknown))
            .chain(
                self.deploy
                    .iter()
                    .flat_map(|deploy| std::iter::once(&deploy.unknown).chain(deploy.transforms.iter().map(|step| &step.value.unknown))),
            );
        top.chain(self.global.unknown.keys()).chain(&self.hpi.unknown).chain(sections.flat_map(|unknown| unknown.keys()))
    }
}

/// A file of PaddleClas or PaddleOCR: its `PostProcess` says which.
fn described_by_steps(steps: &[Spanned<Transform>], post: Option<&PostProcess>, context: &Context<'_>) -> Result<ModelSpec> {
    let post = post.ok_or_else(|| context.error("there is no PostProcess section"))?;
    match &post.name {
        Some(name) if name.value != PostProcessName::Topk => text::spec(steps, post, name, context),
        _ => {
            let classes = post.classes().ok_or_else(|| context.error("PostProcess has neither a known name nor a Topk with its topk"))?;
            classification::spec(steps, &classes, context).map(ModelSpec::Classification)
        }
    }
}

/// Logs a warning the first time it comes up in this process.
fn warn_once(message: String) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !said.contains(&message) {
        tracing::warn!("{message}");
        said.insert(message);
    }
}

#[cfg(test)]
mod tests;

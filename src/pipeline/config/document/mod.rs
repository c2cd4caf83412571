//! Configuration of the pipelines for documents.

mod beta1;
mod layout;
mod preprocessor;
mod questions;
#[cfg(test)]
mod tests;
mod v3;

use super::{Dialect, OcrConfig, is_no_name};
use crate::error::{Error, Result};
use crate::extract::{LlmSettings, TaskWords};
use crate::modules::loader::ModelChoice;
use crate::modules::text_detect::DetectionOverrides;
use crate::ops::layout::regions::RegionRules;
use crate::pipeline::DocumentTask;
use std::path::PathBuf;

/// Configuration of a pipeline for documents.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentConfig {
    /// Which pipeline.
    pub task: DocumentTask,
    /// Layout detector. Without one a picture is one seal.
    pub layout_model: Option<ModelChoice>,
    /// Score that a region needs to exceed, in place of the layout detector's own.
    pub layout_threshold: Option<f32>,
    /// Options of PaddleX 3.x on which regions are used, and how large.
    pub layout_rules: Option<Box<RegionRules>>,
    /// Recogniser of table structure. Without one the tables of pages are read as other text.
    pub table_model: Option<ModelChoice>,
    /// Detector for seals, in the place of that for other text.
    pub seal_text_det_model: Option<ModelChoice>,
    /// Settings in place of that detector's own.
    pub seal_detection: Box<DetectionOverrides>,
    /// Classifier of page orientation: sets pages upright.
    pub doc_image_ori_cls_model: Option<ModelChoice>,
    /// Network that makes photographs of pages flat.
    pub doc_image_unwarp_model: Option<ModelChoice>,
    /// Whether the regions of a page are read on a white page each, in their place; else as small pictures of their own.
    pub recovery: bool,
    /// How a language model is asked about pages; nothing of it takes part in reading them.
    pub questions: Box<Questions>,
    /// Detection and recognition of text; for seals the detector is that of seals.
    pub text: OcrConfig,
}

/// How a language model is asked about pages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Questions {
    /// The model.
    pub llm: LlmSettings,
    /// Words of questions in the pipeline file itself, in the place of those that ship.
    pub words: Option<TaskWords>,
    /// File with the words of questions, in the place of all these.
    pub task_prompt_yaml: Option<PathBuf>,
    /// File with a task, rules and examples in the place of all others.
    pub user_prompt_yaml: Option<PathBuf>,
}

impl DocumentConfig {
    /// The defaults of `task`, those of the reference's pipeline file.
    pub fn new(task: DocumentTask) -> Self {
        let model = |name: &str| ModelChoice::named(name);
        let (layout, table, detector, recogniser) = match task {
            DocumentTask::Seals => ("RT-DETR-H_layout_3cls", None, "PP-OCRv4_server_seal_det", "PP-OCRv4_server_rec"),
            DocumentTask::Pages => ("RT-DETR-H_layout_3cls", Some("SLANet_plus"), "PP-OCRv4_server_det", "PP-OCRv4_server_rec"),
            DocumentTask::Tables => ("PicoDet_layout_1x", Some("SLANet_plus"), "PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec"),
        };
        Self {
            task,
            layout_model: Some(model(layout)),
            layout_threshold: None,
            layout_rules: None,
            table_model: table.map(model),
            seal_text_det_model: (task == DocumentTask::Pages).then(|| model("PP-OCRv4_server_seal_det")),
            seal_detection: Box::default(),
            doc_image_ori_cls_model: None,
            doc_image_unwarp_model: None,
            recovery: true,
            questions: Box::default(),
            text: OcrConfig { text_det_model: model(detector), text_rec_model: model(recogniser), ..OcrConfig::default() },
        }
    }

    /// The models, by name or folder.
    pub fn models(self) -> Vec<ModelChoice> {
        let steps = [self.doc_image_ori_cls_model, self.doc_image_unwarp_model, self.seal_text_det_model];
        let optional = self.layout_model.into_iter().chain(self.table_model).chain(steps.into_iter().flatten());
        optional.chain([self.text.text_det_model, self.text.text_rec_model]).collect()
    }

    /// Refuses numbers that make no sense; `place` names where they stand.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn check(&self, place: &str) -> Result<()> {
        self.text.check(place)?;
        self.seal_detection.check(place)?;
        match self.layout_threshold {
            Some(score) if !(0.0..=1.0).contains(&score) => {
                Err(Error::config(place, format!("layout_threshold: {score} is not within 0 to 1")))
            }
            _ => Ok(()),
        }
    }

    /// Puts `name` in the place of the model at `key` of a pipeline file; `place` is where the name stands. `None`, and the name
    /// `none`, leave the model's step out.
    ///
    /// # Errors
    /// [`Error::Config`] when the pipeline has no such model, or cannot do without it.
    pub fn set_model(&mut self, key: &str, name: Option<&str>, place: &str) -> Result<()> {
        let task = self.task;
        let name = name.filter(|name| !is_no_name(name));
        let refused = |reason: &str| Err(Error::config(place, format!("{task} {reason}")));
        if (key, task) == ("seal_text_det_model", DocumentTask::Seals) {
            let Some(name) = name else { return refused(&format!("needs a `{key}`")) };
            self.text.text_det_model.rename(name);
            return Ok(());
        }
        let (slot, needed) = match (key, task) {
            ("layout_model", _) => (&mut self.layout_model, task != DocumentTask::Seals),
            ("table_model", DocumentTask::Tables | DocumentTask::Pages) => (&mut self.table_model, task == DocumentTask::Tables),
            ("seal_text_det_model", DocumentTask::Pages) => (&mut self.seal_text_det_model, false),
            ("doc_image_ori_cls_model", _) => (&mut self.doc_image_ori_cls_model, false),
            ("doc_image_unwarp_model", _) => (&mut self.doc_image_unwarp_model, false),
            _ if name.is_none() => return Ok(()), // nothing is what it has
            _ => return refused(&format!("has no `{key}`; leave it out")),
        };
        if name.is_none() && needed {
            return refused(&format!("needs a `{key}`"));
        }
        let hpi = slot.as_ref().map(|choice| choice.hpi.clone()).unwrap_or_default();
        *slot = name.map(|name| ModelChoice { hpi, ..ModelChoice::named(name) });
        Ok(())
    }

    /// Parses the text of a pipeline file; `place` names it in errors.
    pub(super) fn parse(text: &str, task: DocumentTask, dialect: Dialect, place: &str) -> Result<Self> {
        match dialect {
            Dialect::V3Beta1 => beta1::parse(text, task, place),
            Dialect::V3 => v3::parse(text, task, place),
        }
    }
}

//! Configuration of the pipelines for documents.

use super::{Dialect, HpiParams, OcrConfig, read_yaml};
use crate::error::{Error, Result};
use crate::extract::{LlmParams, LlmSettings};
use crate::model::HpiConfig;
use crate::modules::loader::ModelChoice;
use crate::pipeline::DocumentTask;
use serde::Deserialize;
use std::path::PathBuf;

/// Name in the place of a model that leaves its step out.
const NONE: &str = "none";

/// Configuration of a pipeline for documents.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentConfig {
    /// Which pipeline.
    pub task: DocumentTask,
    /// Layout detector. Without one a picture is one seal.
    pub layout_model: Option<ModelChoice>,
    /// Recogniser of table structure.
    pub table_model: Option<ModelChoice>,
    /// Detector for seals, in the place of that for other text.
    pub seal_text_det_model: Option<ModelChoice>,
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
    /// File with the words of questions, in the place of those that ship.
    pub task_prompt_yaml: Option<PathBuf>,
    /// File with a task, rules and examples in the place of all others.
    pub user_prompt_yaml: Option<PathBuf>,
}

impl DocumentConfig {
    /// The defaults of `task`, those of the reference's pipeline file.
    pub fn new(task: DocumentTask) -> Self {
        let model = |name: &str| ModelChoice { name_or_dir: name.into(), hpi: Box::default() };
        let (layout, table, detector, recogniser) = match task {
            DocumentTask::Seals => ("RT-DETR-H_layout_3cls", None, "PP-OCRv4_server_seal_det", "PP-OCRv4_server_rec"),
            DocumentTask::Pages => ("RT-DETR-H_layout_3cls", Some("SLANet_plus"), "PP-OCRv4_server_det", "PP-OCRv4_server_rec"),
            DocumentTask::Tables => ("PicoDet_layout_1x", Some("SLANet_plus"), "PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec"),
        };
        Self {
            task,
            layout_model: Some(model(layout)),
            table_model: table.map(model),
            seal_text_det_model: (task == DocumentTask::Pages).then(|| model("PP-OCRv4_server_seal_det")),
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

    /// Puts `name` in the place of the model at `key` of a pipeline file; `place` is where the name stands. `None`, and the name
    /// `none`, leave the model's step out.
    ///
    /// # Errors
    /// [`Error::Config`] when the pipeline has no such model, or cannot do without it.
    pub fn set_model(&mut self, key: &str, name: Option<&str>, place: &str) -> Result<()> {
        let task = self.task;
        let name = name.filter(|name| *name != NONE);
        let refused = |reason: &str| Err(Error::config(place, format!("{task} {reason}")));
        let (slot, needed) = match (key, task) {
            ("layout_model", _) => (&mut self.layout_model, task != DocumentTask::Seals),
            ("table_model", DocumentTask::Tables | DocumentTask::Pages) => (&mut self.table_model, true),
            ("seal_text_det_model", DocumentTask::Pages) => (&mut self.seal_text_det_model, false),
            ("doc_image_ori_cls_model", DocumentTask::Pages) => (&mut self.doc_image_ori_cls_model, false),
            ("doc_image_unwarp_model", DocumentTask::Pages) => (&mut self.doc_image_unwarp_model, false),
            _ => return refused(&format!("has no `{key}`; leave it out")),
        };
        if name.is_none() && needed {
            return refused(&format!("needs a `{key}`"));
        }
        let hpi = slot.as_ref().map(|choice| choice.hpi.clone()).unwrap_or_default();
        *slot = name.map(|name| ModelChoice { name_or_dir: name.into(), hpi });
        Ok(())
    }

    /// Parses the text of a pipeline file; `place` names it in errors.
    pub(super) fn parse(text: &str, task: DocumentTask, dialect: Dialect, place: &str) -> Result<Self> {
        if dialect == Dialect::V3 {
            let reason =
                format!("files of PaddleX 3.x for {task} are not in this version; `--get-pipeline-config {task}` writes one that is");
            return Err(Error::config(place, reason));
        }
        read_yaml::<File>(text, place)?.into_config(task, place)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "Global")]
    _global: super::Global,
    #[serde(rename = "Pipeline", default)]
    pipeline: Section,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    layout_model: Option<String>,
    table_model: Option<String>,
    seal_text_det_model: Option<String>,
    doc_image_ori_cls_model: Option<String>,
    doc_image_unwarp_model: Option<String>,
    recovery: Option<bool>,
    llm_name: Option<String>,
    llm_params: Option<LlmParams>,
    task_prompt_yaml: Option<String>,
    user_prompt_yaml: Option<String>,
    text_det_model: Option<String>,
    text_rec_model: Option<String>,
    text_rec_batch_size: Option<usize>,
    // Results do not depend on how pages share runs; here they do not.
    #[serde(rename = "layout_batch_size")]
    _layout_batch_size: Option<usize>,
    #[serde(rename = "table_batch_size")]
    _table_batch_size: Option<usize>,
    #[serde(rename = "text_det_batch_size")]
    _text_det_batch_size: Option<usize>,
    #[serde(rename = "seal_text_det_batch_size")]
    _seal_text_det_batch_size: Option<usize>,
    #[serde(rename = "doc_image_ori_cls_batch_size")]
    _doc_image_ori_cls_batch_size: Option<usize>,
    #[serde(rename = "doc_image_unwarp_batch_size")]
    _doc_image_unwarp_batch_size: Option<usize>,
    device: Option<String>,
    #[serde(default)]
    hpi_config: HpiConfig,
    // Compatibility switches without an effect here: this program is the plugin, and needs no licence.
    #[serde(rename = "use_hpip")]
    _use_hpip: Option<bool>,
    #[serde(rename = "hpi_params")]
    _hpi_params: Option<HpiParams>,
}

impl File {
    fn into_config(self, task: DocumentTask, place: &str) -> Result<DocumentConfig> {
        let section = self.pipeline;
        let mut config = DocumentConfig::new(task);
        for (key, name) in [
            ("layout_model", section.layout_model),
            ("table_model", section.table_model),
            ("seal_text_det_model", section.seal_text_det_model),
            ("doc_image_ori_cls_model", section.doc_image_ori_cls_model),
            ("doc_image_unwarp_model", section.doc_image_unwarp_model),
        ] {
            if let Some(name) = name {
                config.set_model(key, Some(&name), place)?;
            }
        }
        config.recovery = section.recovery.unwrap_or(config.recovery);
        for (key, given) in [
            ("llm_name", section.llm_name.is_some()),
            ("llm_params", section.llm_params.is_some()),
            ("task_prompt_yaml", section.task_prompt_yaml.is_some()),
            ("user_prompt_yaml", section.user_prompt_yaml.is_some()),
        ] {
            if given && task != DocumentTask::Pages {
                return Err(Error::config(place, format!("{task} has no `{key}`; leave it out")));
            }
        }
        let file = |name: Option<String>| name.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(NONE)).map(PathBuf::from);
        let llm = LlmSettings {
            llm_name: section.llm_name.unwrap_or(config.questions.llm.llm_name),
            params: section.llm_params.unwrap_or_default(),
            offline: false,
        };
        let (task_prompt_yaml, user_prompt_yaml) = (file(section.task_prompt_yaml), file(section.user_prompt_yaml));
        *config.questions = Questions { llm, task_prompt_yaml, user_prompt_yaml };
        let text = &mut config.text;
        for (choice, name) in [(&mut text.text_det_model, section.text_det_model), (&mut text.text_rec_model, section.text_rec_model)] {
            if let Some(name) = name {
                choice.name_or_dir = name;
            }
        }
        text.set_batch_size(section.text_rec_batch_size);
        text.device = section.device;
        let choices = [&mut text.text_det_model, &mut text.text_rec_model];
        let steps = [
            &mut config.seal_text_det_model,
            &mut config.doc_image_ori_cls_model,
            &mut config.doc_image_unwarp_model,
            &mut config.layout_model,
        ];
        for choice in choices.into_iter().chain(steps.into_iter().flatten()).chain(config.table_model.as_mut()) {
            choice.hpi = section.hpi_config.clone().into();
        }
        Ok(config)
    }
}

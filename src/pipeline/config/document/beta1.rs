//! Files of PaddleX 3.0-beta1 for documents.

use super::{DocumentConfig, Questions};
use crate::error::{Error, Result};
use crate::extract::{LlmParams, LlmSettings};
use crate::model::HpiConfig;
use crate::pipeline::DocumentTask;
use crate::pipeline::config::{Beta1, HpiParams, Line, PpOption, device, is_no_name, line, one_by_one, or_default, read_yaml};
use serde::Deserialize;
use std::num::NonZeroUsize;
use std::path::PathBuf;

pub(super) fn parse(text: &str, task: DocumentTask, place: &str) -> Result<DocumentConfig> {
    read_yaml::<Beta1<Section>>(text, place)?.pipeline.into_config(task, place)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    // `Some(None)`: without a name, which is not to say the default.
    #[serde(default, deserialize_with = "line")]
    layout_model: Line<String>,
    #[serde(default, deserialize_with = "line")]
    table_model: Line<String>,
    #[serde(default, deserialize_with = "line")]
    seal_text_det_model: Line<String>,
    #[serde(default, deserialize_with = "line")]
    doc_image_ori_cls_model: Line<String>,
    #[serde(default, deserialize_with = "line")]
    doc_image_unwarp_model: Line<String>,
    recovery: Option<bool>,
    llm_name: Option<String>,
    llm_params: Option<LlmParams>,
    task_prompt_yaml: Option<String>,
    user_prompt_yaml: Option<String>,
    text_det_model: Option<String>,
    text_rec_model: Option<String>,
    text_rec_batch_size: Option<usize>,
    layout_batch_size: Option<NonZeroUsize>,
    table_batch_size: Option<NonZeroUsize>,
    text_det_batch_size: Option<NonZeroUsize>,
    seal_text_det_batch_size: Option<NonZeroUsize>,
    doc_image_ori_cls_batch_size: Option<NonZeroUsize>,
    doc_image_unwarp_batch_size: Option<NonZeroUsize>,
    #[serde(default, deserialize_with = "device")]
    device: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    hpi_config: HpiConfig,
    // Compatibility switches without an effect here: this program is the plugin, and needs no licence.
    #[serde(rename = "use_hpip")]
    _use_hpip: Option<bool>,
    #[serde(rename = "hpi_params")]
    _hpi_params: Option<HpiParams>,
    #[serde(rename = "pp_option")]
    _pp_option: Option<PpOption>,
}

impl Section {
    fn into_config(self, task: DocumentTask, place: &str) -> Result<DocumentConfig> {
        let mut config = DocumentConfig::new(task);
        for (key, name) in [
            ("layout_model", self.layout_model),
            ("table_model", self.table_model),
            ("seal_text_det_model", self.seal_text_det_model),
            ("doc_image_ori_cls_model", self.doc_image_ori_cls_model),
            ("doc_image_unwarp_model", self.doc_image_unwarp_model),
        ] {
            if let Some(name) = name {
                config.set_model(key, name.as_deref(), place)?;
            }
        }
        config.recovery = self.recovery.unwrap_or(config.recovery);
        for (key, given) in [
            ("llm_name", self.llm_name.is_some()),
            ("llm_params", self.llm_params.is_some()),
            ("task_prompt_yaml", self.task_prompt_yaml.is_some()),
            ("user_prompt_yaml", self.user_prompt_yaml.is_some()),
        ] {
            if given && task != DocumentTask::Pages {
                return Err(Error::config(place, format!("{task} has no `{key}`; leave it out")));
            }
        }
        let file = |name: Option<String>| name.filter(|name| !is_no_name(name)).map(PathBuf::from);
        let llm = LlmSettings {
            llm_name: self.llm_name.unwrap_or(config.questions.llm.llm_name),
            params: self.llm_params.unwrap_or_default(),
            offline: false,
        };
        let (task_prompt_yaml, user_prompt_yaml) = (file(self.task_prompt_yaml), file(self.user_prompt_yaml));
        *config.questions = Questions { llm, words: None, task_prompt_yaml, user_prompt_yaml };
        let text = &mut config.text;
        for (choice, name) in [(&mut text.text_det_model, self.text_det_model), (&mut text.text_rec_model, self.text_rec_model)] {
            if let Some(name) = name {
                choice.rename(name);
            }
        }
        text.set_batch_size(self.text_rec_batch_size, place)?;
        for (key, size) in [
            ("layout_batch_size", self.layout_batch_size),
            ("table_batch_size", self.table_batch_size),
            ("text_det_batch_size", self.text_det_batch_size),
            ("seal_text_det_batch_size", self.seal_text_det_batch_size),
            ("doc_image_ori_cls_batch_size", self.doc_image_ori_cls_batch_size),
            ("doc_image_unwarp_batch_size", self.doc_image_unwarp_batch_size),
        ] {
            one_by_one(key, size, place);
        }
        text.device = self.device;
        let choices = [&mut text.text_det_model, &mut text.text_rec_model];
        let steps = [
            &mut config.seal_text_det_model,
            &mut config.doc_image_ori_cls_model,
            &mut config.doc_image_unwarp_model,
            &mut config.layout_model,
        ];
        for choice in choices.into_iter().chain(steps.into_iter().flatten()).chain(config.table_model.as_mut()) {
            choice.hpi = self.hpi_config.clone().into();
        }
        Ok(config)
    }
}

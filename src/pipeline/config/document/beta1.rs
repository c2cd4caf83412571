//! Files of PaddleX 3.0-beta1 for documents.

use super::{DocumentConfig, Questions};
use crate::error::{Error, Result};
use crate::extract::{LlmParams, LlmSettings};
use crate::model::HpiConfig;
use crate::pipeline::DocumentTask;
use crate::pipeline::config::{Global, HpiParams, PpOption, device, is_no_name, or_default, read_yaml};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use std::path::PathBuf;

pub(super) fn parse(text: &str, task: DocumentTask, place: &str) -> Result<DocumentConfig> {
    read_yaml::<File>(text, place)?.into_config(task, place)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "Global")]
    _global: Global,
    #[serde(rename = "Pipeline", default, deserialize_with = "or_default")]
    pipeline: Section,
    #[serde(rename = "Serving")]
    _serving: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    // `Some(None)`: without a name, which is not to say the default.
    #[serde(default, deserialize_with = "given")]
    layout_model: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    table_model: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    seal_text_det_model: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    doc_image_ori_cls_model: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    doc_image_unwarp_model: Option<Option<String>>,
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

fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(value).map(Some)
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
                config.set_model(key, name.as_deref(), place)?;
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
        let file = |name: Option<String>| name.filter(|name| !is_no_name(name)).map(PathBuf::from);
        let llm = LlmSettings {
            llm_name: section.llm_name.unwrap_or(config.questions.llm.llm_name),
            params: section.llm_params.unwrap_or_default(),
            offline: false,
        };
        let (task_prompt_yaml, user_prompt_yaml) = (file(section.task_prompt_yaml), file(section.user_prompt_yaml));
        *config.questions = Questions { llm, words: None, task_prompt_yaml, user_prompt_yaml };
        let text = &mut config.text;
        for (choice, name) in [(&mut text.text_det_model, section.text_det_model), (&mut text.text_rec_model, section.text_rec_model)] {
            if let Some(name) = name {
                choice.rename(name);
            }
        }
        text.set_batch_size(section.text_rec_batch_size, place)?;
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

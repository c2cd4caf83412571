//! The sections of a PaddleX 3.x file that say how a language model is asked.

use super::Questions;
use crate::error::Result;
use crate::extract::{ApiType, LlmParams, LlmSettings, Secret, TaskWords};
use crate::pipeline::config::is_no_name;
use crate::pipeline::config::nested::refused;
use serde::Deserialize;
use serde_saphyr::Spanned;

/// What stands for a key in the files that PaddleX ships.
const NO_KEY: &str = "api_key";

/// `SubModules` of `PP-ChatOCRv3-doc`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sections {
    #[serde(rename = "LLM_Chat")]
    chat: Option<Chat>,
    #[serde(rename = "LLM_Retriever")]
    retriever: Option<Spanned<Retriever>>,
    // Spelt as in the reference.
    #[serde(rename = "PromptEngneering")]
    words: Option<TaskWords>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chat {
    #[serde(rename = "module_name")]
    _module_name: Option<String>,
    model_name: String,
    base_url: Option<String>,
    api_type: Option<ApiType>,
    api_key: Option<Secret>,
    #[serde(rename = "end_point")]
    _end_point: Option<EndPoint>,
}

/// The one form of questions that is asked.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum EndPoint {
    ChatCompletion,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Retriever {
    #[serde(rename = "module_name")]
    _module_name: Option<String>,
    model_name: String,
    base_url: Option<String>,
    api_type: Option<ApiType>,
    api_key: Option<Secret>,
    // Texts are sent as text.
    #[serde(rename = "tiktoken_enabled")]
    _tiktoken_enabled: Option<bool>,
}

impl Sections {
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) when another service embeds than answers.
    pub fn into_questions(self, place: &str) -> Result<Questions> {
        let mut llm = LlmSettings::default();
        if let Some(chat) = self.chat {
            // A service that is known by its address needs a key, and has short names for its models.
            let known = chat.base_url.as_deref().and_then(ApiType::at);
            let base_url = chat.base_url.filter(|_| known.is_none());
            llm.llm_name = chat.model_name;
            llm.params = LlmParams { api_type: known.or(chat.api_type), base_url, api_key: key(chat.api_key), ..LlmParams::default() };
        }
        if let Some(section) = self.retriever {
            let params = &mut llm.params;
            let Retriever { model_name, base_url, api_type, api_key, .. } = &section.value;
            let differs = |own: Option<&str>, other: Option<&str>| own.is_some_and(|own| Some(own) != other);
            let other_service = differs(service(base_url.as_deref(), *api_type), service(params.base_url.as_deref(), params.api_type));
            let untouched = api_key.as_ref().is_some_and(|key| key.is(NO_KEY));
            let own_key = key(api_key.clone());
            let other = other_service || (own_key.is_some() && own_key != params.api_key);
            params.embedding_model = Some(model_name.clone());
            if other && !is_no_name(model_name) {
                let reason = "LLM_Retriever has another service or key than LLM_Chat, one answers and embeds in this version; give both the same, or `model_name: none` to embed nothing";
                if !untouched {
                    return Err(refused(place, &section, reason));
                }
                // As it is shipped, beside a service of the user's own.
                tracing::warn!(
                    "{place}: LLM_Retriever names another service than LLM_Chat and no key: long texts go into the questions whole"
                );
                params.embedding_model = Some("none".to_owned());
            }
        }
        Ok(Questions { llm, words: self.words, ..Questions::default() })
    }
}

/// The address of a service.
fn service(base_url: Option<&str>, api_type: Option<ApiType>) -> Option<&str> {
    base_url.map(|url| url.trim_end_matches('/')).or_else(|| api_type.and_then(ApiType::base_url))
}

/// A key, where one is given.
fn key(given: Option<Secret>) -> Option<Secret> {
    given.filter(|key| !key.is(NO_KEY))
}

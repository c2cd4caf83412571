//! Answers from documents: what the visual step found ([`VisualInfo`]) is put before a language model, which names the values of
//! the keys asked for. `settings` says which endpoint, `address` what its address must be, `endpoint` speaks its protocol
//! (OpenAI's, which ERNIE services share), `retry` how often; `prompts` holds the words, `split` and `vector` choose what fits a
//! prompt when the text is long, `answer` reads what comes back, `chat` asks. Steps and their results are those of
//! PP-ChatOCRv3-doc in PaddleX 3.0-beta1. This module knows results only; no picture and no network
//! of ours is needed here.

mod address;
mod answer;
mod chat;
mod endpoint;
mod keys;
mod prompts;
mod retry;
mod secret;
mod settings;
mod split;
mod vector;

pub(crate) use address::{has_wrong_port, is_this_machine};
pub use chat::{ChatResult, Guidance, PageText, SentPrompts};
pub use endpoint::Endpoint;
pub(crate) use endpoint::agent;
pub use keys::Keys;
pub use prompts::{Prompts, TaskWords};
pub use retry::Retries;
pub(crate) use retry::retry_after;
pub use secret::{KeySource, Secret};
pub use settings::{ApiType, KEY_VARIABLE, LlmParams, LlmSettings};
pub use vector::{Retrieval, Vector};

use crate::error::Result;
use crate::result::page::VisualInfo;
use std::sync::OnceLock;

/// Characters of page text up to which all of it goes into a question; the reference's number.
pub const MIN_CHARACTERS: usize = 3500;

/// The steps after the visual one. Nothing is sent before a step needs the language model: short texts are made ready
/// without an endpoint.
pub struct Extractor {
    settings: LlmSettings,
    prompts: Prompts,
    endpoint: OnceLock<Endpoint>,
}

impl Extractor {
    /// The steps with this model and these words.
    pub fn new(settings: LlmSettings, prompts: Prompts) -> Self {
        Self { settings, prompts, endpoint: OnceLock::new() }
    }

    /// Makes the text of pages ready for questions (`build_vector`): up to `min_characters` it stays text, beyond that it becomes
    /// a store of embedded chunks where there is a model that embeds: one that is named, or that of a service for ERNIE.
    ///
    /// # Errors
    /// Only for long texts: [`Error::Config`](crate::Error::Config) when the settings name no endpoint,
    /// [`Error::Endpoint`](crate::Error::Endpoint) when it fails.
    pub fn build_vector(&self, info: &VisualInfo, min_characters: usize) -> Result<Vector> {
        let pages = vector::with_long_tables(info);
        let characters = vector::characters(&pages);
        if characters <= min_characters {
            return Ok(Vector::plain(&pages));
        }
        if !self.settings.embeds() {
            if self.settings.params.embedding_model.is_none() {
                tracing::warn!(
                    "all {characters} characters go into the questions; --embedding-model names a model of the endpoint that finds what \
                     belongs there, `none` says that this is meant"
                );
            }
            return Ok(Vector::plain(&pages));
        }
        vector::build(&pages, &self.prompts, self.endpoint()?)
    }

    /// The chunks of `vector` that are nearest to each of `keys` (`retrieval`); text is returned as it is.
    ///
    /// # Errors
    /// As [`build_vector`](Self::build_vector); also [`Error::Config`](crate::Error::Config) for a store that is not of this
    /// program, or of another embedding model.
    pub fn retrieve(&self, keys: &Keys, vector: &Vector) -> Result<Retrieval> {
        match vector.store()? {
            None => Ok(Retrieval { retrieval: vector.vector.clone() }),
            Some(store) => store.nearest(keys, &self.prompts, self.endpoint()?),
        }
    }

    /// Asks for the values of `keys` (`chat`): first the tables, then, for what is left, `text`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for settings that name no endpoint; [`Error::Endpoint`](crate::Error::Endpoint) when
    /// it fails before anything was found. After that the fault is in [`ChatResult::error`], beside what was found.
    pub fn chat(&self, keys: &Keys, info: &VisualInfo, text: PageText<'_>, guidance: &Guidance) -> Result<ChatResult> {
        chat::chat(self, keys, info, text, guidance)
    }

    /// All steps: [`build_vector`](Self::build_vector), [`retrieve`](Self::retrieve) where it is needed, [`chat`](Self::chat).
    ///
    /// # Errors
    /// Those of the steps.
    pub fn extract(&self, keys: &Keys, info: &VisualInfo, min_characters: usize, guidance: &Guidance) -> Result<ChatResult> {
        let vector = self.build_vector(info, min_characters)?;
        self.chat(keys, info, PageText::Vector(&vector), guidance)
    }

    /// Whether there is an endpoint to ask; nothing is sent.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) and [`Error::Io`](crate::Error::Io): what is wrong with its settings or key.
    pub fn check(&self) -> Result<()> {
        self.endpoint().map(drop)
    }

    /// The endpoint, opened once.
    fn endpoint(&self) -> Result<&Endpoint> {
        if let Some(endpoint) = self.endpoint.get() {
            return Ok(endpoint);
        }
        let opened = Endpoint::open(&self.settings)?;
        Ok(self.endpoint.get_or_init(|| opened))
    }
}

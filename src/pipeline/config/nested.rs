//! What pipeline files of PaddleX 3.x have in common: sections of networks, switches of steps, and refusals that name the line.

use super::{is_no_name, or_default};
use crate::error::{Error, Result};
use crate::model::HpiConfig;
use crate::modules::loader::ModelChoice;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;

/// A refusal of what stands at `value` in the file `place`.
pub(super) fn refused<T>(place: &str, value: &Spanned<T>, reason: impl std::fmt::Display) -> Error {
    let at = value.referenced;
    Error::config(place, format!("line {}, column {}: {reason}", at.line(), at.column()))
}

/// A setting that this version does not have, with its place.
pub(super) type Foreign = Option<Spanned<Given>>;

/// Any value; PaddleX's files write `None` where nothing is set.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Given {
    Text(String),
    Other(IgnoredAny),
}

/// Refuses a setting that says something; `why` says what holds without it.
pub(super) fn must_be_unset(key: &str, value: &Foreign, place: &str, why: &str) -> Result<()> {
    match value {
        None => Ok(()),
        Some(Spanned { value: Given::Text(text), .. }) if is_no_name(text) => Ok(()),
        Some(given) => Err(refused(place, given, format!("`{key}` is not in this version: leave it out, {why}"))),
    }
}

/// A switch of a step, with its place.
pub(super) type Switch = Option<Spanned<bool>>;

/// Whether a step is taken: as its switch says, and where there is none, if its section is there.
pub(super) struct Step<'a> {
    key: &'a str,
    switch: &'a Switch,
    /// What the step needs.
    section: &'a str,
    is_there: bool,
}

/// The step switched by `key`, whose section is there or not.
pub(super) fn step<'a>(key: &'a str, switch: &'a Switch, section: &'a str, is_there: bool) -> Step<'a> {
    Step { key, switch, section, is_there }
}

impl Step<'_> {
    /// Whether it is taken.
    ///
    /// # Errors
    /// [`Error::Config`] when it is asked for and its section is missing.
    pub fn is_taken(&self, place: &str) -> Result<bool> {
        match self.switch {
            Some(on) if on.value && !self.is_there => {
                let Self { key, section, .. } = self;
                Err(refused(place, on, format!("`{key}: True` needs the section `{section}`: add it, or set the switch to False")))
            }
            Some(on) => Ok(on.value),
            None => Ok(self.is_there),
        }
    }

    /// Refuses a step that this version does not have.
    pub fn must_be_off(&self, place: &str) -> Result<()> {
        let Self { key, section, .. } = self;
        match self.switch {
            Some(on) if on.value => Err(refused(place, on, format!("`{key}: True` is not in this version; set it to False"))),
            None if self.is_there => {
                let reason = format!("the section `{section}` asks for a step that is not in this version; add `{key}: False`");
                Err(Error::config(place, reason))
            }
            _ => Ok(()),
        }
    }

    /// Refuses to go without a step that this version always takes; `why` says what for.
    pub fn must_be_on(&self, place: &str, why: &str) -> Result<()> {
        let Self { key, section, .. } = self;
        match self.switch {
            Some(on) if !on.value => Err(refused(place, on, format!("`{key}: False` is not in this version, {why}; set it to True"))),
            _ if self.is_taken(place)? => Ok(()),
            _ => Err(Error::config(place, format!("the section `{section}` is missing, {why}; add it"))),
        }
    }
}

/// A network whose section has no settings of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Module {
    #[serde(rename = "module_name")]
    _module_name: Option<String>,
    model_name: String,
    model_dir: Option<String>,
    // Results do not depend on how pictures share runs.
    #[serde(rename = "batch_size")]
    _batch_size: Option<usize>,
    #[serde(rename = "use_hpip")]
    _use_hpip: Option<bool>,
    #[serde(default, deserialize_with = "or_default")]
    hpi_config: HpiConfig,
}

impl Module {
    /// The network, with `general` where its own section says nothing of engines.
    pub fn choice(self, general: &HpiConfig) -> ModelChoice {
        choice(self.model_name, self.model_dir, &self.hpi_config, general)
    }
}

/// A folder wins over the official name beside it.
pub(super) fn choice(name: String, dir: Option<String>, own: &HpiConfig, general: &HpiConfig) -> ModelChoice {
    ModelChoice { name_or_dir: dir.filter(|dir| !is_no_name(dir)).unwrap_or(name), hpi: own.over(general).into() }
}

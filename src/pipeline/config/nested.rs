//! What pipeline files of PaddleX 3.x have in common: sections of networks, switches of steps, and refusals that name the line.

use super::{is_no_name, or_default};
use crate::error::{Error, Result};
use crate::model::HpiConfig;
use crate::modules::loader::{Claim, ModelChoice};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

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

impl Given {
    /// Whether it is the word for nothing.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Text(text) if is_no_name(text))
    }
}

/// A score, or one for each class.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Threshold {
    One(f32),
    Classes(BTreeMap<u32, f32>),
    Other(Given),
}

/// The score for all classes, or those by class.
type Scores = (Option<f32>, Option<BTreeMap<u32, f32>>);

/// What `value` says.
///
/// # Errors
/// [`Error::Config`] for what is neither.
pub(super) fn threshold(value: &Option<Spanned<Threshold>>, place: &str) -> Result<Scores> {
    let is_score = |score: &f32| (0.0..=1.0).contains(score);
    match value {
        None => Ok((None, None)),
        Some(Spanned { value: Threshold::One(score), .. }) if is_score(score) => Ok((Some(*score), None)),
        Some(Spanned { value: Threshold::Classes(scores), .. }) if scores.values().all(is_score) => Ok((None, Some(scores.clone()))),
        Some(Spanned { value: Threshold::Other(given), .. }) if given.is_none() => Ok((None, None)),
        Some(other) => Err(refused(place, other, "`threshold` is a number from 0 to 1, or a map from numbers of classes to such")),
    }
}

/// Refuses a setting that says something; `why` says what holds without it.
pub(super) fn must_be_unset(key: &str, value: &Foreign, place: &str, why: &str) -> Result<()> {
    match value {
        None => Ok(()),
        Some(Spanned { value: given, .. }) if given.is_none() => Ok(()),
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

/// Refuses steps that this version does not have, all of them in one message.
pub(super) fn all_off(steps: &[Step<'_>], place: &str) -> Result<()> {
    let refusals: Vec<String> = steps
        .iter()
        .filter_map(|step| match step.must_be_off(place) {
            Err(Error::Config { reason, .. }) => Some(reason),
            _ => None,
        })
        .collect();
    if refusals.is_empty() { Ok(()) } else { Err(Error::config(place, refusals.join("; "))) }
}

/// A network whose section has no settings of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Module {
    #[serde(rename = "module_name")]
    _module_name: Option<String>,
    model_name: String,
    model_dir: Option<Spanned<String>>,
    // Results do not depend on how pictures share runs.
    #[serde(rename = "batch_size")]
    _batch_size: Option<NonZeroUsize>,
    #[serde(rename = "use_hpip")]
    _use_hpip: Option<bool>,
    #[serde(default, deserialize_with = "or_default")]
    hpi_config: HpiConfig,
}

impl Module {
    /// The network, with `general` where its own section says nothing of engines.
    pub fn choice(self, general: &HpiConfig, place: &str) -> ModelChoice {
        choice(self.model_name, self.model_dir, &self.hpi_config, general, place)
    }
}

/// The network in the folder `dir`, which is to hold that of the official `name`; where none is given, the official one.
pub(super) fn choice(name: String, dir: Option<Spanned<String>>, own: &HpiConfig, general: &HpiConfig, place: &str) -> ModelChoice {
    let hpi = Box::new(own.over(general));
    let Some(dir) = dir.filter(|dir| !is_no_name(&dir.value)) else { return ModelChoice { name_or_dir: name, hpi, claim: None } };
    let at = dir.referenced;
    let place = format!("{place}, line {}, column {}", at.line(), at.column());
    ModelChoice { name_or_dir: dir.value, hpi, claim: Some(Claim { model: name, place }.into()) }
}

//! Two reports of a kind side by side: what became slower or larger. Reports of unlike machines, models, their networks and the GPUs
//! they ran on, inputs, threads or pipelines are refused: their difference would not be the change's. What a kind compares is in the
//! file of its name, `measured` for those of `hpinfer bench` itself.

mod cold;
mod measured;
mod official;
mod streams;

use super::machine::Machine;
use super::report::engines;
use crate::error::{Error, Result};
use crate::result::RunRecord;
use std::collections::{BTreeMap, BTreeSet};

/// One number of one case, before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The case.
    pub case: String,
    /// What is compared, with its unit.
    pub metric: &'static str,
    /// In the first report.
    pub before: f64,
    /// In the second.
    pub after: f64,
    /// Worse by more than the threshold.
    pub regression: bool,
}

impl Change {
    /// Change of the number in percent, negative when it shrank.
    pub fn percent(&self) -> f64 {
        if self.after == self.before { 0.0 } else { (self.after / self.before - 1.0) * 100.0 }
    }
}

/// A comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Every number of every case that both reports have.
    pub changes: Vec<Change>,
    /// Differences that are allowed, and that a reader should know.
    pub notes: Vec<String>,
}

impl Comparison {
    /// Whether anything is worse by more than the threshold.
    pub fn has_regressions(&self) -> bool {
        self.changes.iter().any(|c| c.regression)
    }
}

/// Which numbers are the better ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Times and sizes.
    Less,
    /// Rates.
    More,
}

/// A number of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    case: String,
    metric: &'static str,
    better: Better,
    value: f64,
}

impl Number {
    /// What `case` gave for `metric`, which has its unit in it.
    pub fn new(case: impl ToString, metric: &'static str, better: Better, value: f64) -> Self {
        Self { case: case.to_string(), metric, better, value }
    }
}

/// What numbers hold for: what, and what that is.
pub struct Terms<'a> {
    machine: &'a Machine,
    same: Vec<(String, String)>,
    noted: Vec<(String, String)>,
    /// SHA-256 of the network of each model, where the report has it.
    networks: BTreeMap<&'a str, Option<&'a str>>,
    /// Flags that decide what is computed, where they are given.
    pub settings: Option<&'a BTreeMap<String, String>>,
}

impl<'a> Terms<'a> {
    /// A program and a machine.
    pub fn new(hpinfer: &str, machine: &'a Machine) -> Self {
        let mut terms = Self { machine, same: Vec::new(), noted: Vec::new(), networks: BTreeMap::new(), settings: None };
        terms.same("machine", format!("{}, {} cores", machine.cpu, machine.cores));
        terms.noted("hpinfer", hpinfer);
        terms.noted("kernel", &machine.kernel);
        for gpu in &machine.gpus {
            gpu.driver.iter().for_each(|driver| terms.noted(format!("driver of {}", gpu.device), driver));
        }
        terms
    }

    /// What has to be the same.
    pub fn same(&mut self, what: impl ToString, is: impl ToString) {
        self.same.push((what.to_string(), is.to_string()));
    }

    /// What may be the very change that is measured.
    pub fn noted(&mut self, what: impl ToString, is: impl ToString) {
        self.noted.push((what.to_string(), is.to_string()));
    }

    /// A model, and the SHA-256 of its network where the report has it.
    pub fn network(&mut self, model: &'a str, sha256: Option<&'a String>) {
        self.networks.insert(model, sha256.map(String::as_str));
    }

    /// The models that ran, and their engines, `of` what; `networks` has the SHA-256 of each.
    pub fn models(&mut self, of: &str, models: &'a [RunRecord], networks: &'a BTreeMap<String, String>) {
        models.iter().for_each(|m| self.network(&m.model, networks.get(&m.model)));
        let model = |m: &RunRecord| format!("{} ({}, {})", m.model, m.precision, self.machine.identity(&m.device));
        self.same(format!("models{of}"), models.iter().map(model).collect::<Vec<_>>().join(" + "));
        self.noted(format!("engines{of}"), engines(models));
    }
}

/// A report that may be set beside another one of its kind.
pub trait Comparable {
    /// What its numbers hold for.
    fn terms(&self) -> Terms<'_>;

    /// Its numbers, no two for the same metric of the same case.
    fn numbers(&self) -> Vec<Number>;
}

/// Compares `after` with `before`: what is worse by more than `threshold_percent` is a regression.
///
/// # Errors
/// [`Error::Config`] that lists everything in which the reports are unlike.
pub fn compare<R: Comparable>(before: &R, after: &R, threshold_percent: f64) -> Result<Comparison> {
    if !(threshold_percent.is_finite() && threshold_percent >= 0.0) {
        return Err(Error::config("--threshold", format!("{threshold_percent} is no percentage of 0 or more")));
    }
    let (old, new) = (before.terms(), after.terms());
    let (may_differ, may_not): (Vec<_>, Vec<_>) = settings(&old, &new).into_iter().partition(|(flag, ..)| may_differ(flag));
    let said = |between: &str, after: &str, unlike: Vec<(&str, &str, &str)>| -> Vec<String> {
        unlike.into_iter().map(|(what, old, new)| format!("{what}: {old}{between}{new}{after}")).collect()
    };
    let mut differences = said(" against ", "", unlike(&old.same, &new.same).chain(may_not).collect());
    let mut unknown = Vec::new();
    for (model, new) in &new.networks {
        match (old.networks.get(model), new) {
            (Some(Some(old)), Some(new)) if old != new => differences.push(format!("network of {model}: SHA-256 {old} against {new}")),
            (Some(None), _) | (Some(_), None) => unknown.push(*model),
            _ => {}
        }
    }
    if !differences.is_empty() {
        let reason = format!("the reports are not comparable: {}; measure both on the same terms", differences.join("; "));
        return Err(Error::config("bench compare", reason));
    }
    let mut notes = said(" before, ", " after", unlike(&old.noted, &new.noted).chain(may_differ).collect());
    if !unknown.is_empty() {
        let unknown = unknown.join(" and ");
        notes.push(format!("a report has no SHA-256 of the networks of {unknown}: that they are the same ones is taken for granted"));
    }
    let (factor, numbers) = (1.0 + threshold_percent / 100.0, after.numbers());
    let change = |old: Number| {
        let new = numbers.iter().find(|new| (&new.case, new.metric) == (&old.case, old.metric))?;
        let (before, after) = (old.value, new.value);
        let regression = match old.better {
            Better::Less => after > before * factor,
            Better::More => after * factor < before,
        };
        Some(Change { case: old.case, metric: old.metric, before, after, regression })
    };
    Ok(Comparison { changes: before.numbers().into_iter().filter_map(change).collect(), notes })
}

/// What both say something of, and not the same.
fn unlike<'a>(before: &'a [(String, String)], after: &'a [(String, String)]) -> impl Iterator<Item = (&'a str, &'a str, &'a str)> {
    let both = before.iter().filter_map(|(what, old)| Some((&**what, &**old, &*after.iter().find(|(new, _)| new == what)?.1)));
    both.filter(|(_, old, new)| old != new)
}

/// Flags of either report that say something else in the other.
fn settings<'a>(before: &Terms<'a>, after: &Terms<'a>) -> Vec<(&'a str, &'a str, &'a str)> {
    let Some((before, after)) = before.settings.zip(after.settings) else { return Vec::new() };
    let said = |settings: &'a BTreeMap<String, String>, flag: &str| settings.get(flag).map_or("the default", String::as_str);
    let flags: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let both = flags.into_iter().map(|flag| (flag.as_str(), said(before, flag), said(after, flag)));
    both.filter(|(_, old, new)| old != new).collect()
}

/// Whether a flag may be the very change that is measured: how many share a run, and where a model is, which may be the same at another
/// place.
fn may_differ(flag: &str) -> bool {
    flag.ends_with("model") || flag.ends_with("batch_size")
}

//! The one public error. Variants are grouped by what the reader can do about them;
//! each names the item concerned, the reason, and the next step when there is one.
//! Everything in the crate may use this module; it uses nothing of the crate.

use std::io;
use std::path::{Path, PathBuf};

/// Result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, grouped by what can be done about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An input (file, URL, frame) that cannot be used. The other inputs of a run go on.
    #[error("{item}: {reason}")]
    Input {
        /// The input as the user named it.
        item: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A flag, a configuration file or an API parameter that makes no sense.
    #[error("{place}: {reason}")]
    Config {
        /// Flag name, or `file:line:column`.
        place: String,
        /// What is wrong and what is accepted.
        reason: String,
    },
    /// A model, library or font that is not on this machine.
    #[error("{what} is missing: {reason}; {next_step}")]
    Missing {
        /// Name of the missing thing.
        what: String,
        /// Why it could not be had.
        reason: String,
        /// What to do about it.
        next_step: String,
    },
    /// An inference engine that cannot be used on this machine or for this model.
    #[error("backend {backend}: {reason}; {next_step}")]
    Backend {
        /// Backend name as in pipeline files.
        backend: String,
        /// Why it cannot be used.
        reason: String,
        /// What to do about it.
        next_step: String,
    },
    /// A language model that did not answer, or not as its protocol has it.
    #[error("endpoint {endpoint}: {reason}; {next_step}")]
    Endpoint {
        /// Address and model.
        endpoint: String,
        /// What it said or did.
        reason: String,
        /// What to do about it.
        next_step: String,
    },
    /// An engine or device failed while it worked.
    #[error("{device}, {stage}: {reason}")]
    Device {
        /// Device and backend that failed.
        device: String,
        /// Model and stage of the work, with the shapes involved.
        stage: String,
        /// The native message.
        reason: String,
    },
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "write", "create", ...
        action: &'static str,
        /// The path concerned.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A broken assumption inside the crate.
    #[error("internal error in {stage}: {reason}")]
    Internal {
        /// Where it was noticed.
        stage: String,
        /// What was expected and what was found.
        reason: String,
    },
}

impl Error {
    /// The same, of the input that is called `name`: a module does not know what its picture is called.
    #[must_use]
    pub fn of_input(self, name: Option<&str>) -> Self {
        match (self, name) {
            (Self::Input { reason, .. }, Some(name)) => Self::input(name, reason),
            (error, _) => error,
        }
    }

    /// The same of an input, with what to do about it: the other groups say that by themselves.
    #[must_use]
    pub fn with_next_step(self, next_step: Option<&str>) -> Self {
        match (self, next_step) {
            (Self::Input { item, reason }, Some(next_step)) => Self::input(item, format!("{reason}; {next_step}")),
            (error, _) => error,
        }
    }

    /// Short stable name of the group, as written into the `error.kind` field of a result line.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Input { .. } => "bad_input",
            Self::Config { .. } => "bad_config",
            Self::Missing { .. } => "missing",
            Self::Backend { .. } => "backend_unavailable",
            Self::Endpoint { .. } => "endpoint",
            Self::Device { .. } => "device_fault",
            Self::Io { .. } => "io",
            Self::Internal { .. } => "internal",
        }
    }

    /// A bad input: `item` as the user named it, and why it is refused.
    pub fn input(item: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Input { item: item.into(), reason: reason.into() }
    }

    /// A bad setting: where it stands, and what is wrong with it.
    pub fn config(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config { place: place.into(), reason: reason.into() }
    }

    /// Something that is not on this machine, and how to get it.
    pub fn missing(what: impl Into<String>, reason: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self::Missing { what: what.into(), reason: reason.into(), next_step: next_step.into() }
    }

    /// A backend that cannot be used, and what to do instead.
    pub fn backend(backend: impl Into<String>, reason: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self::Backend { backend: backend.into(), reason: reason.into(), next_step: next_step.into() }
    }

    /// A language model that gave no answer, and what to do.
    pub fn endpoint(endpoint: impl Into<String>, reason: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self::Endpoint { endpoint: endpoint.into(), reason: reason.into(), next_step: next_step.into() }
    }

    /// An engine or device that failed at work.
    pub fn device(device: impl Into<String>, stage: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Device { device: device.into(), stage: stage.into(), reason: reason.into() }
    }

    /// The same, and if it is that of a device also what was under way.
    #[must_use]
    pub fn during(self, work: impl FnOnce() -> String) -> Self {
        match self {
            Self::Device { device, stage, reason } => Self::Device { device, stage: format!("{}, {stage}", work()), reason },
            other => other,
        }
    }

    /// A broken assumption of ours.
    pub fn internal(stage: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Internal { stage: stage.into(), reason: reason.into() }
    }

    /// Adapter for `map_err`: what was tried on which path.
    pub fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

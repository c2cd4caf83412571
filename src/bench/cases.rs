//! What is measured: variants of a run, each in a fresh process, so that no case finds the caches, pools or memory
//! of another.

use super::child::answer;
use super::report::CaseReport;
use crate::backend::BackendName;
use crate::error::{Error, Result};
use crate::modules::LoaderOptions;
use crate::trace::plural;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::process::Command;

/// Which engine, as against the other flags of the command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Variant {
    /// As the flags say.
    #[default]
    Default,
    /// With --fast.
    Fast,
    /// With --backend onnx_runtime.
    OnnxRuntime,
    /// With --backend openvino.
    #[serde(rename = "openvino")]
    #[value(name = "openvino")]
    OpenVino,
}

/// One case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Engine.
    pub variant: Variant,
    /// Cores.
    pub threads: usize,
}

impl Case {
    /// Every variant with every thread count, in this order and each once.
    pub fn product(variants: &[Variant], threads: &[usize]) -> Vec<Self> {
        let mut cases = Vec::new();
        for &variant in variants {
            for &threads in threads {
                let case = Self { variant, threads };
                if !cases.contains(&case) {
                    cases.push(case);
                }
            }
        }
        cases
    }

    /// `options` as this case wants them.
    pub fn apply(self, options: LoaderOptions) -> LoaderOptions {
        let backend = match self.variant {
            Variant::OnnxRuntime => Some(BackendName::OnnxRuntime),
            Variant::OpenVino => Some(BackendName::OpenVino),
            Variant::Default | Variant::Fast => options.backend,
        };
        LoaderOptions { threads: self.threads, backend, fast: options.fast || self.variant == Variant::Fast, ..options }
    }

    /// Measures this case in a process of its own: `command` reads `job` from standard input and answers with a
    /// line of JSON ([`CaseReport`]) on standard output; what it says on standard error is passed through.
    pub fn run_in(self, command: Command, job: &[u8]) -> Result<CaseReport> {
        let fault = |reason: String| Error::device("cpu", format!("bench case {self}"), reason);
        answer(command, job, fault).map(|(report, _)| report)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Fast => "fast",
            Self::OnnxRuntime => "onnx_runtime",
            Self::OpenVino => "openvino",
        })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.variant, plural(self.threads, "thread"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_every_variant_with_every_thread_count_once() {
        let cases = Case::product(&[Variant::Fast, Variant::Default, Variant::Fast], &[2, 1, 2]);
        let names: Vec<String> = cases.iter().map(Case::to_string).collect();
        assert_eq!(names, ["fast, 2 threads", "fast, 1 thread", "default, 2 threads", "default, 1 thread"]);
    }

    #[test]
    fn a_case_changes_what_it_names() {
        let flags = LoaderOptions { threads: 9, backend: Some(BackendName::OpenVino), fast: true, ..LoaderOptions::default() };
        for (variant, backend) in [(Variant::Default, BackendName::OpenVino), (Variant::OnnxRuntime, BackendName::OnnxRuntime)] {
            let options = Case { variant, threads: 3 }.apply(flags.clone());
            assert_eq!((options.threads, options.backend, options.fast), (3, Some(backend), true));
        }
        assert!(Case { variant: Variant::Fast, threads: 1 }.apply(LoaderOptions::default()).fast);
        assert!(!Case { variant: Variant::Default, threads: 1 }.apply(LoaderOptions::default()).fast);
    }

    #[test]
    fn a_process_that_fails_or_answers_nonsense_is_named() {
        let case = Case { variant: Variant::Fast, threads: 2 };
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        for (script, expected) in [("exit 2", "exit status: 2"), ("cat >/dev/null; echo nonsense", "cannot be read")] {
            let error = case.run_in(shell(script), b"job").expect_err("a failure").to_string();
            assert!(error.contains("fast, 2 threads") && error.contains(expected), "{error}");
        }
    }
}

//! The `hpinfer` command: parse, run, map the outcome to an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

/// The published builds of ONNX Runtime from 1.29 on note what they run in the user's home and send it, unless this is there when they are opened.
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

fn main() -> ExitCode {
    if std::env::var_os(NO_TELEMETRY).is_none() {
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var(NO_TELEMETRY, "1") };
    }
    let is_empty = |(name, value): &(OsString, OsString)| {
        value.is_empty() && ["HPINFER_", "PADDLE_PDX_"].iter().any(|start| name.to_string_lossy().starts_with(start))
    };
    for (name, _) in std::env::vars_os().filter(is_empty) {
        // SAFETY: no other thread runs yet.
        unsafe { std::env::remove_var(name) }; // as if it were not set
    }
    let cli = hpinfer::cli::args::Cli::typed();
    match hpinfer::cli::run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            hpinfer::trace::say(format_args!("hpinfer: {error}"));
            ExitCode::from(hpinfer::cli::NOTHING_RAN)
        }
    }
}

//! The `hpinfer` command: parse, run, map the outcome to an exit code.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = hpinfer::cli::args::Cli::parse();
    match hpinfer::cli::run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("hpinfer: {error}");
            ExitCode::from(hpinfer::cli::NOTHING_RAN)
        }
    }
}

//! The command line: `args` is what was typed, `plan` what it means here, one file per subcommand does it.
//! This is the composition root, the only place that names everything.

pub mod args;
pub mod bench;
pub mod cache;
pub mod doctor;
pub mod engine;
pub mod extract;
mod foreign;
mod listing;
pub mod model;
mod model_info;
mod nvjpeg;
mod outputs;
pub mod pdf;
mod pictures;
pub mod plan;
pub mod predict;
pub mod report;
pub mod runtime;
pub mod stream;
pub mod table;
mod taken;
pub mod verify;

use crate::error::{Error, Result};
use crate::image::decode;
use crate::trace::NOTE;
use args::{Cli, Command, GlobalArgs};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::{io, panic};

/// Exit code: every input gave a result.
pub const ALL_DONE: u8 = 0;
/// Exit code: some inputs failed.
pub const SOME_FAILED: u8 = 1;
/// Exit code: nothing ran.
pub const NOTHING_RAN: u8 = 2;

/// Most files that are ever open.
const MOST_FILES: u64 = 1 << 16;

/// Runs what was typed; returns the exit code.
pub fn run(cli: Cli) -> Result<u8> {
    let level = match (cli.global.quiet, cli.global.verbose) {
        (true, _) => "error",
        (false, 0) => "hpinfer::note=info,warn",
        (false, 1) => "hpinfer=info,warn",
        (false, _) => "debug",
    };
    crate::trace::init_logging(cli.global.log_format, level);
    say_panics();
    // A file that grows past a limit of the system is an error of its item, not the end.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::<AtomicBool>::default());
    allow_open_files();
    if !cli.global.quiet {
        crate::trace::show_progress();
    }
    let Some(command) = cli.command else { return predict::run(&cli.predict, &cli.global) };
    if let Some(flag) = cli.predict.first_of_a_run() {
        return Err(Error::config(flag, "it belongs to running a pipeline, not to this command; leave one of the two out"));
    }
    match run_command(command, &cli.global) {
        // A reader that closed the pipe has what it wanted.
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(ALL_DONE),
        outcome => outcome,
    }
}

/// Panics are faults of this program and say so, but for those of decoders of pictures, which become errors of their input.
fn say_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| match decode::is_guarded() {
        true => tracing::debug!("{info}"),
        false => usual(info),
    }));
}

/// Lets this process end with the one that started it, as nobody else reads what it finds.
fn end_with_parent() {
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

/// As many open files as the system lets a program have, within reason: shells give fewer than hundreds of streams need.
fn allow_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(MOST_FILES).min(MOST_FILES);
    if current.is_some_and(|current| current < wanted) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }); // as it was is enough for most
    }
}

fn run_command(command: Command, global: &GlobalArgs) -> Result<u8> {
    match &command {
        Command::RenderPdf => return pdf::serve().map(|()| ALL_DONE),
        Command::TryLibrary { library, path } => {
            return doctor::try_library(library, path.as_deref(), &plan::cache(global)?).map(|()| ALL_DONE);
        }
        Command::Stream(args) => return stream::run(args, global),
        _ => {}
    }
    let mut out = io::stdout().lock();
    match command {
        Command::RenderPdf | Command::TryLibrary { .. } | Command::Stream(_) => {} // done above, without the lock
        Command::Extract(command) => return extract::run(&command, global, &mut out),
        Command::Completions { shell } => {
            let mut script = Vec::new(); // the generator panics when it cannot write
            clap_complete::generate(shell, &mut Cli::definition(), "hpinfer", &mut script);
            table::write_text(&mut out, &String::from_utf8_lossy(&script))?;
        }
        Command::Man { command } => {
            let page = clap_mangen::Man::new(Cli::definition_of(&command)?).source(concat!("hpinfer ", env!("CARGO_PKG_VERSION")));
            page.render(&mut out).map_err(Error::io("write to", Path::new("standard output")))?;
        }
        Command::Model(command) => command.run(&plan::cache(global)?, &mut out)?,
        Command::Cache(command) => command.run(&plan::cache(global)?, &mut out)?,
        Command::Engine(command) => command.run(&plan::cache(global)?, &mut out)?,
        Command::Runtime(command) => command.run(&plan::cache(global)?, &mut out)?,
        Command::Doctor(args) => return doctor::run(&args, global, &mut out),
        Command::Verify(args) => return verify::run(&args, global, &mut out),
        Command::Bench(command) => return bench::run(&command, global, &mut out),
    }
    Ok(ALL_DONE)
}

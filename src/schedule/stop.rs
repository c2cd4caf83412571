//! The wish to end: set by the program or by signals. Sources see it and end; what they have already
//! handed over is finished.

use crate::error::{Error, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Exit status of what a signal ended: that of a process ended by SIGINT, as shells count it.
pub const INTERRUPTED: i32 = 130;

/// After a signal, longest wait for a result to be taken by whoever reads standard output.
pub const LAST_LINE: Duration = Duration::from_secs(5);

/// The signals that ask for the end: SIGINT, SIGTERM and, unless whoever started the program had it ignored as `nohup` does, SIGHUP, which
/// comes when a terminal is closed.
pub fn signals() -> impl Iterator<Item = c_int> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    let is_ignored = move |signal: &c_int| ignored.is_some_and(|mask| mask >> (signal - 1) & 1 == 1);
    [SIGINT, SIGTERM, SIGHUP].into_iter().filter(move |signal| *signal != SIGHUP || !is_ignored(signal))
}

/// Whether a second one ends the program at once. Of a terminal that is closed there may be two: of the shell, and of the system.
pub fn is_impatient(signal: c_int) -> bool {
    signal != SIGHUP
}

/// A flag shared by everything that runs until it is set. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Sets the flag at the first of [`signals`]; the second ends the process at once where it is an impatient one.
    pub fn on_signals(&self) -> Result<()> {
        for signal in signals() {
            // In this order: the first signal finds the flag unset and sets it, the second finds it set.
            let second = is_impatient(signal).then(|| flag::register_conditional_shutdown(signal, 128 + signal, self.0.clone()));
            second
                .transpose()
                .and_then(|_| flag::register(signal, self.0.clone()))
                .map_err(|e| Error::internal("signals", format!("signal {signal} cannot be handled: {e}")))?;
        }
        Ok(())
    }

    /// Asks for the end.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether the end was asked for.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// The flag itself, for sources that wait for something.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }
}

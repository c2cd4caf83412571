//! The wish to end: set by the program or by signals. Sources see it and end; what they have already
//! handed over is finished.

use crate::error::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Exit status of what a signal ended: that of a process ended by SIGINT, as shells count it.
pub const INTERRUPTED: i32 = 130;

/// After a signal, longest wait for a result to be taken by whoever reads standard output, or a message of standard error.
pub const LAST_LINE: Duration = Duration::from_secs(5);

/// How often a thread looks whether the end was asked for.
pub const GLANCE: Duration = Duration::from_millis(50);

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

/// Once `signalled` is set, returns where standard error can take nothing for [`LAST_LINE`] without a break: nobody can be told anything
/// then, and whatever says something waits for ever.
pub fn wait_until_unheard(signalled: &AtomicBool) {
    let stderr = std::io::stderr();
    let patience = Timespec { tv_sec: LAST_LINE.as_secs() as i64, tv_nsec: 0 };
    loop {
        thread::sleep(GLANCE);
        let taken = || poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], Some(&patience));
        if signalled.load(Ordering::SeqCst) && taken() == Ok(0) {
            return;
        }
    }
}

/// Runs `wait` in a thread of its own.
pub fn watch(wait: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new().name("signals".into()).spawn(wait).map(drop).map_err(|e| Error::internal("signals", e.to_string()))
}

/// A flag shared by everything that runs until it is set. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Sets the flag at the first of [`signals`]; the second ends the process at once where it is an impatient one, and so does `unheard`
    /// where nobody can be told anything.
    pub fn on_signals(&self, unheard: impl FnOnce() + Send + 'static) -> Result<()> {
        let signalled = Arc::<AtomicBool>::default();
        for signal in signals() {
            // In this order: the first signal finds the flag unset and sets it, the second finds it set.
            let second = is_impatient(signal).then(|| flag::register_conditional_shutdown(signal, 128 + signal, self.0.clone()));
            second
                .transpose()
                .and_then(|_| flag::register(signal, self.0.clone()))
                .and_then(|_| flag::register(signal, signalled.clone()))
                .map_err(|e| Error::internal("signals", format!("signal {signal} cannot be handled: {e}")))?;
        }
        watch(move || {
            wait_until_unheard(&signalled);
            unheard();
        })
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

//! How a process that this one started came to its end.

use signal_hook::consts::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGTRAP};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

/// Longest time from the end of a process's output to its own.
const LAST_BREATH: Duration = Duration::from_secs(5);

/// The status of a process whose output has come to its end; `None` if it lives on.
pub fn last_status(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + LAST_BREATH;
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(1)),
            status => return status.ok()?,
        }
    }
}

/// Whether a process ends itself by this signal: the same work would end the next one too.
pub fn is_own_fault(signal: i32) -> bool {
    [SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV].contains(&signal)
}

/// In words, of which the first is a verb.
pub fn how_it_ended(status: ExitStatus) -> String {
    match status.signal() {
        Some(SIGSEGV) => "crashed (segmentation fault)".into(),
        Some(SIGABRT) => "crashed (abort)".into(),
        Some(SIGBUS) => "crashed (bus error)".into(),
        Some(SIGKILL) => "was killed, by the system if memory ran out".into(),
        Some(signal) => format!("was ended by signal {signal}"),
        None => format!("ended with {status}"),
    }
}

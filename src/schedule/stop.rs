//! The wish to end: set by the program or by SIGINT and SIGTERM. Sources see it and end; what they have already
//! handed over is finished.

use crate::error::{Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Exit status of what a signal ended: that of a process ended by SIGINT, as shells count it.
pub const INTERRUPTED: i32 = 130;

/// After a signal, longest wait for a result to be taken by whoever reads standard output.
pub const LAST_LINE: Duration = Duration::from_secs(5);

/// A flag shared by everything that runs until it is set. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Sets the flag at the first SIGINT or SIGTERM; the second ends the process at once.
    pub fn on_signals(&self) -> Result<()> {
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag unset and sets it, the second finds it set.
            flag::register_conditional_shutdown(signal, 128 + signal, self.0.clone())
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

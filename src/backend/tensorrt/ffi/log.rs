//! What the library says: into the program's log, and its latest errors into the message of the call that failed.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::panic::catch_unwind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

/// Error lines that are kept for the message of a failed call.
const KEPT_LINES: usize = 8;

/// The only one: the library keeps the first that it is given.
pub(super) static LOG: Log = Log(Mutex::new(Kept { lines: Vec::new(), under_way: Vec::new() }));

thread_local! {
    /// Whether this thread has called the library; others that write are the library's own.
    static CALLS: Cell<bool> = const { Cell::new(false) };
}

/// Error lines belong to the thread they come from. Those of the library's own threads belong to every call under way, and where there
/// is none to whoever asks first.
pub(super) struct Log(Mutex<Kept>);

struct Kept {
    lines: Vec<(Option<ThreadId>, String)>,
    under_way: Vec<ThreadId>,
}

/// A call under way, of the thread that made it.
pub(super) struct Call(ThreadId);

/// This thread calls the library.
pub(super) fn calls() {
    CALLS.set(true);
}

impl Log {
    /// A call of this thread begins: its earlier lines are forgotten.
    pub(super) fn call(&self) -> Call {
        calls();
        let thread = thread::current().id();
        let mut kept = self.kept();
        kept.lines.retain(|(of, _)| of.is_some_and(|of| of != thread));
        kept.under_way.push(thread);
        Call(thread)
    }

    /// `text` and the errors of this thread since its last call began.
    pub(super) fn explain(&self, text: &str) -> String {
        let thread = thread::current().id();
        let mut kept = self.kept();
        let own = kept.lines.extract_if(.., |(of, _)| of.is_none_or(|of| of == thread)).map(|(_, line)| line);
        [text.to_owned()].into_iter().filter(|t| !t.is_empty()).chain(own).collect::<Vec<_>>().join("; ")
    }

    fn write(&self, severity: i32, text: &str) {
        // Builders try kernels that fail and go on with others: their errors are a failure only if the call fails.
        match severity {
            0 | 1 => {
                self.keep(text);
                tracing::info!("tensorrt: error: {text}");
            }
            2 => tracing::info!("tensorrt: warning: {text}"),
            3 => tracing::debug!("tensorrt: {text}"),
            _ => tracing::trace!("tensorrt: {text}"),
        }
    }

    fn keep(&self, text: &str) {
        let mut kept = self.kept();
        let owners = match kept.under_way.as_slice() {
            _ if CALLS.get() => vec![Some(thread::current().id())],
            [] => vec![None],
            calls => calls.iter().copied().map(Some).collect(),
        };
        for owner in owners {
            if kept.lines.iter().filter(|(of, _)| *of == owner).count() < KEPT_LINES {
                kept.lines.push((owner, text.to_owned()));
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut kept = LOG.kept();
        kept.lines.retain(|(of, _)| *of != Some(self.0));
        if let Some(at) = kept.under_way.iter().position(|thread| *thread == self.0) {
            kept.under_way.swap_remove(at);
        }
    }
}

/// # Safety
/// `text` ends with zero.
pub(super) unsafe extern "C" fn on_log(_user: *mut c_void, severity: i32, text: *const c_char) {
    // A subscriber of the embedding program may panic; that must not unwind into the library.
    let _ = catch_unwind(|| {
        // SAFETY: the caller's promise.
        let text = unsafe { CStr::from_ptr(text) };
        LOG.write(severity, &text.to_string_lossy());
    });
}

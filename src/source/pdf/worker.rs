//! A renderer at work on one document, watched: who asks waits no longer than the time given.

use super::Isolation;
use super::render::{self, Answer, Setup};
use super::wire;
use crate::device::{is_own_fault, last_status};
use crate::source::reason::Reason;
use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Stack of a renderer: documents nest objects and drawings some hundred levels deep.
pub(super) const STACK: usize = 64 << 20;

/// A renderer that has one document open, or is opening it.
pub(super) struct Worker {
    requests: Sender<u32>,
    answers: Receiver<Answer>,
    child: Option<Child>,
    rendered: u32,
    has_font: bool,
}

/// Workers of all documents.
static LIVING: AtomicUsize = AtomicUsize::new(0);

impl Worker {
    /// Starts on a document. Its first answer, the number of pages, is to be [waited for](Self::wait).
    pub fn start(bytes: &Arc<Vec<u8>>, setup: &Setup, isolation: &Isolation) -> Result<Self, Reason> {
        let (requests, asked) = channel::unbounded();
        let (answer, answers) = channel::unbounded();
        let (bytes, setup, has_font) = (Arc::clone(bytes), setup.clone(), setup.font.is_some());
        let answer = move |a| answer.send(a).is_ok();
        let (child, work): (_, Box<dyn FnOnce() + Send>) = match isolation {
            Isolation::Thread => (None, Box::new(move || render::serve(bytes, &setup, asked.into_iter(), answer))),
            Isolation::Process { program, arguments } => {
                let mut command = Command::new(program);
                command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
                // The C library gives large pieces of memory back at once: a renderer waits most of its time.
                command.env("MALLOC_MMAP_THRESHOLD_", "131072");
                // Ctrl-C is for this process: what is under way there is still wanted. Without this process it ends.
                command.process_group(0);
                let mut child = command.spawn().map_err(Reason::machine("start the renderer", program))?;
                let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
                    return Err("no renderer could be started: it has no pipes".into());
                };
                (Some(child), Box::new(move || wire::relay(to, from, &bytes, &setup, asked.into_iter(), answer)))
            }
        };
        thread::Builder::new()
            .name("pdf".into())
            .stack_size(STACK)
            .spawn(work)
            .map_err(Reason::machine("start the thread", Path::new("pdf")))?;
        LIVING.fetch_add(1, Ordering::Relaxed);
        Ok(Self { requests, answers, child, rendered: 0, has_font })
    }

    /// How many there are, of all documents.
    pub fn living() -> usize {
        LIVING.load(Ordering::Relaxed)
    }

    /// Renders the page of this index.
    pub fn render(&mut self, index: u32, time: Duration) -> Result<Answer, Reason> {
        self.rendered += 1;
        // When nobody takes it, nobody answers.
        let _ = self.requests.send(index);
        self.wait(time)
    }

    /// The next answer. After an error there will be none: the worker is to be dropped.
    pub fn wait(&mut self, time: Duration) -> Result<Answer, Reason> {
        self.answers.recv_timeout(time).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                format!("not rendered within {} s (raise --page-timeout to wait longer)", time.as_secs_f64()).into()
            }
            RecvTimeoutError::Disconnected => match self.child.as_mut().and_then(last_status).and_then(|status| status.signal()) {
                Some(signal) if !is_own_fault(signal) => Reason::Killed { signal, page: None },
                signal => {
                    let how = signal.map_or(String::new(), |signal| format!(" (signal {signal})"));
                    format!("the renderer broke down over it{how}; the file is damaged, or needs too much memory").into()
                }
            },
        })
    }

    /// Whether it began with a font for letters that a document does not bring.
    pub fn has_font(&self) -> bool {
        self.has_font
    }

    /// Pages asked for so far.
    pub fn rendered(&self) -> u32 {
        self.rendered
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        LIVING.fetch_sub(1, Ordering::Relaxed);
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

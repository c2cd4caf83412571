//! Result lines to standard output, and what is told of them on standard error, by a thread of its own: a reader that does not read holds
//! up that thread for good, and after a signal not the end.

use crate::cli::taken::{Patience, put};
use crate::error::{Error, Result};
use crate::schedule::stop::{GLANCE, LAST_LINE, Stop};
use crate::trace::plural;
use crossbeam::channel::{self, Receiver, RecvTimeoutError, SendTimeoutError, Sender};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

/// Most lines that wait to be written; some are of megabytes.
const MOST_WAITING: usize = 8;

/// A line, and what is told of it.
type Told = (String, Option<String>);

/// Standard output.
pub(super) struct StandardOutput {
    lines: Sender<Told>,
    /// How the writing ended.
    ended: Receiver<io::Result<()>>,
    stop: Stop,
    /// Nothing is taken any more.
    is_held_up: bool,
    /// Lines that were to be written.
    given: usize,
    written: Arc<AtomicUsize>,
}

impl StandardOutput {
    /// Written to by nobody else. Once `stop` is set, it is waited for a reader as long as it takes something.
    pub fn new(stop: &Stop) -> Self {
        let (lines, waiting) = channel::bounded::<Told>(MOST_WAITING);
        let (ended_in, ended) = channel::bounded(1);
        let written = Arc::<AtomicUsize>::default();
        let count = written.clone();
        thread::spawn(move || {
            let ended = waiting.iter().try_for_each(|(line, told)| {
                let written = put(&(line + "\n"));
                count.fetch_add(written.is_ok().into(), SeqCst);
                told.iter().for_each(|told| tracing::error!("{told}"));
                written
            });
            ended_in.send(ended)
        });
        Self { lines, ended, stop: stop.clone(), is_held_up: false, given: 0, written }
    }

    /// Has a line written, and told what is to be told of it; not where nobody reads any further.
    pub fn write(&mut self, line: String, told: Option<String>) -> bool {
        self.given += 1;
        let (mut next, mut patience) = ((line, told), Patience::default());
        while !self.is_held_up {
            next = match self.lines.send_timeout(next, GLANCE) {
                Ok(()) => return true,
                Err(SendTimeoutError::Disconnected(_)) => return false,
                Err(SendTimeoutError::Timeout(next)) => next,
            };
            self.is_held_up = self.stop.is_set() && patience.is_over();
        }
        false
    }

    /// Waits until all lines are written; whether they were. A reader that closed the pipe has what it wanted.
    pub fn finish(self) -> Result<bool> {
        drop(self.lines);
        let mut patience = Patience::default();
        let ended = loop {
            match self.ended.recv_timeout(GLANCE) {
                Ok(ended) => break ended,
                Err(RecvTimeoutError::Disconnected) => break Err(io::Error::other("the thread that writes died")),
                Err(RecvTimeoutError::Timeout) if self.is_held_up || self.stop.is_set() && patience.is_over() => {
                    let (seconds, lost) = (LAST_LINE.as_secs(), plural(self.given - self.written.load(SeqCst), "result"));
                    break Err(io::Error::other(format!("nothing was taken for {seconds} s after the signal: {lost} not delivered")));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        match ended {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Error::io("write to", Path::new("standard output"))(error)),
        }
    }
}

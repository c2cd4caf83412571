//! Result lines to standard output, and what is told of them on standard error, by a thread of its own: a reader that does not read holds
//! up that thread for good, and after a signal not the end.

use crate::cli::SOME_FAILED;
use crate::error::{Error, Result};
use crate::schedule::stop::{LAST_LINE, Stop};
use crate::trace::{display, plural, say_unless_held_up};
use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether the end was asked for.
const GLANCE: Duration = Duration::from_millis(50);

/// Standard output.
pub(super) struct StandardOutput {
    lines: Sender<(String, Option<String>)>,
    written: Receiver<io::Result<()>>,
    stop: Stop,
    /// Why nothing more is written.
    fault: Option<Fault>,
    /// Lines that were not written.
    lost: usize,
}

enum Fault {
    Failed(io::Error),
    /// Whoever reads takes nothing.
    HeldUp,
}

impl StandardOutput {
    /// Written to by nobody else. Once `stop` is set, each line has [`LAST_LINE`] to be taken.
    pub fn new(stop: &Stop) -> Self {
        let (lines, waiting) = channel::bounded(1);
        let (written_in, written) = channel::bounded(1);
        thread::spawn(move || waiting.iter().try_for_each(|(line, told)| written_in.send(write(line, told))));
        Self { lines, written, stop: stop.clone(), fault: None, lost: 0 }
    }

    /// Writes a line, and tells what is to be told of it; whether that, and every one before, could be written.
    pub fn write(&mut self, line: String, told: Option<String>) -> bool {
        if self.fault.is_none() {
            self.fault = self.hand_over(line, told).err();
        }
        self.lost += usize::from(self.fault.is_some());
        self.is_whole()
    }

    /// Whether every line was written.
    pub fn is_whole(&self) -> bool {
        self.fault.is_none()
    }

    /// What was wrong; a reader that closed the pipe has what it wanted.
    pub fn finish(self) -> Result<()> {
        let source = match self.fault {
            None => return Ok(()),
            Some(Fault::Failed(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Some(Fault::Failed(error)) => error,
            Some(Fault::HeldUp) => io::Error::other(format!("{} not delivered", plural(self.lost, "result"))),
        };
        Err(Error::io("write to", Path::new("standard output"))(source))
    }

    fn hand_over(&self, line: String, told: Option<String>) -> Result<(), Fault> {
        let died = || Fault::Failed(io::Error::other("the thread that writes died"));
        self.lines.send((line, told)).map_err(|_| died())?;
        let mut since = None;
        loop {
            match self.written.recv_timeout(GLANCE) {
                Ok(written) => return written.map_err(Fault::Failed),
                Err(RecvTimeoutError::Disconnected) => return Err(died()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.stop.is_set() && since.get_or_insert_with(Instant::now).elapsed() >= LAST_LINE {
                let seconds = LAST_LINE.as_secs();
                let told =
                    format!("hpinfer: nothing was taken of standard output for {seconds} s after the signal; the rest goes without it");
                if !say_unless_held_up(told) {
                    std::process::exit(SOME_FAILED.into()); // nobody can be told, and whatever else says something would wait for ever
                }
                return Err(Fault::HeldUp);
            }
        }
    }
}

/// Progress bars make room only where lines stand among them: they wait for what is written meanwhile.
fn write(line: String, told: Option<String>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let is_terminal = out.is_terminal();
    let mut written = || writeln!(out, "{line}").and_then(|()| out.flush());
    let written = if is_terminal { display().suspend(written) } else { written() };
    told.iter().for_each(|told| tracing::error!("{told}"));
    written
}

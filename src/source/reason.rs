//! Why an input gives no picture: for what it is, or for want of something that this machine may have another time.

use crate::error::Error;
use rustix::io::Errno;
use signal_hook::consts::SIGKILL;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What the system says when it, and not the file, is the trouble.
const OF_MACHINE: [Errno; 7] = [Errno::IO, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN, Errno::STALE, Errno::TIMEDOUT];

/// The reason. It can be cloned, which the system's own errors cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The input cannot be used; in words.
    Input(String),
    /// The system refused.
    Machine {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The number of the system's answer.
        errno: i32,
    },
    /// The process that renders a document was ended from outside.
    Killed {
        /// By which signal.
        signal: i32,
        /// The page it was at work on, from 0; `None` while it opened the document.
        page: Option<u32>,
    },
}

impl Reason {
    /// That the system refused what was tried on `path`.
    pub(super) fn machine<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |error| match error.raw_os_error() {
            Some(errno) => Self::Machine { action, path: path.to_owned(), errno },
            None => Self::Input(format!("cannot {action} {}: {error}", path.display())),
        }
    }

    /// That the file at `path` cannot be read.
    pub(super) fn unread<'a>(path: &'a Path) -> impl Fn(io::Error) -> Self + 'a {
        move |error| match (error.raw_os_error(), error.kind()) {
            (Some(errno), _) if OF_MACHINE.iter().any(|known| known.raw_os_error() == errno) => Self::machine("read", path)(error),
            (_, io::ErrorKind::NotFound) => "no such file or folder".into(),
            _ => Self::Input(format!("cannot be read: {error}")),
        }
    }

    /// The same, of page `index` of the input.
    pub(super) fn of_page(self, index: u32) -> Self {
        match self {
            Self::Input(reason) => Self::Input(format!("page {}: {reason}", u64::from(index) + 1)),
            Self::Killed { signal, .. } => Self::Killed { signal, page: Some(index) },
            machine @ Self::Machine { .. } => machine,
        }
    }

    /// The error of the input that is called `name`.
    pub fn of(self, name: &str) -> Error {
        match self {
            Self::Input(reason) => Error::input(name, reason),
            Self::Machine { action, path, errno } => Error::io(action, &path)(io::Error::from_raw_os_error(errno)),
            Self::Killed { signal, page } => {
                let at = page.map_or(String::new(), |index| format!(", page {}", u64::from(index) + 1));
                let why = match signal {
                    SIGKILL => "probably out of memory; lower --dpi, use fewer --threads, or give it more memory",
                    _ => "from outside; run it again",
                };
                Error::device("PDF renderer", format!("{name}{at}"), format!("ended by signal {signal}, {why}"))
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(reason) => f.write_str(reason),
            Self::Machine { .. } | Self::Killed { .. } => write!(f, "{}", self.clone().of("the document")),
        }
    }
}

impl std::error::Error for Reason {}

impl From<String> for Reason {
    fn from(reason: String) -> Self {
        Self::Input(reason)
    }
}

impl From<&str> for Reason {
    fn from(reason: &str) -> Self {
        Self::Input(reason.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_machine_are_none_of_the_input() {
        for (errno, kind) in [(Errno::IO, "io"), (Errno::MFILE, "io"), (Errno::NOENT, "bad_input"), (Errno::ACCESS, "bad_input")] {
            let error = Reason::unread(Path::new("a.png"))(io::Error::from_raw_os_error(errno.raw_os_error())).of("a.png");
            assert!(error.kind() == kind && error.to_string().contains("a.png"), "{error}");
        }
    }
}

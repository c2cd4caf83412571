//! The Python that Paddle's own programs run in. Their wheels are made for one minor version of CPython each.

use crate::cache::Cache;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What is tried when the user named no Python.
const USUAL: [&str; 5] = ["python3", "python3.12", "python3.11", "python3.10", "python3.13"];

/// A Python that has not answered by then will not.
const LIMIT: Duration = Duration::from_secs(10);

/// Prints the minor version of a CPython 3 and the path of its program.
const TELL: &str = "import sys
if sys.implementation.name == 'cpython' and sys.version_info[0] == 3 and sys.maxsize > 2**32:
    print(sys.version_info[1], sys.executable, sep='\\n')";

/// A CPython 3 on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    /// Its program.
    pub program: PathBuf,
    /// The 12 of 3.12.
    pub minor: u32,
}

impl Python {
    /// The Python the user named, else the first of the usual ones, whose minor version is one of `wanted`.
    /// `what` is what it is wanted for.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none.
    pub fn find(cache: &Cache, wanted: &[u32], what: &str) -> Result<Self> {
        let named = [cache.python()];
        let usual = USUAL.map(Path::new);
        let candidates = if cache.python() == Path::new(USUAL[0]) { &usual[..] } else { &named };
        let mut other = None;
        for candidate in candidates {
            match ask(candidate) {
                Some(python) if wanted.contains(&python.minor) => return Ok(python),
                found => other = other.or(found),
            }
        }
        let reason = match other {
            Some(python) => {
                format!("{} is Python 3.{}, and its wheels are made for {}", python.program.display(), python.minor, list(wanted))
            }
            None => format!("`{}` is not there, is no CPython 3, or does not answer", cache.python().display()),
        };
        let next_step = format!("install one of Python {} and set HPINFER_PYTHON to its program", list(wanted));
        Err(Error::missing(format!("a Python for {what}"), reason, next_step))
    }
}

/// Minor versions as people write them.
fn list(minors: &[u32]) -> String {
    minors.iter().map(|minor| format!("3.{minor}")).collect::<Vec<_>>().join(", ")
}

/// What a program says of itself; asked once in the life of this process.
fn ask(program: &Path) -> Option<Python> {
    static KNOWN: Mutex<BTreeMap<PathBuf, Option<Python>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(program.to_owned()).or_insert_with(|| tell(program)).clone()
}

fn tell(program: &Path) -> Option<Python> {
    let mut command = Command::new(program);
    let mut child =
        command.args(["-I", "-S", "-c", TELL]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let since = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if since.elapsed() > LIMIT {
            tracing::warn!("{} did not answer within {} s", program.display(), LIMIT.as_secs());
            let _ = child.kill(); // an error means that it has ended
            let _ = child.wait();
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
    let mut text = String::new();
    child.stdout.take()?.read_to_string(&mut text).ok()?;
    let (minor, program) = text.trim_end().split_once('\n')?;
    Some(Python { program: program.into(), minor: minor.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_python_is_found_and_a_wrong_one_named() {
        let cache = Cache::open(None).unwrap();
        let any: Vec<u32> = (6..40).collect();
        let python = Python::find(&cache, &any, "a test").unwrap();
        assert!(python.program.is_absolute() && any.contains(&python.minor), "{python:?}");
        let message = Python::find(&cache, &[2], "a test").unwrap_err().to_string();
        assert!(message.contains("a Python for a test is missing") && message.contains("made for 3.2;"), "{message}");
        assert_eq!(ask(Path::new("/bin/false")), None);
    }
}

//! Downloading a wheel with the user's own pip, so that its index, proxy and certificate settings apply.

use super::{Cache, Package, Progress};
use crate::error::Result;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

/// Runs pip as `python -m pip` would, but ends with us: standard input closes when this process dies in any
/// way. The current folder is taken off the module path, where it could shadow modules of pip.
const RUN_PIP: &str = "import sys
sys.path.pop(0)
import os, runpy, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
runpy.run_module('pip', run_name='__main__', alter_sys=True)";

/// How long pip may take until it has heard from an index, and then how long without a new byte. A mirror that
/// fetches a wheel on demand is silent for a while; a network that is not there is never heard of.
const FIRST_ANSWER: Duration = Duration::from_secs(15);
const NEXT_BYTE: Duration = Duration::from_secs(60);

/// What a download that was given up is reported as.
const SILENCE: &str = "nothing arrived";

/// Interval between looks at how far pip is.
const LOOK: Duration = Duration::from_millis(100);

/// Downloads the wheel of `package` into the empty folder `partial` and returns its path, unchecked.
pub(super) fn download(cache: &Cache, package: &Package<'_>, partial: &Path) -> Result<PathBuf> {
    let wheel = &package.wheel;
    let target = partial.join("wheel");
    if target.to_str().is_none() {
        return Err(package.missing("the path of the cache is not UTF-8, which pip needs; set HPINFER_HOME to another folder"));
    }
    let spawned = Command::new(&cache.python)
        .args(["-u", "-c", RUN_PIP, "download", "--no-deps", "--only-binary=:all:"])
        .args(tags(wheel.file))
        .args(["--no-input", "--no-cache-dir", "--disable-pip-version-check", "--progress-bar", "off", "--timeout", "15", "--retries", "1"])
        .arg(format!("{}=={}", wheel.project, wheel.version))
        .arg("--dest")
        .arg(&target)
        .env("TMPDIR", partial) // where the bytes arrive: progress is read there, and the rest is cleaned up with it
        .env("PIP_REQUIRE_VIRTUALENV", "0") // guards installs into the system; nothing is installed here
        .env_remove("PYTHONWARNINGS") // may make errors of warnings
        .env_remove("PYTHONINSPECT") // would go on after the end
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let python = cache.python.display();
    let mut child = spawned.map_err(|e| match e.kind() {
        ErrorKind::NotFound => {
            package.missing(format!("`{python}`, which downloads it, was not found: install Python 3 with pip, or set HPINFER_PYTHON"))
        }
        _ => package.missing(format!("cannot run `{python}`, which downloads it: {e}")),
    })?;
    let complaints = watch(&mut child, partial, package).map_err(|e| package.missing(format!("cannot watch pip: {e}")))?;
    let file = target.join(wheel.file);
    match complaints.map(|text| diagnose(&text)) {
        None if file.is_file() => Ok(file),
        None => Err(package.missing(format!("pip did not deliver {}", wheel.file))),
        Some(Failure::NoPip) => Err(package.missing(format!(
            "`{python}` has no pip, which downloads it: install it (`apt install python3-pip`, `{python} -m ensurepip`), or set HPINFER_PYTHON"
        ))),
        Some(Failure::DiskFull) => Err(cache.refused("download to", partial, &ErrorKind::StorageFull.into())),
        Some(Failure::Other(reason)) => Err(package.missing(reason)),
    }
}

/// Arguments that make pip choose the wheel of this file name, whatever machine and Python it runs on.
/// Names end in `-cp312-cp312-manylinux_2_28_x86_64.whl` (PEP 427): Python, binary interface, platforms joined by dots.
/// A wheel for any Python (`-py3-none-any.whl`) may still ask for an old enough one: 3.12 is.
fn tags(file: &str) -> Vec<String> {
    let mut parts = file.trim_end_matches(".whl").rsplit('-');
    let (platforms, python) = (parts.next().unwrap_or_default(), parts.nth(1).unwrap_or_default());
    let (major, minor) = python.strip_prefix("cp").and_then(|version| version.split_at_checked(1)).unwrap_or(("3", "12"));
    let mut arguments = ["--implementation", "cp", "--python-version"].map(str::to_owned).to_vec();
    arguments.push(format!("{major}.{minor}"));
    for platform in platforms.split('.').filter(|platform| *platform != "any") {
        arguments.extend(["--platform".into(), platform.into()]);
    }
    arguments
}

/// Waits for the end of pip: `None` after success, else what it wrote to standard error. Kills it when nothing arrives.
fn watch(child: &mut Child, partial: &Path, package: &Package<'_>) -> io::Result<Option<String>> {
    let wheel = &package.wheel;
    let progress = Progress::bytes(format!("downloading {}", package.what), wheel.bytes);
    let lines = lines_of(child.stdout.take());
    let complaints = child.stderr.take().map(|mut stderr| {
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text); // what was read before an error is still worth showing
            String::from_utf8_lossy(&text).into_owned()
        })
    });
    let (mut heard, mut received, mut last) = (false, 0, Instant::now());
    loop {
        match lines.recv_timeout(LOOK) {
            // pip says so once an index or a folder has offered the file.
            Ok(line) => {
                heard |= line.starts_with("Collecting") || line.starts_with("Processing");
                last = Instant::now();
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let arrived = largest_file(partial);
        if arrived > received {
            (heard, received, last) = (true, arrived, Instant::now());
            progress.set(arrived.min(wheel.bytes));
        }
        let limit = if heard { NEXT_BYTE } else { FIRST_ANSWER };
        if last.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(Some(format!("ERROR: {SILENCE} for {} s", limit.as_secs())));
        }
    }
    match child.wait()? {
        status if status.success() => Ok(None),
        status => {
            let text = complaints.and_then(|reader| reader.join().ok()).filter(|text| !text.trim().is_empty());
            Ok(Some(text.unwrap_or_else(|| format!("ERROR: it ended with {status}"))))
        }
    }
}

/// The lines of a child's output; the channel closes at its end.
fn lines_of(output: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let lines = output.into_iter().flat_map(|output| BufReader::new(output).lines());
        lines.map_while(io::Result::ok).try_for_each(|line| sender.send(line))
    });
    receiver
}

/// Size of the largest file below `folder`: pip writes to one place and may copy to another.
fn largest_file(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(io::Result::ok);
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => largest_file(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0, // pip removes its temporary files as it goes
    });
    sizes.max().unwrap_or(0)
}

#[derive(Debug, PartialEq)]
enum Failure {
    NoPip,
    DiskFull,
    Other(String),
}

/// Why pip failed, out of what it wrote to standard error.
fn diagnose(complaints: &str) -> Failure {
    if complaints.contains("No module named pip") {
        return Failure::NoPip;
    }
    if complaints.contains("No space left on device") || complaints.contains("Disk quota exceeded") {
        return Failure::DiskFull;
    }
    let after =
        |prefix: &str| complaints.lines().filter_map(|line| line.trim().strip_prefix(prefix)).map(str::to_owned).collect::<Vec<_>>();
    // With a traceback the last line that is no part of one says more, be it an exception's or that of a Python that did not start.
    let is_reason = |line: &&str| !line.trim().is_empty() && !line.starts_with([' ', '\t']) && !line.starts_with("Current thread");
    let last = || complaints.lines().rfind(is_reason).map(str::to_owned);
    let reason = after("ERROR: ").into_iter().find(|error| error != "Exception:").or_else(last).unwrap_or_default();
    match after("WARNING: Retrying ").first() {
        // "(Retry(...)) after connection broken by 'Kind('<object at 0x..>: the reason')': /simple/..."
        Some(retry) => {
            let cause = retry.split_once("broken by ").map_or(retry.as_str(), |(_, cause)| cause);
            let cause = cause.rsplit_once(">: ").map_or(cause, |(_, cause)| cause);
            let cause = cause.split("')").next().unwrap_or(cause);
            Failure::Other(format!("the package index cannot be reached ({cause})"))
        }
        None if reason.starts_with(SILENCE) => Failure::Other(format!("the package index does not answer: {reason}")),
        None => Failure::Other(format!("pip: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_wheel_tells_what_it_is_for() {
        let joined = |file| tags(file).join(" ");
        assert_eq!(
            joined("numpy-2.2.6-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"),
            "--implementation cp --python-version 3.11 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64"
        );
        assert_eq!(joined("zhplot-1.0.0-py3-none-any.whl"), "--implementation cp --python-version 3.12");
    }

    #[test]
    fn failures_of_pip_are_told_apart() {
        let refused = "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'NewConnectionError('<pip.X object at 0x7f>: \
                       Failed to establish a new connection: [Errno 111] Connection refused')': /simple/x/\n\
                       ERROR: Could not find a version that satisfies the requirement x==1 (from versions: none)\n";
        let other = |text: &str| Failure::Other(text.to_owned());
        let cases = [
            (refused, other("the package index cannot be reached (Failed to establish a new connection: [Errno 111] Connection refused)")),
            ("ERROR: nothing arrived for 15 s", other("the package index does not answer: nothing arrived for 15 s")),
            ("ERROR: No matching distribution found for x==1\n", other("pip: No matching distribution found for x==1")),
            ("Traceback\nImportError: No module named pip\n", Failure::NoPip),
            ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n", Failure::DiskFull),
            ("Traceback\nSomeError: strange\n", other("pip: SomeError: strange")),
            ("ERROR: Exception:\nTraceback (most recent call last):\n  File x\nSomeError: strange\n", other("pip: SomeError: strange")),
            (
                "Fatal Python error: init_fs_encoding\nModuleNotFoundError: No module named 'encodings'\n\n\
                 Current thread 0x0 (most recent call first):\n  <no Python frame>\n",
                other("pip: ModuleNotFoundError: No module named 'encodings'"),
            ),
            ("", other("pip: ")),
        ];
        for (text, expected) in cases {
            assert_eq!(diagnose(text), expected, "{text}");
        }
    }
}

//! A question to a process of its own.

use crate::error::{Error, Result};
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What `command` answers to `job`, which it reads from standard input: a line of JSON on standard output; and how long after its start
/// that was there. What it says on standard error is passed through; `fault` makes an error of what went wrong.
pub fn answer<T: DeserializeOwned>(mut command: Command, job: &[u8], fault: impl Fn(String) -> Error) -> Result<(T, Duration)> {
    let started = Instant::now();
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|e| fault(format!("the measured process cannot be started: {e}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(job); // the exit status of a process that ended early is the better message
    }
    let mut answer = String::new();
    let read = child.stdout.take().map_or(Ok(0), |stdout| BufReader::new(stdout).read_line(&mut answer));
    let took = started.elapsed();
    let status = child.wait().map_err(|e| fault(e.to_string()))?;
    if !status.success() {
        return Err(fault(format!("the measured process ended with {status}; see its message above")));
    }
    let answer = read.map_err(|e| e.to_string()).and_then(|_| serde_json::from_str(&answer).map_err(|e| e.to_string()));
    let answer = answer.map_err(|reason| fault(format!("the answer of the measured process cannot be read: {reason}")))?;
    Ok((answer, took))
}

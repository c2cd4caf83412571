//! A child process that runs a script of this program in Python: Paddle's libraries are extension modules of it. One
//! question at a time goes down the pipe and one answer comes back: four bytes of length, then JSON. The child ends
//! when the pipe closes, so with this process at the latest.

use crate::device::{how_it_ended, is_own_fault, last_status};
use crate::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child as Process, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Runs before every script.
const PREAMBLE: &str = include_str!("child.py");

/// An answer longer than this is none.
const LONGEST_ANSWER: u32 = 64 << 20;

/// Lines of its standard error that are kept for the message about a child that died.
const LAST_LINES: usize = 12;

/// Interval between looks at whether a child that does not answer still works.
const LOOK: Duration = Duration::from_millis(500);

/// A child that has used no processor time for this long will not answer any more.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// The child said what is wrong, and is ready for the next question.
    Refused(String),
    /// The child is gone.
    Lost(String),
    /// The child is gone by a fault of its own: the same question would end the next one too.
    Crashed(String),
}

impl Fault {
    pub fn reason(self) -> String {
        match self {
            Self::Refused(reason) | Self::Lost(reason) | Self::Crashed(reason) => reason,
        }
    }
}

/// `path` as questions hold it.
pub(super) fn told(path: &Path) -> Result<&str> {
    let reason = "Paddle's children take paths in UTF-8 only; rename it, or choose another folder with --cache-dir";
    path.to_str().ok_or_else(|| Error::config(path.display().to_string(), reason))
}

/// The running child.
pub(super) struct Child {
    process: Process,
    questions: Option<ChildStdin>,
    answers: Receiver<Vec<u8>>,
    last_lines: Arc<Mutex<VecDeque<String>>>,
    /// Closes when all of its standard error was read.
    all_said: Receiver<()>,
}

impl Child {
    /// Starts `script` in `python` with `threads` threads for its libraries.
    pub fn start(python: &Path, script: &str, threads: usize) -> Result<Self> {
        let threads = threads.to_string();
        let mut process = Command::new(python)
            // Isolated and without site packages: nothing of the user's Python is imported.
            .args(["-I", "-S", "-B", "-c"])
            .arg([PREAMBLE, script].concat())
            .env("OMP_NUM_THREADS", &threads)
            .env("MKL_NUM_THREADS", &threads)
            .env("GLOG_minloglevel", "2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for this process: what is under way there is still wanted.
            .process_group(0)
            .spawn()
            .map_err(|e| Error::missing(python.display().to_string(), e.to_string(), "set HPINFER_PYTHON to a Python that runs"))?;
        let (questions, answers, complaints) = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let last_lines = Arc::new(Mutex::new(VecDeque::new()));
        let kept = last_lines.clone();
        let (saying, all_said) = channel();
        thread::spawn(move || {
            let _until_the_end: Sender<()> = saying;
            keep_last(complaints, &kept);
        });
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let mut answers = answers;
            while let Some(answer) = answers.as_mut().and_then(message) {
                if sender.send(answer).is_err() {
                    break;
                }
            }
        });
        Ok(Self { process, questions, answers: receiver, last_lines, all_said })
    }

    /// The identifier of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a question and waits for the answer, `limit` at most. After [`Fault::Lost`] the child is gone.
    pub fn ask<A: DeserializeOwned>(&mut self, question: &impl Serialize, limit: Duration) -> Result<A, Fault> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Reply<A> {
            Ok(A),
            Error(String),
        }
        let text = serde_json::to_vec(question).map_err(|e| Fault::Refused(e.to_string()))?;
        let length = u32::try_from(text.len()).map_err(|_| Fault::Refused("the question is too long".into()))?;
        let sent = match &mut self.questions {
            Some(pipe) => pipe.write_all(&length.to_le_bytes()).and_then(|()| pipe.write_all(&text)),
            None => return Err(Fault::Lost("it was ended before".into())),
        };
        if sent.is_err() {
            return Err(self.lost());
        }
        let answer = self.wait(limit)?;
        match serde_json::from_slice(&answer) {
            Ok(Reply::Ok(answer)) => Ok(answer),
            Ok(Reply::Error(reason)) => Err(Fault::Refused(reason)),
            Err(e) => {
                self.end();
                Err(Fault::Lost(format!("it gave an answer that makes no sense: {e}")))
            }
        }
    }

    fn wait(&mut self, limit: Duration) -> Result<Vec<u8>, Fault> {
        let start = Instant::now();
        let (mut used, mut moved) = (None, Instant::now());
        loop {
            match self.answers.recv_timeout(LOOK.min(limit)) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => return Err(self.lost()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = processor_time(self.process.id());
            if now != used {
                (used, moved) = (now, Instant::now());
            }
            let reason = match () {
                () if start.elapsed() >= limit => format!("it did not answer within {} s", limit.as_secs()),
                () if moved.elapsed() >= STANDSTILL => format!("it has stood still for {} s", STANDSTILL.as_secs()),
                () => continue,
            };
            self.end();
            return Err(Fault::Lost(reason + " and was ended"));
        }
    }

    /// Ends the child, if it has not ended by itself, and says how it ended.
    fn lost(&mut self) -> Fault {
        let status = last_status(&mut self.process);
        self.end();
        // What it said last is on its way still; a process that it left behind may hold the pipe open.
        let _ = self.all_said.recv_timeout(Duration::from_secs(1));
        let mut reason = status.map_or("it closed its output and was ended".to_owned(), |status| format!("it {}", how_it_ended(status)));
        if let Some(line) = telling(&self.last_lines.lock().unwrap_or_else(PoisonError::into_inner)) {
            reason += &format!(": {line}");
        }
        match status.and_then(|status| status.signal()) {
            Some(signal) if is_own_fault(signal) => Fault::Crashed(reason),
            _ => Fault::Lost(reason),
        }
    }

    fn end(&mut self) {
        self.questions = None;
        let _ = self.process.kill(); // an error means that it has ended
        let _ = self.process.wait();
    }

    /// Closes the pipe and waits for the child to end by itself, `limit` at most.
    pub fn finish(mut self, limit: Duration) -> Result<(), Fault> {
        self.questions = None;
        let deadline = Instant::now() + limit;
        loop {
            match self.process.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                Ok(None) => return Err(Fault::Lost("it did not end".into())),
                _ => return Err(self.lost()),
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// The next message on a pipe; `None` at its end.
fn message(pipe: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    pipe.read_exact(&mut length).ok()?;
    let length = u32::from_le_bytes(length);
    if length > LONGEST_ANSWER {
        return None;
    }
    let mut text = vec![0; length as usize];
    pipe.read_exact(&mut text).ok()?;
    Some(text)
}

fn keep_last(pipe: Option<impl Read>, kept: &Mutex<VecDeque<String>>) {
    let mut lines = BufReader::new(match pipe {
        Some(pipe) => pipe,
        None => return,
    });
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        tracing::debug!("child: {text}");
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == LAST_LINES {
            kept.pop_front();
        }
        kept.push_back(text);
        line.clear();
    }
}

/// The line that says most about the end of a child: its last one with an error, else its last.
fn telling(lines: &VecDeque<String>) -> Option<&str> {
    let lines = || lines.iter().rev().map(|line| line.trim()).filter(|line| !line.is_empty());
    lines().find(|line| line.contains("rror")).or_else(|| lines().next())
}

/// Clock ticks a process has spent on processors, as `/proc` tells it.
fn processor_time(id: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name of the program, in brackets, may hold anything; user and system time are fields 14 and 15.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const SCRIPT: &str = "
import time
def answer(question):
    if question == 'die': os.kill(os.getpid(), 11)
    if question == 'refuse': raise ValueError('In user code:\\n\\n  InvalidArgumentError: bad shape.\\n    [Hint: 3]\\n more')
    if question == 'print': print('noise', flush=True)
    if question == 'sleep': time.sleep(100)
    if question == 'work': return pow(3, 10 ** 9)
    if question == 'exit': sys.stderr.write('MadeUpError: told\\n'); sys.stderr.flush(); os._exit(3)
    return question
serve(answer)
";
    const SOON: Duration = Duration::from_secs(30);

    fn start() -> Child {
        Child::start(Path::new("python3"), SCRIPT, 1).unwrap()
    }

    #[test]
    fn questions_are_answered_one_by_one() {
        let mut child = start();
        let sent = json!({"text": "ä", "numbers": [1, 2.5]});
        assert_eq!(child.ask::<Value>(&sent, SOON).unwrap(), sent);
        assert_eq!(child.ask::<String>(&"print", SOON).unwrap(), "print");
        let Err(Fault::Refused(reason)) = child.ask::<Value>(&"refuse", SOON) else { panic!("no refusal") };
        assert_eq!(reason, "InvalidArgumentError: bad shape. [Hint: 3]");
        let long = "x".repeat(1 << 20);
        assert_eq!(child.ask::<String>(&long, SOON).unwrap(), long);
        child.finish(SOON).unwrap();
    }

    #[test]
    fn a_child_that_is_lost_says_how() {
        for (question, expected) in [("die", "segmentation fault"), ("exit", "exit status: 3: MadeUpError: told")] {
            let mut child = start();
            let reason = match child.ask::<Value>(&question, SOON) {
                Err(Fault::Crashed(reason)) if question == "die" => reason,
                Err(Fault::Lost(reason)) if question == "exit" => reason,
                other => panic!("{question}: {other:?}"),
            };
            assert!(reason.contains(expected), "{reason}");
            let Err(Fault::Lost(_)) = child.ask::<Value>(&"again", SOON) else { panic!("answered after its end") };
        }
        let mut child = start();
        let Err(Fault::Lost(reason)) = child.ask::<Value>(&"sleep", Duration::from_secs(1)) else { panic!("not lost") };
        assert!(reason.contains("did not answer within 1 s"), "{reason}");
    }

    #[test]
    fn a_child_does_not_outlive_the_pipe_even_in_a_native_call() {
        let mut child = start();
        assert_eq!(child.ask::<u32>(&1, SOON).unwrap(), 1);
        let text = b"\"work\"";
        let mut pipe = child.questions.take().unwrap();
        pipe.write_all(&(text.len() as u32).to_le_bytes()).and_then(|()| pipe.write_all(text)).unwrap();
        thread::sleep(Duration::from_millis(500));
        drop(pipe);
        let deadline = Instant::now() + SOON;
        while child.process.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it works on");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

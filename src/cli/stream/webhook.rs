//! Result lines to an address, in their order, from a thread of its own. Lines that wait go together. What the address does not take is
//! tried again; while it is slow the sink waits, and so do sources that drop nothing.

use crate::error::{Error, Result};
use crate::extract::{Retries, is_this_machine};
use crossbeam::channel::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use ureq::Agent;

/// Lines that wait at most; then whoever brings one waits.
const QUEUE: usize = 1024;
/// Lines and bytes of a request at most; a line of more bytes goes alone.
const LINES: usize = 256;
const BYTES: usize = 1 << 20;
/// For an attempt.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where lines are sent.
pub(super) struct Webhook {
    lines: Sender<String>,
    sending: JoinHandle<Sent>,
    /// Without what may be secret in it.
    shown: String,
}

/// What became of the lines.
#[derive(Default)]
struct Sent {
    taken: usize,
    lost: usize,
    /// Why the first of the lost ones were.
    reason: Option<String>,
}

/// Why a request failed.
enum Fault {
    /// It may be taken later.
    Passing(String),
    Lasting(String),
}

impl Webhook {
    /// A webhook at `address`; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Config`] when that is no address of HTTP, or one of another machine although `offline`.
    pub fn open(address: &str, retries: Retries, offline: bool) -> Result<Self> {
        let wrong = |reason: &str| Error::config("--webhook", format!("{reason}; give one such as https://example.com/results"));
        let uri: ureq::http::Uri = address.parse().map_err(|_| wrong("this is no address"))?;
        let (Some("http" | "https"), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(wrong("this is no address with http:// or https://"));
        };
        if offline && !is_this_machine(address) {
            return Err(Error::config("--webhook", format!("{host} is not on this machine; leave --offline out")));
        }
        let shown = format!("{}://{host}{}", uri.scheme_str().unwrap_or_default(), uri.path());
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("hpinfer/", env!("CARGO_PKG_VERSION")))
            .build();
        let (lines, waiting) = channel::bounded(QUEUE);
        let (agent, address) = (Agent::from(config), address.to_owned());
        let sending = thread::spawn(move || send(&waiting, &retries, |body| post(&agent, &address, body)));
        Ok(Self { lines, sending, shown })
    }

    /// Hands a line over.
    pub fn send(&self, line: &str) {
        let _ = self.lines.send(line.to_owned()); // the thread goes when this end does, not before
    }

    /// Waits for the lines under way; whether all were taken.
    pub fn finish(self) -> bool {
        drop(self.lines);
        let Ok(Sent { taken, lost, reason }) = self.sending.join() else {
            tracing::error!("{}: the thread that sent to it died", self.shown);
            return false;
        };
        if let Some(reason) = reason {
            tracing::error!("{}: {lost} of {} result lines were not taken: {reason}", self.shown, lost + taken);
        }
        lost == 0
    }
}

/// Sends what comes until nothing more does.
fn send(waiting: &Receiver<String>, retries: &Retries, post: impl Fn(&str) -> std::result::Result<(), Fault>) -> Sent {
    let mut sent = Sent::default();
    let mut next: Option<String> = None;
    while let Some(first) = next.take().or_else(|| waiting.recv().ok()) {
        let (mut body, mut lines) = (first + "\n", 1);
        while lines < LINES
            && let Ok(line) = waiting.try_recv()
        {
            if body.len() + line.len() >= BYTES {
                next = Some(line);
                break;
            }
            body += &line;
            body.push('\n');
            lines += 1;
        }
        match with_retries(retries, || post(&body)) {
            Ok(()) => sent.taken += lines,
            Err(reason) => {
                sent.lost += lines;
                sent.reason.get_or_insert(reason);
            }
        }
    }
    sent
}

fn with_retries(retries: &Retries, attempt: impl Fn() -> std::result::Result<(), Fault>) -> std::result::Result<(), String> {
    for number in 0.. {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(Fault::Lasting(reason)) => return Err(reason),
            Err(Fault::Passing(reason)) => match retries.wait(number, None) {
                Some(wait) => thread::sleep(wait),
                None => return Err(reason),
            },
        }
    }
    Ok(())
}

/// One request.
fn post(agent: &Agent, address: &str, body: &str) -> std::result::Result<(), Fault> {
    let answer = agent.post(address).header("Content-Type", "application/x-ndjson").send(body);
    let status = match answer {
        Ok(answer) => answer.status(),
        Err(e @ (ureq::Error::BadUri(_) | ureq::Error::Http(_))) => return Err(Fault::Lasting(format!("it is no address ({e})"))),
        Err(e) => return Err(Fault::Passing(e.to_string())),
    };
    let reason = format!("it answers with status {}", status.as_u16());
    match status.as_u16() {
        200..300 => Ok(()),
        408 | 429 | 500.. => Err(Fault::Passing(reason)),
        _ => Err(Fault::Lasting(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const AT_ONCE: Retries = Retries { most: 2, first_wait: Duration::ZERO, longest_wait: Duration::ZERO };

    /// What is posted of `lines`, when `answer` says what becomes of each attempt.
    fn posted(lines: &[String], answer: impl Fn(usize) -> std::result::Result<(), Fault>) -> (Vec<String>, Sent) {
        let (lines_in, waiting) = channel::unbounded();
        lines.iter().for_each(|line| lines_in.send(line.clone()).expect("room"));
        drop(lines_in);
        let bodies = RefCell::new(Vec::new());
        let sent = send(&waiting, &AT_ONCE, |body| {
            bodies.borrow_mut().push(body.to_owned());
            answer(bodies.borrow().len() - 1)
        });
        (bodies.into_inner(), sent)
    }

    #[test]
    fn lines_that_wait_go_together_within_the_bounds() {
        let mut lines: Vec<String> = (0..LINES + 3).map(|n| n.to_string()).collect();
        lines.push("x".repeat(BYTES));
        lines.push("last".into());
        let (bodies, sent) = posted(&lines, |_| Ok(()));
        assert_eq!(bodies.concat(), lines.iter().map(|line| format!("{line}\n")).collect::<String>(), "all, in their order");
        assert_eq!(bodies.iter().map(|body| body.lines().count()).collect::<Vec<_>>(), [LINES, 3, 1, 1]);
        assert_eq!((sent.taken, sent.lost), (lines.len(), 0));
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_lasts_is_not() {
        let passing = || Err(Fault::Passing("busy".into()));
        let line = ["a".to_owned()];
        let (bodies, sent) = posted(&line, |attempt| if attempt < 2 { passing() } else { Ok(()) });
        assert_eq!((bodies.len(), sent.taken, sent.lost), (3, 1, 0));
        let (bodies, sent) = posted(&line, |_| passing());
        assert_eq!((bodies.len(), sent.taken, sent.lost, sent.reason.as_deref()), (3, 0, 1, Some("busy")));
        let (bodies, sent) = posted(&line, |_| Err(Fault::Lasting("gone".into())));
        assert_eq!((bodies.len(), sent.lost, sent.reason.as_deref()), (1, 1, Some("gone")));
    }

    #[test]
    fn an_address_is_one_of_http_and_shown_without_secrets() {
        for bad in ["", "results", "ftp://host/x", "file:///x", "http://"] {
            assert!(Webhook::open(bad, AT_ONCE, false).is_err(), "{bad}");
        }
        assert!(Webhook::open("http://example.com/", AT_ONCE, true).is_err() && Webhook::open("http://localhost/", AT_ONCE, true).is_ok());
        let webhook = Webhook::open("https://name:word@example.com:8080/in?token=t", AT_ONCE, false).expect("an address");
        assert_eq!(webhook.shown, "https://example.com/in");
        assert!(webhook.finish(), "nothing was sent");
    }
}

//! Result lines to an address, in their order, from a thread of its own. Lines that wait go together. What the address does not take is
//! tried again; while it is slow the sink waits, and so do sources that drop nothing. Once lines were lost all the same, nobody waits for it
//! any more, until it takes a request again. Once the end is asked for, nothing is tried again.

use crate::error::{Error, Result};
use crate::extract::{Retries, agent, has_wrong_port, is_this_machine, retry_after};
use crate::schedule::stop::Stop;
use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use ureq::Agent;

/// Lines that wait at most; then whoever brings one waits.
const QUEUE: usize = 1024;
/// Lines and bytes of a request at most; a line of more bytes goes alone.
const LINES: usize = 256;
const BYTES: usize = 1 << 20;
/// For an attempt.
const TIMEOUT: Duration = Duration::from_secs(10);
/// After so long the wait for the last lines is told.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a pause looks whether the end was asked for.
const GLANCE: Duration = Duration::from_millis(50);

/// Where lines are sent.
pub(super) struct Webhook {
    lines: Sender<String>,
    /// Comes when all lines are sent or lost.
    sent: Receiver<Sent>,
    health: Arc<Health>,
    /// Without what may be secret in it.
    shown: String,
}

/// Of an address.
#[derive(Default)]
struct Health {
    /// Whether the last request was given up.
    is_losing: AtomicBool,
    /// Lines that found no room since.
    left_out: AtomicUsize,
}

/// What became of the lines.
#[derive(Default, PartialEq)]
struct Sent {
    taken: usize,
    lost: usize,
    /// Why the first of the lost ones were.
    reason: Option<String>,
}

/// Why a request failed.
enum Fault {
    /// It may be taken later.
    /// With the wait that it asks for.
    Passing(String, Option<Duration>),
    Lasting(String),
}

impl Webhook {
    /// A webhook at `address`; nothing is sent yet. Once `stop` is set, the first request that fails is the last.
    ///
    /// # Errors
    /// [`Error::Config`] when that is no address of HTTP, or one of another machine although `offline`.
    pub fn open(address: &str, retries: Retries, offline: bool, stop: &Stop) -> Result<Self> {
        let wrong = |reason: &str| Error::config("--webhook", format!("{reason}; give one such as https://example.com/results"));
        let uri: ureq::http::Uri = address.parse().map_err(|_| wrong("this is no address"))?;
        let (Some("http" | "https"), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(wrong("this is no address with http:// or https://"));
        };
        if uri.authority().is_some_and(|authority| has_wrong_port(authority.as_str())) {
            return Err(wrong("its port is no number from 1 to 65535"));
        }
        let is_near = is_this_machine(address);
        if offline && !is_near {
            return Err(Error::config("--webhook", format!("{host} is not on this machine; leave --offline out")));
        }
        let port = uri.port().map_or(String::new(), |port| format!(":{port}"));
        let shown = format!("{}://{host}{port}{}", uri.scheme_str().unwrap_or_default(), uri.path());
        let config = agent(is_near).timeout_global(Some(TIMEOUT)).build();
        let (lines, waiting) = channel::bounded(QUEUE);
        let (sent_in, sent) = channel::bounded(1);
        let (agent, address, stop) = (Agent::from(config), address.to_owned(), stop.clone());
        let (name, health) = (shown.clone(), Arc::<Health>::default());
        let known = health.clone();
        thread::spawn(move || sent_in.send(send(&name, &waiting, &retries, &stop, &known, |body| post(&agent, &address, body))));
        Ok(Self { lines, sent, health, shown })
    }

    /// Hands a line over.
    pub fn send(&self, line: &str) {
        let line = line.to_owned();
        if !self.health.is_losing.load(Relaxed) {
            let _ = self.lines.send(line); // the thread goes when this end does, not before
        } else if self.lines.try_send(line).is_err() {
            self.health.left_out.fetch_add(1, Relaxed);
        }
    }

    /// Waits for the lines under way; whether all were taken.
    pub fn finish(self) -> bool {
        drop(self.lines);
        let mut sent = self.sent.recv_timeout(PATIENCE);
        if sent == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("{}: waiting for it to take the last result lines", self.shown);
            sent = self.sent.recv().map_err(RecvTimeoutError::from);
        }
        let Ok(Sent { taken, lost, reason }) = sent else {
            tracing::error!("{}: the thread that sent to it died", self.shown);
            return false;
        };
        let lost = lost + self.health.left_out.load(Relaxed);
        if let Some(reason) = reason {
            tracing::error!("{}: {lost} of {} result lines were not taken: {reason}", self.shown, lost + taken);
        }
        lost == 0
    }
}

/// Sends what comes until nothing more does.
fn send(
    shown: &str,
    waiting: &Receiver<String>,
    retries: &Retries,
    stop: &Stop,
    health: &Health,
    post: impl Fn(&str) -> std::result::Result<(), Fault>,
) -> Sent {
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
        let most = if health.is_losing.load(Relaxed) { 0 } else { retries.most };
        match with_retries(&Retries { most, ..*retries }, stop, || post(&body)) {
            Ok(()) => {
                sent.taken += lines;
                health.is_losing.store(false, Relaxed);
            }
            Err(reason) => {
                sent.lost += lines;
                match health.is_losing.swap(true, Relaxed) {
                    false => tracing::warn!("{shown}: result lines are lost: {reason}"),
                    true => drop(pause(retries.first_wait, stop)),
                }
                sent.reason.get_or_insert(reason);
                if stop.is_set() {
                    sent.lost += next.take().into_iter().chain(waiting).count();
                }
            }
        }
    }
    sent
}

fn with_retries(retries: &Retries, stop: &Stop, attempt: impl Fn() -> std::result::Result<(), Fault>) -> std::result::Result<(), String> {
    for number in 0.. {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(Fault::Lasting(reason)) => return Err(reason),
            // No attempt sooner than without the wish, and none later than the last of them might be.
            Err(Fault::Passing(reason, asked)) => match retries.wait(number, None) {
                Some(wait) if pause(asked.map_or(wait, |asked| asked.clamp(wait, retries.longest_wait.max(wait))), stop) => {}
                _ => return Err(reason),
            },
        }
    }
    Ok(())
}

/// Waits; `false` as soon as `stop` is set.
fn pause(wait: Duration, stop: &Stop) -> bool {
    let began = Instant::now();
    while !stop.is_set() {
        let left = wait.saturating_sub(began.elapsed());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(GLANCE));
    }
    false
}

/// One request.
fn post(agent: &Agent, address: &str, body: &str) -> std::result::Result<(), Fault> {
    let answer = agent.post(address).header("Content-Type", "application/x-ndjson").send(body);
    let (status, asked) = match answer {
        Ok(answer) => (answer.status(), retry_after(answer.headers(), SystemTime::now())),
        Err(e @ (ureq::Error::BadUri(_) | ureq::Error::Http(_))) => return Err(Fault::Lasting(format!("it is no address ({e})"))),
        Err(e) => return Err(Fault::Passing(e.to_string(), None)),
    };
    let reason = format!("it answers with status {}", status.as_u16());
    match status.as_u16() {
        200..300 => Ok(()),
        408 | 429 | 500.. => Err(Fault::Passing(reason, asked)),
        _ => Err(Fault::Lasting(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::io::{Read, Write};

    const AT_ONCE: Retries = Retries { most: 2, first_wait: Duration::ZERO, longest_wait: Duration::ZERO };

    /// What is posted of `lines`, when `answer` says what becomes of each attempt.
    fn posted(lines: &[String], answer: impl Fn(usize) -> std::result::Result<(), Fault>) -> (Vec<String>, Sent) {
        posted_until(&Stop::default(), &AT_ONCE, lines, answer)
    }

    fn posted_until(
        stop: &Stop,
        retries: &Retries,
        lines: &[String],
        answer: impl Fn(usize) -> std::result::Result<(), Fault>,
    ) -> (Vec<String>, Sent) {
        let (lines_in, waiting) = channel::unbounded();
        lines.iter().for_each(|line| lines_in.send(line.clone()).expect("room"));
        drop(lines_in);
        let bodies = RefCell::new(Vec::new());
        let sent = send("here", &waiting, retries, stop, &Health::default(), |body| {
            bodies.borrow_mut().push(body.to_owned());
            answer(bodies.borrow().len() - 1)
        });
        (bodies.into_inner(), sent)
    }

    #[test]
    fn what_a_status_means_is_known() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}/", listener.local_addr().expect("an address"));
        let cases = [
            ("200", "taken"),
            ("204", "taken"),
            ("302", "lasts"),
            ("404", "lasts"),
            ("408", "passes"),
            ("429", "passes"),
            ("503", "passes"),
        ];
        let server = thread::spawn(move || {
            for (status, _) in cases {
                let (mut connection, _) = listener.accept().expect("a client");
                let (mut request, mut byte) = (Vec::new(), [0]);
                while !request.ends_with(b"line") && connection.read(&mut byte).expect("a request") > 0 {
                    request.push(byte[0]);
                }
                write!(connection, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").expect("answered");
            }
        });
        let agent = Agent::from(agent(true).build());
        for (status, expected) in cases {
            let found = match post(&agent, &address, "line") {
                Ok(()) => "taken",
                Err(Fault::Passing(..)) => "passes",
                Err(Fault::Lasting(_)) => "lasts",
            };
            assert_eq!(found, expected, "{status}");
        }
        server.join().expect("all came");
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
        let passing = || Err(Fault::Passing("busy".into(), None));
        let line = ["a".to_owned()];
        let (bodies, sent) = posted(&line, |attempt| if attempt < 2 { passing() } else { Ok(()) });
        assert_eq!((bodies.len(), sent.taken, sent.lost), (3, 1, 0));
        let (bodies, sent) = posted(&line, |_| passing());
        assert_eq!((bodies.len(), sent.taken, sent.lost, sent.reason.as_deref()), (3, 0, 1, Some("busy")));
        let (bodies, sent) = posted(&line, |_| Err(Fault::Lasting("gone".into())));
        assert_eq!((bodies.len(), sent.lost, sent.reason.as_deref()), (1, 1, Some("gone")));
        let began = Instant::now();
        let short = Retries { most: 1, first_wait: Duration::ZERO, longest_wait: Duration::from_millis(30) };
        let (bodies, sent) =
            posted_until(&Stop::default(), &short, &line, |_| Err(Fault::Passing("later".into(), Some(Duration::from_secs(600)))));
        assert_eq!((bodies.len(), sent.lost), (2, 1));
        assert!(began.elapsed() >= short.longest_wait, "it asks for more time than it gets");
    }

    #[test]
    fn who_loses_lines_is_waited_for_no_longer_until_it_takes_some() {
        let lines: Vec<String> = (0..5 * LINES).map(|n| n.to_string()).collect();
        // Three attempts for the first, one for the next; the third is taken, the fourth lost after three again.
        let (bodies, sent) = posted(&lines, |attempt| match attempt {
            4 | 8 => Ok(()),
            _ => Err(Fault::Passing("down".into(), None)),
        });
        let firsts: Vec<usize> =
            bodies.iter().map(|body| body.lines().next().expect("a line").parse::<usize>().expect("a number") / LINES).collect();
        assert_eq!(firsts, [0, 0, 0, 1, 2, 3, 3, 3, 4]);
        assert_eq!((sent.taken, sent.lost), (2 * LINES, 3 * LINES));

        let (lines, waiting) = channel::bounded(1);
        let health = Arc::new(Health { is_losing: true.into(), left_out: 0.into() });
        let (sent_in, sent) = channel::bounded(1);
        let webhook = Webhook { lines, sent, health, shown: "here".into() };
        (0..3).for_each(|_| webhook.send("a line that finds no room does not wait"));
        assert_eq!((waiting.len(), webhook.health.left_out.load(Relaxed)), (1, 2));
        sent_in.send(Sent { taken: 1, ..Sent::default() }).expect("room");
        assert!(!webhook.finish());
    }

    #[test]
    fn nothing_is_tried_again_once_the_end_is_asked_for() {
        let hour = Duration::from_secs(3600);
        let retries = Retries { most: 2, first_wait: hour, longest_wait: hour };
        let (stop, lines) = (Stop::default(), vec!["a".to_owned(); 2 * LINES]);
        let (bodies, sent) = posted_until(&stop, &retries, &lines, |_| {
            stop.set();
            Err(Fault::Passing("gone".into(), None))
        });
        assert_eq!((bodies.len(), sent.taken, sent.lost, sent.reason.as_deref()), (1, 0, 2 * LINES, Some("gone")));
        let (bodies, sent) = posted_until(&stop, &retries, &lines, |_| Ok(()));
        assert_eq!((bodies.len(), sent.taken, sent.lost), (2, 2 * LINES, 0), "what is taken is sent to the end");
    }

    #[test]
    fn an_address_is_one_of_http_and_shown_without_secrets() {
        let open = |address, offline| Webhook::open(address, AT_ONCE, offline, &Stop::default());
        let remote = open("http://127.0.0.1:80@192.0.2.7/x", true).err().expect("what stands before @ is no host").to_string();
        assert!(remote.contains("192.0.2.7 is not on this machine"), "{remote}");
        assert!(open("https://name:word@example.com/in", false).is_ok() && open("http://[::1]:80/", true).is_ok());
        for bad in ["", "results", "ftp://host/x", "file:///x", "http://", "http://h:99999/", "http://h:0/"] {
            assert!(open(bad, false).is_err(), "{bad}");
        }
        assert!(open("http://example.com/", true).is_err() && open("http://localhost/", true).is_ok());
        let webhook = open("https://name:word@example.com:8080/in?token=t", false).expect("an address");
        assert_eq!(webhook.shown, "https://example.com:8080/in");
        assert!(webhook.finish(), "nothing was sent");
    }
}

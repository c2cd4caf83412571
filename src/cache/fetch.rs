//! Downloading one file by HTTP, going on where an earlier attempt was cut off.

use super::atomic::{publish, remove, write_atomic};
use super::{Cache, Network, Progress, USER_AGENT};
use crate::error::{Error, Result};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

const CONNECT: Duration = Duration::from_secs(15);
const NEXT_BYTE: Duration = Duration::from_secs(60);

/// A file behind a URL, and how to speak of it in errors.
#[derive(Clone, Debug)]
pub struct Download<'a> {
    /// What the user misses: "model ResNet18".
    pub what: String,
    /// What to do when it cannot be downloaded.
    pub next_step: String,
    /// Where it is.
    pub url: &'a str,
    /// Name of the file in the cache; one download of a name at a time, under the caller's lock.
    pub file: &'a str,
    /// No more bytes are taken.
    pub limit: u64,
}

impl Download<'_> {
    /// Where it is, to be shown and kept: without what is secret in it.
    pub fn place(&self) -> String {
        without_secrets(self.url)
    }

    pub(crate) fn missing(&self, reason: impl Into<String>) -> Error {
        Error::missing(&self.what, reason, &self.next_step)
    }
}

/// An address as it may be shown: without a user's name and password, and with `***` for the values of keys such as `token`.
pub fn without_secrets(address: &str) -> String {
    hide_secrets(address, address)
}

/// `text` without what is secret in `address`, of which it may name parts.
pub fn hide_secrets(text: &str, address: &str) -> String {
    let mut shown = text.to_owned();
    let Some((_, rest)) = address.split_once("://") else { return shown };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if let Some((user, _)) = authority.rsplit_once('@') {
        shown = shown.replace(&format!("//{user}@"), "//");
    }
    // Cameras take them in the path, too: /user=a&password=b.
    for pair in path.split(['?', '&', ';', '#']) {
        if let Some((key, value)) = pair.split_once('=').filter(|(key, value)| !value.is_empty() && is_secret(key)) {
            shown = shown.replace(&format!("{key}={value}"), &format!("{key}=***"));
        }
    }
    shown
}

/// Whether a key of a query names what nobody else is to know, such as `X-Amz-Signature`, `apikey`, `sig`.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let within = ["token", "secret", "passw", "pwd", "signature", "credential", "accesskey"];
    within.iter().any(|word| key.contains(word)) || ["key", "sig", "auth", "pass"].iter().any(|word| key.ends_with(word))
}

impl Cache {
    /// Downloads a file and returns its path, which the caller removes. What an earlier attempt received is kept, and
    /// asked for no more, as long as the server says that the file is the same.
    ///
    /// # Errors
    /// [`Error::Missing`] when it cannot be had; [`Error::Config`] when the cache cannot be written.
    pub fn fetch_url(&self, download: &Download<'_>) -> Result<PathBuf> {
        if self.network() == Network::Offline {
            return Err(download.missing("it is not in the cache and downloads are off (--offline)"));
        }
        let folder = self.subdir(super::rooms::DOWNLOADS)?;
        let partial = folder.join(format!("{}.partial", download.file));
        let validator = folder.join(format!("{}.validator", download.file));
        let target = folder.join(download.file);
        let response = self.ask(download, &partial, &validator)?;
        self.receive(download, response, &partial, &validator)?;
        publish(&partial, &target).map_err(|e| self.refused("rename", &partial, &e))?;
        remove(&validator).map_err(|e| self.refused("remove", &validator, &e))?;
        Ok(target)
    }

    /// Asks for the part that is not there yet. What is in `partial` afterwards is what the answer goes on from.
    fn ask(&self, download: &Download<'_>, partial: &Path, validator: &Path) -> Result<Response<Body>> {
        let agent: Agent = Agent::config_builder()
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(NEXT_BYTE))
            .timeout_per_read(Some(NEXT_BYTE))
            .user_agent(USER_AGENT)
            .build()
            .into();
        let explain =
            |e| download.missing(format!("{} cannot be fetched: {}", download.place(), reason(e).replace(download.url, &download.place())));
        // Ranges are of the file as it is, not of a compressed form of it.
        let request = || agent.get(download.url).header(header::ACCEPT_ENCODING, "identity");
        let had = fs::metadata(partial).map_or(0, |meta| meta.len());
        let known = fs::read_to_string(validator).ok().filter(|_| had > 0);
        if let Some(known) = known {
            let ranged = request().header(header::RANGE, format!("bytes={had}-")).header(header::IF_RANGE, known).call();
            match ranged {
                Ok(response) if starts_at(&response) == Some(had) => return Ok(response),
                // The whole of another file, a file that is no longer than this part, or an answer that makes no sense.
                Ok(_) | Err(ureq::Error::StatusCode(416)) => {}
                Err(e) => return Err(explain(e)),
            }
        }
        remove(partial).map_err(|e| self.refused("remove", partial, &e))?;
        let response = request().call().map_err(explain)?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        match header(header::ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| header(header::LAST_MODIFIED)) {
            Some(known) => write_atomic(validator, known.as_bytes())?,
            None => remove(validator).map_err(|e| self.refused("remove", validator, &e))?,
        }
        Ok(response)
    }

    fn receive(&self, download: &Download<'_>, response: Response<Body>, partial: &Path, validator: &Path) -> Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(partial).map_err(|e| self.refused("create", partial, &e))?;
        let mut have = file.metadata().map_err(|e| self.refused("read", partial, &e))?.len();
        let total = response.body().content_length().map(|length| have.saturating_add(length));
        if total.is_some_and(|total| total > download.limit) {
            return Err(self.too_long(download, partial));
        }
        let progress = match total {
            Some(total) => Progress::bytes(format!("downloading {}", download.what), total),
            None => Progress::spinner(format!("downloading {}", download.what)),
        };
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let cut_off = |have: u64, why: String| {
                // Without a validator nothing tells whether the rest is of the same file.
                let next = if have > 0 && validator.exists() { "goes on from there" } else { "begins anew" };
                download.missing(format!("{} broke off after {have} bytes ({why}); the next attempt {next}", download.place()))
            };
            match body.read(&mut buffer) {
                Ok(0) if total.is_some_and(|total| have < total) => return Err(cut_off(have, "the connection was closed".into())),
                Ok(0) => break,
                Ok(n) => {
                    have += n as u64;
                    if have > download.limit {
                        return Err(self.too_long(download, partial));
                    }
                    file.write_all(&buffer[..n]).map_err(|e| self.refused("download to", partial, &e))?;
                    progress.set(have);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(cut_off(have, e.to_string())),
            }
        }
        file.sync_all().map_err(|e| self.refused("download to", partial, &e))
    }

    fn too_long(&self, download: &Download<'_>, partial: &Path) -> Error {
        match remove(partial) {
            Ok(()) => download.missing(format!("{} is longer than {} bytes", download.place(), download.limit)),
            Err(e) => self.refused("remove", partial, &e),
        }
    }
}

/// The first byte that a partial answer carries.
fn starts_at(response: &Response<Body>) -> Option<u64> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return None;
    }
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn reason(error: ureq::Error) -> String {
    match error {
        ureq::Error::StatusCode(code) => format!("the server answers with status {code}"),
        ureq::Error::HostNotFound => "no such host".into(),
        ureq::Error::ConnectionFailed => "no connection".into(),
        ureq::Error::Timeout(phase) => format!("no answer in time (waiting to {phase})"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::thread;

    /// A server that gives one canned answer a connection and returns the requests it saw.
    fn serve(answers: Vec<Vec<u8>>) -> (String, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let seen = thread::spawn(move || {
            let answer = |answer: Vec<u8>| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(io::Result::ok);
                let request: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
                stream.write_all(&answer).unwrap();
                request.join("\n").to_lowercase()
            };
            answers.into_iter().map(answer).collect()
        });
        (url, seen)
    }

    fn answer(head: &str, body: &[u8]) -> Vec<u8> {
        [format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes(), body].concat()
    }

    fn fetch(cache: &Cache, url: &str) -> Result<PathBuf> {
        cache.fetch_url(&Download { what: "thing".into(), next_step: "do it".into(), url, file: "file", limit: 100 })
    }

    #[test]
    fn a_download_goes_on_where_it_was_cut_off() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(temp.path())).unwrap();
        let (url, seen) = serve(vec![
            answer("200 OK\r\nContent-Length: 10\r\nETag: \"a\"", b"0123"),
            answer("206 Partial Content\r\nContent-Length: 6\r\nContent-Range: bytes 4-9/10", b"456789"),
        ]);
        let message = fetch(&cache, &url).unwrap_err().to_string();
        assert!(message.contains("after 4 bytes") && message.contains("goes on from there; do it"), "{message}");
        let path = fetch(&cache, &url).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"0123456789");
        let requests = seen.join().unwrap();
        assert!(!requests[0].contains("range:") && requests[1].contains("range: bytes=4-") && requests[1].contains("if-range: \"a\""));
        assert_eq!(fs::read_dir(temp.path().join("downloads")).unwrap().count(), 1, "nothing else stays");
    }

    #[test]
    fn a_file_that_changed_is_fetched_anew() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(temp.path())).unwrap();
        let (url, seen) = serve(vec![
            answer("200 OK\r\nContent-Length: 10\r\nETag: \"a\"", b"old"),
            answer("200 OK\r\nContent-Length: 3\r\nETag: \"b\"", b"new"),
            answer("200 OK\r\nContent-Length: 3\r\nETag: \"b\"", b"new"),
        ]);
        fetch(&cache, &url).unwrap_err();
        assert_eq!(fs::read(fetch(&cache, &url).unwrap()).unwrap(), b"new");
        seen.join().unwrap();
    }

    #[test]
    fn a_part_that_was_not_asked_for_is_not_joined() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(temp.path())).unwrap();
        let (url, seen) = serve(vec![
            answer("200 OK\r\nContent-Length: 10\r\nETag: \"a\"", b"0123"),
            answer("206 Partial Content\r\nContent-Length: 6\r\nContent-Range: bytes 3-8/10", b"345678"),
            answer("200 OK\r\nContent-Length: 10\r\nETag: \"a\"", b"0123456789"),
        ]);
        fetch(&cache, &url).unwrap_err();
        assert_eq!(fs::read(fetch(&cache, &url).unwrap()).unwrap(), b"0123456789");
        seen.join().unwrap();
    }

    #[test]
    fn what_begins_anew_is_not_said_to_go_on() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(temp.path())).unwrap();
        for (head, body) in [
            ("200 OK\r\nContent-Length: 10", &b"0123"[..]),
            ("200 OK\r\nContent-Length: 10\r\nETag: W/\"a\"", b"0123"), // of equal meaning, not of equal bytes
            ("200 OK\r\nContent-Length: 10\r\nETag: \"a\"", b""),
        ] {
            let (url, seen) = serve(vec![answer(head, body)]);
            let message = fetch(&cache, &url).unwrap_err().to_string();
            assert!(message.contains("the next attempt begins anew; do it"), "{message}");
            seen.join().unwrap();
        }
    }

    #[test]
    fn names_and_passwords_are_not_shown() {
        for (url, expected) in [
            ("https://host:8/a@b?c#d", "https://host:8/a@b?c#d"),
            ("http://user@host/a", "http://host/a"),
            ("http://user:p@ss:word@host:8?a", "http://host:8?a"),
            ("no url?token=a", "no url?token=a"),
            ("rtsp://u:p@host/x?token=abc&channel=1&sig=a%2F=#t", "rtsp://host/x?token=***&channel=1&sig=***#t"),
            (
                "https://host/a.m3u8?X-Amz-Signature=f&X-Amz-Date=2&API_KEY=k&key=",
                "https://host/a.m3u8?X-Amz-Signature=***&X-Amz-Date=2&API_KEY=***&key=",
            ),
            ("rtsp://host/user=admin&password=b&channel=1", "rtsp://host/user=admin&password=***&channel=1"),
            ("https://host/a?author=x&keyframe=1", "https://host/a?author=x&keyframe=1"),
        ] {
            assert_eq!(without_secrets(url), expected);
        }
        let said = "http://u:p@host/part.ts?token=abc: refused";
        assert_eq!(hide_secrets(said, "http://u:p@host/list?token=abc"), "http://host/part.ts?token=***: refused");
    }

    #[test]
    fn what_cannot_be_had_says_why() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(temp.path())).unwrap();
        for (head, expected) in
            [("404 Not Found\r\nContent-Length: 0", "status 404; do it"), ("200 OK\r\nContent-Length: 101", "is longer than 100 bytes")]
        {
            let (url, seen) = serve(vec![answer(head, b"")]);
            let message = fetch(&cache, &url).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            seen.join().unwrap();
        }
        let offline = cache.with_network(Network::Offline);
        assert!(fetch(&offline, "http://127.0.0.1:1/").unwrap_err().to_string().contains("--offline"));
        assert!(!temp.path().join("downloads/file").exists());
    }
}

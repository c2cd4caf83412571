//! Pictures by HTTP: bounded in time, size and number of redirects.

use super::SourceOptions;
use super::files::PICTURE_SUFFIXES;
use super::item::too_large;
use crate::cache::USER_AGENT;
use std::io::Read;
use ureq::http::Response;
use ureq::{Agent, Error};

const MOST_REDIRECTS: u32 = 5;

/// What fetches URLs. Cheap to clone; clones share open connections.
#[derive(Clone, Debug)]
pub struct Fetcher(Agent);

pub(super) fn is_url(input: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| input.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

/// Whether the address says that there is a picture behind it: no document is looked for there.
pub(super) fn names_picture(address: &str) -> bool {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let suffix = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, suffix)| suffix);
    suffix.is_some_and(|suffix| PICTURE_SUFFIXES.iter().any(|known| suffix.eq_ignore_ascii_case(known)))
}

impl Fetcher {
    pub(super) fn new(options: &SourceOptions) -> Self {
        let config = Agent::config_builder()
            .timeout_resolve(Some(options.connect_timeout))
            .timeout_connect(Some(options.connect_timeout))
            .timeout_recv_response(Some(options.read_timeout))
            .timeout_per_read(Some(options.read_timeout))
            .timeout_global(Some(options.total_timeout))
            .max_redirects(MOST_REDIRECTS)
            .user_agent(USER_AGENT)
            .build();
        Self(config.into())
    }

    /// The body behind `address`, of at most `limit` bytes.
    pub(super) fn fetch(&self, address: &str, limit: u64) -> Result<Vec<u8>, String> {
        let explain = |error| explain(error, limit);
        let response = self.0.get(address).call().map_err(explain)?;
        let mut body = response.into_body();
        match body.content_length() {
            Some(length) if length > limit => Err(too_large(length, limit)),
            _ => body.with_config().limit(limit).read_to_vec().map_err(explain),
        }
    }

    /// Whether a file is behind `address`: it says how long it is, and is no list of the parts of a stream (HLS, DASH).
    pub(super) fn finds_file(&self, address: &str) -> bool {
        let body = self.0.get(address).call().map(Response::into_body).ok().filter(|body| body.content_length().is_some());
        let mut first = [0];
        body.is_some_and(|body| body.into_reader().read_exact(&mut first).is_ok() && !b"#<".contains(&first[0]))
    }
}

fn explain(error: Error, limit: u64) -> String {
    match error {
        Error::StatusCode(code) => format!("the server answers with status {code}"),
        Error::Timeout(phase) => format!("no answer in time (waiting to {phase}); check the address and the network"),
        Error::HostNotFound => "no such host; check the address and the network".into(),
        Error::ConnectionFailed => "no connection; check the address and the network".into(),
        Error::TooManyRedirects => format!("more than {MOST_REDIRECTS} redirects"),
        Error::BodyExceedsLimit(_) => too_large(limit.saturating_add(1), limit),
        other => format!("cannot be fetched: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_an_address_says_what_it_is() {
        for (address, expected) in [
            ("http://h/a.PNG", true),
            ("http://h/a.tiff?size=2.5#top", true),
            ("http://h/a.pdf", false),
            ("http://h/a?file=b.png", false),
            ("http://h/a.png/", false),
            ("http://h/", false),
        ] {
            assert_eq!(names_picture(address), expected, "{address}");
        }
    }
}

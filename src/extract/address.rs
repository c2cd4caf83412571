//! Addresses: whether they are of this machine, and whether they make sense.

use std::net::IpAddr;
use ureq::http::Uri;

/// Whether what follows `://` in an address has a port that no machine has: who connects would take the usual one in its place.
pub(crate) fn has_wrong_port(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit(['@', ']']).next().unwrap_or_default();
    host.rsplit_once(':').is_some_and(|(_, port)| !port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Servers print the unspecified address when they listen on all; who connects to it reaches this machine.
fn is_near(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified()
}

/// Whether an address names this very machine.
pub(crate) fn is_this_machine(url: &str) -> bool {
    let uri: Uri = url.parse().unwrap_or_default();
    let name = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| is_near(address.to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_told_from_others() {
        for here in [
            "http://localhost:8000/v1",
            "http://127.0.0.1",
            "https://[::1]:80/v1",
            "http://[::1]",
            "http://name:word@localhost/",
            "http://0.0.0.0:8000/v1",
            "http://[::ffff:127.0.0.1]/v1",
        ] {
            assert!(is_this_machine(here), "{here}");
        }
        for elsewhere in [
            "https://localhost.example/v1",
            "http://10.0.0.1:8000",
            "http://127.0.0.1.example/",
            "http://127.0.0.1:80@192.0.2.7/x",
            "http://localhost:80@192.0.2.7",
            "http://192.0.2.7?@localhost",
        ] {
            assert!(!is_this_machine(elsewhere), "{elsewhere}");
        }
    }
}

//! An endpoint: scheme and authority of a service, without anything after them.
//!
//! Pure. Must not know regions or look up names. Invariant: whatever is sent to it goes over TLS,
//! or never leaves this machine.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::error::Error;

/// Where a service listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub https: bool,
    /// The host, with the port unless it is the scheme's own; what a request signs as `host`.
    pub authority: String,
    /// The host alone; an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
}

impl Endpoint {
    /// The endpoint of a host on the Internet.
    pub fn of_host(host: &str) -> Endpoint {
        Endpoint { https: true, authority: host.to_owned(), host: host.to_owned(), port: 443 }
    }

    /// Reads the value of an option such as `--endpoint`, which `option` names for the errors.
    pub fn parse(option: &str, text: &str) -> Result<Endpoint, Error> {
        // What was given is not repeated in the error: it may hold a password.
        let refuse = |why: &str| {
            Error::usage(format!("{option}: {why}"))
                .next("it must look like https://objectstorage.REGION.oraclecloud.com")
        };
        let (scheme, rest) = text
            .trim()
            .split_once("://")
            .ok_or_else(|| refuse("a URL beginning with https:// is needed"))?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(refuse("only https:// and, to this machine, http:// are possible")),
        };
        // A lone slash is how browsers show an address without a path.
        let authority = rest.strip_suffix('/').unwrap_or(rest).to_ascii_lowercase();
        if authority.contains('@') {
            return Err(refuse("it must not hold a user name or password"));
        }
        if authority.contains(['/', '?', '#']) {
            return Err(refuse("it must not hold a path, a query or a fragment"));
        }
        let (host, port) = split_port(&authority).ok_or_else(|| refuse("the port is no port"))?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => {
                address
                    .parse::<Ipv6Addr>()
                    .map_err(|_| refuse("the address is no IPv6 address"))?;
                address
            }
            None if is_host(host) => host,
            None => return Err(refuse("the host is missing or has a letter no host has")),
        };
        if !https && !is_loopback(host) {
            return Err(refuse("http:// is possible to this machine (127.0.0.1) only"));
        }
        let default = if https { 443 } else { 80 };
        let port = port.unwrap_or(default);
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let authority = if port == default { bracketed } else { format!("{bracketed}:{port}") };
        Ok(Endpoint { https, authority, host: host.to_owned(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.authority)
    }
}

/// Whether the text could be the name of a host. Underscores are legal in namespaces, and so in
/// the hosts that begin with one.
pub(super) fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

/// Host and port of an authority; `None` when what follows the colon is no port.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let after_address = authority.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = authority[after_address..].find(':') else { return Some((authority, None)) };
    let (host, port) = authority.split_at(after_address + colon);
    let port = &port[1..];
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((host, Some(port.parse().ok().filter(|&port| port != 0)?)))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || host.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Endpoint, Error> {
        Endpoint::parse("--endpoint", text)
    }

    #[test]
    fn scheme_host_and_port_are_read_and_the_authority_is_as_it_is_signed() {
        for (text, https, authority, host, port) in [
            ("https://objectstorage.eu-zurich-1.oraclecloud.com", true, "", "", 443),
            ("https://h:443", true, "h", "h", 443),
            ("HTTPS://H.Example:8443/", true, "h.example:8443", "h.example", 8443),
            ("https://name_space.example", true, "", "name_space.example", 443),
            ("http://127.0.0.1:8080", false, "127.0.0.1:8080", "127.0.0.1", 8080),
            ("http://127.9.9.9", false, "127.9.9.9", "127.9.9.9", 80),
            ("http://localhost:80/", false, "localhost", "localhost", 80),
            ("http://[::1]:81", false, "[::1]:81", "::1", 81),
            ("https://[2001:db8::1]", true, "[2001:db8::1]", "2001:db8::1", 443),
            (" https://h ", true, "h", "h", 443),
        ] {
            let endpoint = parse(text).unwrap();
            let bare = text.trim_start_matches("https://");
            let authority = if authority.is_empty() { bare } else { authority };
            let host = if host.is_empty() { bare } else { host };
            assert_eq!(
                endpoint,
                Endpoint { https, authority: authority.into(), host: host.into(), port },
                "{text}"
            );
            assert_eq!(parse(&endpoint.to_string()), Ok(endpoint), "{text}");
        }
    }

    #[test]
    fn plain_http_goes_to_this_machine_only() {
        for elsewhere in ["example.com", "10.0.0.1", "[::2]", "localhost.example", "128.0.0.1", "0"]
        {
            let error = parse(&format!("http://{elsewhere}")).unwrap_err();
            assert!(error.what.contains("this machine"), "{elsewhere}: {error}");
        }
    }

    #[test]
    fn everything_besides_scheme_and_authority_is_refused() {
        for text in [
            "",
            "h",
            "//h",
            "ftp://h",
            "https://",
            "https:///",
            "https://h/p",
            "https://h//",
            "https://h?q",
            "https://h#f",
            "https://u@h",
            "https://u:p@h",
            "https://h:",
            "https://h:0",
            "https://h:65536",
            "https://h:-1",
            "https://h:+1",
            "https://h:1:2",
            "https://a b",
            "https://a\r\nb",
            "https://.",
            "https://a..b",
            "https://::1",
            "https://[::1",
            "https://[x]",
            "https://[::1]x",
            "https://h%41",
            "https://\u{e9}",
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.kind.exit_code(), 2);
            assert!(error.what.starts_with("--endpoint: "));
        }
    }

    #[test]
    fn a_password_in_the_url_is_not_repeated() {
        let error = parse("https://me:hunter2@example.com").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_reads_back_as_itself(text in "https?://[a-z0-9.:/\\[\\]@-]{0,20}") {
            if let Ok(endpoint) = parse(&text) {
                prop_assert_eq!(parse(&endpoint.to_string()), Ok(endpoint));
            }
        }
    }
}

//! The proxy of a connection, parsed from options and variables.
//!
//! Owns the syntax of proxy URLs and of NO_PROXY. Must not connect or read the environment.
//! Invariants: a proxy that is configured and cannot be parsed is an error, and never means no
//! proxy; neither an error nor debug output shows a password.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use crate::auth::options::{NetworkOptions, Setting};
use proto::endpoint::{Endpoint, host_and_port};
use proto::error::Error;

/// A configured proxy.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    pub kind: ProxyKind,
    pub host: String,
    pub port: u16,
    /// User name and password.
    pub user: Option<(String, Zeroizing<String>)>,
    /// The option or variable that names it, for messages.
    pub origin: String,
}

/// The protocol of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProxyKind {
    Http,
    Https,
    Socks4(NameLookup),
    Socks5(NameLookup),
}

/// The side that resolves the name of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameLookup {
    Local,
    ByProxy,
}

const KINDS: [(&str, ProxyKind, u16); 6] = [
    ("http", ProxyKind::Http, 80),
    ("https", ProxyKind::Https, 443),
    ("socks4", ProxyKind::Socks4(NameLookup::Local), 1080),
    ("socks4a", ProxyKind::Socks4(NameLookup::ByProxy), 1080),
    ("socks5", ProxyKind::Socks5(NameLookup::Local), 1080),
    ("socks5h", ProxyKind::Socks5(NameLookup::ByProxy), 1080),
];

impl Proxy {
    /// Parses a URL, or a host and port without a scheme, as curl and Python accept it.
    fn parse(setting: &Setting) -> Result<Proxy, Error> {
        // The message does not contain the URL, which may hold a password.
        let invalid = |why: &str| {
            Error::usage(format!("{}: {why}", setting.origin)).with_hint(
                "a proxy is written as http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, with \
                 %23 for #, %2F for /, %3F for ?, %40 for @ and %25 for % in USER and PASSWORD",
            )
        };
        let text = setting.text.as_str();
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || "\"'`".contains(c)) {
            return Err(invalid("there is a blank or a quote in it"));
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let matches = |(name, ..): &&(&str, ProxyKind, u16)| name.eq_ignore_ascii_case(scheme);
        let Some((_, kind, default_port)) = KINDS.iter().find(matches) else {
            return Err(invalid("only http, https, socks4, socks4a, socks5 and socks5h are known"));
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '\\']) {
            return Err(invalid("after host and port there is more, or a letter is not escaped"));
        }
        let (user, authority) = match rest.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, rest),
        };
        let (host, port) = host_and_port(&authority.to_ascii_lowercase()).map_err(invalid)?;
        let user = user.map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let decoded = |text| percent_decode_str(text).decode_utf8().ok();
            let password = Zeroizing::new(decoded(password)?.into_owned());
            Some((decoded(name)?.into_owned(), password))
        });
        let user = match user {
            Some(None) => return Err(invalid("user or password is not UTF-8 text")),
            Some(Some(_)) if matches!(kind, ProxyKind::Socks4(_)) => {
                return Err(invalid("a proxy of SOCKS 4 takes no user here: socks5 does"));
            }
            Some(user) => user,
            None => None,
        };
        let (port, origin) = (port.unwrap_or(*default_port), setting.origin.clone());
        Ok(Proxy { kind: *kind, host, port, user, origin })
    }

    /// Host and port as in a URL.
    pub(super) fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

/// Host and port as in a URL: an IPv6 address is in brackets.
pub(super) fn authority(host: &str, port: u16) -> String {
    match host.parse::<Ipv6Addr>() {
        Ok(_) => format!("[{host}]:{port}"),
        Err(_) => format!("{host}:{port}"),
    }
}

/// The proxy in a message; without user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {} ({})", self.authority(), self.origin)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {self}", self.kind)
    }
}

/// The proxy, and the hosts that are reached without it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ProxySettings {
    proxy: Option<Proxy>,
    no_proxy: Vec<NoProxyEntry>,
    /// Warnings for the caller to print.
    pub warnings: Vec<String>,
}

/// One entry of NO_PROXY.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NoProxyEntry {
    /// `*`, an address, a network, or the end of a name.
    host: String,
    port: Option<u16>,
}

impl ProxySettings {
    /// Parses the options. An entry of NO_PROXY that cannot be parsed is a warning; a proxy that
    /// cannot be parsed is an error.
    pub(super) fn from_options(network: &NetworkOptions) -> Result<ProxySettings, Error> {
        let Some(proxy) = &network.proxy else { return Ok(ProxySettings::default()) };
        let mut settings =
            ProxySettings { proxy: Some(Proxy::parse(proxy)?), ..ProxySettings::default() };
        if let Some(Setting { text, origin }) = &network.no_proxy {
            let entries = text.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
            for entry in entries {
                match NoProxyEntry::parse(entry) {
                    Some(entry) => settings.no_proxy.push(entry),
                    None => settings.warnings.push(format!(
                        "{origin}: {entry:?} is neither *, a host, an address nor a network, and is \
                         left out of account"
                    )),
                }
            }
        }
        Ok(settings)
    }

    /// The proxy for an endpoint. A plain HTTP endpoint is on loopback and is reached directly.
    pub(super) fn proxy_for(&self, endpoint: &Endpoint) -> Option<&Proxy> {
        let proxy = self.proxy.as_ref().filter(|_| endpoint.https)?;
        let applies = |entry: &&NoProxyEntry| entry.port.is_none_or(|port| port == endpoint.port);
        let hosts: Vec<&str> =
            self.no_proxy.iter().filter(applies).map(|entry| entry.host.as_str()).collect();
        // To the matcher `*` is every name, and no address.
        if hosts.contains(&"*") {
            return None;
        }
        // The matcher decides whether a proxy is used; the URL of the proxy does not matter to it.
        let matcher = Matcher::builder().all("http://proxy").no(hosts.join(",")).build();
        let uri: Uri = format!("{}/", endpoint.origin()).parse().ok()?;
        matcher.intercept(&uri).map(|_| proxy)
    }
}

impl NoProxyEntry {
    fn parse(text: &str) -> Option<NoProxyEntry> {
        let any_port =
            |host: &str| Some(NoProxyEntry { host: host.to_ascii_lowercase(), port: None });
        let is_network = text.split_once('/').is_some_and(|(address, bits)| {
            address.parse::<IpAddr>().is_ok_and(|address| {
                let max_bits = if address.is_ipv4() { 32 } else { 128 };
                bits.parse::<u8>().is_ok_and(|bits| bits <= max_bits)
            })
        });
        if text == "*" || text.parse::<IpAddr>().is_ok() || is_network {
            return any_port(text);
        }
        // `.example.com` and `*.example.com` mean the same.
        let dotted = text.strip_prefix('*').unwrap_or(text);
        let host = match dotted.strip_prefix('.') {
            Some(host) => host,
            None if dotted == text => text,
            None => return None,
        };
        let (host, port) = host_and_port(&host.to_ascii_lowercase()).ok()?;
        let host = if dotted.starts_with('.') { format!(".{host}") } else { host };
        Some(NoProxyEntry { host, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Proxy, Error> {
        Proxy::parse(&Setting::new(text, "HTTPS_PROXY"))
    }

    #[test]
    fn an_entry_of_no_proxy_is_a_name_its_end_an_address_or_a_network() {
        let entry = |text: &str| NoProxyEntry::parse(text).map(|entry| (entry.host, entry.port));
        let of = |host: &str, port| Some((host.to_owned(), port));
        for (text, expected) in [
            ("*", of("*", None)),
            ("Example.com", of("example.com", None)),
            ("example.com:8443", of("example.com", Some(8443))),
            (".example.com", of(".example.com", None)),
            ("*.example.com", of(".example.com", None)),
            ("10.0.0.0/8", of("10.0.0.0/8", None)),
            ("::1", of("::1", None)),
            ("*example.com", None),
            ("10.0.0.0/33", None),
        ] {
            assert_eq!(entry(text), expected, "{text}");
        }
    }

    #[test]
    fn a_proxy_is_a_url_or_a_host_with_a_port() {
        for (text, kind, host, port, user) in [
            ("http://p:3128", ProxyKind::Http, "p", 3128, None),
            ("http://p:3128/", ProxyKind::Http, "p", 3128, None),
            ("p.example:3128", ProxyKind::Http, "p.example", 3128, None),
            ("HTTP://P.Example", ProxyKind::Http, "p.example", 80, None),
            ("https://p", ProxyKind::Https, "p", 443, None),
            ("http://[::1]:8", ProxyKind::Http, "::1", 8, None),
            ("socks5://p", ProxyKind::Socks5(NameLookup::Local), "p", 1080, None),
            ("socks5h://p:1", ProxyKind::Socks5(NameLookup::ByProxy), "p", 1, None),
            ("socks4a://p:1", ProxyKind::Socks4(NameLookup::ByProxy), "p", 1, None),
            ("http://u:p%23%2f%40:w@h:1", ProxyKind::Http, "h", 1, Some(("u", "p#/@:w"))),
            ("u:a@b@h:1", ProxyKind::Http, "h", 1, Some(("u", "a@b"))),
            ("socks5h://u@h:1", ProxyKind::Socks5(NameLookup::ByProxy), "h", 1, Some(("u", ""))),
        ] {
            let user = user.map(|(name, password): (&str, &str)| {
                (name.to_owned(), Zeroizing::new(password.to_owned()))
            });
            let (host, origin) = (host.to_owned(), "HTTPS_PROXY".to_owned());
            assert_eq!(parse(text), Ok(Proxy { kind, host, port, user, origin }), "{text}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_read_is_refused_and_its_password_not_repeated() {
        for text in [
            " http://u:hunter2@p:1",
            "http://u:hunter2@p:1\n",
            "\"http://u:hunter2@p:1\"",
            "'u:hunter2@p:1'",
            "http://u:hunter2#@p:1",
            "http://u:hunter2/@p:1",
            "http://u:hunter2?@p:1",
            "http://u:hunter2%ff@p:1",
            "http://u:hunter2@p:0",
            "http://u:hunter2@p:65536",
            "http://u:hunter2@p:x",
            "http://u:hunter2@",
            "http://u:hunter2@p/pac",
            "ftp://u:hunter2@p:1",
            "http:/u:hunter2@p:1",
            "http//u:hunter2@p:1",
            "socks4://u:hunter2@p:1",
            "://p:1",
            "http://",
            "p p",
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.kind.exit_code(), 2);
            let message = error.to_string();
            assert!(message.contains("HTTPS_PROXY: ") && !message.contains("hunter2"), "{message}");
        }
        let proxy = parse("http://u:hunter2@p:1").unwrap();
        assert!(!format!("{proxy:?} {proxy}").contains("hunter2"));
    }

    fn settings(no_proxy: &str) -> ProxySettings {
        let network = NetworkOptions {
            proxy: Some(Setting::new("http://p:1", "HTTPS_PROXY")),
            no_proxy: Some(Setting::new(no_proxy, "NO_PROXY")),
            ..NetworkOptions::default()
        };
        ProxySettings::from_options(&network).unwrap()
    }

    #[track_caller]
    fn bypasses(no_proxy: &str, endpoint: &str) -> bool {
        let endpoint = Endpoint::parse("--endpoint", endpoint).unwrap();
        settings(no_proxy).proxy_for(&endpoint).is_none()
    }

    #[test]
    fn what_no_proxy_names_is_reached_directly() {
        for (no_proxy, endpoint) in [
            ("*", "https://any.example"),
            ("*", "https://10.1.2.3"),
            ("*", "https://[::1]"),
            ("x, *", "https://10.1.2.3"),
            ("a.example", "https://a.example"),
            ("A.Example", "https://a.example:8443"),
            ("example", "https://a.example"),
            (".example", "https://a.example"),
            ("*.example", "https://a.example"),
            (".a.example", "https://a.example"),
            ("x, a.example", "https://a.example"),
            ("x a.example", "https://a.example"),
            ("a.example:443", "https://a.example"),
            ("a.example:8443", "https://a.example:8443"),
            (".example:8443", "https://a.example:8443"),
            ("10.1.2.3", "https://10.1.2.3"),
            ("10.0.0.0/8", "https://10.1.2.3:8443"),
            ("10.1.2.3:8443", "https://10.1.2.3:8443"),
            ("::1", "https://[::1]"),
            ("[::1]:8443", "https://[::1]:8443"),
            ("fd00::/8", "https://[fd00::1]"),
            ("", "http://127.0.0.1"),
        ] {
            assert!(bypasses(no_proxy, endpoint), "{no_proxy} and {endpoint}");
        }
    }

    #[test]
    fn everything_else_goes_through_the_proxy() {
        for (no_proxy, endpoint) in [
            ("", "https://a.example"),
            ("b.example", "https://a.example"),
            ("ample", "https://a.example"),
            ("a.example:8443", "https://a.example"),
            ("a.example:443", "https://a.example:8443"),
            ("10.0.0.0/8", "https://11.1.2.3"),
            ("10.0.0.0/8", "https://a.example"),
        ] {
            assert!(!bypasses(no_proxy, endpoint), "{no_proxy} and {endpoint}");
        }
    }

    #[test]
    fn an_entry_that_is_not_understood_is_warned_of() {
        let settings = settings("a.example, <local>, 10.*, h:x, 10.0.0.0/33, b.example");
        let entries: Vec<&str> =
            settings.warnings.iter().map(|text| text.split('"').nth(1).unwrap()).collect();
        assert_eq!(entries, ["<local>", "10.*", "h:x", "10.0.0.0/33"]);
        assert_eq!(settings.no_proxy.len(), 2);
    }
}

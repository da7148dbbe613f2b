//! Endpoints: scheme and authority of a service, and an optional prefix of every path.
//!
//! Owns the syntax of an endpoint and the choice of one by namespace. Must not know regions or resolve
//! names. Invariant: an endpoint is `https`, `http` on a loopback address, or the metadata service.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::error::Error;

/// The address of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether the scheme is `https`.
    pub https: bool,
    /// The host, with the port unless it is the default of the scheme: the signed header `host`.
    pub authority: String,
    /// The host alone; an IPv6 address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The prefix of every path, without a slash at its end; usually empty.
    prefix: String,
}

impl Endpoint {
    /// `https` on port 443 of this host.
    pub fn of_host(host: &str) -> Endpoint {
        let (authority, host) = (host.to_owned(), host.to_owned());
        Endpoint { https: true, authority, host, port: 443, prefix: String::new() }
    }

    /// Scheme and authority: two endpoints with the same origin can share a connection.
    pub fn origin(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }

    /// The path and query as sent on the request line and signed: `target` behind the prefix.
    pub fn target(&self, target: &str) -> String {
        format!("{}{target}", self.prefix)
    }

    /// Parses the value of an option such as `--endpoint`; errors name it as `option`. Fails with a usage
    /// error if the text is not a URL, has a user, query or fragment, or is `http` to another machine.
    pub fn parse(option: &str, text: &str) -> Result<Endpoint, Error> {
        let endpoint = Endpoint::parse_url(option, text)?;
        if endpoint.https || is_loopback(&endpoint.host) {
            return Ok(endpoint);
        }
        Err(Error::usage(format!("{option}: http:// is possible to this machine (127.0.0.1) only"))
            .with_hint("it must look like https://objectstorage.REGION.oraclecloud.com"))
    }

    /// Parses the base URL of the metadata service, which may be `http` on any host: the service of an
    /// instance has a link-local address, and a container reaches it at an address of its host. Slashes at
    /// its end are ignored. Fails as [`parse`](Endpoint::parse) otherwise.
    pub fn parse_metadata(option: &str, text: &str) -> Result<Endpoint, Error> {
        Endpoint::parse_url(option, text.trim().trim_end_matches('/'))
            .map_err(|error| error.with_hint("it must look like http://169.254.169.254/opc/v2"))
    }

    fn parse_url(option: &str, text: &str) -> Result<Endpoint, Error> {
        // The error does not quote the text, which may contain a password.
        let usage_error = |reason: &str| {
            Error::usage(format!("{option}: {reason}"))
                .with_hint("it must look like https://objectstorage.REGION.oraclecloud.com")
        };
        let (scheme, rest) = text
            .trim()
            .split_once("://")
            .ok_or_else(|| usage_error("a URL beginning with https:// is needed"))?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => {
                return Err(usage_error(
                    "only https:// and, to this machine, http:// are possible",
                ));
            }
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let authority = authority.to_ascii_lowercase();
        if authority.contains('@') {
            return Err(usage_error("it must not hold a user name or password"));
        }
        if path.contains(['?', '#']) {
            return Err(usage_error("it must not hold a query or a fragment"));
        }
        // Browsers show addresses with a slash at the end; every path begins with one.
        let prefix = path.strip_suffix('/').unwrap_or(path);
        if !is_path(prefix) {
            return Err(usage_error(
                "its path has an empty part, dots for a part, or a letter no path has",
            ));
        }
        let (host, port) = host_and_port(&authority).map_err(usage_error)?;
        let default = if https { 443 } else { 80 };
        let port = port.unwrap_or(default);
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let authority = if port == default { bracketed } else { format!("{bracketed}:{port}") };
        Ok(Endpoint { https, authority, host, port, prefix: prefix.to_owned() })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.prefix)
    }
}

/// The endpoint of Object Storage: one for all namespaces, or one for each namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectStorage {
    /// For requests without a namespace, such as GetNamespace.
    pub general: Endpoint,
    by_namespace: bool,
}

impl ObjectStorage {
    /// One endpoint for all namespaces.
    pub fn at(endpoint: Endpoint) -> ObjectStorage {
        ObjectStorage { general: endpoint, by_namespace: false }
    }

    /// One endpoint for each namespace, which is the first label of the host.
    pub(crate) fn by_namespace(general: Endpoint) -> ObjectStorage {
        ObjectStorage { general, by_namespace: true }
    }

    /// The endpoint for a request with this path, `/n/NAMESPACE/...`. Fails with a usage error if the
    /// namespace would have to be a label of the host and cannot be one.
    pub fn endpoint(&self, target: &str) -> Result<Endpoint, Error> {
        let namespace = target.strip_prefix("/n/").and_then(|rest| rest.split(['/', '?']).next());
        let Some(namespace) =
            namespace.filter(|namespace| self.by_namespace && !namespace.is_empty())
        else {
            return Ok(self.general.clone());
        };
        let host = format!("{namespace}.{}", self.general.host);
        if is_host(&host) && !namespace.contains('.') {
            return Ok(Endpoint::of_host(&host.to_ascii_lowercase()));
        }
        Err(Error::usage(format!(
            "the namespace {namespace:?} cannot be part of a host, as a realm-specific endpoint \
             needs it"
        ))
        .with_hint("leave --realm-specific-endpoint out"))
    }
}

impl fmt::Display for ObjectStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.by_namespace {
            write!(f, "https://NAMESPACE.{}", self.general.host)
        } else {
            self.general.fmt(f)
        }
    }
}

/// Whether the text is empty, or a path that is valid on a request line and has no slash at its end.
fn is_path(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&byte);
    let part = |part: &str| !["", ".", ".."].contains(&part) && part.bytes().all(legal);
    text.is_empty() || text.strip_prefix('/').is_some_and(|text| text.split('/').all(part))
}

/// Whether the text is syntactically a host name. Underscores are allowed, since namespaces may have
/// them and can be the first label.
pub(crate) fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

/// Splits an authority in lower case into host (without brackets) and port. Fails with the reason if
/// either is not valid.
pub fn host_and_port(authority: &str) -> Result<(String, Option<u16>), &'static str> {
    let (host, port) = split_port(authority).ok_or("the port is no port")?;
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) if address.parse::<Ipv6Addr>().is_ok() => Ok((address.to_owned(), port)),
        Some(_) => Err("the address is no IPv6 address"),
        None if is_host(host) => Ok((host.to_owned(), port)),
        None => Err("the host is missing or has a letter no host has"),
    }
}

/// Host and port of an authority; `None` if the text after the colon is not a port.
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
                Endpoint {
                    https,
                    authority: authority.into(),
                    host: host.into(),
                    port,
                    prefix: String::new()
                },
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
            assert!(error.message.contains("this machine"), "{elsewhere}: {error}");
        }
    }

    #[test]
    fn a_prefix_precedes_every_path_unchanged() {
        for (text, target, shown) in [
            ("https://H/oci", "/oci/n", "https://h/oci"),
            ("https://h:8443/A/b%20c/", "/A/b%20c/n", "https://h:8443/A/b%20c"),
            ("http://[::1]:81/x", "/x/n", "http://[::1]:81/x"),
            ("https://h/", "/n", "https://h"),
        ] {
            let endpoint = parse(text).unwrap();
            assert_eq!(
                (endpoint.target("/n"), endpoint.to_string()),
                (target.into(), shown.into())
            );
        }
    }

    #[test]
    fn a_namespace_can_be_the_first_part_of_the_host() {
        let storage = ObjectStorage::by_namespace(Endpoint::of_host("objectstorage.r.example"));
        let host = |target: &str| storage.endpoint(target).unwrap().authority;
        assert_eq!(host("/n"), "objectstorage.r.example");
        assert_eq!(host("/n/?compartmentId=x"), "objectstorage.r.example");
        assert_eq!(host("/"), "objectstorage.r.example");
        for target in ["/n/ax_1/b/c/o/d", "/n/ax_1", "/n/ax_1?x=y"] {
            assert_eq!(host(target), "ax_1.objectstorage.r.example");
        }
        for target in ["/n/a.b/b", "/n/a%2Fb/b"] {
            assert_eq!(storage.endpoint(target).unwrap_err().kind.exit_code(), 2);
        }
        let one = ObjectStorage::at(Endpoint::of_host("h"));
        assert_eq!(one.endpoint("/n/ax/b").unwrap().authority, "h");
    }

    #[test]
    fn everything_besides_scheme_authority_and_path_is_refused() {
        for text in [
            "",
            "h",
            "//h",
            "ftp://h",
            "https://",
            "https:///",
            "https://h//",
            "https://h//p",
            "https://h/p//",
            "https://h/../p",
            "https://h/p/.",
            "https://h/p p",
            "https://h/p?q",
            "https://h/p#f",
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
            assert!(error.message.starts_with("--endpoint: "));
        }
    }

    #[test]
    fn a_password_in_the_url_is_not_repeated() {
        let error = parse("https://me:hunter2@example.com").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_reads_back_as_itself(text in "https?://[a-zA0-9.:/\\[\\]@?%-]{0,20}") {
            if let Ok(endpoint) = parse(&text) {
                prop_assert_eq!(parse(&endpoint.to_string()), Ok(endpoint));
            }
        }
    }
}

//! Endpoints: scheme and authority of a service, and an optional prefix of every path.
//!
//! Owns the syntax of an endpoint. Must not know regions or resolve names. Invariant: an endpoint is `https`, `http`
//! on a loopback address, or the metadata service.

mod object_storage;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::error::Error;

pub use object_storage::ObjectStorage;

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
mod tests;

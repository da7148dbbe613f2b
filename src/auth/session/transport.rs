//! The interface through which a session sends its own small requests.
//!
//! Owns the types of request, response and failure. Must not know how a connection is made; the
//! implementation of the trait does. Invariant: debug output of a request shows neither its body nor
//! its headers.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::SystemTime;

use proto::endpoint::Endpoint;
use proto::principal::{AuthCall, AuthReply};

/// A complete request and its way.
pub struct AuthRequest {
    pub endpoint: Endpoint,
    pub route: Route,
    pub call: AuthCall,
}

/// How a request reaches its endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// As the requests of the transfer: through the proxy, if there is one.
    Service,
    /// Directly, since the responses of the metadata service hold a private key.
    Metadata,
    /// Directly, with this file of certificate authorities and no other: the service is inside the
    /// cluster.
    Cluster { ca_file: PathBuf },
}

impl fmt::Debug for AuthRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.call.method, self.endpoint.origin(), self.call.target)
    }
}

/// A complete response with any status.
#[derive(Clone)]
pub struct AuthResponse {
    /// The `date` header; `None` if it is absent or malformed.
    pub date: Option<SystemTime>,
    pub reply: AuthReply,
}

impl AuthResponse {
    /// A response with this status and body.
    #[cfg(test)]
    pub fn of(status: u16, date: Option<SystemTime>, body: impl Into<Vec<u8>>) -> AuthResponse {
        let body = body.into().into();
        AuthResponse { date, reply: AuthReply { status, body, ..AuthReply::default() } }
    }
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeError {
    pub kind: ExchangeFailure,
    /// For people, without secrets.
    pub message: String,
}

impl ExchangeError {
    /// What happened and, where a setting is the cause, what the user can do, in one line.
    pub fn message_with_hint(&self) -> String {
        match self.kind {
            ExchangeFailure::Setting { hint } => format!("{}; {hint}", self.message),
            _ => self.message.clone(),
        }
    }
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// How far an exchange without a response got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeFailure {
    /// The connection was refused.
    Refused,
    /// The host has no route to the address.
    NoRoute,
    /// Connecting took too long.
    ConnectTimeout,
    /// The certificates of the route are unusable; nothing was sent.
    Local,
    /// A certificate is not trusted, or the proxy refuses, with what the user can do; nothing was sent.
    Setting { hint: &'static str },
    /// No connection for another reason, or it failed before the response was complete.
    Broken,
}

/// The future of one exchange.
pub(crate) type Exchange<'a> =
    Pin<Box<dyn Future<Output = Result<AuthResponse, ExchangeError>> + Send + 'a>>;

/// Sends requests to their endpoints.
pub trait AuthTransport: Send + Sync {
    /// Sends one request and returns the response; follows no redirect. Fails with a message without
    /// secrets if no complete response arrives. Needs no timeout: the session drops an exchange that
    /// takes too long.
    fn exchange(&self, request: AuthRequest) -> Exchange<'_>;
}

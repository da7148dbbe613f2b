//! The interface through which a session sends its own small requests.
//!
//! Owns the types of request and response. Must not know how a connection is made; the
//! implementation of the trait does. Invariant: debug output of a request shows neither its body
//! nor its headers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

use zeroize::Zeroizing;

use proto::endpoint::Endpoint;

/// A complete request. A signed one has `host`, `date` and the signature among its headers.
pub struct AuthRequest {
    pub endpoint: Endpoint,
    pub method: &'static str,
    /// Path and query, as on the request line.
    pub target: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for AuthRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.method, self.endpoint.origin(), self.target)
    }
}

/// A complete response with any status.
#[derive(Clone)]
pub struct AuthResponse {
    pub status: u16,
    /// The `date` header; `None` if it is absent or malformed.
    pub date: Option<SystemTime>,
    pub body: Vec<u8>,
}

/// The future of one exchange.
pub type Exchange<'a> = Pin<Box<dyn Future<Output = Result<AuthResponse, String>> + Send + 'a>>;

/// Sends requests to their endpoints.
pub trait AuthTransport: Send + Sync {
    /// Sends one request and returns the response. Fails with a message without secrets if no
    /// complete response arrives. Needs no timeout: the session drops an exchange that takes too
    /// long.
    fn exchange(&self, request: AuthRequest) -> Exchange<'_>;
}

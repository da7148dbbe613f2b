//! What the session needs of the network: small requests carried there and back.
//!
//! Owns the shape of the exchange; who connects, and how, is the caller's. Invariant: debug output
//! of a request shows neither its body nor its authorization.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

use zeroize::Zeroizing;

use proto::endpoint::Endpoint;

/// A request, signed and whole; `host`, `date` and `content-length` are among its headers.
pub struct AuthRequest {
    pub endpoint: Endpoint,
    pub method: &'static str,
    /// As it stands on the request line.
    pub target: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for AuthRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.method, self.endpoint.origin(), self.target)
    }
}

/// What came back.
#[derive(Clone)]
pub struct AuthResponse {
    pub status: u16,
    /// The `date` header.
    pub date: Option<SystemTime>,
    pub body: Vec<u8>,
}

/// An exchange under way.
pub type Exchange<'a> = Pin<Box<dyn Future<Output = Result<AuthResponse, String>> + Send + 'a>>;

/// Carries a request to its endpoint. An error is a text for people, without secrets. It needs no
/// bound in time: the session drops an exchange that takes too long.
pub trait AuthTransport: Send + Sync {
    fn exchange(&self, request: AuthRequest) -> Exchange<'_>;
}

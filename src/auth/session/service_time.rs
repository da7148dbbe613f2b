//! The request that shows the time of a service.
//!
//! Owns its form. Must not know the session or what the time is for. Invariant: it is not signed, so that it
//! works with a wrong local clock.

use proto::endpoint::Endpoint;
use proto::principal::AuthCall;

/// A small unsigned request whose response has the date.
pub(super) fn time_call(endpoint: &Endpoint) -> AuthCall {
    AuthCall {
        method: "HEAD",
        target: endpoint.target("/"),
        headers: vec![("host", endpoint.authority.clone())],
        body: Vec::new().into(),
    }
}

//! The request that trades the token of a Kubernetes service account for a token, in OKE.
//!
//! Owns the form of `POST /resourcePrincipalSessionTokens`. Must not know a file or a connection: the
//! caller trusts the cluster's own CA only and uses no proxy. Invariant: the service account's token goes
//! to the cluster only, and never into an error.

use std::fmt;
use std::net::Ipv6Addr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::call::{self, AuthCall, AuthCallError, AuthFailure, AuthReply, JSON};
use super::session_key::SessionKey;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::token::{Token, TokenError};

/// The port of the token service, unless `KUBERNETES_SERVICE_PORT_PROXYMUX` names another.
pub const PORT: u16 = 12250;

const TARGET: &str = "/resourcePrincipalSessionTokens";
const SERVICE: &str = "the token service of the cluster";

/// The token service of the cluster: `host` is `KUBERNETES_SERVICE_HOST`, an IPv6 address with or without
/// brackets. Fails with a usage error if it is not a host.
pub fn endpoint(host: &str, port: u16) -> Result<Endpoint, Error> {
    let host = host.trim();
    let authority = match host.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => host.to_owned(),
    };
    Endpoint::parse("KUBERNETES_SERVICE_HOST", &format!("https://{authority}:{port}"))
        .map_err(|error| error.with_hint("it is the host of the Kubernetes API, without a port"))
        .and_then(|endpoint| match endpoint.target("") {
            prefix if prefix.is_empty() && endpoint.port == port => Ok(endpoint),
            _ => Err(Error::usage("KUBERNETES_SERVICE_HOST: it is not a host")
                .with_hint("it is the host of the Kubernetes API, without a port")),
        })
}

/// The token of a service account, which Kubernetes replaces about every hour.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceAccountToken(Token);

impl ServiceAccountToken {
    /// Parses the text of the token file; white space around it is ignored. Fails if it is not a JSON Web
    /// Token with the claim `exp`.
    pub fn parse(text: &str) -> Result<ServiceAccountToken, TokenError> {
        Token::parse(text).map(ServiceAccountToken)
    }

    /// When it expires, in seconds since 1970. The service rejects it from then on.
    pub fn expires(&self) -> u64 {
        self.0.expires
    }
}

impl fmt::Debug for ServiceAccountToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceAccountToken(expires {})", self.0.expires)
    }
}

/// A new id of a request: three random values of 16 bytes in hex, joined by slashes.
pub fn request_id(random: &mut fastrand::Rng) -> String {
    let mut part = || format!("{:032x}", random.u128(..));
    format!("{}/{}/{}", part(), part(), part())
}

/// The request for a token that belongs to `session_key`.
pub fn call(
    endpoint: &Endpoint,
    account: &ServiceAccountToken,
    session_key: &SessionKey,
    request_id: &str,
) -> AuthCall {
    let body = format!("{{\"podKey\": \"{}\"}}", session_key.public_one_line());
    AuthCall {
        method: "POST",
        target: endpoint.target(TARGET),
        headers: vec![
            ("host", endpoint.authority.clone()),
            ("authorization", format!("Bearer {}", account.0.secret())),
            ("content-type", JSON.to_owned()),
            ("opc-request-id", request_id.to_owned()),
            ("content-length", body.len().to_string()),
        ],
        body: Zeroizing::new(body.into_bytes()),
    }
}

/// The token in the response: base64 of JSON, with or without quotes, and with or without `ST$` in front
/// of the token. Fails if there is none, or it belongs to another key.
pub fn token(
    reply: &AuthReply,
    account: &ServiceAccountToken,
    session_key: &SessionKey,
) -> Result<Token, AuthCallError> {
    if !reply.is_success() {
        let error = AuthCallError::of_status(SERVICE, reply, &[account.0.secret()]);
        return Err(with_hint(error));
    }
    let unusable = |reason: &str| AuthCallError::unusable(SERVICE, reply, reason);
    let json = inner_json(reply).ok_or_else(|| unusable("with a body that is not base64"))?;
    let text = call::token_text(&json).map_err(unusable)?;
    let text = text.trim();
    let bare = text.strip_prefix("ST$").unwrap_or(text);
    call::check_token(SERVICE, reply, bare, &session_key.modulus())
}

/// The bytes whose base64 is the body, a JSON string or a bare text.
fn inner_json(reply: &AuthReply) -> Option<Zeroizing<Vec<u8>>> {
    let text = reply.text()?.trim();
    let base64 = match text.starts_with('"') {
        true => Zeroizing::new(serde_json::from_str::<String>(text).ok()?),
        false => Zeroizing::new(text.to_owned()),
    };
    let base64: Zeroizing<String> = Zeroizing::new(base64.split_ascii_whitespace().collect());
    STANDARD.decode(base64.as_bytes()).ok().map(Zeroizing::new)
}

fn with_hint(error: AuthCallError) -> AuthCallError {
    match (error.failure, error.status) {
        (AuthFailure::Rejected, 401) => error.with_hint(
            "the cluster rejects the service account's token: check that the pod mounts its own \
             (automountServiceAccountToken: true)",
        ),
        (AuthFailure::Rejected, 403) => error.with_hint(
            "workload identity needs an enhanced cluster: check the type of the cluster in the console",
        ),
        _ => error,
    }
}

//! A request for a token, its response, and what a response without a token means.
//!
//! Owns the three types and the reading of `{"token": ..}`. Must not know which kind of principal asks,
//! or when a request is repeated. Invariant: neither debug output nor an error has a header, a body or a
//! known secret of the request.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::api::{ErrorResponse, Response};
use crate::error::Error;
use crate::printable::controls_as_spaces;
use crate::request_fields::RequestFields;
use crate::sign::SignedHeaders;
use crate::token::{Token, TokenError};

/// The media type of most bodies.
pub(super) const JSON: &str = "application/json";

/// A complete request below an endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthCall {
    /// The HTTP method.
    pub method: &'static str,
    /// Path and query as on the request line, with the prefix of the endpoint.
    pub target: String,
    /// All headers, `host` included. Names are in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body, which may hold a secret.
    pub body: Zeroizing<Vec<u8>>,
}

impl AuthCall {
    /// A request with the headers of its signature, and `host` if the signature does not cover it.
    pub(super) fn signed(
        method: &'static str,
        target: String,
        authority: &str,
        signed: SignedHeaders,
        body: Zeroizing<Vec<u8>>,
    ) -> AuthCall {
        let mut headers = signed.headers;
        if !headers.iter().any(|(name, _)| *name == "host") {
            headers.insert(0, ("host", authority.to_owned()));
        }
        AuthCall { method, target, headers, body }
    }

    /// The first header with this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for AuthCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({} bytes)", self.method, self.target, self.body.len())
    }
}

/// A complete response with any status.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AuthReply {
    /// The HTTP status.
    pub status: u16,
    /// The header `opc-request-id`.
    pub request_id: Option<String>,
    /// The header `retry-after` in seconds.
    pub retry_after: Option<u64>,
    /// The whole body, which may hold a token.
    pub body: Zeroizing<Vec<u8>>,
}

impl AuthReply {
    /// The parts of a response that matter here.
    pub fn of(response: Response) -> AuthReply {
        let ErrorResponse { request_id, retry_after, .. } = ErrorResponse::of(&response);
        let body = Zeroizing::new(response.body);
        AuthReply { status: response.status, request_id, retry_after, body }
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as text; `None` if it is not UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()
    }
}

impl fmt::Debug for AuthReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} ({} bytes)", self.status, self.body.len())
    }
}

/// What a response without a usable token means for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthFailure {
    /// The service rejects these credentials (3xx and 4xx): the same request has the same result.
    Rejected,
    /// The service is busy or out of order (408, 429, 5xx): the same request may succeed later.
    Temporary,
    /// A success (2xx) without a token that can be used: the same request has the same result.
    Unusable,
}

/// A response without a usable token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthCallError {
    /// What failed.
    pub failure: AuthFailure,
    /// The HTTP status.
    pub status: u16,
    /// The error code of the service.
    pub code: Option<String>,
    /// The header `opc-request-id`.
    pub request_id: Option<String>,
    /// Seconds that the service asks to wait.
    pub retry_after: Option<u64>,
    /// What happened, with status, code and `opc-request-id`.
    pub message: String,
    /// What the user can do.
    pub hint: Option<&'static str>,
}

impl AuthCallError {
    /// The meaning of a response with an error status from the service that the message calls `service`.
    /// `secrets` do not appear in the message even if the service repeats them.
    pub(super) fn of_status(service: &str, reply: &AuthReply, secrets: &[&str]) -> AuthCallError {
        let (code, message) = error_text(&reply.body, secrets);
        let response = ErrorResponse {
            status: reply.status,
            code,
            message,
            request_id: reply.request_id.as_deref().map(controls_as_spaces),
            retry_after: reply.retry_after,
            date: None,
            through_par: false,
        };
        AuthCallError {
            failure: match reply.status {
                408 | 429 | 500..=599 => AuthFailure::Temporary,
                _ => AuthFailure::Rejected,
            },
            status: reply.status,
            retry_after: reply.retry_after,
            message: format!("{service} answered {response}"),
            code: response.code,
            request_id: response.request_id,
            hint: matches!(reply.status, 300..=399).then_some(
                "redirects are not followed, since the request holds a secret: name the host itself",
            ),
        }
    }

    /// A success that holds no usable token, for the reason that follows "answered HTTP 200".
    pub(super) fn unusable(service: &str, reply: &AuthReply, reason: &str) -> AuthCallError {
        let request_id = reply.request_id.as_deref().map(controls_as_spaces);
        let shown_id =
            request_id.as_ref().map(|id| format!(" (opc-request-id {id})")).unwrap_or_default();
        AuthCallError {
            failure: AuthFailure::Unusable,
            status: reply.status,
            code: None,
            request_id,
            retry_after: None,
            message: format!("{service} answered HTTP {} {reason}{shown_id}", reply.status),
            hint: None,
        }
    }

    pub(super) fn with_hint(self, hint: &'static str) -> AuthCallError {
        AuthCallError { hint: Some(hint), ..self }
    }

    /// The error of a run that has no other credentials.
    pub fn into_error(self) -> Error {
        let request = RequestFields {
            status: Some(self.status),
            code: self.code,
            request_id: self.request_id,
            ..RequestFields::default()
        };
        let error = Error { request: Some(Box::new(request)), ..Error::credentials(self.message) };
        match self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl fmt::Display for AuthCallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for AuthCallError {}

/// The error body's code and message: `code` and `message` of the API, or `error` and
/// `error_description` of OAuth. A body of another form is quoted.
fn error_text(body: &[u8], secrets: &[&str]) -> (Option<String>, String) {
    let redacted = |text: &str| redacted(&controls_as_spaces(text), secrets);
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
        let text = redacted(&String::from_utf8_lossy(body));
        let text = text.trim();
        return match text.is_empty() {
            true => (None, String::new()),
            false => (None, format!("the answer was {text:?}")),
        };
    };
    let field =
        |names: [&str; 2]| names.iter().find_map(|name| body.get(*name)?.as_str()).map(redacted);
    (field(["code", "error"]), field(["message", "error_description"]).unwrap_or_default())
}

/// The text without the secrets and without words that are as long as tokens, and of bounded length. The
/// secrets go first: one that is cut could not be found.
fn redacted(text: &str, secrets: &[&str]) -> String {
    const MAX_LEN: usize = 200;
    // The longest identifier of the service has 255 characters, and most have fewer than 100.
    const MAX_WORD: usize = 120;
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "(secret)");
    }
    let mut shown = String::new();
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            shown.push(' ');
        }
        shown.push_str(if word.len() > MAX_WORD { "(...)" } else { word });
    }
    match shown.char_indices().nth(MAX_LEN) {
        Some((end, _)) => format!("{}...", &shown[..end]),
        None => shown,
    }
}

/// The token in `{"token": ".."}`. Fails if there is none in a success, or it does not belong to the key
/// with this modulus.
pub(super) fn token(
    service: &str,
    reply: &AuthReply,
    modulus: &[u8],
    secrets: &[&str],
) -> Result<Token, AuthCallError> {
    if !reply.is_success() {
        return Err(AuthCallError::of_status(service, reply, secrets));
    }
    let text = token_text(&reply.body).map_err(|e| AuthCallError::unusable(service, reply, e))?;
    check_token(service, reply, &text, modulus)
}

/// The string `token` of a JSON object. Fails with a text that follows "answered HTTP 200".
pub(super) fn token_text(json: &[u8]) -> Result<Zeroizing<String>, &'static str> {
    #[derive(Deserialize)]
    struct TokenBody {
        token: Option<String>,
    }
    let body: TokenBody = serde_json::from_slice(json)
        .map_err(|_| "with a body that is no JSON object with a token")?;
    body.token.map(Zeroizing::new).ok_or("without a token")
}

/// Parses a token and checks that it belongs to the key with this modulus.
pub(super) fn check_token(
    service: &str,
    reply: &AuthReply,
    text: &str,
    modulus: &[u8],
) -> Result<Token, AuthCallError> {
    let unusable = |reason: &str| AuthCallError::unusable(service, reply, reason);
    let token = Token::parse(text).map_err(|error: TokenError| {
        unusable(&format!("with a text that is no session token: {error}"))
    })?;
    if !token.matches_key(modulus) {
        return Err(unusable("with a token that belongs to another key"));
    }
    Ok(token)
}

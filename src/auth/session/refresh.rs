//! The refresh request to the auth service, and the meaning of its response.
//!
//! Pure. Owns the wire format of both. Must not know when a refresh is due. Invariant: neither an
//! error nor debug output contains a token.

use std::fmt;

use serde_json::Value;
use zeroize::Zeroizing;

use super::Credentials;
use super::transport::{AuthRequest, AuthResponse, Route};
use proto::endpoint::Endpoint;
use proto::principal::{AuthCall, AuthReply};
use proto::printable::controls_as_spaces;
use proto::request_fields::RequestFields;
use proto::sign::{self, SignedBody, SignedRequest};
use proto::token::Token;

const TARGET: &str = "/v1/authentication/refresh";
const JSON: &str = "application/json";

/// The signed request that exchanges a valid token for a new one. `date` is an HTTP date.
pub(super) fn request(
    auth: &Endpoint,
    credentials: &Credentials,
    token: &Token,
    date: &str,
) -> AuthRequest {
    // A token consists of letters, digits, `-`, `_` and dots: JSON needs no escapes.
    let body = Zeroizing::new(format!("{{\"currentToken\": \"{}\"}}", token.secret()).into_bytes());
    let target = auth.target(TARGET);
    let head = SignedRequest {
        method: "POST",
        path_and_query: &target,
        host: Some(&auth.authority),
        date,
        delegation: None,
        body: Some(SignedBody { content_type: JSON, bytes: &body }),
    };
    let signed = sign::authorize(&credentials.key_id, &credentials.key, &head);
    let call = AuthCall { method: "POST", target, headers: signed.headers, body };
    AuthRequest { endpoint: auth.clone(), route: Route::Service, call }
}

/// Why a refresh returned no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RefreshError {
    /// The service does not extend the session (401).
    Denied,
    /// Any other failure, as a message, the seconds that the service asks to wait, and its response.
    Failed { message: String, retry_after: Option<u64>, request: Option<Box<RequestFields>> },
}

impl RefreshError {
    /// Seconds that the service asks to wait.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            RefreshError::Denied => None,
            RefreshError::Failed { retry_after, .. } => *retry_after,
        }
    }
}

impl RefreshError {
    /// The response, for logs that programs read.
    pub(super) fn request(&self) -> Option<Box<RequestFields>> {
        match self {
            RefreshError::Denied => {
                Some(Box::new(RequestFields { status: Some(401), ..RequestFields::default() }))
            }
            RefreshError::Failed { request, .. } => request.clone(),
        }
    }
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RefreshError::Denied => f.write_str("the auth service answered HTTP 401"),
            RefreshError::Failed { message, .. } => f.write_str(message),
        }
    }
}

/// The new token in a response. Fails if the status is not 200 or the body holds no session token.
pub(super) fn token(response: &AuthResponse) -> Result<Token, RefreshError> {
    match response.reply.status {
        200 => {}
        401 => return Err(RefreshError::Denied),
        status => {
            let message = format!("the auth service answered HTTP {status}");
            let AuthReply { retry_after, request_id, .. } = &response.reply;
            let request_id = request_id.as_deref().map(controls_as_spaces);
            let status = Some(status);
            let request = RequestFields { status, request_id, ..RequestFields::default() };
            let (retry_after, request) = (*retry_after, Some(Box::new(request)));
            return Err(RefreshError::Failed { message, retry_after, request });
        }
    }
    let invalid = |reason: &str| {
        let message = format!("the auth service's answer {reason}");
        RefreshError::Failed { message, retry_after: None, request: None }
    };
    let body: Value =
        serde_json::from_slice(&response.reply.body).map_err(|_| invalid("is no JSON"))?;
    let text = body["token"].as_str().ok_or_else(|| invalid("holds no token"))?;
    Token::parse(text).map_err(|error| invalid(&format!("holds no session token: {error}")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use proto::key::Key;
    use proto::sign::KeyId;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../../tests/data/signing-vectors.json")).unwrap()
    }

    fn response(status: u16, body: &str) -> AuthResponse {
        AuthResponse::of(status, None, body)
    }

    #[test]
    fn the_request_is_that_of_the_vector_byte_for_byte() {
        let vectors = vectors();
        let all = vectors["vectors"].as_array().unwrap();
        let vector = all.iter().find(|vector| vector["name"] == "post_session_refresh").unwrap();
        let token = Token::parse(vectors["session_token"].as_str().unwrap()).unwrap();
        let key = vectors["keys"]["pkcs8"]["pem"].as_str().unwrap().as_bytes();
        let credentials = Credentials {
            key_id: KeyId::security_token(token.secret()),
            key: Arc::new(Key::from_pem(key, None).unwrap()),
            delegation_token: None,
            generation: 1,
            expires: None,
        };
        let auth = Endpoint::of_host("auth.us-ashburn-1.oraclecloud.com");
        let request =
            request(&auth, &credentials, &token, vectors["date_header"].as_str().unwrap());
        assert_eq!(
            format!("{}{}", request.endpoint.origin(), request.call.target),
            vector["url"].as_str().unwrap()
        );
        assert_eq!(request.call.body.as_slice(), vector["body"].as_str().unwrap().as_bytes());
        let authorization = request.call.headers.last().unwrap();
        assert_eq!(authorization.1, vector["authorization_python_sdk_order"].as_str().unwrap());
        assert!(!format!("{request:?}").contains(&token.secret()[..30]));
    }

    #[test]
    fn a_response_is_a_token_a_denial_or_a_failure() {
        let text = vectors()["session_token"].as_str().unwrap().to_owned();
        let good = response(200, &format!("{{\"token\": \"{text}\"}}"));
        assert_eq!(token(&good).unwrap().secret(), text);
        assert_eq!(token(&response(401, "{}")), Err(RefreshError::Denied));
        for (status, body) in [(500, ""), (404, ""), (200, "x"), (200, "{}"), (200, "[1]")] {
            assert!(matches!(token(&response(status, body)), Err(RefreshError::Failed { .. })));
        }
        let truncated = response(200, &format!("{{\"token\": \"{}\"}}", &text[..text.len() - 3]));
        let Err(RefreshError::Failed { message, .. }) = token(&truncated) else { panic!() };
        assert!(!message.contains(&text[..30]), "{message}");
        let mut busy = response(429, "");
        busy.reply.retry_after = Some(7);
        assert_eq!(token(&busy).unwrap_err().retry_after(), Some(7));
    }
}

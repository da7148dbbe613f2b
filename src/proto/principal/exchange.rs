//! The request that trades the JWT of an outside identity for a token, at an identity domain.
//!
//! Owns the form of `POST /oauth2/v1/token`. Must not know a file or a connection: the caller follows no
//! redirect. Invariant: neither the JWT nor the client secret appears in an error or in debug output.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::call::{self, AuthCall, AuthCallError, AuthFailure, AuthReply};
use super::session_key::SessionKey;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::token::Token;

const TARGET: &str = "/oauth2/v1/token";
const SERVICE: &str = "the identity domain";
const FORM: &str = "application/x-www-form-urlencoded";

/// The characters that a form field escapes: all but the unreserved ones of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The identity domain at a URL, with or without the path of the token service. Fails with a usage error
/// that names `option` if the text is not a URL of `https`, or of `http` to this machine.
pub fn endpoint(option: &str, url: &str) -> Result<Endpoint, Error> {
    let url = url.trim().trim_end_matches('/');
    Endpoint::parse(option, url.strip_suffix(TARGET).unwrap_or(url)).map_err(|error| {
        error.with_hint("it must look like https://idcs-ID.identity.oraclecloud.com")
    })
}

/// The client that the identity domain knows.
#[derive(Clone, PartialEq, Eq)]
pub struct OauthClient {
    id: String,
    secret: Zeroizing<String>,
}

/// The JWT of the outside identity.
#[derive(Clone, PartialEq, Eq)]
pub struct SubjectToken(Zeroizing<String>);

/// Why a text is neither an id, a secret nor a JWT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialTextError {
    /// The text is empty.
    Empty,
    /// White space or a control character inside.
    Characters,
    /// A colon in the client's id, which would begin the secret.
    Colon,
}

impl OauthClient {
    /// The client with this id and secret; white space around both is ignored. Fails if either is empty or
    /// has a control character, or the id has a colon.
    pub fn new(id: &str, secret: &str) -> Result<OauthClient, CredentialTextError> {
        let secret = secret.trim();
        check_client_text(secret)?;
        Ok(OauthClient { id: client_id(id)?, secret: Zeroizing::new(secret.to_owned()) })
    }

    /// The credentials of Basic authentication.
    fn basic(&self) -> Zeroizing<String> {
        let plain = Zeroizing::new(format!("{}:{}", self.id, self.secret.as_str()));
        Zeroizing::new(STANDARD.encode(plain.as_bytes()))
    }
}

impl SubjectToken {
    /// Reads the text of a JWT file; white space around it is ignored. Fails if it is empty or has white
    /// space or a control character inside. Only the identity domain knows what else is valid.
    pub fn parse(text: &str) -> Result<SubjectToken, CredentialTextError> {
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Err(CredentialTextError::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CredentialTextError::Characters);
        }
        Ok(SubjectToken(Zeroizing::new(text.to_owned())))
    }

    /// When it expires, in seconds since 1970; `None` if it is no JWT with the claim `exp`.
    pub fn expires(&self) -> Option<u64> {
        Token::parse(&self.0).ok().map(|token| token.expires)
    }
}

/// The id of a client, without white space around it. Fails if it is empty, or has a control character or
/// a colon.
pub fn client_id(text: &str) -> Result<String, CredentialTextError> {
    let id = text.trim();
    check_client_text(id)?;
    match id.contains(':') {
        true => Err(CredentialTextError::Colon),
        false => Ok(id.to_owned()),
    }
}

fn check_client_text(text: &str) -> Result<(), CredentialTextError> {
    match text {
        "" => Err(CredentialTextError::Empty),
        text if text.chars().any(char::is_control) => Err(CredentialTextError::Characters),
        _ => Ok(()),
    }
}

/// The request for a token that belongs to `session_key`.
pub fn call(
    domain: &Endpoint,
    client: &OauthClient,
    subject: &SubjectToken,
    session_key: &SessionKey,
) -> AuthCall {
    let public_key = session_key.public_one_line();
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requested_token_type", "urn:oci:token-type:oci-upst"),
        ("subject_token", &subject.0),
        ("subject_token_type", "jwt"),
        ("public_key", &public_key),
    ];
    let body = Zeroizing::new(form(&fields));
    AuthCall {
        method: "POST",
        target: domain.target(TARGET),
        headers: vec![
            ("host", domain.authority.clone()),
            ("content-type", FORM.to_owned()),
            ("authorization", format!("Basic {}", client.basic().as_str())),
            ("content-length", body.len().to_string()),
        ],
        body: Zeroizing::new(body.as_bytes().to_vec()),
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    let field =
        |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, ESCAPED));
    fields.iter().map(field).collect::<Vec<_>>().join("&")
}

/// The token in the response. Fails if there is none, or it belongs to another key.
pub fn token(
    reply: &AuthReply,
    client: &OauthClient,
    subject: &SubjectToken,
    session_key: &SessionKey,
) -> Result<Token, AuthCallError> {
    let basic = client.basic();
    let secrets = [subject.0.as_str(), client.secret.as_str(), basic.as_str()];
    call::token(SERVICE, reply, &session_key.modulus(), &secrets).map_err(with_hint)
}

fn with_hint(error: AuthCallError) -> AuthCallError {
    match (error.failure, error.status) {
        (AuthFailure::Rejected, 400 | 401 | 403) => error.with_hint(
            "check the client's id and secret, that the JWT has not expired, and that its issuer, \
             subject and audience match an identity propagation trust of the domain",
        ),
        (AuthFailure::Rejected, 404) => error.with_hint("check the URL of the identity domain"),
        _ => error,
    }
}

impl fmt::Debug for OauthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OauthClient").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for SubjectToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectToken(..)")
    }
}

impl fmt::Display for CredentialTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CredentialTextError::Empty => "it is empty",
            CredentialTextError::Characters => "it has a character that it cannot have",
            CredentialTextError::Colon => "the id of a client has no colon",
        })
    }
}

impl std::error::Error for CredentialTextError {}

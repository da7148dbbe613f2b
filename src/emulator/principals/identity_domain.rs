//! The token exchange of an identity domain, which trades an outside JWT for a token of the service.
//!
//! Owns the OAuth client, the form of the request and the errors in OAuth's form; what an outside
//! JWT is belongs to `outside_jwt`, and what is issued to `auth`. Invariant: a token is issued only
//! to the OAuth client, and only for a JWT that was issued here and has not expired.

use super::super::auth::{Authenticator, PrincipalKind};
use super::super::response::{Response, respond};
use super::super::signature::PublicKey;
use super::super::state_dir;
use super::outside_jwt::JwtFile;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// The id of the OAuth client.
pub(crate) const CLIENT_ID: &str = "ocipipe-local-client";

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const USER_TOKEN: &str = "urn:oci:token-type:oci-upst";
const RESOURCE_TOKEN: &str = "urn:oci:token-type:oci-rpst";

/// An identity domain with one OAuth client and one outside issuer that it trusts.
pub(crate) struct IdentityDomain {
    pub subject: JwtFile,
    secret_path: PathBuf,
    secret: Mutex<String>,
}

/// An error in OAuth's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OauthError {
    pub status: u16,
    /// The code of RFC 6749.
    pub error: Cow<'static, str>,
    pub description: String,
}

impl OauthError {
    /// An error with this code, or with the usual one of the status.
    pub(crate) fn new(
        status: u16,
        code: Option<String>,
        description: impl Into<String>,
    ) -> OauthError {
        let usual = match status {
            401 => "invalid_client",
            400..=499 => "invalid_request",
            503 => "temporarily_unavailable",
            _ => "server_error",
        };
        let error = code.map_or(Cow::Borrowed(usual), Cow::Owned);
        OauthError { status, error, description: description.into() }
    }

    fn coded(error: &'static str, description: &str) -> OauthError {
        let description = description.to_owned();
        OauthError { status: 400, error: Cow::Borrowed(error), description }
    }

    fn invalid_client() -> OauthError {
        OauthError::new(401, None, "Client authentication failed.")
    }

    fn invalid_request(description: impl Into<String>) -> OauthError {
        OauthError::new(400, None, description)
    }

    /// The error as a response.
    pub(crate) fn to_response(&self) -> Response {
        let challenge = (self.status == 401).then_some("Basic realm=\"local-store\"");
        respond(self.status).maybe("www-authenticate", challenge).json(&serde_json::json!({
            "error": self.error,
            "error_description": self.description,
        }))
    }
}

impl IdentityDomain {
    /// Uses the client secret in this file, or writes a new one. Fails if the file cannot be read or
    /// written.
    pub(crate) fn open(subject: JwtFile, secret_path: PathBuf) -> io::Result<IdentityDomain> {
        let stored = state_dir::read_if_exists(&secret_path)?;
        let stored = stored.and_then(|bytes| String::from_utf8(bytes).ok());
        let domain = IdentityDomain { subject, secret_path, secret: Mutex::default() };
        match stored {
            Some(secret) if !secret.is_empty() => *domain.secret() = secret,
            _ => domain.replace_secret()?,
        }
        Ok(domain)
    }

    fn secret(&self) -> std::sync::MutexGuard<'_, String> {
        self.secret.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file with the client secret.
    #[cfg(test)]
    pub(crate) fn secret_path(&self) -> &Path {
        &self.secret_path
    }

    /// Replaces the client secret; the one before it is refused from now on. Fails if the file
    /// cannot be written.
    pub(crate) fn replace_secret(&self) -> io::Result<()> {
        let secret: String = std::iter::repeat_with(fastrand::alphanumeric).take(40).collect();
        state_dir::write_private(&self.secret_path, secret.as_bytes())?;
        *self.secret() = secret;
        Ok(())
    }

    /// Exchanges the JWT in the form `body`. Fails with 401 `invalid_client`, and with 400
    /// `invalid_request`, `unsupported_grant_type` or `invalid_grant`.
    pub(crate) fn exchange(
        &self,
        authenticator: &Authenticator,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<Response, OauthError> {
        self.check_client(headers)?;
        let form = parse_form(headers, body)?;
        let (kind, key) = self.check_form(&form, now)?;
        let issued = authenticator.issue_principal(kind, &key, now);
        let token = issued.map_err(|error| OauthError::new(500, None, error.to_string()))?;
        Ok(respond(200).json(&serde_json::json!({ "token": token })))
    }

    fn check_client(&self, headers: &HeaderMap) -> Result<(), OauthError> {
        let header = headers.get("authorization").and_then(|value| value.to_str().ok());
        let encoded = header.and_then(|text| text.strip_prefix("Basic "));
        let decoded = encoded.and_then(|text| STANDARD.decode(text).ok());
        let expected = format!("{CLIENT_ID}:{}", self.secret());
        if decoded.is_some_and(|pair| pair == expected.as_bytes()) {
            Ok(())
        } else {
            Err(OauthError::invalid_client())
        }
    }

    /// The principal and the key of the token that the form asks for.
    fn check_form(
        &self,
        form: &HashMap<String, String>,
        now: SystemTime,
    ) -> Result<(PrincipalKind, PublicKey), OauthError> {
        let field = |name: &str| {
            let value = form.get(name).filter(|value| !value.is_empty());
            value.ok_or_else(|| OauthError::invalid_request(format!("{name} is missing")))
        };
        if field("grant_type")? != GRANT_TYPE {
            let description = "This grant type is not supported.";
            return Err(OauthError::coded("unsupported_grant_type", description));
        }
        let kind = match field("requested_token_type")?.as_str() {
            USER_TOKEN => PrincipalKind::FederatedUser,
            RESOURCE_TOKEN => {
                field("res_type")?;
                PrincipalKind::Resource
            }
            other => {
                let description = format!("requested_token_type {other} is not supported");
                return Err(OauthError::invalid_request(description));
            }
        };
        if field("subject_token_type")? != "jwt" {
            return Err(OauthError::invalid_request("subject_token_type is not jwt"));
        }
        let key = PublicKey::from_one_line(field("public_key")?);
        let key = key.ok_or_else(|| {
            OauthError::invalid_request("public_key is not the base64 of an RSA public key")
        })?;
        if !self.subject.accepts(field("subject_token")?, now) {
            let description = "The subject token is unknown or has expired.";
            return Err(OauthError::coded("invalid_grant", description));
        }
        Ok((kind, key))
    }
}

/// The fields of a form. Fails with 400 for another content type and for a field that occurs twice.
fn parse_form(headers: &HeaderMap, body: &[u8]) -> Result<HashMap<String, String>, OauthError> {
    let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|text| text.split(';').next()).unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(OauthError::invalid_request("The content type is not that of a form"));
    }
    let mut form = HashMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        if form.insert(name.clone().into_owned(), value.into_owned()).is_some() {
            return Err(OauthError::invalid_request(format!("{name} occurs twice")));
        }
    }
    Ok(form)
}

#[cfg(test)]
#[path = "identity_domain_tests.rs"]
mod tests;

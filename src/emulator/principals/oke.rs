//! The token service of an OKE cluster, which trades the token of a service account for one of the
//! workload.
//!
//! Owns the form of its request and answer; what the service account's token is belongs to
//! `outside_jwt`, and what is issued to `auth`. Invariant: a token is issued only to a bearer of a
//! service account token that was issued here and has not expired.

use super::super::auth::{Authenticator, PrincipalKind};
use super::super::response::{ErrorResponse, Payload, Response, parse, respond};
use super::super::signature::PublicKey;
use super::outside_jwt::JwtFile;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use serde::Deserialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----\n";
const PEM_END: &str = "-----END PUBLIC KEY-----\n";

/// The token service of a cluster.
pub(crate) struct OkeTokenService {
    pub service_account: JwtFile,
    /// Whether the answer has double quotes around its base64 text, as the service's has.
    quoted: AtomicBool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenRequest {
    pod_key: String,
}

impl OkeTokenService {
    /// A service whose answers have double quotes if `quoted`.
    pub(crate) fn new(service_account: JwtFile, quoted: bool) -> OkeTokenService {
        OkeTokenService { service_account, quoted: AtomicBool::new(quoted) }
    }

    /// Sets whether the answer has double quotes around its base64 text.
    pub(crate) fn set_quoted(&self, quoted: bool) {
        self.quoted.store(quoted, Ordering::SeqCst);
    }

    /// Issues a token of the workload. Fails with 401 if the bearer token is missing, unknown or
    /// expired, and with 400 if the body is malformed or its key is no RSA public key.
    pub(crate) fn issue(
        &self,
        authenticator: &Authenticator,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<Response, ErrorResponse> {
        let key = self.check(headers, body, now)?;
        let token = authenticator.issue_principal(PrincipalKind::Workload, &key, now)?;
        let inner = serde_json::json!({ "token": format!("ST${token}") }).to_string();
        let text = STANDARD.encode(inner);
        let text = if self.quoted.load(Ordering::SeqCst) { format!("\"{text}\"") } else { text };
        Ok(respond(200).header("content-type", "application/json").body(Payload::bytes(text)))
    }

    /// The key that the token is to bind; fails as `issue`.
    fn check(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<PublicKey, ErrorResponse> {
        let header = headers.get("authorization").ok_or_else(ErrorResponse::no_credentials)?;
        let bearer = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        if !bearer.is_some_and(|token| self.service_account.accepts(token, now)) {
            return Err(ErrorResponse::wrong_credentials());
        }
        let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
        if content_type != Some("application/json") {
            return Err(ErrorResponse::invalid_parameter("The content type is not JSON"));
        }
        let request: TokenRequest = parse(body)?;
        let key = parse_pod_key(&request.pod_key);
        key.ok_or_else(|| ErrorResponse::invalid_parameter("podKey is not an RSA public key"))
    }
}

/// Reads the two forms that clients send: the base64 of a SubjectPublicKeyInfo on one line, and the
/// complete PEM with its final line end.
fn parse_pod_key(text: &str) -> Option<PublicKey> {
    let complete = text.starts_with(PEM_BEGIN) && text.ends_with(PEM_END);
    let one_line = !text.contains(|c: char| c.is_ascii_whitespace() || c == '-');
    if complete || one_line { PublicKey::from_text(text) } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::outside_jwt::OutsideIssuer;
    use super::super::vectors::{self, text};
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    struct Fixture {
        service: OkeTokenService,
        authenticator: Authenticator,
        _dir: tempfile::TempDir,
    }

    /// A service that trusts the service account's token of the vectors.
    fn fixture() -> Fixture {
        let (authenticator, dir) = vectors::authenticator();
        let path = dir.path().join("token");
        let life = Duration::from_secs(3600);
        let file = JwtFile::open(path, OutsideIssuer::Cluster, life, false, UNIX_EPOCH).unwrap();
        file.trust(text("/oke_workload_identity/service_account_token"), vectors::now() + 3600);
        Fixture { service: OkeTokenService::new(file, true), authenticator, _dir: dir }
    }

    impl Fixture {
        fn issue(&self, headers: &HeaderMap, body: &str) -> Result<String, ErrorResponse> {
            let (body, now) = (body.as_bytes(), vectors::at(vectors::now()));
            let done = self.service.issue(&self.authenticator, headers, body, now)?;
            Ok(vectors::body_of(done))
        }
    }

    #[test]
    fn the_published_requests_of_the_python_and_go_clients_get_a_token_for_their_key() {
        let fixture = fixture();
        let headers = vectors::headers("/oke_workload_identity/request/headers_in_order");
        for body in
            ["/oke_workload_identity/request/body", "/oke_workload_identity/request_body_go"]
        {
            let answer = fixture.issue(&headers, text(body)).unwrap();
            let base64 = answer.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
            let inner = STANDARD.decode(base64).unwrap();
            let inner: serde_json::Value = serde_json::from_slice(&inner).unwrap();
            let token = inner["token"].as_str().unwrap().strip_prefix("ST$").unwrap();
            let claims = vectors::claims(token);
            assert_eq!(claims["ptype"], "workload");
            assert_eq!(vectors::modulus(&claims), vectors::modulus_of("session1"), "{body}");
        }
    }

    #[test]
    fn the_answer_can_be_sent_without_its_quotes() {
        let fixture = fixture();
        fixture.service.set_quoted(false);
        let headers = vectors::headers("/oke_workload_identity/request/headers_in_order");
        let answer = fixture.issue(&headers, text("/oke_workload_identity/request/body")).unwrap();
        assert!(STANDARD.decode(answer).unwrap().starts_with(br#"{"token":"ST$"#));
    }

    #[test]
    fn a_wrong_or_expired_bearer_and_a_key_of_another_form_are_refused() {
        let fixture = fixture();
        let good = vectors::headers("/oke_workload_identity/request/headers_in_order");
        let body = text("/oke_workload_identity/request/body");
        let with = |value: &str| {
            let mut headers = good.clone();
            headers.insert("authorization", value.parse().unwrap());
            headers
        };
        let status =
            |headers: &HeaderMap, body: &str| fixture.issue(headers, body).unwrap_err().status;
        let token = text("/oke_workload_identity/service_account_token");
        assert_eq!(status(&HeaderMap::new(), body), 401);
        assert_eq!(status(&with(token), body), 401);
        assert_eq!(status(&with(&format!("bearer {token}")), body), 401);
        assert_eq!(status(&with(&format!("Bearer {token}x")), body), 401);
        let current = std::fs::read_to_string(fixture.service.service_account.path()).unwrap();
        assert_eq!(status(&with(&format!("Bearer {current}")), body), 401, "it has expired");
        let (line, pem) =
            (text("/keys/session1/public_one_line"), text("/keys/session1/public_pem"));
        for key in ["", "AAAA", &format!("{line}\n"), pem.trim_end(), &pem.replace('\n', "\r\n")] {
            let body = serde_json::json!({ "podKey": key }).to_string();
            assert_eq!(status(&good, &body), 400, "{key}");
        }
        for body in ["", "[]", "{}", r#"{"podkey":"x"}"#] {
            assert_eq!(status(&good, body), 400, "{body}");
        }
        let mut form = good.clone();
        form.insert("content-type", "text/plain".parse().unwrap());
        assert_eq!(status(&form, body), 400);
    }
}

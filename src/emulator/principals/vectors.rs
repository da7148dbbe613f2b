//! The published requests of the service's own clients, for the tests of this folder.
//!
//! Owns the reading of `principal-vectors.json`; knows no verifier. Invariant: nothing is computed
//! here that a test compares with a vector.

use super::super::auth::{Authenticator, RefreshMode, TokenPolicy};
use super::super::response::Response;
use super::super::signature::{Authorization, PublicKey, SignedHead, signed_text};
use super::super::state_dir::StateDir;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::header::HeaderName;
use serde_json::Value;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

static VECTORS: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../tests/data/principal-vectors.json")).unwrap()
});

/// The value at a JSON pointer.
pub(super) fn value(pointer: &str) -> &'static Value {
    VECTORS.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}"))
}

/// The text at a JSON pointer.
pub(super) fn text(pointer: &str) -> &'static str {
    value(pointer).as_str().unwrap_or_else(|| panic!("no text at {pointer}"))
}

/// The time of every vector in seconds since 1970.
pub(super) fn now() -> u64 {
    value("/unix_time").as_u64().unwrap()
}

/// The headers of a request, given as a list of pairs at a JSON pointer. The header `authorization`
/// of a signed request is built from its parts, in the order of its description.
pub(super) fn headers(pointer: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for pair in value(pointer).as_array().unwrap() {
        let (name, value) = (pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
        headers.append(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
    }
    headers
}

/// The headers of the signed request at a JSON pointer.
pub(super) fn signed_headers(pointer: &str) -> HeaderMap {
    let mut headers = headers(&format!("{pointer}/headers_in_order"));
    let part = |name: &str| text(&format!("{pointer}/{name}"));
    let authorization = format!(
        r#"Signature algorithm="rsa-sha256",headers="{}",keyId="{}",signature="{}",version="1""#,
        part("signed_headers"),
        part("key_id"),
        part("signature"),
    );
    headers.insert("authorization", authorization.parse().unwrap());
    headers
}

/// The method and the target of the request at a JSON pointer.
pub(super) fn request_line(pointer: &str) -> (&'static str, &'static str) {
    let line = text(&format!("{pointer}/request_line")).strip_suffix(" HTTP/1.1").unwrap();
    line.split_once(' ').unwrap()
}

/// An authenticator with a folder of its own.
pub(super) fn authenticator() -> (Authenticator, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let hour = Duration::from_secs(3600);
    let policy = TokenPolicy {
        token: hour,
        principal: hour,
        delegation: hour,
        delegation_grace: hour,
        session: hour,
        refresh: RefreshMode::Normal,
        grace: None,
        padding: 0,
    };
    let state_dir = StateDir::new(dir.path()).unwrap();
    (Authenticator::open(state_dir, policy, at(now())).unwrap(), dir)
}

/// The time that is this many seconds after 1970.
pub(super) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The body of a response as text.
pub(super) fn body_of(response: Response) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let bytes = runtime.block_on(response.into_body().collect()).unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The claims of a token.
pub(super) fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
}

/// The modulus that the claim `jwk` holds.
pub(super) fn modulus(claims: &Value) -> String {
    let jwk: Value = serde_json::from_str(claims["jwk"].as_str().unwrap()).unwrap();
    jwk["n"].as_str().unwrap().to_owned()
}

/// The modulus of a key of the vectors.
pub(super) fn modulus_of(key: &str) -> String {
    let jwk = text(&format!("/keys/{key}/jwk_claim_text"));
    modulus(&serde_json::json!({ "jwk": jwk }))
}

/// Whether `key` signed the request.
pub(super) fn verifies(key: &PublicKey, head: &SignedHead<'_>) -> bool {
    let text = head.headers["authorization"].to_str().unwrap();
    let authorization = Authorization::parse(text).unwrap();
    let text = signed_text(&authorization.headers, head).unwrap();
    key.verify(&text, &authorization.signature)
}

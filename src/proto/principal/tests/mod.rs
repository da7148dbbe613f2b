//! What official SDKs sent and received, from `tests/data/principal-vectors.json`, and what no
//! response may cause.

mod answers;
mod hostile;
mod metadata_service;
mod requests;
mod vectors;

use std::sync::Arc;

use serde_json::Value;
use zeroize::Zeroizing;

use super::*;
use crate::key::Key;

/// The clock of the vectors.
const DATE: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

fn vector_file() -> Value {
    serde_json::from_str(include_str!("../../../../tests/data/principal-vectors.json")).unwrap()
}

/// The value at a path such as `keys.session1.private_pem`; `/` separates names that have dots.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    let separator = if path.contains('/') { '/' } else { '.' };
    path.split(separator).fold(value, |value, name| match name.parse::<usize>() {
        Ok(index) if value.is_array() => &value[index],
        _ => value.get(name).unwrap_or_else(|| panic!("no {name} of {path}")),
    })
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).as_str().unwrap_or_else(|| panic!("{path} is no text"))
}

fn key(vectors: &Value, path: &str) -> Arc<Key> {
    Arc::new(Key::from_pem(text(vectors, path).as_bytes(), None).unwrap())
}

fn session(vectors: &Value, name: &str) -> SessionKey {
    SessionKey::of(key(vectors, &format!("keys.{name}.private_pem")))
}

fn leaf(vectors: &Value, name: &str) -> LeafCertificate {
    LeafCertificate::parse(text(vectors, &format!("certificates.{name}.cert_pem")).as_bytes())
        .unwrap()
}

fn reply(status: u16, body: impl AsRef<[u8]>) -> AuthReply {
    AuthReply { status, body: Zeroizing::new(body.as_ref().to_vec()), ..AuthReply::default() }
}

//! Request signatures: the string that is signed, and the `Authorization` header.
//!
//! Pure: the date is an argument, already formatted. Must not know where a key or a token came
//! from, nor what a request is for. Invariant: what is signed is exactly what is returned for
//! sending, name for name and byte for byte.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::key::Key;

/// Who signs: `tenancy/user/fingerprint`, or `ST$` and a session token. The latter is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyId(Zeroizing<String>);

impl KeyId {
    pub fn api_key(tenancy: &str, user: &str, fingerprint: &str) -> KeyId {
        KeyId(Zeroizing::new(format!("{tenancy}/{user}/{fingerprint}")))
    }

    pub fn security_token(token: &str) -> KeyId {
        KeyId(Zeroizing::new(format!("ST${token}")))
    }

    /// Any other form, such as that of the x509 federation call.
    pub fn raw(text: &str) -> KeyId {
        KeyId(Zeroizing::new(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyId(..)")
    }
}

/// A body that is signed with its request. Those of PutObject and UploadPart are not.
#[derive(Debug, Clone, Copy)]
pub struct SignedBody<'a> {
    pub content_type: &'a str,
    pub bytes: &'a [u8],
}

/// What of a request is signed.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// `GET`, `PUT`, ...
    pub method: &'a str,
    /// Path and query exactly as on the request line.
    pub path_and_query: &'a str,
    /// The authority as in the URL. Only the x509 federation call goes without.
    pub host: Option<&'a str>,
    /// The date in the form of HTTP, such as `Thu, 01 Jan 2026 00:00:00 GMT`.
    pub date: &'a str,
    /// The body where it is signed, as in every POST, empty ones too.
    pub body: Option<SignedBody<'a>>,
}

/// The headers to send: every signed one, and `authorization` last.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedHeaders {
    pub headers: Vec<(&'static str, String)>,
}

// The authorization of a session is its token.
impl fmt::Debug for SignedHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.headers.iter().filter(|(name, _)| *name != "authorization");
        f.debug_map().entries(shown.map(|(name, value)| (name, value))).finish_non_exhaustive()
    }
}

/// Signs a request.
pub fn authorize(key_id: &KeyId, key: &Key, head: &SignedRequest<'_>) -> SignedHeaders {
    let fields = fields(head);
    let signature = STANDARD.encode(key.sign(signing_string(&fields).as_bytes()));
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let authorization = format!(
        "Signature algorithm=\"rsa-sha256\",headers=\"{}\",keyId=\"{}\",signature=\"{signature}\",\
         version=\"1\"",
        names.join(" "),
        key_id.as_str(),
    );
    let mut headers = fields;
    headers.retain(|(name, _)| *name != REQUEST_TARGET);
    headers.push(("authorization", authorization));
    SignedHeaders { headers }
}

/// One line a field, `name: value`, joined by line feeds.
pub fn signing_string<N: AsRef<str>, V: AsRef<str>>(fields: &[(N, V)]) -> String {
    let line = |(name, value): &(N, V)| format!("{}: {}", name.as_ref(), value.as_ref());
    fields.iter().map(line).collect::<Vec<_>>().join("\n")
}

const REQUEST_TARGET: &str = "(request-target)";

/// The fields of a request in the order the Python SDK signs them.
fn fields(head: &SignedRequest<'_>) -> Vec<(&'static str, String)> {
    let target = format!("{} {}", head.method.to_ascii_lowercase(), head.path_and_query);
    let mut fields = vec![("date", head.date.to_owned()), (REQUEST_TARGET, target)];
    if let Some(host) = head.host {
        fields.push(("host", host.to_owned()));
    }
    if let Some(body) = head.body {
        let digest = ring::digest::digest(&ring::digest::SHA256, body.bytes);
        fields.push(("content-length", body.bytes.len().to_string()));
        fields.push(("content-type", body.content_type.to_owned()));
        fields.push(("x-content-sha256", STANDARD.encode(digest)));
    }
    fields
}

#[cfg(test)]
mod tests;

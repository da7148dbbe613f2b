//! Request signatures: the signing string and the `Authorization` header.
//!
//! Owns Oracle's form of HTTP signatures
//! (<https://docs.oracle.com/iaas/Content/API/Concepts/signingrequests.htm>). Must not know the time
//! (the date is an argument, already formatted), where a key or token comes from, or what a request is
//! for. Invariant: the returned headers are exactly the signed ones, name for name and byte for byte.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::key::Key;

/// The `keyId` of a signature: `tenancy/user/fingerprint`, or `ST$` and a session token, which is secret.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyId(Zeroizing<String>);

impl KeyId {
    /// The key id of an API key; tenancy and user are OCIDs.
    pub fn api_key(tenancy: &str, user: &str, fingerprint: &str) -> KeyId {
        KeyId(Zeroizing::new(format!("{tenancy}/{user}/{fingerprint}")))
    }

    /// The key id of a session token.
    pub fn security_token(token: &str) -> KeyId {
        KeyId(Zeroizing::new(format!("ST${token}")))
    }

    /// Any other form, such as that of the x509 federation request.
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

/// A body that the signature covers. The bodies of PutObject and UploadPart are not covered.
#[derive(Debug, Clone, Copy)]
pub struct SignedBody<'a> {
    pub content_type: &'a str,
    pub bytes: &'a [u8],
}

/// The signed values of a request.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// `GET`, `PUT`, ...
    pub method: &'a str,
    /// Path and query exactly as sent on the request line.
    pub path_and_query: &'a str,
    /// The authority as in the URL. Only the x509 federation request has none.
    pub host: Option<&'a str>,
    /// An HTTP date, such as `Thu, 01 Jan 2026 00:00:00 GMT`.
    pub date: &'a str,
    /// The body if the signature covers it, as in every POST, also an empty one.
    pub body: Option<SignedBody<'a>>,
}

/// The headers to send: all signed ones, then `authorization`.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedHeaders {
    pub headers: Vec<(&'static str, String)>,
}

// The authorization of a session contains its token.
impl fmt::Debug for SignedHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.headers.iter().filter(|(name, _)| *name != "authorization");
        f.debug_map().entries(shown.map(|(name, value)| (name, value))).finish_non_exhaustive()
    }
}

/// Signs a request.
pub fn authorize(key_id: &KeyId, key: &Key, request: &SignedRequest<'_>) -> SignedHeaders {
    let fields = fields(request);
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

/// The signing string: one line `name: value` for each field, joined by line feeds.
pub fn signing_string<N: AsRef<str>, V: AsRef<str>>(fields: &[(N, V)]) -> String {
    let line = |(name, value): &(N, V)| format!("{}: {}", name.as_ref(), value.as_ref());
    fields.iter().map(line).collect::<Vec<_>>().join("\n")
}

const REQUEST_TARGET: &str = "(request-target)";

/// The signed fields of a request, in the order of the Python SDK.
fn fields(request: &SignedRequest<'_>) -> Vec<(&'static str, String)> {
    let target = format!("{} {}", request.method.to_ascii_lowercase(), request.path_and_query);
    let mut fields = vec![("date", request.date.to_owned()), (REQUEST_TARGET, target)];
    if let Some(host) = request.host {
        fields.push(("host", host.to_owned()));
    }
    if let Some(body) = request.body {
        let digest = ring::digest::digest(&ring::digest::SHA256, body.bytes);
        fields.push(("content-length", body.bytes.len().to_string()));
        fields.push(("content-type", body.content_type.to_owned()));
        fields.push(("x-content-sha256", STANDARD.encode(digest)));
    }
    fields
}

#[cfg(test)]
mod tests;

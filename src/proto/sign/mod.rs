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

use super::key::{Key, KeyError};

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

    /// The text, as the header has it.
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
    /// The header `content-type`.
    pub content_type: &'a str,
    /// The body.
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
    /// The delegation token of an instance that acts for a user, which is secret: `opc-obo-token`.
    pub delegation: Option<&'a str>,
    /// The body if the signature covers it, as in every POST, also an empty one.
    pub body: Option<SignedBody<'a>>,
}

/// One field of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedField {
    /// `date`
    Date,
    /// `(request-target)`: the method in lower case, and path and query.
    RequestTarget,
    /// `host`
    Host,
    /// `opc-obo-token`
    Delegation,
    /// `content-length`
    ContentLength,
    /// `content-type`
    ContentType,
    /// `x-content-sha256`
    ContentSha256,
}

impl SignedField {
    /// All fields, in the order of the Python SDK, which this program uses.
    pub const ALL: [SignedField; 7] = [
        SignedField::Date,
        SignedField::RequestTarget,
        SignedField::Host,
        SignedField::Delegation,
        SignedField::ContentLength,
        SignedField::ContentType,
        SignedField::ContentSha256,
    ];

    /// The name in the list of a signature, and of the header; the request target is no header.
    pub fn name(self) -> &'static str {
        match self {
            SignedField::Date => "date",
            SignedField::RequestTarget => REQUEST_TARGET,
            SignedField::Host => "host",
            SignedField::Delegation => DELEGATION,
            SignedField::ContentLength => "content-length",
            SignedField::ContentType => "content-type",
            SignedField::ContentSha256 => "x-content-sha256",
        }
    }

    /// The value; `None` if the request has no such field.
    fn value(self, request: &SignedRequest<'_>) -> Option<String> {
        Some(match self {
            SignedField::Date => request.date.to_owned(),
            SignedField::RequestTarget => {
                format!("{} {}", request.method.to_ascii_lowercase(), request.path_and_query)
            }
            SignedField::Host => request.host?.to_owned(),
            SignedField::Delegation => request.delegation?.to_owned(),
            SignedField::ContentLength => request.body?.bytes.len().to_string(),
            SignedField::ContentType => request.body?.content_type.to_owned(),
            SignedField::ContentSha256 => {
                STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, request.body?.bytes))
            }
        })
    }
}

/// The headers to send: all signed ones, then `authorization`.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedHeaders {
    /// Names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
}

// The authorization of a session contains its token, and a delegation token is one.
impl fmt::Debug for SignedHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            self.headers.iter().filter(|(name, _)| ![AUTHORIZATION, DELEGATION].contains(name));
        f.debug_map().entries(shown.map(|(name, value)| (name, value))).finish_non_exhaustive()
    }
}

/// Signs a request with its fields in the order of the Python SDK.
pub fn authorize(key_id: &KeyId, key: &Key, request: &SignedRequest<'_>) -> SignedHeaders {
    authorize_in_order(key_id, key, request, &SignedField::ALL)
}

/// As [`authorize`]. Fails if the key was read untried and cannot sign.
#[doc(hidden)]
pub fn try_authorize(
    key_id: &KeyId,
    key: &Key,
    request: &SignedRequest<'_>,
) -> Result<SignedHeaders, KeyError> {
    let fields = fields(request, &SignedField::ALL);
    let signature = key.try_sign(signing_string(&fields).as_bytes())?;
    Ok(with_signature(key_id, fields, &signature))
}

/// Signs a request with its fields in this order, which the signature names. A field that the request
/// does not have is left out.
pub(crate) fn authorize_in_order(
    key_id: &KeyId,
    key: &Key,
    request: &SignedRequest<'_>,
    order: &[SignedField],
) -> SignedHeaders {
    let fields = fields(request, order);
    let signature = key.sign(signing_string(&fields).as_bytes());
    with_signature(key_id, fields, &signature)
}

/// The headers of signed fields.
fn with_signature(
    key_id: &KeyId,
    fields: Vec<(&'static str, String)>,
    signature: &[u8],
) -> SignedHeaders {
    let signature = STANDARD.encode(signature);
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let authorization = format!(
        "Signature algorithm=\"rsa-sha256\",headers=\"{}\",keyId=\"{}\",signature=\"{signature}\",\
         version=\"1\"",
        names.join(" "),
        key_id.as_str(),
    );
    let mut headers = fields;
    headers.retain(|(name, _)| *name != REQUEST_TARGET);
    headers.push((AUTHORIZATION, authorization));
    SignedHeaders { headers }
}

/// The signing string: one line `name: value` for each field, joined by line feeds.
pub fn signing_string<N: AsRef<str>, V: AsRef<str>>(fields: &[(N, V)]) -> String {
    let line = |(name, value): &(N, V)| format!("{}: {}", name.as_ref(), value.as_ref());
    fields.iter().map(line).collect::<Vec<_>>().join("\n")
}

const AUTHORIZATION: &str = "authorization";
const DELEGATION: &str = "opc-obo-token";
const REQUEST_TARGET: &str = "(request-target)";

/// The names and values of those fields that the request has.
fn fields(request: &SignedRequest<'_>, order: &[SignedField]) -> Vec<(&'static str, String)> {
    order.iter().filter_map(|field| Some((field.name(), field.value(request)?))).collect()
}

#[cfg(test)]
mod tests;

//! Session tokens: the claims in the text of a token.
//!
//! Owns the parsing of a token (a JSON Web Token). Must not know the time or where the text comes from,
//! and must not verify the signature: only the service can. Invariant: no error and no debug output
//! contains the text.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// The last second of the year 9999, the latest time that an HTTP date can express.
const MAX_TIME: u64 = 253_402_300_799;

/// A parsed session token. Times are seconds since 1970, by the clock of the service.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    raw: Zeroizing<String>,
    /// The claim `exp`, when the token expires. The service may reject it earlier.
    pub expires: u64,
    /// The claim `iat`.
    pub issued: Option<u64>,
    /// The claim `sess_exp`, when the session ends. No refresh extends a token beyond it.
    pub session_end: Option<u64>,
    /// The claim `sub`: the OCID of a user, an instance or another resource.
    pub user: Option<String>,
    /// The OCID of the tenancy: the claim `res_tenant` of a resource, `opc-tenant` of an instance, or
    /// `tenant`, in this order.
    pub tenancy: Option<String>,
    /// The modulus of the key that the token belongs to, big endian, without leading zeros.
    pub modulus: Option<Vec<u8>>,
}

/// Why a text is not a session token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// The text is empty.
    Empty,
    /// The text begins with `ST$`.
    KeyId,
    /// The number of parts between dots, which must be three.
    Parts(usize),
    /// The named part is not base64url.
    Base64(&'static str),
    /// The named part is not a JSON object.
    Json(&'static str),
    /// The signature is truncated.
    Signature,
    /// The claim `exp` is missing or not a number.
    NoExpiry,
}

impl Token {
    /// Parses the text of a token file; white space around the token and a byte order mark are ignored.
    /// Fails if the text begins with `ST$` or is not three parts of base64url, the header or payload is
    /// not a JSON object, the signature is truncated, or the claim `exp` is missing.
    pub fn parse(text: &str) -> Result<Token, TokenError> {
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        if text.starts_with("ST$") {
            return Err(TokenError::KeyId);
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [header, payload, signature] = parts[..] else {
            return Err(TokenError::Parts(parts.len()));
        };
        let header = claims("header", header)?;
        let claims = claims("payload", payload)?;
        let signature = decode("signature", signature)?;
        // A token that is being written is most often truncated within the signature. An RSA signature
        // is as long as its key, so that most truncations are detectable.
        let rsa =
            header.get("alg").and_then(Value::as_str).is_some_and(|alg| alg.starts_with("RS"));
        if signature.is_empty() || rsa && (signature.len() < 128 || signature.len() % 32 != 0) {
            return Err(TokenError::Signature);
        }
        let owned = |name: &str| {
            let value = claims.get(name).and_then(Value::as_str);
            value.filter(|value| !value.is_empty()).map(str::to_owned)
        };
        let tenancy = ["res_tenant", "opc-tenant", "tenant"].into_iter().find_map(owned);
        Ok(Token {
            raw: Zeroizing::new(text.to_owned()),
            expires: claims.get("exp").and_then(seconds).ok_or(TokenError::NoExpiry)?,
            issued: claims.get("iat").and_then(seconds),
            session_end: claims.get("sess_exp").and_then(date_or_seconds),
            user: owned("sub"),
            tenancy,
            modulus: claims.get("jwk").and_then(modulus),
        })
    }

    /// The text of the token, which follows `ST$` in a key id.
    pub fn secret(&self) -> &str {
        &self.raw
    }

    /// Whether the token belongs to the key with this modulus. True if the token names no key.
    pub fn matches_key(&self, modulus: &[u8]) -> bool {
        self.modulus.as_deref().is_none_or(|bound| bound == modulus)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("expires", &self.expires)
            .field("issued", &self.issued)
            .field("session_end", &self.session_end)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenError::Empty => f.write_str("it is empty"),
            TokenError::KeyId => f.write_str(
                "it begins with ST$, which belongs to the key id of a request and not to the token",
            ),
            TokenError::Parts(count) => {
                write!(f, "a token has three parts between dots, and this has {count}")
            }
            TokenError::Base64(part) => write!(f, "its {part} is not base64"),
            TokenError::Json(part) => write!(f, "its {part} is not a JSON object"),
            TokenError::Signature => f.write_str("its signature is cut short"),
            TokenError::NoExpiry => f.write_str("it does not say when it expires (no exp)"),
        }
    }
}

impl std::error::Error for TokenError {}

/// Decodes base64url, with or without padding.
fn decode(part: &'static str, text: &str) -> Result<Zeroizing<Vec<u8>>, TokenError> {
    let bare = text.trim_end_matches('=');
    let padded = Zeroizing::new(format!("{bare}{}", &"==="[..(4 - bare.len() % 4) % 4]));
    URL_SAFE.decode(padded.as_str()).map(Zeroizing::new).map_err(|_| TokenError::Base64(part))
}

/// The claims in the payload of a token of any kind. Fails if the text has no payload that is a JSON
/// object in base64url.
pub(crate) fn payload(text: &str) -> Result<Map<String, Value>, TokenError> {
    let parts: Vec<&str> = text.split('.').collect();
    let [_, payload, _] = parts[..] else { return Err(TokenError::Parts(parts.len())) };
    claims("payload", payload)
}

fn claims(part: &'static str, text: &str) -> Result<Map<String, Value>, TokenError> {
    serde_json::from_slice(&decode(part, text)?).map_err(|_| TokenError::Json(part))
}

/// Seconds since 1970 from an integer or a fraction, at most [`MAX_TIME`].
fn seconds(value: &Value) -> Option<u64> {
    let seconds = match value.as_u64() {
        Some(seconds) => seconds,
        // The cast saturates: a negative time becomes 0.
        None => value.as_f64()? as u64,
    };
    Some(seconds.min(MAX_TIME))
}

/// Seconds since 1970 from a number, or from a date such as `Wed, 08 Mar 2023 04:29:12 UTC`. A date that
/// cannot be parsed counts as absent, since the service does not document the claim.
fn date_or_seconds(value: &Value) -> Option<u64> {
    let Some(text) = value.as_str() else { return seconds(value) };
    if let Ok(number) = text.trim().parse::<f64>() {
        return seconds(&number.into());
    }
    let date = httpdate::parse_http_date(&text.trim().replace("UTC", "GMT")).ok()?;
    Some(date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
}

/// The modulus in the claim `jwk`: a JSON Web Key, most often as a string that contains JSON.
fn modulus(jwk: &Value) -> Option<Vec<u8>> {
    let parsed;
    let jwk = match jwk.as_str() {
        Some(text) => {
            parsed = serde_json::from_str::<Value>(text).ok()?;
            &parsed
        }
        None => jwk,
    };
    let bytes = decode("jwk", jwk.get("n")?.as_str()?).ok()?;
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    Some(bytes[zeros..].to_vec()).filter(|modulus| !modulus.is_empty())
}

#[cfg(test)]
mod tests;

//! The session token: what its text says of itself.
//!
//! Pure. The token is read, not trusted: its signature is the service's business. Must not know
//! the time or where the text was. Invariant: the text never appears in an error or in debug
//! output.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// The last second of the year 9999, beyond which no date can be written.
const MAX_TIME: u64 = 253_402_300_799;

/// A session token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    raw: Zeroizing<String>,
    /// When it ends, in seconds since 1970; the service may refuse it earlier.
    pub expires: u64,
    pub issued: Option<u64>,
    /// When the whole session ends, beyond which nothing can be renewed.
    pub session_end: Option<u64>,
    pub user: Option<String>,
    pub tenancy: Option<String>,
    /// The modulus of the key it is bound to, big endian, without leading zeros.
    pub modulus: Option<Vec<u8>>,
}

/// Why a text is no session token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    Empty,
    /// So many parts between dots, and it must be three.
    Parts(usize),
    /// The named part is no base64url.
    Base64(&'static str),
    /// The named part is no JSON object.
    Json(&'static str),
    /// The signature is cut short.
    Signature,
    NoExpiry,
}

impl Token {
    /// Reads the text of a token file. White space around it does not belong to it.
    pub fn parse(text: &str) -> Result<Token, TokenError> {
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [header, payload, signature] = parts[..] else {
            return Err(TokenError::Parts(parts.len()));
        };
        let header = claims("header", header)?;
        let claims = claims("payload", payload)?;
        let signature = decode("signature", signature)?;
        // A token that is just being written is most often cut within its signature. The length
        // of an RSA signature is that of a key, so a cut one can be told from a whole one.
        let rsa =
            header.get("alg").and_then(Value::as_str).is_some_and(|alg| alg.starts_with("RS"));
        if signature.is_empty() || rsa && (signature.len() < 128 || signature.len() % 32 != 0) {
            return Err(TokenError::Signature);
        }
        let owned = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Token {
            raw: Zeroizing::new(text.to_owned()),
            expires: claims.get("exp").and_then(seconds).ok_or(TokenError::NoExpiry)?,
            issued: claims.get("iat").and_then(seconds),
            session_end: claims.get("sess_exp").and_then(date_or_seconds),
            user: owned("sub"),
            tenancy: owned("tenant"),
            modulus: claims.get("jwk").and_then(modulus),
        })
    }

    /// The token itself, as the service wants it after `ST$`.
    pub fn secret(&self) -> &str {
        &self.raw
    }

    /// How long the token lives from issue to end, as far as it says.
    pub fn lifetime(&self) -> Option<u64> {
        self.issued.and_then(|issued| self.expires.checked_sub(issued))
    }

    /// Whether it is bound to the key of this modulus, where it says so at all.
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

/// Base64url, with padding or without.
fn decode(part: &'static str, text: &str) -> Result<Zeroizing<Vec<u8>>, TokenError> {
    let bare = text.trim_end_matches('=');
    let padded = Zeroizing::new(format!("{bare}{}", &"==="[..(4 - bare.len() % 4) % 4]));
    URL_SAFE.decode(padded.as_str()).map(Zeroizing::new).map_err(|_| TokenError::Base64(part))
}

fn claims(part: &'static str, text: &str) -> Result<Map<String, Value>, TokenError> {
    serde_json::from_slice(&decode(part, text)?).map_err(|_| TokenError::Json(part))
}

/// Seconds since 1970 as an integer or a fraction.
fn seconds(value: &Value) -> Option<u64> {
    let seconds = match value.as_u64() {
        Some(seconds) => seconds,
        // The cast saturates, and a negative time is as long ago as 1970.
        None => value.as_f64()? as u64,
    };
    Some(seconds.min(MAX_TIME))
}

/// As above, or a date such as `Wed, 08 Mar 2023 04:29:12 UTC`. One that cannot be read is taken
/// for absent, since the service does not document the claim.
fn date_or_seconds(value: &Value) -> Option<u64> {
    let Some(text) = value.as_str() else { return seconds(value) };
    if let Ok(number) = text.trim().parse::<f64>() {
        return seconds(&number.into());
    }
    let date = httpdate::parse_http_date(&text.trim().replace("UTC", "GMT")).ok()?;
    Some(date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
}

/// The modulus of the claim `jwk`: a JSON Web Key, most often as a text within the JSON.
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

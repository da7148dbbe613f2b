//! The signature of a request: parsing `Authorization`, rebuilding the signed text, verifying it.
//!
//! Pure. Written from draft-cavage-http-signatures, which the service follows; knows nothing of
//! tokens or users. Invariant: the text is rebuilt in the order of the client's own list, from the
//! headers as sent.

use super::response::ErrorResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use rsa::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;

/// The parameters of an `Authorization: Signature ...` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// `keyId`: the user's key, or `ST$` and a token.
    pub key_id: String,
    /// The names of the signed headers in lower case, in the order of the client.
    pub headers: Vec<String>,
    /// The signature of the signed text.
    pub signature: Vec<u8>,
}

impl Authorization {
    /// Parses the header: parameters in any order, values in double quotes. `None` if a parameter
    /// is missing or repeated, or the algorithm is not RSA-SHA256.
    pub fn parse(text: &str) -> Option<Authorization> {
        let (scheme, mut rest) = text.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("signature") {
            return None;
        }
        let (mut key_id, mut headers, mut signature, mut algorithm, mut version) =
            (None, None, None, None, None);
        while !rest.trim_matches([' ', ',']).is_empty() {
            let (name, after) = rest.split_once('=')?;
            let quoted = after.trim_start().strip_prefix('"')?;
            let (value, after) = quoted.split_once('"')?;
            let parameter = match name.trim_matches([' ', ',']) {
                "keyId" => &mut key_id,
                "headers" => &mut headers,
                "signature" => &mut signature,
                "algorithm" => &mut algorithm,
                "version" => &mut version,
                _ => &mut None,
            };
            if parameter.replace(value).is_some() {
                return None;
            }
            rest = after;
        }
        if !algorithm?.eq_ignore_ascii_case("rsa-sha256") || version.is_some_and(|v| v != "1") {
            return None;
        }
        Some(Authorization {
            key_id: key_id?.to_owned(),
            headers: headers?.split_ascii_whitespace().map(str::to_ascii_lowercase).collect(),
            signature: STANDARD.decode(signature?).ok()?,
        })
    }

    /// Whether the signature covers the header of this name.
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.headers.iter().any(|header| header == name)
    }
}

/// What a signature has to cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// Request target and headers.
    HeadOnly,
    /// Request target, headers, and the digest of the body.
    HeadAndBody,
    /// As `HeadAndBody` without the host.
    BodyWithoutHost,
}

/// The head of a request, from which the signed text is rebuilt.
#[derive(Debug, Clone, Copy)]
pub struct SignedHead<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// Path and query exactly as on the request line.
    pub target: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
}

/// Checks that the signature covers every required header; fails with 401.
pub fn check_coverage(
    authorization: &Authorization,
    coverage: Coverage,
) -> Result<(), ErrorResponse> {
    let date = authorization.covers("date") || authorization.covers("x-date");
    let host = coverage == Coverage::BodyWithoutHost || authorization.covers("host");
    let head = authorization.covers("(request-target)") && host;
    let body_headers = ["content-length", "content-type", "x-content-sha256"];
    let body = coverage == Coverage::HeadOnly
        || body_headers.iter().all(|name| authorization.covers(name));
    if date && head && body { Ok(()) } else { Err(ErrorResponse::wrong_credentials()) }
}

/// The text that was signed; `None` if a listed header is missing or not text.
pub fn signed_text(list: &[String], head: &SignedHead<'_>) -> Option<String> {
    let mut lines = Vec::with_capacity(list.len());
    for name in list {
        if name == "(request-target)" {
            let method = head.method.to_ascii_lowercase();
            lines.push(format!("(request-target): {method} {}", head.target));
        } else {
            lines.push(format!("{name}: {}", head.headers.get(name)?.to_str().ok()?));
        }
    }
    Some(lines.join("\n"))
}

/// An RSA public key: modulus and exponent, big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The modulus, big-endian.
    pub n: Vec<u8>,
    /// The exponent, big-endian.
    pub e: Vec<u8>,
}

impl PublicKey {
    /// Parses a SubjectPublicKeyInfo: its PEM, or its base64 without armour, on one line or on
    /// several. `None` if it is no RSA key.
    pub(crate) fn from_text(text: &str) -> Option<PublicKey> {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
        let base64: String = lines.flat_map(str::split_ascii_whitespace).collect();
        PublicKey::from_der(&STANDARD.decode(base64).ok()?)
    }

    /// Parses the base64 of a SubjectPublicKeyInfo without any white space. `None` if it is no RSA key.
    pub(crate) fn from_one_line(text: &str) -> Option<PublicKey> {
        PublicKey::from_der(&STANDARD.decode(text).ok()?)
    }

    /// Parses a SubjectPublicKeyInfo in DER. `None` if it is no RSA key.
    pub fn from_der(der: &[u8]) -> Option<PublicKey> {
        let key = rsa::PublicKey::from_public_key_der(der).ok()?;
        Some(PublicKey { n: key.n_bytes().to_vec(), e: key.e_bytes().to_vec() })
    }

    /// Whether `signature` is the RSA-SHA256 signature of `text`.
    pub fn verify(&self, text: &str, signature: &[u8]) -> bool {
        RsaPublicKeyComponents { n: &self.n, e: &self.e }
            .verify(&RSA_PKCS1_2048_8192_SHA256, text.as_bytes(), signature)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A published test vector: a ListMultipartUploadParts signed with an API key.
    const MODULUS: &str = "3IZ+lzRHX0l3iUkfggtEUmSsko23/TLn5RsXrbp1+saHPY8OABVEAH0YKhM5RkUD8I/56PmflJu8fJiTHckxKaggtDSnhlpJX1PIapxFK4Zg/inKO7ftQdoglUJs+LiOZyx/VV6LvYHdgRzDviTr8EDCkPuLsqFPk9k+clessm0znIMHOwqDo6i5YguKtPm9BU4pmKFiCMn8KunmXDkrDskAFcHNvftAugb5954tS1AOaCwp38/9K68nKQ+YQqzT8oDScrVL+jHqj0gYDozN6RmIHNvJe5lk/D3w4IKG04Mg+KmUL01y1xjpNEFYDHoCpV7GsNTWo/tdtWZ0Evamiw==";
    const TARGET: &str = "/n/examplens/b/backups/u/db%2Fdump%202026%2B01.tar.zst?uploadId=5fd9032d-4893-4937-971a-242498429943&limit=1000";
    const SIGNATURE: &str = "VKBnaciMdCWM8HJwj5Lu/xnBuLPT+V3DdLTpB4fncNKWXB4D5/Sdyay0BnKyPRag7LzVaQbnnTkZkEaWQ6vAgSr0x10zOtLoq9gB3GO6JL1BcVpDoInML2K/4jNTW3v58WAVDcPSOajmvK5LyhRC6RPX4mh7xZJsQJ7cTrJKnGzvlNnZW9Z0YqL6LH6MXJXV7dzkShXHYNVkB6M2EDP1tI1Wk+HL0RbfZyDu7ZPNOZzT5lLxykpipVf1WFkKq2qtMQFNBV+FFIjRKzqG28mg7GDMDibBcu6ejv9NNE8OiKUheo7+gd6JGaOmet+3XF0M2UgyYq2lq45QGQETYLseig==";

    fn headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("date", "Thu, 01 Jan 2026 00:00:00 GMT".parse().unwrap());
        headers.insert("host", "objectstorage.us-ashburn-1.oraclecloud.com".parse().unwrap());
        headers
    }

    fn names(list: &str) -> Vec<String> {
        list.split(' ').map(str::to_owned).collect()
    }

    fn text(list: &str) -> String {
        let headers = headers();
        let head = SignedHead { method: "GET", target: TARGET, headers: &headers };
        signed_text(&names(list), &head).unwrap()
    }

    #[test]
    fn the_published_vector_verifies_and_no_other_order_does() {
        let key = PublicKey { n: STANDARD.decode(MODULUS).unwrap(), e: vec![1, 0, 1] };
        let signature = STANDARD.decode(SIGNATURE).unwrap();
        assert!(key.verify(&text("date (request-target) host"), &signature));
        assert!(!key.verify(&text("(request-target) date host"), &signature));
    }

    #[test]
    fn parameters_come_in_any_order() {
        let python = format!(
            r#"Signature algorithm="rsa-sha256",headers="date (request-target) host",keyId="a/b/c",signature="{SIGNATURE}",version="1""#
        );
        let go = format!(
            r#"Signature version="1",headers="date (request-target) host",keyId="a/b/c",algorithm="rsa-sha256",signature="{SIGNATURE}""#
        );
        let read = Authorization::parse(&python).unwrap();
        assert_eq!(read.headers, names("date (request-target) host"));
        assert_eq!(read.key_id, "a/b/c");
        assert_eq!(Some(read), Authorization::parse(&go));
    }

    #[test]
    fn what_is_not_a_signature_header_is_not_read_as_one() {
        for text in [
            "",
            "Bearer x",
            "Signature",
            r#"Signature keyId="a""#,
            r#"Signature keyId="a",keyId="b",headers="date",algorithm="rsa-sha256",signature="AA==""#,
            r#"Signature keyId="a",headers="date",algorithm="hs256",signature="AA==""#,
            r#"Signature keyId="a",headers="date",algorithm="rsa-sha256",signature="!""#,
            r#"Signature keyId="a,headers=date"#,
        ] {
            assert_eq!(Authorization::parse(text), None, "{text}");
        }
    }

    #[test]
    fn date_target_and_host_must_be_signed_and_the_body_where_coverage_demands_it() {
        let list = |text: &str| Authorization {
            key_id: String::new(),
            headers: names(text),
            signature: vec![],
        };
        let check = |text: &str, coverage| check_coverage(&list(text), coverage).is_ok();
        assert!(check("x-date (request-target) host", Coverage::HeadOnly));
        assert!(!check("(request-target) host", Coverage::HeadOnly));
        assert!(!check("date host", Coverage::HeadOnly));
        assert!(!check("date (request-target)", Coverage::HeadOnly));
        assert!(!check("date (request-target) host", Coverage::HeadAndBody));
        let all = "date (request-target) host content-length content-type x-content-sha256";
        assert!(check(all, Coverage::HeadAndBody));
        let all = "date (request-target) content-length content-type x-content-sha256";
        assert!(check(all, Coverage::BodyWithoutHost) && !check(all, Coverage::HeadAndBody));
        assert!(!check("date (request-target) content-length", Coverage::BodyWithoutHost));
    }

    #[test]
    fn a_listed_header_that_was_not_sent_cannot_be_signed() {
        let headers = headers();
        let head = SignedHead { method: "GET", target: TARGET, headers: &headers };
        assert_eq!(signed_text(&names("date x-date"), &head), None);
    }
}

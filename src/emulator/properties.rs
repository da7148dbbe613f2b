//! What a client says about an object, in headers or in JSON, and how it is said back.
//!
//! Pure. Invariant: what comes in by one spelling goes out by the other unchanged; a key that is wrong
//! for its hash is refused, and no customer key is ever kept, only its hash.

use super::response::{Builder, ErrorResponse};
use super::store::object::{Object, ObjectChecksums, Properties, tier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;

const META: &str = "opc-meta-";

/// All metadata of an object, names without their prefix and values together.
const MOST_METADATA: usize = 4000;

/// The hash of the customer's key that a request carries, if it carries one.
pub fn customer_key(headers: &HeaderMap) -> Result<Option<String>, ErrorResponse> {
    let names =
        ["opc-sse-customer-algorithm", "opc-sse-customer-key", "opc-sse-customer-key-sha256"];
    if names.iter().all(|name| !headers.contains_key(*name)) {
        return Ok(None);
    }
    let mut values = [""; 3];
    for (value, name) in values.iter_mut().zip(names) {
        let header = headers.get(name).ok_or_else(|| ErrorResponse::missing_parameter(name))?;
        *value = header.to_str().map_err(|_| ErrorResponse::invalid_parameter(name))?;
    }
    let [algorithm, key, hash] = values;
    let key = STANDARD.decode(key).ok().filter(|key| key.len() == 32);
    let actual = key.map(|key| STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, &key)));
    if algorithm != "AES256" || actual.as_deref() != Some(hash) {
        let message =
            "The customer-provided encryption key does not match its algorithm or SHA-256";
        return Err(ErrorResponse::invalid_parameter(message));
    }
    Ok(Some(hash.to_owned()))
}

/// The key of Vault that shall encrypt the object; it and a customer's key exclude each other.
pub fn kms_key(headers: &HeaderMap) -> Result<Option<String>, ErrorResponse> {
    let key = text(headers, "opc-sse-kms-key-id");
    if key.is_some() && headers.contains_key("opc-sse-customer-key") {
        let message = "opc-sse-kms-key-id and opc-sse-customer-key exclude each other";
        return Err(ErrorResponse::invalid_parameter(message));
    }
    Ok(key)
}

/// Refuses a request that does not carry the key the object or upload was created with.
pub fn same_key(wanted: &Option<String>, headers: &HeaderMap) -> Result<(), ErrorResponse> {
    match (wanted, customer_key(headers)?) {
        (None, None) => Ok(()),
        (Some(wanted), Some(given)) if *wanted == given => Ok(()),
        (Some(_), None) => Err(ErrorResponse::missing_parameter("opc-sse-customer-key")),
        (Some(_), Some(_)) => Err(ErrorResponse::new(
            403,
            "NotAllowed",
            "The customer-provided encryption key is not the one of the object",
        )),
        (None, Some(_)) => Err(ErrorResponse::invalid_parameter(
            "The object is not encrypted with a customer-provided encryption key",
        )),
    }
}

/// A header as text; an empty one says nothing.
pub fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name).filter(|value| !value.is_empty())?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// The value of a header, of which nobody says how it is encoded: the Go SDK sends UTF-8, the Python
/// SDK Latin-1.
fn decoded(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

/// The spelling of a tier, or a refusal.
pub fn checked_tier(text: &str) -> Result<String, ErrorResponse> {
    let known = tier(text).map(str::to_owned);
    known.ok_or_else(|| {
        ErrorResponse::invalid_parameter(format!("There is no storage tier '{text}'"))
    })
}

/// What the headers of a PutObject say.
pub fn of_headers(headers: &HeaderMap) -> Result<Properties, ErrorResponse> {
    let metadata = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with(META))
        .map(|(name, value)| (name.as_str().to_owned(), decoded(value.as_bytes())))
        .collect();
    let properties = Properties {
        content_type: text(headers, "content-type"),
        content_language: text(headers, "content-language"),
        content_encoding: text(headers, "content-encoding"),
        content_disposition: text(headers, "content-disposition"),
        cache_control: text(headers, "cache-control"),
        storage_tier: text(headers, "storage-tier").map(|t| checked_tier(&t)).transpose()?,
        metadata,
        customer_key: customer_key(headers)?,
        kms_key: kms_key(headers)?,
    };
    check_metadata(&properties)?;
    Ok(properties)
}

/// Refuses metadata that is too long, or whose keys lack the prefix that JSON bodies must spell out.
pub fn check_metadata(properties: &Properties) -> Result<(), ErrorResponse> {
    let long =
        |(key, value): (&String, &String)| key.len().saturating_sub(META.len()) + value.len();
    let size: usize = properties.metadata.iter().map(long).sum();
    if size > MOST_METADATA {
        return Err(ErrorResponse::invalid_parameter(format!(
            "The metadata has {size} bytes, and at most {MOST_METADATA} are allowed"
        )));
    }
    for (key, value) in &properties.metadata {
        let legal = key.len() > META.len()
            && key.to_ascii_lowercase().starts_with(META)
            && hyper::header::HeaderName::from_bytes(key.as_bytes()).is_ok();
        if !legal || value.contains(|c: char| c.is_control() && c != '\t') {
            let message = format!("The metadata key '{key}' or its value is not valid");
            return Err(ErrorResponse::invalid_parameter(message));
        }
    }
    Ok(())
}

/// The headers that tell of an object.
pub fn describe(answer: Builder, object: &Object, now: u64) -> Builder {
    let properties = &object.properties;
    let mut answer = answer
        .header("etag", &object.etag)
        .header("last-modified", super::clock::http_of_millis(object.modified))
        .header("accept-ranges", "bytes")
        .header("version-id", object.version())
        .header("storage-tier", object.tier())
        .header(
            "content-type",
            properties.content_type.as_deref().unwrap_or("application/octet-stream"),
        )
        .maybe("content-language", properties.content_language.as_ref())
        .maybe("content-encoding", properties.content_encoding.as_ref())
        .maybe("content-disposition", properties.content_disposition.as_ref())
        .maybe("cache-control", properties.cache_control.as_ref())
        .maybe("opc-sse-customer-algorithm", properties.customer_key.as_ref().map(|_| "AES256"))
        .maybe("opc-sse-customer-key-sha256", properties.customer_key.as_ref())
        .maybe("opc-sse-kms-key-id", properties.kms_key.as_ref())
        .maybe("archival-state", object.archival_state(now));
    if object.tier() == "Archive" {
        answer = answer.header("time-of-archival", super::clock::iso(object.created));
    }
    for (key, value) in &properties.metadata {
        answer = answer.header(&key.to_ascii_lowercase(), value);
    }
    checks(answer, object, "content-md5")
}

/// The checksum headers of an object; a single body's MD5 goes by `md5_name`.
pub fn checks(answer: Builder, object: &Object, md5_name: &str) -> Builder {
    match &object.checks {
        ObjectChecksums::Single(sums) => super::checksum::Algorithm::ALL
            .into_iter()
            .fold(answer.header(md5_name, sums.md5_base64()), |answer, algorithm| {
                answer.maybe(algorithm.content_header(), sums.base64(algorithm))
            }),
        ObjectChecksums::Multipart(whole) => answer
            .header("opc-multipart-md5", &whole.md5)
            .maybe("opc-content-crc32c", whole.crc32c.as_ref())
            .maybe("opc-multipart-sha256", whole.sha256.as_ref())
            .maybe("opc-multipart-sha384", whole.sha384.as_ref()),
        ObjectChecksums::Unknown => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn triple(key: &[u8]) -> HeaderMap {
        let hash = STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, key));
        let mut headers = HeaderMap::new();
        headers.insert("opc-sse-customer-algorithm", "AES256".parse().unwrap());
        headers.insert("opc-sse-customer-key", STANDARD.encode(key).parse().unwrap());
        headers.insert("opc-sse-customer-key-sha256", hash.parse().unwrap());
        headers
    }

    #[test]
    fn a_customer_key_must_come_whole_and_be_the_same() {
        let right = triple(&[7; 32]);
        let kept = customer_key(&right).unwrap();
        assert!(kept.is_some() && same_key(&kept, &right).is_ok());
        assert_eq!(same_key(&kept, &HeaderMap::new()).unwrap_err().code, "MissingParameter");
        assert_eq!(same_key(&kept, &triple(&[8; 32])).unwrap_err().status, 403);
        assert_eq!(same_key(&None, &right).unwrap_err().status, 400);
        let mut half = right.clone();
        half.remove("opc-sse-customer-key-sha256");
        assert_eq!(customer_key(&half).unwrap_err().code, "MissingParameter");
        let mut both = right.clone();
        both.insert("opc-sse-kms-key-id", "ocid1.key.oc1..a".parse().unwrap());
        assert_eq!(of_headers(&both).unwrap_err().status, 400);
        assert!(customer_key(&triple(&[7; 16])).is_err());
    }

    #[test]
    fn all_metadata_together_may_have_4000_bytes() {
        let of = |value: usize| {
            let mut headers = HeaderMap::new();
            for entry in 0..36 {
                let name = format!("opc-meta-{}", char::from_digit(entry, 36).unwrap());
                let name = hyper::header::HeaderName::try_from(name).unwrap();
                headers.insert(name, "v".parse().unwrap());
            }
            headers.insert("opc-meta-long", "x".repeat(value).parse().unwrap());
            of_headers(&headers)
        };
        assert!(of(4000 - 36 * 2 - 4).is_ok());
        assert_eq!(of(4000 - 36 * 2 - 3).unwrap_err().status, 400);
    }

    #[test]
    fn metadata_in_json_must_carry_its_prefix() {
        let with = |key: &str| Properties {
            metadata: [(key.to_owned(), "v".to_owned())].into(),
            ..Properties::default()
        };
        assert!(check_metadata(&with("opc-meta-host")).is_ok());
        assert_eq!(check_metadata(&with("host")).unwrap_err().status, 400);
    }
}

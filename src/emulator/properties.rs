//! The properties of an object: read from headers, checked, and written to headers.
//!
//! Pure. Knows no file. Invariant: a property set in JSON is returned in headers unchanged; a
//! customer key that does not match its hash is refused, and only the hash is stored.

use super::response::{ErrorResponse, ResponseBuilder};
use super::store::object::{Object, ObjectChecksums, Properties, legal_object_name, tier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;

const METADATA_PREFIX: &str = "opc-meta-";

/// The most bytes of metadata of an object: names without their prefix, and values.
const MAX_METADATA: usize = 4000;

/// Checks the name of an object; fails with 400 `InvalidObjectName`.
pub(crate) fn check_object_name(name: &str) -> Result<(), ErrorResponse> {
    if legal_object_name(name) {
        return Ok(());
    }
    Err(ErrorResponse::new(400, "InvalidObjectName", "The object name is not valid"))
}

/// The base64 SHA-256 of the customer key that a request carries, if it does. Fails with 400 if one
/// of the three headers is missing or the key does not match its hash.
pub(crate) fn customer_key(headers: &HeaderMap) -> Result<Option<String>, ErrorResponse> {
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

/// The id of the Vault key that encrypts the object; fails with 400 beside a customer key.
pub(crate) fn kms_key(headers: &HeaderMap) -> Result<Option<String>, ErrorResponse> {
    let key = text(headers, "opc-sse-kms-key-id");
    if key.is_some() && headers.contains_key("opc-sse-customer-key") {
        let message = "opc-sse-kms-key-id and opc-sse-customer-key exclude each other";
        return Err(ErrorResponse::invalid_parameter(message));
    }
    Ok(key)
}

/// Checks that a request carries the customer key whose hash is `expected`, or none. Fails with 403
/// on another key and with 400 on a missing or unexpected one.
pub(crate) fn check_same_key(
    expected: &Option<String>,
    headers: &HeaderMap,
) -> Result<(), ErrorResponse> {
    match (expected, customer_key(headers)?) {
        (None, None) => Ok(()),
        (Some(expected), Some(hash)) if *expected == hash => Ok(()),
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

/// A header as text; `None` if it is missing or empty.
pub(crate) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name).filter(|value| !value.is_empty())?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// The text of a metadata header. The encoding is not specified: the Go SDK sends UTF-8, the Python
/// SDK Latin-1.
fn decoded(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

/// The canonical name of a storage tier; fails with 400 if there is no such tier.
pub(crate) fn checked_tier(text: &str) -> Result<String, ErrorResponse> {
    let known = tier(text).map(str::to_owned);
    known.ok_or_else(|| {
        ErrorResponse::invalid_parameter(format!("There is no storage tier '{text}'"))
    })
}

/// The properties in the headers of a PutObject; fails with 400 if one is not valid.
pub fn of_headers(headers: &HeaderMap) -> Result<Properties, ErrorResponse> {
    let metadata = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with(METADATA_PREFIX))
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

/// Checks the size of the metadata, and that its keys have the prefix and are legal header names;
/// fails with 400.
pub(crate) fn check_metadata(properties: &Properties) -> Result<(), ErrorResponse> {
    let entry_size = |(key, value): (&String, &String)| {
        key.len().saturating_sub(METADATA_PREFIX.len()) + value.len()
    };
    let size: usize = properties.metadata.iter().map(entry_size).sum();
    if size > MAX_METADATA {
        return Err(ErrorResponse::invalid_parameter(format!(
            "The metadata has {size} bytes, and at most {MAX_METADATA} are allowed"
        )));
    }
    for (key, value) in &properties.metadata {
        let legal = key.len() > METADATA_PREFIX.len()
            && key.to_ascii_lowercase().starts_with(METADATA_PREFIX)
            && hyper::header::HeaderName::from_bytes(key.as_bytes()).is_ok();
        if !legal || value.contains(|c: char| c.is_control() && c != '\t') {
            let message = format!("The metadata key '{key}' or its value is not valid");
            return Err(ErrorResponse::invalid_parameter(message));
        }
    }
    Ok(())
}

/// Adds the headers that describe an object at the time `now` (milliseconds since 1970).
pub(crate) fn describe(response: ResponseBuilder, object: &Object, now: u64) -> ResponseBuilder {
    // Each property by its name, so that a new one cannot be left out.
    let Properties {
        content_type,
        content_language,
        content_encoding,
        content_disposition,
        cache_control,
        storage_tier: _,
        metadata,
        customer_key,
        kms_key,
    } = &object.properties;
    let mut response = response
        .header("etag", &object.etag)
        .header("last-modified", super::clock::http_of_millis(object.modified))
        .header("accept-ranges", "bytes")
        .header("version-id", object.version())
        .header("storage-tier", object.tier())
        .header("content-type", content_type.as_deref().unwrap_or("application/octet-stream"))
        .maybe("content-language", content_language.as_ref())
        .maybe("content-encoding", content_encoding.as_ref())
        .maybe("content-disposition", content_disposition.as_ref())
        .maybe("cache-control", cache_control.as_ref())
        .maybe("opc-sse-customer-algorithm", customer_key.as_ref().map(|_| "AES256"))
        .maybe("opc-sse-customer-key-sha256", customer_key.as_ref())
        .maybe("opc-sse-kms-key-id", kms_key.as_ref())
        .maybe("archival-state", object.archival_state(now));
    if object.tier() == "Archive" {
        response = response.header("time-of-archival", super::clock::iso(object.created));
    }
    for (key, value) in metadata {
        response = response.header(&key.to_ascii_lowercase(), value);
    }
    with_checksums(response, object, "content-md5")
}

/// Adds the checksum headers of an object; `md5_name` is the header for the MD5 of a single body.
pub(crate) fn with_checksums(
    response: ResponseBuilder,
    object: &Object,
    md5_name: &str,
) -> ResponseBuilder {
    match &object.checksums {
        ObjectChecksums::Single(sums) => super::checksum::Algorithm::ALL.into_iter().fold(
            response.header(md5_name, sums.md5_base64()),
            |response, algorithm| {
                response.maybe(algorithm.content_header(), sums.base64(algorithm))
            },
        ),
        ObjectChecksums::Multipart(combined) => response
            .header("opc-multipart-md5", &combined.md5)
            .maybe("opc-content-crc32c", combined.crc32c.as_ref())
            .maybe("opc-multipart-sha256", combined.sha256.as_ref())
            .maybe("opc-multipart-sha384", combined.sha384.as_ref()),
        ObjectChecksums::Unknown => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_headers(key: &[u8]) -> HeaderMap {
        let hash = STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, key));
        let mut headers = HeaderMap::new();
        headers.insert("opc-sse-customer-algorithm", "AES256".parse().unwrap());
        headers.insert("opc-sse-customer-key", STANDARD.encode(key).parse().unwrap());
        headers.insert("opc-sse-customer-key-sha256", hash.parse().unwrap());
        headers
    }

    #[test]
    fn a_customer_key_needs_all_three_headers_and_has_to_be_the_same() {
        let right = key_headers(&[7; 32]);
        let stored = customer_key(&right).unwrap();
        assert!(stored.is_some() && check_same_key(&stored, &right).is_ok());
        assert_eq!(
            check_same_key(&stored, &HeaderMap::new()).unwrap_err().code,
            "MissingParameter"
        );
        assert_eq!(check_same_key(&stored, &key_headers(&[8; 32])).unwrap_err().status, 403);
        assert_eq!(check_same_key(&None, &right).unwrap_err().status, 400);
        let mut half = right.clone();
        half.remove("opc-sse-customer-key-sha256");
        assert_eq!(customer_key(&half).unwrap_err().code, "MissingParameter");
        let mut both = right.clone();
        both.insert("opc-sse-kms-key-id", "ocid1.key.oc1..a".parse().unwrap());
        assert_eq!(of_headers(&both).unwrap_err().status, 400);
        assert!(customer_key(&key_headers(&[7; 16])).is_err());
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

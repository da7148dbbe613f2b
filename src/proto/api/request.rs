//! The calls we make, as data: names and values to a request.
//!
//! Owns every path, query, header name and JSON field that the client sends (Oracle's "Object
//! Storage Service API", version 20160918). Knows nothing of sockets, signatures or retries.
//! Invariant: what is percent-encoded here is signed and sent as it stands.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::digest::{Algorithm, Value};

/// Everything but the unreserved characters of RFC 3986 is encoded, `/` included, as the SDKs do.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The object a run writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectLocation {
    pub namespace: String,
    pub bucket: String,
    pub object: String,
}

/// A customer-provided key (SSE-C): three headers that every request touching the data repeats.
#[derive(Clone)]
pub struct CustomerKey {
    /// Base64 of the 32 bytes.
    pub key: zeroize::Zeroizing<String>,
    /// Base64 of the SHA-256 of the 32 bytes.
    pub sha256: String,
}

impl std::fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CustomerKey(redacted)")
    }
}

/// What may be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// Only a name at which nothing stands yet.
    IfNoneMatch,
    /// Only the object with this etag.
    IfMatch(String),
    /// Anything.
    None,
}

/// How the object is to be stored.
#[derive(Debug, Clone)]
pub struct PutOptions {
    pub condition: Precondition,
    pub checksum: Algorithm,
    pub storage_tier: Option<String>,
    pub content_type: String,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub content_disposition: Option<String>,
    pub cache_control: Option<String>,
    /// Keys without the `opc-meta-` prefix.
    pub metadata: Vec<(String, String)>,
    pub customer_key: Option<CustomerKey>,
    pub kms_key_id: Option<String>,
}

/// A request without date, host and signature, which belong to an attempt.
#[derive(Clone)]
pub struct Request {
    pub method: &'static str,
    /// Path and query, encoded.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: RequestPayload,
    pub class: RequestClass,
}

/// What sets requests apart where there is little left of a token, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestClass {
    /// Over as soon as it is sent.
    Small,
    /// One that carries a part of the data there or back; all attempts at it share the number.
    Transfer(u64),
    /// The abort of an upload, after which nothing follows.
    Abort,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values of headers may be secret: a customer's key is.
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("target", &self.target)
            .field("headers", &headers)
            .finish_non_exhaustive()
    }
}

/// What follows the head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestPayload {
    None,
    /// A small JSON document, covered by the signature.
    Json(Vec<u8>),
    /// This many bytes of the stream, not covered by the signature.
    Stream(u64),
}

impl Request {
    fn new(method: &'static str, target: String) -> Request {
        Request {
            method,
            target,
            headers: Vec::new(),
            body: RequestPayload::None,
            class: RequestClass::Small,
        }
    }

    fn header(&mut self, name: &str, value: impl Into<String>) {
        self.headers.push((name.to_owned(), value.into()));
    }

    fn optional(&mut self, name: &str, value: &Option<String>) {
        if let Some(value) = value {
            self.header(name, value.clone());
        }
    }

    fn condition(&mut self, condition: &Precondition) {
        match condition {
            Precondition::IfNoneMatch => self.header("if-none-match", "*"),
            Precondition::IfMatch(etag) => self.header("if-match", etag.clone()),
            Precondition::None => {}
        }
    }

    fn customer_key(&mut self, key: &Option<CustomerKey>) {
        if let Some(key) = key {
            self.header("opc-sse-customer-algorithm", "AES256");
            self.header("opc-sse-customer-key", key.key.as_str());
            self.header("opc-sse-customer-key-sha256", key.sha256.clone());
        }
    }

    /// The digest the service shall check the body by.
    fn checksum(&mut self, value: &Option<Value>) {
        let Some(value) = value else { return };
        match value.algorithm() {
            Algorithm::Md5 => self.header("content-md5", value.base64()),
            Algorithm::None => {}
            algorithm => {
                self.header("opc-checksum-algorithm", algorithm.name());
                self.header(content_header(algorithm), value.base64());
            }
        }
    }
}

/// The header that carries a digest of a whole body.
fn content_header(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Sha256 => "opc-content-sha256",
        Algorithm::Sha384 => "opc-content-sha384",
        Algorithm::Crc32c => "opc-content-crc32c",
        Algorithm::Md5 | Algorithm::None => "opc-content-md5",
    }
}

/// One path segment or query value, percent-encoded; `.` and `..` do not survive as segments.
fn encode(text: &str) -> String {
    match text {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => utf8_percent_encode(text, ENCODED).to_string(),
    }
}

impl ObjectLocation {
    fn bucket_path(&self) -> String {
        format!("/n/{}/b/{}", encode(&self.namespace), encode(&self.bucket))
    }

    fn object_path(&self) -> String {
        format!("{}/o/{}", self.bucket_path(), encode(&self.object))
    }

    fn upload_path(&self, upload_id: &str) -> String {
        format!("{}/u/{}?uploadId={}", self.bucket_path(), encode(&self.object), encode(upload_id))
    }
}

/// GetNamespace.
pub fn namespace() -> Request {
    Request::new("GET", "/n".to_owned())
}

/// HeadObject.
pub fn head_object(target: &ObjectLocation, customer_key: &Option<CustomerKey>) -> Request {
    let mut request = Request::new("HEAD", target.object_path());
    request.customer_key(customer_key);
    request
}

/// GetObject: these bytes (the last one included) of the object with this etag.
pub fn get_range(
    target: &ObjectLocation,
    customer_key: &Option<CustomerKey>,
    etag: &str,
    (first, last): (u64, u64),
) -> Request {
    let mut request = Request::new("GET", target.object_path());
    request.header("if-match", etag);
    request.header("range", format!("bytes={first}-{last}"));
    request.customer_key(customer_key);
    request.class = RequestClass::Transfer(last);
    request
}

impl PutOptions {
    /// Whether the headers of PutObject can say what is to be said of the object. They have no
    /// encoding of their own: what is not ASCII stands for itself only in the JSON of a create.
    pub fn fits_headers(&self) -> bool {
        let mut texts = self.metadata.iter().map(|(_, value)| value);
        texts.all(|value| value.is_ascii())
            && self.content_disposition.as_ref().is_none_or(|text| text.is_ascii())
    }
}

/// GetObject: the first byte of whatever stands there. Unlike a HEAD's, its refusal has a code.
pub fn get_first_byte(target: &ObjectLocation, customer_key: &Option<CustomerKey>) -> Request {
    let mut request = Request::new("GET", target.object_path());
    request.header("range", "bytes=0-0");
    request.customer_key(customer_key);
    request
}

/// DeleteObject, only the object with this etag.
pub fn delete_object(target: &ObjectLocation, etag: &str) -> Request {
    let mut request = Request::new("DELETE", target.object_path());
    request.header("if-match", etag);
    request
}

/// PutObject of a stream that fits into one request.
pub fn put_object(
    target: &ObjectLocation,
    storing: &PutOptions,
    size: u64,
    value: &Option<Value>,
) -> Request {
    let mut request = Request::new("PUT", target.object_path());
    request.condition(&storing.condition);
    request.header("content-type", storing.content_type.clone());
    request.optional("content-encoding", &storing.content_encoding);
    request.optional("content-language", &storing.content_language);
    request.optional("content-disposition", &storing.content_disposition);
    request.optional("cache-control", &storing.cache_control);
    request.optional("storage-tier", &storing.storage_tier);
    for (key, value) in &storing.metadata {
        request.header(&format!("opc-meta-{key}"), value.clone());
    }
    request.checksum(value);
    request.customer_key(&storing.customer_key);
    request.optional("opc-sse-kms-key-id", &storing.kms_key_id);
    request.body = RequestPayload::Stream(size);
    request.class = RequestClass::Transfer(1);
    request
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateBody<'a> {
    object: &'a str,
    content_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_language: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_disposition: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_tier: &'a Option<String>,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    metadata: serde_json::Map<String, serde_json::Value>,
}

/// CreateMultipartUpload.
pub fn create_upload(target: &ObjectLocation, storing: &PutOptions) -> Request {
    let metadata = storing
        .metadata
        .iter()
        // As in the headers of PutObject: the length of a stream must not decide how a name is kept.
        .map(|(key, value)| {
            (format!("opc-meta-{}", key.to_ascii_lowercase()), value.clone().into())
        })
        .collect();
    let body = CreateBody {
        object: &target.object,
        content_type: &storing.content_type,
        content_language: &storing.content_language,
        content_encoding: &storing.content_encoding,
        content_disposition: &storing.content_disposition,
        cache_control: &storing.cache_control,
        storage_tier: &storing.storage_tier,
        metadata,
    };
    let mut request = Request::new("POST", format!("{}/u", target.bucket_path()));
    request.condition(&storing.condition);
    if !matches!(storing.checksum, Algorithm::Md5 | Algorithm::None) {
        request.header("opc-checksum-algorithm", storing.checksum.name());
    }
    request.customer_key(&storing.customer_key);
    request.optional("opc-sse-kms-key-id", &storing.kms_key_id);
    request.body = json(&body);
    request
}

/// UploadPart.
pub fn upload_part(
    target: &ObjectLocation,
    storing: &PutOptions,
    upload_id: &str,
    number: u32,
    size: u64,
    value: &Option<Value>,
) -> Request {
    let path = format!("{}&uploadPartNum={number}", target.upload_path(upload_id));
    let mut request = Request::new("PUT", path);
    request.header("content-type", "application/octet-stream");
    request.checksum(value);
    request.customer_key(&storing.customer_key);
    request.body = RequestPayload::Stream(size);
    request.class = RequestClass::Transfer(number.into());
    request
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CommitPart<'a> {
    part_num: u32,
    etag: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CommitBody<'a> {
    parts_to_commit: Vec<CommitPart<'a>>,
    parts_to_exclude: [u32; 0],
}

/// CommitMultipartUpload; the condition of the create is repeated, since only the commit decides.
pub fn commit<'a>(
    target: &ObjectLocation,
    condition: &Precondition,
    upload_id: &str,
    parts: impl Iterator<Item = (u32, &'a str)>,
) -> Request {
    let mut request = Request::new("POST", target.upload_path(upload_id));
    request.condition(condition);
    let parts_to_commit = parts.map(|(part_num, etag)| CommitPart { part_num, etag }).collect();
    request.body = json(&CommitBody { parts_to_commit, parts_to_exclude: [] });
    request
}

/// AbortMultipartUpload.
pub fn abort(target: &ObjectLocation, upload_id: &str) -> Request {
    let request = Request::new("DELETE", target.upload_path(upload_id));
    Request { class: RequestClass::Abort, ..request }
}

/// ListMultipartUploadParts, one page.
pub fn list_parts(target: &ObjectLocation, upload_id: &str, page: Option<&str>) -> Request {
    let path = format!("{}&limit=1000{}", target.upload_path(upload_id), page_query(page));
    Request::new("GET", path)
}

/// ListMultipartUploads of a bucket, one page.
pub fn list_uploads(target: &ObjectLocation, page: Option<&str>) -> Request {
    let path = format!("{}/u?limit=1000{}", target.bucket_path(), page_query(page));
    Request::new("GET", path)
}

fn page_query(page: Option<&str>) -> String {
    page.map(|page| format!("&page={}", encode(page))).unwrap_or_default()
}

fn json(body: &impl Serialize) -> RequestPayload {
    // Serialising plain structs of strings and numbers to memory has no way to fail.
    RequestPayload::Json(serde_json::to_vec(body).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_in_a_log_shows_no_key() {
        let target =
            ObjectLocation { namespace: "n".into(), bucket: "b".into(), object: "o".into() };
        let secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlYw==";
        let key = CustomerKey { key: secret.to_owned().into(), sha256: String::new() };
        let shown = format!("{:?}", head_object(&target, &Some(key)));
        assert!(shown.contains("opc-sse-customer-key") && !shown.contains(secret), "{shown}");
    }
}

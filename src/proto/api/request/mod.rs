//! Requests of the Object Storage API, as data.
//!
//! Owns every path, query, header name and JSON field that the client sends (Object Storage Service
//! API, version 20160918, <https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/>). Must not
//! know sockets, signatures or retries. Invariant: `Request::target` is signed and sent without
//! further encoding.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::{CustomerKey, ObjectLocation, Precondition, PutOptions};
use crate::digest::{Algorithm, Value};
use crate::part_number::PartNumber;

/// All characters but the unreserved ones of RFC 3986 are encoded, `/` included, as in Oracle's SDKs.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A request without date, host and signature: those belong to one attempt.
#[derive(Clone)]
pub struct Request {
    pub method: &'static str,
    /// Path and query, encoded.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: RequestPayload,
    pub class: RequestClass,
}

/// What the token life cycle needs to know of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestClass {
    /// A request without stream data, which takes at most seconds.
    Small,
    /// A request that carries stream data in its body or response. All attempts share the number.
    Transfer(u64),
    /// AbortMultipartUpload, the last request of an upload.
    Abort,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The value of a header may be secret: the customer key is one.
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("target", &self.target)
            .field("headers", &headers)
            .finish_non_exhaustive()
    }
}

/// The body of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestPayload {
    None,
    /// A small JSON document, covered by the signature.
    Json(Vec<u8>),
    /// This many bytes of stream data, not covered by the signature.
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

    /// The digest that the service checks the body by.
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

/// The header for the digest of a whole body.
fn content_header(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Sha256 => "opc-content-sha256",
        Algorithm::Sha384 => "opc-content-sha384",
        Algorithm::Crc32c => "opc-content-crc32c",
        Algorithm::Md5 | Algorithm::None => "opc-content-md5",
    }
}

/// Percent-encodes one path segment or query value. `.` and `..` are encoded too, since URL
/// normalization removes them as segments.
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
pub fn head_object(location: &ObjectLocation, customer_key: &Option<CustomerKey>) -> Request {
    let mut request = Request::new("HEAD", location.object_path());
    request.customer_key(customer_key);
    request
}

/// GetObject of bytes `first` to `last`, both included, if the object has this etag.
pub fn get_range(
    location: &ObjectLocation,
    customer_key: &Option<CustomerKey>,
    etag: &str,
    (first, last): (u64, u64),
) -> Request {
    let mut request = Request::new("GET", location.object_path());
    request.header("if-match", etag);
    request.header("range", format!("bytes={first}-{last}"));
    request.customer_key(customer_key);
    request.class = RequestClass::Transfer(last);
    request
}

/// GetObject of the first byte of any object of this name. Unlike that of HeadObject, an error response
/// has a body with a code.
pub fn get_first_byte(location: &ObjectLocation, customer_key: &Option<CustomerKey>) -> Request {
    let mut request = Request::new("GET", location.object_path());
    request.header("range", "bytes=0-0");
    request.customer_key(customer_key);
    request
}

/// DeleteObject, if the object has this etag.
pub fn delete_object(location: &ObjectLocation, etag: &str) -> Request {
    let mut request = Request::new("DELETE", location.object_path());
    request.header("if-match", etag);
    request
}

/// PutObject of a whole stream of `size` bytes.
pub fn put_object(
    location: &ObjectLocation,
    options: &PutOptions,
    size: u64,
    value: &Option<Value>,
) -> Request {
    let mut request = Request::new("PUT", location.object_path());
    request.condition(&options.condition);
    request.header("content-type", options.content_type.clone());
    request.optional("content-encoding", &options.content_encoding);
    request.optional("content-language", &options.content_language);
    request.optional("content-disposition", &options.content_disposition);
    request.optional("cache-control", &options.cache_control);
    request.optional("storage-tier", &options.storage_tier);
    for (key, value) in &options.metadata {
        request.header(&format!("opc-meta-{key}"), value.clone());
    }
    request.checksum(value);
    request.customer_key(&options.customer_key);
    request.optional("opc-sse-kms-key-id", &options.kms_key_id);
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
pub fn create_upload(location: &ObjectLocation, options: &PutOptions) -> Request {
    let metadata = options
        .metadata
        .iter()
        // Lower case, as the headers of PutObject are: the length of a stream must not change a name.
        .map(|(key, value)| {
            (format!("opc-meta-{}", key.to_ascii_lowercase()), value.clone().into())
        })
        .collect();
    let body = CreateBody {
        object: &location.object,
        content_type: &options.content_type,
        content_language: &options.content_language,
        content_encoding: &options.content_encoding,
        content_disposition: &options.content_disposition,
        cache_control: &options.cache_control,
        storage_tier: &options.storage_tier,
        metadata,
    };
    let mut request = Request::new("POST", format!("{}/u", location.bucket_path()));
    request.condition(&options.condition);
    if !matches!(options.checksum, Algorithm::Md5 | Algorithm::None) {
        request.header("opc-checksum-algorithm", options.checksum.name());
    }
    request.customer_key(&options.customer_key);
    request.optional("opc-sse-kms-key-id", &options.kms_key_id);
    request.body = json(&body);
    request
}

/// UploadPart of part `number`, counted from 1, with a body of `size` bytes.
pub fn upload_part(
    location: &ObjectLocation,
    options: &PutOptions,
    upload_id: &str,
    number: PartNumber,
    size: u64,
    value: &Option<Value>,
) -> Request {
    let path = format!("{}&uploadPartNum={number}", location.upload_path(upload_id));
    let mut request = Request::new("PUT", path);
    request.header("content-type", "application/octet-stream");
    request.checksum(value);
    request.customer_key(&options.customer_key);
    request.body = RequestPayload::Stream(size);
    request.class = RequestClass::Transfer(number.get().into());
    request
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CommitPart<'a> {
    part_num: PartNumber,
    etag: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CommitBody<'a> {
    parts_to_commit: Vec<CommitPart<'a>>,
    parts_to_exclude: [u32; 0],
}

/// CommitMultipartUpload of `parts`, each a part number and an etag. The precondition of the create is
/// repeated, since the service evaluates it at the commit.
pub fn commit<'a>(
    location: &ObjectLocation,
    condition: &Precondition,
    upload_id: &str,
    parts: impl Iterator<Item = (PartNumber, &'a str)>,
) -> Request {
    let mut request = Request::new("POST", location.upload_path(upload_id));
    request.condition(condition);
    let parts_to_commit = parts.map(|(part_num, etag)| CommitPart { part_num, etag }).collect();
    request.body = json(&CommitBody { parts_to_commit, parts_to_exclude: [] });
    request
}

/// AbortMultipartUpload.
pub fn abort(location: &ObjectLocation, upload_id: &str) -> Request {
    let request = Request::new("DELETE", location.upload_path(upload_id));
    Request { class: RequestClass::Abort, ..request }
}

/// ListMultipartUploadParts, one page of at most 1,000 parts; `page` is `Page::next` of the page before.
pub fn list_parts(location: &ObjectLocation, upload_id: &str, page: Option<&str>) -> Request {
    let path = format!("{}&limit=1000{}", location.upload_path(upload_id), page_query(page));
    Request::new("GET", path)
}

/// ListMultipartUploads of the bucket, one page of at most 1,000 uploads.
pub fn list_uploads(location: &ObjectLocation, page: Option<&str>) -> Request {
    let path = format!("{}/u?limit=1000{}", location.bucket_path(), page_query(page));
    Request::new("GET", path)
}

fn page_query(page: Option<&str>) -> String {
    page.map(|page| format!("&page={}", encode(page))).unwrap_or_default()
}

fn json(body: &impl Serialize) -> RequestPayload {
    // Serialization of plain structs of strings and numbers to memory cannot fail.
    RequestPayload::Json(serde_json::to_vec(body).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_in_a_log_shows_no_key() {
        let location =
            ObjectLocation { namespace: "n".into(), bucket: "b".into(), object: "o".into() };
        let secret = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlYw==";
        let key = CustomerKey { key: secret.to_owned().into(), sha256: String::new() };
        let shown = format!("{:?}", head_object(&location, &Some(key)));
        assert!(shown.contains("opc-sse-customer-key") && !shown.contains(secret), "{shown}");
    }
}

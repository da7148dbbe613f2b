//! Requests of the Object Storage API, as data.
//!
//! Owns every path, query, header name and JSON field that the client sends (Object Storage Service
//! API, version 20160918, <https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/>): `objects`
//! has the requests for one object, `multipart` those of a multipart upload. Must not know sockets,
//! signatures or retries. Invariant: `Request::target` is signed and sent without further encoding.

mod multipart;
mod objects;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::{CustomerKey, ObjectLocation, Precondition, PutOptions};
use crate::digest::{Algorithm, BufferCrc, Value};
use crate::path_secret::{MASK, PathSecret};

pub use multipart::{abort, commit, create_upload, list_parts, list_uploads, upload_part};
pub use objects::{
    delete_object, get_first_byte, get_range, head_object, head_version, namespace, put_object,
    restore_object,
};

/// All characters but the unreserved ones of RFC 3986 are encoded, `/` included, as in Oracle's SDKs.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A request without date, host and signature: those belong to one attempt.
#[derive(Clone)]
pub struct Request {
    /// The HTTP method.
    pub method: &'static str,
    /// Path and query, encoded; of a pre-authenticated request, what follows the secret.
    pub target: String,
    /// What goes before the target of a pre-authenticated request, which is not signed.
    pub secret: Option<PathSecret>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: RequestPayload,
    /// What the request transfers.
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
            .field("target", &self.shown_target())
            .field("headers", &headers)
            .finish_non_exhaustive()
    }
}

/// The body of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestPayload {
    /// No body.
    None,
    /// A small JSON document, covered by the signature.
    Json(Vec<u8>),
    /// This many bytes of stream data, not covered by the signature, and the CRC that is taken of them
    /// while they are sent.
    Stream {
        /// Bytes.
        size: u64,
        /// The CRC that is taken.
        crc: BufferCrc,
    },
}

impl Request {
    pub(crate) fn new(method: &'static str, target: String) -> Request {
        Request {
            method,
            target,
            secret: None,
            headers: Vec::new(),
            body: RequestPayload::None,
            class: RequestClass::Small,
        }
    }

    pub(crate) fn header(&mut self, name: &str, value: impl Into<String>) {
        self.headers.push((name.to_owned(), value.into()));
    }

    fn optional(&mut self, name: &str, value: &Option<String>) {
        if let Some(value) = value {
            self.header(name, value.clone());
        }
    }

    pub(crate) fn condition(&mut self, condition: &Precondition) {
        match condition {
            Precondition::IfNoneMatch => self.header("if-none-match", "*"),
            Precondition::IfMatch(etag) => self.header("if-match", etag.clone()),
            Precondition::None => {}
        }
    }

    pub(crate) fn customer_key(&mut self, key: &Option<CustomerKey>) {
        if let Some(key) = key {
            self.header("opc-sse-customer-algorithm", "AES256");
            self.header("opc-sse-customer-key", key.key.as_str());
            self.header("opc-sse-customer-key-sha256", key.sha256.clone());
        }
    }

    /// The condition and the properties of an object that a PUT stores.
    pub(crate) fn object_properties(&mut self, options: &PutOptions) {
        // Each property by its name, so that a new one cannot be left out.
        let PutOptions {
            condition,
            checksum: _,
            storage_tier,
            content_type,
            content_encoding,
            content_language,
            content_disposition,
            cache_control,
            metadata,
            customer_key,
            kms_key_id,
        } = options;
        self.condition(condition);
        self.header("content-type", content_type.clone());
        self.optional("content-encoding", content_encoding);
        self.optional("content-language", content_language);
        self.optional("content-disposition", content_disposition);
        self.optional("cache-control", cache_control);
        self.optional("storage-tier", storage_tier);
        for (key, value) in metadata {
            self.header(&format!("opc-meta-{key}"), value.clone());
        }
        self.customer_key(customer_key);
        self.optional("opc-sse-kms-key-id", kms_key_id);
    }

    /// The algorithm of the digests that the parts of an upload will have.
    pub(crate) fn checksum_algorithm(&mut self, algorithm: Algorithm) {
        if !matches!(algorithm, Algorithm::Md5 | Algorithm::None) {
            self.header("opc-checksum-algorithm", algorithm.name());
        }
    }

    /// Removes the headers with digests and their algorithm. Returns whether there were any.
    pub fn remove_digests(&mut self) -> bool {
        let before = self.headers.len();
        self.headers.retain(|(name, _)| {
            name != "content-md5"
                && name != "opc-checksum-algorithm"
                && !name.starts_with("opc-content-")
        });
        self.headers.len() < before
    }

    /// The target as a log may show it.
    pub fn shown_target(&self) -> String {
        match &self.secret {
            Some(_) => format!("/p/{MASK}{}", self.target),
            None => self.target.clone(),
        }
    }

    /// The digest that the service checks the body by.
    pub(crate) fn checksum(&mut self, value: &Option<Value>) {
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

    fn version_path(&self, version_id: &Option<String>) -> String {
        let query = version_id.as_deref().map(|id| format!("?versionId={}", encode(id)));
        format!("{}{}", self.object_path(), query.unwrap_or_default())
    }

    fn upload_path(&self, upload_id: &str) -> String {
        format!("{}/u/{}?uploadId={}", self.bucket_path(), encode(&self.object), encode(upload_id))
    }
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

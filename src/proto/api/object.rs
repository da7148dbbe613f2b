//! An object as the user describes it: its location, and the options that it is stored with.
//!
//! Owns these values. Must not know requests. Invariant: the debug output of a customer key is redacted.

use std::fmt;

use crate::digest::Algorithm;

/// One object: namespace (looked up if the user did not give it), bucket and name, none of them encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectLocation {
    /// The namespace of the tenancy.
    pub namespace: String,
    /// The bucket.
    pub bucket: String,
    /// The name of the object, which may contain slashes.
    pub object: String,
}

impl fmt::Display for ObjectLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci://{}@{}/{}", self.bucket, self.namespace, self.object)
    }
}

/// A customer-provided encryption key (SSE-C). Every request that reads or writes the data, or the
/// headers of the object, repeats it.
#[derive(Clone)]
pub struct CustomerKey {
    /// Base64 of the 32 bytes.
    pub key: zeroize::Zeroizing<String>,
    /// Base64 of the SHA-256 of the 32 bytes.
    pub sha256: String,
}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomerKey(redacted)")
    }
}

/// Which version of an object is read, and how.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The key that the object was encrypted with, if the user provides it.
    pub customer_key: Option<CustomerKey>,
    /// The version of an object in a bucket with versioning; `None` for the current one.
    pub version_id: Option<String>,
    /// The etag that the object must have.
    pub if_match: Option<String>,
}

/// Under which condition the service stores an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// `if-none-match: *`: only if no object has this name.
    IfNoneMatch,
    /// `if-match`: only if the current object has this etag.
    IfMatch(String),
    /// Always; a current object is replaced.
    None,
}

/// How the service stores the object: headers of PutObject, fields of CreateMultipartUpload.
#[derive(Debug, Clone)]
pub struct PutOptions {
    /// Whether an object at the name may be replaced.
    pub condition: Precondition,
    /// The digest that the service checks each body by.
    pub checksum: Algorithm,
    /// `Standard`, `InfrequentAccess` or `Archive`; `None` is the bucket's default.
    pub storage_tier: Option<String>,
    /// The header `content-type`.
    pub content_type: String,
    /// The header `content-encoding`.
    pub content_encoding: Option<String>,
    /// The header `content-language`.
    pub content_language: Option<String>,
    /// The header `content-disposition`.
    pub content_disposition: Option<String>,
    /// The header `cache-control`.
    pub cache_control: Option<String>,
    /// Names without the prefix `opc-meta-`, and values.
    pub metadata: Vec<(String, String)>,
    /// The key to encrypt with, if the user provides it.
    pub customer_key: Option<CustomerKey>,
    /// The OCID of the key in a vault to encrypt with.
    pub kms_key_id: Option<String>,
}

impl Default for PutOptions {
    /// No object is replaced, each body is checked by its SHA-256, and there are no other properties.
    fn default() -> PutOptions {
        PutOptions {
            condition: Precondition::IfNoneMatch,
            checksum: Algorithm::Sha256,
            storage_tier: None,
            content_type: "application/octet-stream".to_owned(),
            content_encoding: None,
            content_language: None,
            content_disposition: None,
            cache_control: None,
            metadata: Vec::new(),
            customer_key: None,
            kms_key_id: None,
        }
    }
}

impl PutOptions {
    /// Whether the headers of PutObject can carry these values: headers are ASCII, and only the JSON of
    /// CreateMultipartUpload can carry other characters.
    pub fn fits_headers(&self) -> bool {
        let mut texts = self.metadata.iter().map(|(_, value)| value);
        texts.all(|value| value.is_ascii())
            && self.content_disposition.as_ref().is_none_or(|text| text.is_ascii())
    }
}

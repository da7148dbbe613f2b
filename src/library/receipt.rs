//! What the caller gets for a stored object.
//!
//! Owns the public form of the result. Must not know how a value was obtained. Invariant: there is a receipt
//! only of an object that was compared with the stream.

use std::time::Duration;

use proto::api::ObjectLocation;
use proto::upload::StoredObject;

/// An object that was stored and compared with what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The namespace of the tenancy.
    pub namespace: String,
    /// The bucket.
    pub bucket: String,
    /// The name of the object.
    pub name: String,
    /// The etag that the service gave it.
    pub etag: String,
    /// Its size in bytes, which is the length of the stream.
    pub size: u64,
    /// The number of its parts; 1 for an object that was stored by one request.
    pub parts: u32,
    /// The id of its multipart upload; `None` for an object that was stored by one request.
    pub upload_id: Option<String>,
    /// The SHA-256 that the service keeps: of the object in base64 or, with `-N` behind it, of the digests
    /// of its N parts.
    pub checksum: Option<String>,
    /// The digest by which the service's object was compared with the stream, named by its header.
    pub verified_by: String,
    /// The `opc-request-id` of the request that made the object visible.
    pub request_id: Option<String>,
    /// The attempts that were repeated.
    pub retries: u64,
    /// The time from the start of the run to the confirmed object.
    pub elapsed: Duration,
}

impl Receipt {
    pub(super) fn of(
        stored: StoredObject,
        location: ObjectLocation,
        retries: u64,
        elapsed: Duration,
    ) -> Receipt {
        Receipt {
            namespace: location.namespace,
            bucket: location.bucket,
            name: location.object,
            etag: stored.meta.etag.unwrap_or_default(),
            size: stored.size,
            parts: stored.parts,
            upload_id: stored.upload_id,
            checksum: stored.checksum,
            verified_by: stored.evidence.to_string(),
            request_id: stored.meta.request_id,
            retries,
            elapsed,
        }
    }
}

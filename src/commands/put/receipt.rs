//! The receipt of a `put`: of an object that was stored, or of one that was there already.
//!
//! Owns which values of the object the receipt has. Must not know how they were obtained. Invariant: a value
//! is in the receipt only if the service reported it or it was computed over the stream.

use proto::api::{ObjectLocation, ObjectMeta};
use proto::digest::{Algorithm, Value};
use proto::object_digest::{LayoutOrigin, Proof};
use proto::part_layout::PartLayout;
use proto::receipt::{Checksum, Receipt};
use proto::upload::StoredObject;

/// The receipt of a stored object, without the duration and the counters of the run.
pub(super) fn of_stored(
    stored: StoredObject,
    location: ObjectLocation,
    checksum: Algorithm,
) -> Receipt {
    let checksum = stored.checksum.map(|value| named(checksum, value));
    Receipt {
        size: stored.size,
        parts: stored.parts,
        part_sizes: Some(stored.layout),
        upload_id: stored.upload_id,
        checksum,
        sha256: stored.sha256,
        verified_by: stored.evidence.to_string(),
        ..of_object(stored.meta, location)
    }
}

/// An object that was there already and is the same as the stream.
pub(super) struct IdenticalObject {
    pub object: ObjectMeta,
    pub proof: Proof,
    /// Bytes of the stream.
    pub size: u64,
    /// The parts of the object, where they are known.
    pub layout: Option<PartLayout>,
}

/// The receipt of an identical object, without the duration and the counters of the run.
pub(super) fn of_identical(identical: IdenticalObject, location: ObjectLocation) -> Receipt {
    let IdenticalObject { object, proof, size, layout } = identical;
    let multipart_md5 = object.multipart.md5.as_deref();
    let layout = match multipart_md5 {
        None => PartLayout::of_sizes([size]),
        Some(_) => layout,
    };
    let stated = multipart_md5.and_then(|value| value.rsplit_once('-')?.1.parse().ok());
    let parts = stated.or(layout.as_ref().map(PartLayout::parts)).unwrap_or(proof.parts);
    let digests = if multipart_md5.is_some() { &object.multipart } else { &object.content };
    let stored = [Algorithm::Sha384, Algorithm::Sha256]
        .into_iter()
        .find_map(|algorithm| Some(named(algorithm, digests.get(algorithm)?.to_owned())));
    let crc32c = || Some(named(Algorithm::Crc32c, object.content.crc32c.clone()?));
    let whole = object.content.get(Algorithm::Sha256);
    let sha256 = whole.and_then(|text| Value::from_base64(Algorithm::Sha256, text));
    Receipt {
        identical: true,
        size,
        parts,
        part_sizes: layout.filter(|layout| layout.parts() == parts),
        checksum: stored.or_else(crc32c),
        sha256: sha256.as_ref().map(Value::hex),
        verified_by: match proof.origin {
            LayoutOrigin::Read => "every byte".to_owned(),
            _ => proof.evidence.to_string(),
        },
        ..of_object(object, location)
    }
}

fn named(algorithm: Algorithm, value: String) -> Checksum {
    Checksum { algorithm: algorithm.name().to_owned(), value }
}

/// What the service reports of every object.
fn of_object(object: ObjectMeta, location: ObjectLocation) -> Receipt {
    Receipt {
        etag: object.etag.unwrap_or_default(),
        last_modified: object.last_modified,
        opc_multipart_md5: object.multipart.md5,
        opc_content_md5: object.content.md5,
        bucket: location.bucket,
        name: location.object,
        namespace: location.namespace,
        opc_request_id: object.request_id,
        ..Receipt::default()
    }
}

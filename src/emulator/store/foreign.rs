//! An object that appears without a request to this server, as if another client had stored it.
//!
//! Knows no fault and no HTTP. Invariant: it replaces whatever has its name, as a PutObject without
//! preconditions does.

use super::super::checksum::ChecksumHasher;
use super::super::conditions::Conditions;
use super::super::response::ErrorResponse;
use super::ObjectStore;
use super::object::{Object, ObjectChecksums, Properties, uuid};
use super::part_writer::PartWriter;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Stores `bytes` under this name at `now` (milliseconds since 1970); `scratch` is a path for a
/// temporary file. Fails if the bucket does not exist or the disk refuses it.
pub(crate) fn store_object(
    store: &dyn ObjectStore,
    scratch: PathBuf,
    bucket: &str,
    name: &str,
    bytes: &[u8],
    now: u64,
) -> Result<Object, ErrorResponse> {
    let writer = PartWriter::standalone(scratch)?;
    writer.file.write_all_at(bytes, 0)?;
    let mut hasher = ChecksumHasher::new(&[]);
    hasher.update(bytes);
    let properties =
        Properties { storage_tier: Some("Standard".to_owned()), ..Properties::default() };
    let object = Object {
        name: name.to_owned(),
        etag: uuid(),
        size: bytes.len() as u64,
        created: now,
        modified: now,
        properties,
        checksums: ObjectChecksums::Single(hasher.finish()),
        restored_until: None,
    };
    store.commit_object(bucket, writer.path(), object, &Conditions::default())
}

//! Storage: buckets, objects and open uploads, on disk.
//!
//! Knows no HTTP but the error responses that it returns. `durable` and `super::plain_files` store
//! finished objects; uploads are the same for both. All calls block, so they run on the threads of
//! `super::threads`. Invariant: an object appears complete or not at all, and a request that fails
//! changes nothing.

pub(crate) mod assembly;
pub(crate) mod commit;
pub(crate) mod durable;
pub(crate) mod foreign;
pub(crate) mod listing;
pub(crate) mod object;
pub(crate) mod part_writer;
mod ranges;
pub(crate) mod upload;
pub(crate) mod uploads;

use super::conditions::Conditions;
use super::response::ErrorResponse;
use object::{Bucket, Object};
use std::fs::File;
use std::io;
use std::path::Path;

/// Stores buckets and finished objects. All methods fail with the response to an error of the disk.
pub(crate) trait ObjectStore: Send + Sync {
    fn buckets(&self) -> io::Result<Vec<Bucket>>;
    /// `None` if there is no such bucket.
    fn bucket(&self, bucket: &str) -> io::Result<Option<Bucket>>;
    /// Fails with 409 if the bucket exists.
    fn create_bucket(&self, bucket: Bucket) -> Result<Bucket, ErrorResponse>;
    /// False if there is no such bucket; fails with 409 if it is not empty.
    fn delete_bucket(&self, bucket: &str) -> Result<bool, ErrorResponse>;
    /// Checks, before a body is received, that an object of this name can be stored; fails with
    /// 400.
    fn check_name(&self, bucket: &str, name: &str) -> Result<(), ErrorResponse>;
    /// The object without its bytes; `None` if it does not exist.
    fn head(&self, bucket: &str, name: &str) -> Result<Option<Object>, ErrorResponse>;
    /// The object and a file with its bytes; `None` if it does not exist.
    fn open(&self, bucket: &str, name: &str) -> Result<Option<(Object, File)>, ErrorResponse>;
    /// Moves the finished file at `data` into place as `object` and returns the object as stored.
    /// Fails if a precondition does not hold at that moment.
    fn commit_object(
        &self,
        bucket: &str,
        data: &Path,
        object: Object,
        conditions: &Conditions,
    ) -> Result<Object, ErrorResponse>;
    /// Replaces what is stored of an object besides its bytes.
    fn update_metadata(&self, bucket: &str, object: Object) -> Result<(), ErrorResponse>;
    /// False if the object does not exist; fails if a precondition does not hold.
    fn delete(
        &self,
        bucket: &str,
        name: &str,
        conditions: &Conditions,
    ) -> Result<bool, ErrorResponse>;
    /// All objects of a bucket in the order of their names.
    fn list(&self, bucket: &str) -> Result<Vec<Object>, ErrorResponse>;
}

//! What the server keeps: buckets, objects and open uploads, on disk.
//!
//! Knows no HTTP beyond the refusals it words. Two shelves keep finished objects (`full` here, `local`
//! beside this folder); uploads are the same for both. All calls block: they belong on threads that
//! may. Invariant: an object appears whole or not at all, and a refused request changes nothing.

pub mod assembly;
pub mod durable;
pub mod listing;
pub mod object;
mod ranges;
pub mod upload;
pub mod uploads;

use super::conditions::Conditions;
use super::response::ErrorResponse;
use object::{Bucket, Object};
use std::fs::File;
use std::io;
use std::path::Path;

/// Where finished objects stand.
pub trait ObjectStore: Send + Sync {
    fn buckets(&self) -> io::Result<Vec<Bucket>>;
    fn bucket(&self, bucket: &str) -> io::Result<Option<Bucket>>;
    fn create_bucket(&self, bucket: Bucket) -> Result<Bucket, ErrorResponse>;
    /// False where there was none; a bucket that is not empty is refused.
    fn delete_bucket(&self, bucket: &str) -> Result<bool, ErrorResponse>;
    /// Refuses what could never be stored, before any of it is received.
    fn check_name(&self, bucket: &str, name: &str) -> Result<(), ErrorResponse>;
    fn head(&self, bucket: &str, name: &str) -> Result<Option<Object>, ErrorResponse>;
    fn open(&self, bucket: &str, name: &str) -> Result<Option<(Object, File)>, ErrorResponse>;
    /// Moves the finished file at `data` into place as `object`, if the conditions hold then; returns
    /// the object as it is now kept.
    fn commit_object(
        &self,
        bucket: &str,
        data: &Path,
        object: Object,
        conditions: &Conditions,
    ) -> Result<Object, ErrorResponse>;
    /// Records a change of an object that leaves its bytes alone.
    fn update_metadata(&self, bucket: &str, object: Object) -> Result<(), ErrorResponse>;
    /// False where there was none.
    fn delete(
        &self,
        bucket: &str,
        name: &str,
        conditions: &Conditions,
    ) -> Result<bool, ErrorResponse>;
    /// All objects of a bucket, ordered by name.
    fn list(&self, bucket: &str) -> Result<Vec<Object>, ErrorResponse>;
}

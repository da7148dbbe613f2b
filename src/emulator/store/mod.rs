//! What the server keeps: buckets, objects and open uploads, on disk.
//!
//! Knows no HTTP beyond the refusals it words. Two shelves keep finished objects (`full` here, `local`
//! beside this folder); uploads are the same for both. All calls block: they belong on threads that
//! may. Invariant: an object appears whole or not at all, and a refused request changes nothing.

pub mod assembly;
pub mod full;
pub mod listing;
pub mod object;
mod ranges;
pub mod upload;
pub mod uploads;

use super::answer::Failure;
use super::conditions::Conditions;
use object::{Bucket, Object};
use std::fs::File;
use std::io;
use std::path::Path;

/// Where finished objects stand.
pub trait Shelf: Send + Sync {
    fn buckets(&self) -> io::Result<Vec<Bucket>>;
    fn bucket(&self, bucket: &str) -> io::Result<Option<Bucket>>;
    fn create_bucket(&self, bucket: Bucket) -> Result<Bucket, Failure>;
    /// False where there was none; a bucket that is not empty is refused.
    fn delete_bucket(&self, bucket: &str) -> Result<bool, Failure>;
    /// Refuses what could never be stored, before any of it is received.
    fn admit(&self, bucket: &str, name: &str) -> Result<(), Failure>;
    fn head(&self, bucket: &str, name: &str) -> Result<Option<Object>, Failure>;
    fn open(&self, bucket: &str, name: &str) -> Result<Option<(Object, File)>, Failure>;
    /// Moves the finished file at `data` into place as `object`, if the conditions hold then; returns
    /// the object as it is now kept.
    fn place(
        &self,
        bucket: &str,
        data: &Path,
        object: Object,
        conditions: &Conditions,
    ) -> Result<Object, Failure>;
    /// Records a change of an object that leaves its bytes alone.
    fn amend(&self, bucket: &str, object: Object) -> Result<(), Failure>;
    /// False where there was none.
    fn delete(&self, bucket: &str, name: &str, conditions: &Conditions) -> Result<bool, Failure>;
    /// All objects of a bucket, ordered by name.
    fn list(&self, bucket: &str) -> Result<Vec<Object>, Failure>;
}

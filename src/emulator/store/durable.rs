//! The shelf of `serve`: every legal object name can be stored, and everything survives a restart.
//!
//! Owns `DIR/buckets`: a folder a bucket, in it `bucket.json`, `objects/KEY.json` (what is known of an
//! object, with its etag) and `data/ETAG` (its bytes). A folder made by hand is a bucket too.
//! Invariant: an object changes at the rename of its JSON file; until then the old bytes stay.

use super::super::conditions::Conditions;
use super::super::response::ErrorResponse;
use super::ObjectStore;
use super::object::{Bucket, Object, legal_bucket_name};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

pub struct DurableStore {
    dir: PathBuf,
    index: Mutex<BTreeMap<String, StoredRecord>>,
}

#[derive(Debug)]
struct StoredRecord {
    bucket: Bucket,
    dir: PathBuf,
    objects: BTreeMap<String, Object>,
}

impl DurableStore {
    /// Opens the shelf; `first` are the buckets made when there is none yet.
    pub fn open(dir: &Path, first: &[&str], now: u64) -> io::Result<DurableStore> {
        let new = !dir.exists();
        fs::create_dir_all(dir)?;
        let mut index = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                let kept = StoredRecord::load(path, now)?;
                index.insert(kept.bucket.name.clone(), kept);
            }
        }
        let shelf = DurableStore { dir: dir.to_owned(), index: Mutex::new(index) };
        if new {
            for name in first {
                let made = shelf.create_bucket(Bucket::new(name, now));
                made.map_err(|refused| io::Error::other(refused.message))?;
            }
        }
        Ok(shelf)
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, StoredRecord>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on a bucket, looking for a folder made by hand if it is not known yet.
    fn with<T>(
        &self,
        bucket: &str,
        work: impl FnOnce(&mut StoredRecord) -> Result<T, ErrorResponse>,
    ) -> Result<Option<T>, ErrorResponse> {
        let mut index = self.locked();
        if !index.contains_key(bucket) {
            let path = self.dir.join(bucket);
            if !legal_bucket_name(bucket) || !path.is_dir() {
                return Ok(None);
            }
            index.insert(bucket.to_owned(), StoredRecord::load(path, 0)?);
        }
        index.get_mut(bucket).map(work).transpose()
    }
}

impl StoredRecord {
    fn load(dir: PathBuf, now: u64) -> io::Result<StoredRecord> {
        for folder in ["objects", "data"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        let about = dir.join("bucket.json");
        let bucket = if about.exists() {
            serde_json::from_slice(&fs::read(about)?)?
        } else {
            let name = dir.file_name().unwrap_or_default().to_string_lossy();
            let bucket = Bucket::new(&name, now);
            write_whole(&about, &serde_json::to_vec_pretty(&bucket)?)?;
            bucket
        };
        let mut kept = StoredRecord { bucket, dir, objects: BTreeMap::new() };
        for entry in fs::read_dir(kept.dir.join("objects"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let object: Object = serde_json::from_slice(&fs::read(path)?)?;
                kept.objects.insert(object.name.clone(), object);
            }
        }
        kept.remove_orphans()?;
        Ok(kept)
    }

    /// Removes bytes that no object names: those of a write that never finished.
    fn remove_orphans(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.dir.join("data"))? {
            let entry = entry?;
            let named = |object: &Object| entry.file_name() == object.etag.as_str();
            if !self.objects.values().any(named) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn data(&self, object: &Object) -> PathBuf {
        self.dir.join("data").join(&object.etag)
    }

    fn about(&self, name: &str) -> PathBuf {
        self.dir.join("objects").join(format!("{}.json", key(name)))
    }

    fn etag(&self, name: &str) -> Option<&str> {
        self.objects.get(name).map(|object| object.etag.as_str())
    }

    fn write(&mut self, object: Object) -> io::Result<()> {
        write_whole(&self.about(&object.name), &serde_json::to_vec_pretty(&object)?)?;
        self.objects.insert(object.name.clone(), object);
        Ok(())
    }
}

impl ObjectStore for DurableStore {
    fn buckets(&self) -> io::Result<Vec<Bucket>> {
        Ok(self.locked().values().map(|kept| kept.bucket.clone()).collect())
    }

    fn bucket(&self, bucket: &str) -> io::Result<Option<Bucket>> {
        self.with(bucket, |kept| Ok(kept.bucket.clone()))
            .map_err(|refused| io::Error::other(refused.message))
    }

    fn create_bucket(&self, bucket: Bucket) -> Result<Bucket, ErrorResponse> {
        if self.bucket(&bucket.name)?.is_some() {
            return Err(ErrorResponse::new(
                409,
                "BucketAlreadyExists",
                format!("The bucket '{}' already exists", bucket.name),
            ));
        }
        let dir = self.dir.join(&bucket.name);
        fs::create_dir_all(&dir)?;
        write_whole(
            &dir.join("bucket.json"),
            &serde_json::to_vec_pretty(&bucket).map_err(io::Error::from)?,
        )?;
        let kept = StoredRecord::load(dir, 0)?;
        self.locked().insert(bucket.name.clone(), kept);
        Ok(bucket)
    }

    fn delete_bucket(&self, bucket: &str) -> Result<bool, ErrorResponse> {
        let emptied = self.with(bucket, |kept| {
            if !kept.objects.is_empty() {
                let message = format!("The bucket named '{bucket}' is not empty.");
                return Err(ErrorResponse::new(409, "BucketNotEmpty", message));
            }
            Ok(fs::remove_dir_all(&kept.dir)?)
        })?;
        self.locked().remove(bucket);
        Ok(emptied.is_some())
    }

    fn check_name(&self, _bucket: &str, _name: &str) -> Result<(), ErrorResponse> {
        Ok(())
    }

    fn head(&self, bucket: &str, name: &str) -> Result<Option<Object>, ErrorResponse> {
        Ok(self.with(bucket, |kept| Ok(kept.objects.get(name).cloned()))?.flatten())
    }

    fn open(&self, bucket: &str, name: &str) -> Result<Option<(Object, File)>, ErrorResponse> {
        let opened = self.with(bucket, |kept| {
            let Some(object) = kept.objects.get(name) else { return Ok(None) };
            Ok(Some((object.clone(), File::open(kept.data(object))?)))
        })?;
        Ok(opened.flatten())
    }

    fn commit_object(
        &self,
        bucket: &str,
        data: &Path,
        mut object: Object,
        conditions: &Conditions,
    ) -> Result<Object, ErrorResponse> {
        let placed = self.with(bucket, |kept| {
            conditions.allow_write(kept.etag(&object.name))?;
            let old = kept.objects.get(&object.name).cloned();
            if let Some(old) = &old {
                object.created = old.created;
            }
            let home = kept.data(&object);
            fs::rename(data, &home)?;
            if let Err(error) = kept.write(object.clone()) {
                // Back to where it came from: a refused commit leaves the upload whole.
                fs::rename(&home, data)?;
                return Err(error.into());
            }
            if let Some(old) = old {
                // At worst an orphan, which the next start removes.
                let _ = fs::remove_file(kept.data(&old));
            }
            Ok(object)
        })?;
        placed.ok_or_else(|| {
            ErrorResponse::bucket_not_found(bucket, super::super::state_dir::NAMESPACE)
        })
    }

    fn update_metadata(&self, bucket: &str, object: Object) -> Result<(), ErrorResponse> {
        self.with(bucket, |kept| Ok(kept.write(object)?))?;
        Ok(())
    }

    fn delete(
        &self,
        bucket: &str,
        name: &str,
        conditions: &Conditions,
    ) -> Result<bool, ErrorResponse> {
        let deleted = self.with(bucket, |kept| {
            let Some(object) = kept.objects.get(name).cloned() else { return Ok(false) };
            conditions.allow_write(Some(&object.etag))?;
            fs::remove_file(kept.about(name))?;
            kept.objects.remove(name);
            let _ = fs::remove_file(kept.data(&object));
            Ok(true)
        })?;
        Ok(deleted.unwrap_or(false))
    }

    fn list(&self, bucket: &str) -> Result<Vec<Object>, ErrorResponse> {
        let listed = self.with(bucket, |kept| Ok(kept.objects.values().cloned().collect()))?;
        Ok(listed.unwrap_or_default())
    }
}

/// A file name for an object's name: legible, short enough, and never the same for two names, not even
/// where the file system ignores case.
fn key(name: &str) -> String {
    let legible: String = utf8_percent_encode(name, PLAIN).to_string().chars().take(120).collect();
    let hash = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let hash: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{legible}~{hash}")
}

/// Writes a file all at once, and on disk before it counts.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::object::{ObjectChecksums, Properties, uuid};
    use super::*;

    fn object(name: &str) -> Object {
        Object {
            name: name.to_owned(),
            etag: uuid(),
            size: 1,
            created: 1,
            modified: 1,
            properties: Properties::default(),
            checks: ObjectChecksums::Unknown,
            restored_until: None,
        }
    }

    fn put(shelf: &DurableStore, dir: &Path, name: &str) -> Object {
        let data = dir.join("new");
        fs::write(&data, name).unwrap();
        shelf.commit_object("demo", &data, object(name), &Conditions::default()).unwrap()
    }

    #[test]
    fn every_legal_name_is_stored_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let buckets = dir.path().join("buckets");
        let long = "\u{f6}".repeat(512);
        let names = ["..", ".", "a/b", "a//b/", "/", "A", "a", "x\u{1}y", "a.json", long.as_str()];
        let shelf = DurableStore::open(&buckets, &["demo"], 0).unwrap();
        for name in names {
            put(&shelf, dir.path(), name);
        }
        let shelf = DurableStore::open(&buckets, &["demo"], 0).unwrap();
        for name in names {
            let (_, file) = shelf.open("demo", name).unwrap().unwrap();
            assert_eq!(io::read_to_string(file).unwrap(), name);
        }
        assert_eq!(shelf.list("demo").unwrap().len(), names.len());
    }

    #[test]
    fn bytes_that_no_object_names_go_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let buckets = dir.path().join("buckets");
        let shelf = DurableStore::open(&buckets, &["demo"], 0).unwrap();
        let kept = put(&shelf, dir.path(), "a");
        let orphan = buckets.join("demo/data/left");
        fs::write(&orphan, "x").unwrap();
        let shelf = DurableStore::open(&buckets, &["demo"], 0).unwrap();
        assert!(!orphan.exists());
        assert_eq!(shelf.head("demo", "a").unwrap().unwrap(), kept);
    }

    #[test]
    fn a_refused_condition_leaves_the_old_object() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = DurableStore::open(&dir.path().join("buckets"), &["demo"], 0).unwrap();
        let old = put(&shelf, dir.path(), "a");
        let data = dir.path().join("second");
        fs::write(&data, "2").unwrap();
        let new_only = Conditions { if_none_match: Some("*".to_owned()), ..Conditions::default() };
        assert_eq!(
            shelf.commit_object("demo", &data, object("a"), &new_only).unwrap_err().status,
            412
        );
        assert_eq!(shelf.head("demo", "a").unwrap().unwrap().etag, old.etag);
        assert!(data.exists());
    }

    #[test]
    fn a_folder_made_by_hand_is_a_bucket() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = DurableStore::open(dir.path(), &[], 0).unwrap();
        assert!(shelf.bucket("mine").unwrap().is_none());
        fs::create_dir(dir.path().join("mine")).unwrap();
        assert_eq!(shelf.bucket("mine").unwrap().unwrap().name, "mine");
        assert!(shelf.bucket("../mine").unwrap().is_none());
    }
}

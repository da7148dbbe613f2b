//! The store of `serve`: it holds objects of every legal name, and all of them survive a restart.
//!
//! Owns `DIR/buckets`: one folder for each bucket (`stored_bucket`), with an index in memory. A folder
//! that the user creates there is a bucket too. Knows no upload. Invariant: an object changes at the
//! rename of its JSON file, and the old bytes exist until then.

mod stored_bucket;

use self::stored_bucket::{StoredBucket, write_atomically};
use super::super::conditions::Conditions;
use super::super::response::ErrorResponse;
use super::ObjectStore;
use super::object::{Bucket, Object, legal_bucket_name};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Buckets and objects below one folder, with an index in memory.
pub(crate) struct DurableStore {
    dir: PathBuf,
    index: Mutex<BTreeMap<String, StoredBucket>>,
}

impl DurableStore {
    /// Opens the store; `initial` are the buckets to create if the folder does not exist. Fails if
    /// a file cannot be read, written or parsed.
    pub(crate) fn open(dir: &Path, initial: &[&str], now: u64) -> io::Result<DurableStore> {
        let new = !dir.exists();
        fs::create_dir_all(dir)?;
        let mut index = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                let stored = StoredBucket::load(path, now)?;
                index.insert(stored.bucket.name.clone(), stored);
            }
        }
        let store = DurableStore { dir: dir.to_owned(), index: Mutex::new(index) };
        if new {
            for name in initial {
                let created = store.create_bucket(Bucket::new(name, now));
                created.map_err(|error| io::Error::other(error.message))?;
            }
        }
        Ok(store)
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, StoredBucket>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on a bucket; `None` if there is no such bucket. Finds a folder that the user
    /// created since the start.
    fn with<T>(
        &self,
        bucket: &str,
        work: impl FnOnce(&mut StoredBucket) -> Result<T, ErrorResponse>,
    ) -> Result<Option<T>, ErrorResponse> {
        let mut index = self.locked();
        if !index.contains_key(bucket) {
            let path = self.dir.join(bucket);
            if !legal_bucket_name(bucket) || !path.is_dir() {
                return Ok(None);
            }
            index.insert(bucket.to_owned(), StoredBucket::load(path, 0)?);
        }
        index.get_mut(bucket).map(work).transpose()
    }
}

impl ObjectStore for DurableStore {
    fn buckets(&self) -> io::Result<Vec<Bucket>> {
        Ok(self.locked().values().map(|stored| stored.bucket.clone()).collect())
    }

    fn bucket(&self, bucket: &str) -> io::Result<Option<Bucket>> {
        self.with(bucket, |stored| Ok(stored.bucket.clone()))
            .map_err(|error| io::Error::other(error.message))
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
        write_atomically(
            &dir.join("bucket.json"),
            &serde_json::to_vec_pretty(&bucket).map_err(io::Error::from)?,
        )?;
        let stored = StoredBucket::load(dir, 0)?;
        self.locked().insert(bucket.name.clone(), stored);
        Ok(bucket)
    }

    fn delete_bucket(&self, bucket: &str) -> Result<bool, ErrorResponse> {
        let emptied = self.with(bucket, |stored| {
            if !stored.objects.is_empty() {
                let message = format!("The bucket named '{bucket}' is not empty.");
                return Err(ErrorResponse::new(409, "BucketNotEmpty", message));
            }
            Ok(fs::remove_dir_all(&stored.dir)?)
        })?;
        self.locked().remove(bucket);
        Ok(emptied.is_some())
    }

    fn check_name(&self, _bucket: &str, _name: &str) -> Result<(), ErrorResponse> {
        Ok(())
    }

    fn head(&self, bucket: &str, name: &str) -> Result<Option<Object>, ErrorResponse> {
        Ok(self.with(bucket, |stored| Ok(stored.objects.get(name).cloned()))?.flatten())
    }

    fn open(&self, bucket: &str, name: &str) -> Result<Option<(Object, File)>, ErrorResponse> {
        let opened = self.with(bucket, |stored| {
            let Some(object) = stored.objects.get(name) else { return Ok(None) };
            Ok(Some((object.clone(), File::open(stored.data_path(object))?)))
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
        let committed = self.with(bucket, |stored| {
            conditions.allow_write(stored.etag(&object.name))?;
            let old = stored.objects.get(&object.name).cloned();
            if let Some(old) = &old {
                object.created = old.created;
            }
            let path = stored.data_path(&object);
            fs::rename(data, &path)?;
            if let Err(error) = stored.write(object.clone()) {
                // A commit that fails leaves the upload unchanged.
                fs::rename(&path, data)?;
                return Err(error.into());
            }
            if let Some(old) = old {
                // If this fails, the next start removes the orphan.
                let _ = fs::remove_file(stored.data_path(&old));
            }
            Ok(object)
        })?;
        committed.ok_or_else(|| {
            ErrorResponse::bucket_not_found(bucket, super::super::state_dir::NAMESPACE)
        })
    }

    fn update_metadata(&self, bucket: &str, object: Object) -> Result<(), ErrorResponse> {
        self.with(bucket, |stored| Ok(stored.write(object)?))?;
        Ok(())
    }

    fn delete(
        &self,
        bucket: &str,
        name: &str,
        conditions: &Conditions,
    ) -> Result<bool, ErrorResponse> {
        let deleted = self.with(bucket, |stored| {
            let Some(object) = stored.objects.get(name).cloned() else { return Ok(false) };
            conditions.allow_write(Some(&object.etag))?;
            fs::remove_file(stored.json_path(name))?;
            stored.objects.remove(name);
            let _ = fs::remove_file(stored.data_path(&object));
            Ok(true)
        })?;
        Ok(deleted.unwrap_or(false))
    }

    fn list(&self, bucket: &str) -> Result<Vec<Object>, ErrorResponse> {
        let listed = self.with(bucket, |stored| Ok(stored.objects.values().cloned().collect()))?;
        Ok(listed.unwrap_or_default())
    }
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
            checksums: ObjectChecksums::Unknown,
            restored_until: None,
        }
    }

    fn put(store: &DurableStore, dir: &Path, name: &str) -> Object {
        let data = dir.join("new");
        fs::write(&data, name).unwrap();
        store.commit_object("demo", &data, object(name), &Conditions::default()).unwrap()
    }

    #[test]
    fn every_legal_name_is_stored_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let buckets = dir.path().join("buckets");
        let long = "\u{f6}".repeat(512);
        let names = ["..", ".", "a/b", "a//b/", "/", "A", "a", "x\u{1}y", "a.json", long.as_str()];
        let store = DurableStore::open(&buckets, &["demo"], 0).unwrap();
        for name in names {
            put(&store, dir.path(), name);
        }
        let store = DurableStore::open(&buckets, &["demo"], 0).unwrap();
        for name in names {
            let (_, file) = store.open("demo", name).unwrap().unwrap();
            assert_eq!(io::read_to_string(file).unwrap(), name);
        }
        assert_eq!(store.list("demo").unwrap().len(), names.len());
    }

    #[test]
    fn bytes_that_no_object_names_go_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let buckets = dir.path().join("buckets");
        let store = DurableStore::open(&buckets, &["demo"], 0).unwrap();
        let stored = put(&store, dir.path(), "a");
        let orphan = buckets.join("demo/data/left");
        fs::write(&orphan, "x").unwrap();
        let store = DurableStore::open(&buckets, &["demo"], 0).unwrap();
        assert!(!orphan.exists());
        assert_eq!(store.head("demo", "a").unwrap().unwrap(), stored);
    }

    #[test]
    fn a_refused_condition_leaves_the_old_object() {
        let dir = tempfile::tempdir().unwrap();
        let store = DurableStore::open(&dir.path().join("buckets"), &["demo"], 0).unwrap();
        let old = put(&store, dir.path(), "a");
        let data = dir.path().join("second");
        fs::write(&data, "2").unwrap();
        let new_only = Conditions { if_none_match: Some("*".to_owned()), ..Conditions::default() };
        assert_eq!(
            store.commit_object("demo", &data, object("a"), &new_only).unwrap_err().status,
            412
        );
        assert_eq!(store.head("demo", "a").unwrap().unwrap().etag, old.etag);
        assert!(data.exists());
    }

    #[test]
    fn a_folder_made_by_hand_is_a_bucket() {
        let dir = tempfile::tempdir().unwrap();
        let store = DurableStore::open(dir.path(), &[], 0).unwrap();
        assert!(store.bucket("mine").unwrap().is_none());
        fs::create_dir(dir.path().join("mine")).unwrap();
        assert_eq!(store.bucket("mine").unwrap().unwrap().name, "mine");
        assert!(store.bucket("../mine").unwrap().is_none());
    }
}

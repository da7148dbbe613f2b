//! All open uploads: found by id, listed in order, kept over a restart.
//!
//! Knows the folder they live in. Invariant: an upload has one lock, held for the whole of a commit, so
//! two commits of the same upload never both succeed.

use super::super::response::ErrorResponse;
use super::object::{self};
use super::upload::{OpenUpload, UploadRecord};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An upload and its lock.
pub type SharedUpload = Arc<Mutex<OpenUpload>>;

pub struct UploadRegistry {
    dir: PathBuf,
    /// By time of creation, then by id, which is the order of lists.
    open: Mutex<BTreeMap<(u64, String), (UploadRecord, SharedUpload)>>,
}

/// Locks an upload; a thread that died while holding it left files, not half-made values.
pub fn lock(upload: &SharedUpload) -> MutexGuard<'_, OpenUpload> {
    upload.lock().unwrap_or_else(PoisonError::into_inner)
}

impl UploadRegistry {
    /// Opens the folder with whatever an earlier run left open in it.
    pub fn open(dir: &Path) -> io::Result<UploadRegistry> {
        fs::create_dir_all(dir)?;
        let mut open = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                match OpenUpload::reopen(path.clone()) {
                    Ok(upload) => {
                        let created = upload.created.clone();
                        let key = (created.time, created.id.clone());
                        open.insert(key, (created, Arc::new(Mutex::new(upload))));
                    }
                    // Created or aborted only by half when the earlier run ended.
                    Err(_) => fs::remove_dir_all(&path)?,
                }
            } else {
                fs::remove_file(&path)?;
            }
        }
        Ok(UploadRegistry { dir: dir.to_owned(), open: Mutex::new(open) })
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<(u64, String), (UploadRecord, SharedUpload)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A path for bytes that belong to no upload; leftovers go at the next start.
    pub fn scratch(&self) -> PathBuf {
        self.dir.join(format!("body-{}", object::uuid()))
    }

    pub fn create(&self, created: UploadRecord) -> io::Result<()> {
        let key = (created.time, created.id.clone());
        let upload = OpenUpload::create(self.dir.join(&created.id), created.clone())?;
        self.locked().insert(key, (created, Arc::new(Mutex::new(upload))));
        Ok(())
    }

    /// The upload of this id, if it is of this object.
    pub fn find(&self, id: &str, bucket: &str, name: &str) -> Result<SharedUpload, ErrorResponse> {
        let open = self.locked();
        let found = open.values().find(|(created, _)| created.id == id);
        found
            .filter(|(created, _)| created.bucket == bucket && created.name == name)
            .map(|(_, upload)| upload.clone())
            .ok_or_else(ErrorResponse::upload_not_found)
    }

    pub fn forget(&self, id: &str) {
        self.locked().retain(|(_, known), _| known != id);
    }

    /// What was said of each open upload of a bucket, or of all buckets.
    pub fn list(&self, bucket: Option<&str>) -> Vec<UploadRecord> {
        let all = self.locked();
        let created = all.values().map(|(created, _)| created);
        created.filter(|created| bucket.is_none_or(|b| b == created.bucket)).cloned().collect()
    }
}

//! The registry of open uploads: found by id, listed in order, reopened after a restart.
//!
//! Owns the folder of uploads; what is inside the folder of one upload is in `upload`. Invariant:
//! an upload has one lock, which a commit holds from start to end, so two commits of one upload
//! never both succeed.

use super::super::response::ErrorResponse;
use super::object::uuid;
use super::upload::{OpenUpload, UploadRecord};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An upload and its lock.
pub(crate) type SharedUpload = Arc<Mutex<OpenUpload>>;

/// By time of creation, then by id, which is the order of lists.
type Uploads = BTreeMap<(u64, String), (UploadRecord, SharedUpload)>;

/// The open uploads of a server.
pub(crate) struct UploadRegistry {
    dir: PathBuf,
    open: Mutex<Uploads>,
}

/// Locks an upload. A thread that panicked under the lock left files and no inconsistent value.
pub(crate) fn lock(upload: &SharedUpload) -> MutexGuard<'_, OpenUpload> {
    upload.lock().unwrap_or_else(PoisonError::into_inner)
}

impl UploadRegistry {
    /// Opens the folder with the uploads of an earlier run; removes everything else in it.
    pub(crate) fn open(dir: &Path) -> io::Result<UploadRegistry> {
        fs::create_dir_all(dir)?;
        let mut open = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                match OpenUpload::reopen(path.clone()) {
                    Ok(upload) => {
                        let record = upload.record.clone();
                        let key = (record.time, record.id.clone());
                        open.insert(key, (record, Arc::new(Mutex::new(upload))));
                    }
                    // The earlier run ended while it created or removed the folder.
                    Err(_) => fs::remove_dir_all(&path)?,
                }
            } else {
                fs::remove_file(&path)?;
            }
        }
        Ok(UploadRegistry { dir: dir.to_owned(), open: Mutex::new(open) })
    }

    fn locked(&self) -> MutexGuard<'_, Uploads> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new path for a body that is not a part. The next start removes what is left of it.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.dir.join(format!("body-{}", uuid()))
    }

    /// Creates the folder of a new upload and registers it.
    pub(crate) fn create(&self, record: UploadRecord) -> io::Result<()> {
        let key = (record.time, record.id.clone());
        let upload = OpenUpload::create(self.dir.join(&record.id), record.clone())?;
        self.locked().insert(key, (record, Arc::new(Mutex::new(upload))));
        Ok(())
    }

    /// The upload of this id; fails with 404 if there is none or it is of another object.
    pub(crate) fn find(
        &self,
        id: &str,
        bucket: &str,
        name: &str,
    ) -> Result<SharedUpload, ErrorResponse> {
        let open = self.locked();
        let found = open.values().find(|(record, _)| record.id == id);
        found
            .filter(|(record, _)| record.bucket == bucket && record.name == name)
            .map(|(_, upload)| upload.clone())
            .ok_or_else(ErrorResponse::upload_not_found)
    }

    /// Removes an upload from the registry; its folder is removed by `OpenUpload::close`.
    pub(crate) fn remove(&self, id: &str) {
        self.locked().retain(|(_, open), _| open != id);
    }

    /// The open uploads of a bucket, or of all buckets.
    pub(crate) fn list(&self, bucket: Option<&str>) -> Vec<UploadRecord> {
        let open = self.locked();
        let records = open.values().map(|(record, _)| record);
        records.filter(|record| bucket.is_none_or(|b| b == record.bucket)).cloned().collect()
    }
}

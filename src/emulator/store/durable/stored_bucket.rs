//! One bucket as a folder.
//!
//! Owns its files: `bucket.json`, `objects/KEY.json` (an object without its bytes) and `data/ETAG` (its
//! bytes). Must not know requests or preconditions. Invariant: after a load every file in `data`
//! belongs to an object.

use super::super::object::{Bucket, Object};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The characters that are percent-encoded in a file name: all but letters, digits, `-`, `_` and
/// `.`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// A bucket and its objects, as they are on disk.
#[derive(Debug)]
pub(super) struct StoredBucket {
    pub bucket: Bucket,
    pub dir: PathBuf,
    pub objects: BTreeMap<String, Object>,
}

impl StoredBucket {
    /// Reads the bucket of a folder; without `bucket.json` it was created at `now`. Fails if a file cannot
    /// be read, written or parsed.
    pub(super) fn load(dir: PathBuf, now: u64) -> io::Result<StoredBucket> {
        for folder in ["objects", "data"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        let path = dir.join("bucket.json");
        let bucket = if path.exists() {
            serde_json::from_slice(&fs::read(path)?)?
        } else {
            let name = dir.file_name().unwrap_or_default().to_string_lossy();
            let bucket = Bucket::new(&name, now);
            write_atomically(&path, &serde_json::to_vec_pretty(&bucket)?)?;
            bucket
        };
        let mut stored = StoredBucket { bucket, dir, objects: BTreeMap::new() };
        for entry in fs::read_dir(stored.dir.join("objects"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let object: Object = serde_json::from_slice(&fs::read(path)?)?;
                stored.objects.insert(object.name.clone(), object);
            }
        }
        stored.remove_orphans()?;
        Ok(stored)
    }

    /// Removes the bytes of writes that did not finish, to which no object refers.
    fn remove_orphans(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.dir.join("data"))? {
            let entry = entry?;
            let refers = |object: &Object| entry.file_name() == object.etag.as_str();
            if !self.objects.values().any(refers) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// The file with the bytes of an object.
    pub(super) fn data_path(&self, object: &Object) -> PathBuf {
        self.dir.join("data").join(&object.etag)
    }

    /// The file with the rest of the object of this name.
    pub(super) fn json_path(&self, name: &str) -> PathBuf {
        self.dir.join("objects").join(format!("{}.json", key(name)))
    }

    /// The etag of the object of this name.
    pub(super) fn etag(&self, name: &str) -> Option<&str> {
        self.objects.get(name).map(|object| object.etag.as_str())
    }

    /// Stores an object, whose bytes are in place. Fails if its file cannot be written.
    pub(super) fn write(&mut self, object: Object) -> io::Result<()> {
        write_atomically(&self.json_path(&object.name), &serde_json::to_vec_pretty(&object)?)?;
        self.objects.insert(object.name.clone(), object);
        Ok(())
    }
}

/// The file name for an object's name: readable, at most 255 bytes, and unique, also on a file
/// system that ignores case.
fn key(name: &str) -> String {
    let readable: String =
        utf8_percent_encode(name, ENCODED).to_string().chars().take(120).collect();
    let hash = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let hash: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{readable}~{hash}")
}

/// Writes a file, flushes it to disk and moves it into place. Fails if one of these does.
pub(super) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

//! One open multipart upload and its parts on disk.
//!
//! Owns the folder of the upload; `commit` turns it into an object. The caller holds the lock of
//! the upload. Invariant: a part counts only after its record was written, and then its bytes are
//! complete.

use super::super::checksum::{Algorithm, ChecksumHasher, Checksums};
use super::super::response::ErrorResponse;
use super::assembly::{Layout, PartLocation};
use super::object::{Properties, uuid};
use super::part_writer::PartWriter;
use super::ranges::{create, read};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// The most parts of an upload, and the highest part number.
pub(crate) const MAX_PARTS: u32 = 10_000;

/// The object's file in the folder of the upload.
pub(super) const OBJECT_FILE: &str = "object";

/// What CreateMultipartUpload set; `time` is in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UploadRecord {
    pub id: String,
    pub bucket: String,
    pub name: String,
    pub time: u64,
    pub properties: Properties,
    pub algorithm: Option<Algorithm>,
}

/// A part whose whole body was received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredPart {
    pub number: u32,
    pub etag: String,
    #[serde(rename = "sums")]
    pub checksums: Checksums,
    #[serde(rename = "place")]
    pub location: PartLocation,
}

/// An open upload.
#[derive(Debug)]
pub(crate) struct OpenUpload {
    pub record: UploadRecord,
    pub(super) dir: PathBuf,
    pub(super) parts: BTreeMap<u32, StoredPart>,
    pub(super) layout: Layout,
    closed: bool,
}

impl OpenUpload {
    /// Creates the folder of a new upload.
    pub(crate) fn create(dir: PathBuf, record: UploadRecord) -> io::Result<OpenUpload> {
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("upload.json"), serde_json::to_vec(&record)?)?;
        create(&dir.join(OBJECT_FILE))?;
        let (parts, layout) = (BTreeMap::new(), Layout::default());
        Ok(OpenUpload { record, dir, parts, layout, closed: false })
    }

    /// Opens the upload of an earlier run. The layout is not stored, so each new part gets its own
    /// file and the commit copies. Fails if a record is missing or cannot be parsed.
    pub(crate) fn reopen(dir: PathBuf) -> io::Result<OpenUpload> {
        let record = serde_json::from_slice(&fs::read(dir.join("upload.json"))?)?;
        let mut parts = BTreeMap::new();
        for entry in fs::read_dir(&dir)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("part-") && name.ends_with(".json") {
                let part: StoredPart = serde_json::from_slice(&fs::read(dir.join(&*name))?)?;
                parts.insert(part.number, part);
            }
        }
        Ok(OpenUpload { record, dir, parts, layout: Layout::closed(), closed: false })
    }

    /// The parts in the order of their numbers.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &StoredPart> {
        self.parts.values()
    }

    /// The etag of a part; `None` if it was not uploaded.
    pub(crate) fn etag(&self, number: u32) -> Option<&str> {
        self.parts.get(&number).map(|part| part.etag.as_str())
    }

    /// Opens the file for a part of `size` bytes; fails with 404 if the upload is closed.
    pub(crate) fn begin_part(
        &mut self,
        number: u32,
        size: u64,
    ) -> Result<PartWriter, ErrorResponse> {
        self.check_open()?;
        Ok(match self.layout.reserve(number, size) {
            Some((offset, writing)) => {
                PartWriter::region(self.dir.join(OBJECT_FILE), offset, writing)?
            }
            None => PartWriter::part_file(&self.dir, format!("part-{number}-{}", uuid()))?,
        })
    }

    /// Stores a received part in place of an earlier one of that number, and returns its etag.
    /// Fails with 404 if the upload is closed.
    pub(crate) fn store_part(
        &mut self,
        number: u32,
        writer: PartWriter,
        checksums: Checksums,
    ) -> Result<String, ErrorResponse> {
        self.check_open()?;
        let etag = part_etag();
        let location = writer.location().clone();
        let part = StoredPart { number, etag: etag.clone(), checksums, location };
        self.write_record(&part)?;
        writer.finish();
        if let Some(StoredPart { location: PartLocation::OwnFile(name), .. }) =
            self.parts.insert(number, part)
        {
            let _ = fs::remove_file(self.dir.join(name));
        }
        Ok(etag)
    }

    fn write_record(&self, part: &StoredPart) -> io::Result<()> {
        let path = self.dir.join(format!("part-{}.json", part.number));
        let new = self.dir.join(format!("new-{}", uuid()));
        fs::write(&new, serde_json::to_vec(part)?)?;
        fs::rename(new, path)
    }

    /// A fault: the part is no longer part of the upload.
    pub(crate) fn drop_part(&mut self, number: u32) {
        self.parts.remove(&number);
    }

    /// A fault: the part is replaced by one with other bytes and another etag.
    pub(crate) fn rewrite_part(&mut self, number: u32) -> Result<(), ErrorResponse> {
        self.flip_bit(number)?;
        if let Some(part) = self.parts.get_mut(&number) {
            part.etag = uuid();
        }
        Ok(())
    }

    /// A fault: flips one bit in the middle of the part and records the checksums of the result.
    pub(crate) fn flip_bit(&mut self, number: u32) -> Result<(), ErrorResponse> {
        let Some(mut part) = self.parts.get(&number).cloned() else { return Ok(()) };
        let (path, offset) = self.part_location(&part.location);
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let middle = offset + part.checksums.size / 2;
        let mut byte = [0];
        file.read_exact_at(&mut byte, middle)?;
        file.write_all_at(&[byte[0] ^ 1], middle)?;
        let mut hasher = ChecksumHasher::new(&Algorithm::ALL);
        read(&file, offset, part.checksums.size, |bytes| {
            hasher.update(bytes);
            Ok(())
        })?;
        part.checksums = hasher.finish();
        self.write_record(&part)?;
        self.parts.insert(number, part);
        Ok(())
    }

    /// The file and the offset in bytes at which a part starts.
    pub(super) fn part_location(&self, location: &PartLocation) -> (PathBuf, u64) {
        match location {
            PartLocation::InObject(offset) => (self.dir.join(OBJECT_FILE), *offset),
            PartLocation::OwnFile(name) => (self.dir.join(name), 0),
        }
    }

    /// Closes the upload and removes its folder; the caller removes it from the registry.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        // A folder that cannot be removed is an orphan and not part of any object.
        let _ = fs::remove_dir_all(&self.dir);
    }

    /// Fails with 404 `UploadNotFound` if the upload was committed or aborted.
    pub(crate) fn check_open(&self) -> Result<(), ErrorResponse> {
        if self.closed { Err(ErrorResponse::upload_not_found()) } else { Ok(()) }
    }
}

/// A new etag of a part, in one of the two forms that the service uses.
fn part_etag() -> String {
    let uuid = uuid();
    if fastrand::bool() { uuid } else { uuid.replace('-', "").to_ascii_uppercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files of an upload as they were written before the Rust types got their present names.
    #[test]
    fn an_upload_that_an_earlier_version_left_open_is_reopened_with_its_parts() {
        let dir = tempfile::tempdir().unwrap();
        let upload = r#"{"id":"u","bucket":"demo","name":"x","time":7,"properties":{"content_type":null,"content_language":null,"content_encoding":null,"content_disposition":null,"cache_control":null,"storage_tier":"Standard","metadata":{},"customer_key":null,"kms_key":null},"algorithm":"SHA256"}"#;
        let sums = r#"{"size":3,"md5":[1],"crc32c":null,"sha256":[2],"sha384":null}"#;
        let first = format!(r#"{{"number":1,"etag":"a","sums":{sums},"place":{{"Within":0}}}}"#);
        let second =
            format!(r#"{{"number":2,"etag":"b","sums":{sums},"place":{{"Apart":"part-2-f"}}}}"#);
        fs::write(dir.path().join("upload.json"), upload).unwrap();
        fs::write(dir.path().join("part-1.json"), &first).unwrap();
        fs::write(dir.path().join("part-2.json"), &second).unwrap();
        let opened = OpenUpload::reopen(dir.path().to_owned()).unwrap();
        assert_eq!((opened.record.time, opened.record.algorithm), (7, Some(Algorithm::Sha256)));
        assert_eq!(opened.parts[&1].location, PartLocation::InObject(0));
        let own_file = PartLocation::OwnFile("part-2-f".to_owned());
        assert_eq!(opened.parts[&2].location, own_file);
        // What is written today has the same form.
        assert_eq!(serde_json::to_string(&opened.record).unwrap(), upload);
        assert_eq!(serde_json::to_string(&opened.parts[&1]).unwrap(), first);
        assert_eq!(serde_json::to_string(&opened.parts[&2]).unwrap(), second);
    }
}

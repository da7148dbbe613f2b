//! The commit of a multipart upload: which parts are valid, and how they become an object.
//!
//! Owns the commit rules; the caller holds the lock of the upload and passes the store. Invariant:
//! a commit that fails, for whatever reason, leaves the upload and its parts unchanged.

use super::super::checksum::{Checksums, MultipartChecksums};
use super::super::conditions::Conditions;
use super::super::response::ErrorResponse;
use super::super::state_dir::NAMESPACE;
use super::ObjectStore;
use super::assembly::{AssemblyPlan, CommittedPart};
use super::object::{Object, ObjectChecksums, uuid};
use super::ranges::{copy, create};
use super::upload::{OBJECT_FILE, OpenUpload, StoredPart, UploadRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;

/// The body of a CommitMultipartUpload, and the fault that it meets.
#[derive(Debug, Clone, Default)]
pub(crate) struct CommitRequest {
    /// Number and etag of the parts of the object.
    pub parts: Vec<(u32, String)>,
    /// Numbers of the parts to leave out.
    pub exclude: Vec<u32>,
    pub fault: CommitFault,
}

/// What a defective store does at a commit, without an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum CommitFault {
    #[default]
    None,
    Swap(u32, u32),
    Drop(u32),
    StoreNothing,
}

impl OpenUpload {
    /// Turns the parts into an object, dated `now` (milliseconds since 1970), and closes the
    /// upload. Fails with 404 if the upload is closed, with 400 if the list of parts is not valid,
    /// with 412 if a precondition does not hold, and on an error of the disk.
    pub(crate) fn commit(
        &mut self,
        request: &CommitRequest,
        conditions: &Conditions,
        store: &dyn ObjectStore,
        now: u64,
    ) -> Result<Object, ErrorResponse> {
        self.check_open()?;
        let mut parts = self.select_parts(request)?;
        let UploadRecord { bucket, name, properties, algorithm, .. } = &self.record;
        let current = store.head(bucket, name)?;
        conditions.allow_write(current.as_ref().map(|object| object.etag.as_str()))?;
        apply_commit_fault(&mut parts, request.fault);

        let checksums: Vec<&Checksums> = parts.iter().map(|part| &part.checksums).collect();
        let object = Object {
            name: name.clone(),
            etag: uuid(),
            size: checksums.iter().map(|checksums| checksums.size).sum(),
            created: now,
            modified: now,
            properties: properties.clone(),
            checksums: ObjectChecksums::Multipart(MultipartChecksums::of(&checksums, *algorithm)),
            restored_until: None,
        };
        let stored = if request.fault == CommitFault::StoreNothing {
            object
        } else {
            let data = self.assemble(&parts)?;
            let stored = store.commit_object(bucket, &data, object, conditions);
            if stored.is_err() && data != self.dir.join(OBJECT_FILE) {
                let _ = fs::remove_file(&data);
            }
            stored?
        };
        self.close();
        Ok(stored)
    }

    /// The parts to commit in the order of the object; fails with 400 if the request names a part
    /// twice, omits one, or has a wrong etag.
    fn select_parts(&self, request: &CommitRequest) -> Result<Vec<StoredPart>, ErrorResponse> {
        let mut named = BTreeSet::new();
        let numbers = request.parts.iter().map(|(number, _)| number).chain(&request.exclude);
        for number in numbers {
            if !named.insert(*number) {
                let message = format!("Part {number} is named more than once");
                return Err(ErrorResponse::invalid_parameter(message));
            }
        }
        if let Some(omitted) = self.parts.keys().find(|number| !named.contains(number)) {
            return Err(ErrorResponse::invalid_parameter(format!(
                "Part {omitted} was uploaded but is neither in partsToCommit nor in partsToExclude"
            )));
        }
        let etags: BTreeMap<u32, &String> =
            request.parts.iter().map(|(number, etag)| (*number, etag)).collect();
        let mut selected = Vec::new();
        for (number, etag) in etags {
            let part = self.parts.get(&number).filter(|part| part.etag == *etag);
            selected.push(part.cloned().ok_or_else(|| self.invalid_part())?);
        }
        Ok(selected)
    }

    fn invalid_part(&self) -> ErrorResponse {
        let UploadRecord { id, bucket, name, .. } = &self.record;
        ErrorResponse::invalid_parts(format!(
            "There were some invalid part (partNum/etag) combination for the upload UploadKey{{objectKey=ObjectKey{{bucket=BucketKey{{namespace='{NAMESPACE}', name='{bucket}'}}, name='{name}'}}, uploadId='{id}'}}"
        ))
    }

    /// The path of a file that holds the parts one after the other and is flushed to disk.
    fn assemble(&self, parts: &[StoredPart]) -> io::Result<PathBuf> {
        let committed: Vec<CommittedPart> = parts
            .iter()
            .map(|part| CommittedPart {
                number: part.number,
                size: part.checksums.size,
                location: part.location.clone(),
            })
            .collect();
        let all = parts.len() == self.parts.len();
        let plan = if all { self.layout.plan(&committed) } else { AssemblyPlan::Copy };
        let (path, file) = match plan {
            AssemblyPlan::InPlace { copies, size } => {
                let path = self.dir.join(OBJECT_FILE);
                let file = OpenOptions::new().read(true).write(true).open(&path)?;
                for (name, offset) in copies {
                    let part = File::open(self.dir.join(name))?;
                    let length = part.metadata()?.len();
                    copy(&part, 0, &file, offset, length)?;
                }
                file.set_len(size)?;
                (path, file)
            }
            AssemblyPlan::Copy => {
                let path = self.dir.join(format!("whole-{}", uuid()));
                let file = create(&path)?;
                let mut end = 0;
                for part in committed {
                    let (source, offset) = self.part_location(&part.location);
                    copy(&File::open(source)?, offset, &file, end, part.size)?;
                    end += part.size;
                }
                (path, file)
            }
        };
        file.sync_all()?;
        Ok(path)
    }
}

fn apply_commit_fault(parts: &mut Vec<StoredPart>, fault: CommitFault) {
    match fault {
        CommitFault::Swap(a, b) => {
            let index = |number| parts.iter().position(|part| part.number == number);
            if let (Some(a), Some(b)) = (index(a), index(b)) {
                parts.swap(a, b);
            }
        }
        CommitFault::Drop(number) => parts.retain(|part| part.number != number),
        CommitFault::None | CommitFault::StoreNothing => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::checksum::ChecksumHasher;
    use super::super::durable::DurableStore;
    use super::super::object::Properties;
    use super::*;
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    fn upload(dir: &Path) -> OpenUpload {
        let record = UploadRecord {
            id: "u".to_owned(),
            bucket: "demo".to_owned(),
            name: "x".to_owned(),
            time: 0,
            properties: Properties::default(),
            algorithm: None,
        };
        OpenUpload::create(dir.join("u"), record).unwrap()
    }

    fn part(upload: &mut OpenUpload, number: u32, bytes: &[u8]) -> (u32, String) {
        let writer = upload.begin_part(number, bytes.len() as u64).unwrap();
        writer.file.write_all_at(bytes, writer.offset).unwrap();
        let mut hasher = ChecksumHasher::new(&[]);
        hasher.update(bytes);
        (number, upload.store_part(number, writer, hasher.finish()).unwrap())
    }

    /// The store fails at the end, when the file is assembled.
    #[test]
    fn a_commit_refused_by_the_store_leaves_excluded_parts_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let mut upload = upload(dir.path());
        let parts = vec![part(&mut upload, 1, b"one"), part(&mut upload, 2, b"two")];
        let first = CommitRequest {
            parts: vec![parts[0].clone()],
            exclude: vec![2],
            ..CommitRequest::default()
        };
        let conditions = Conditions::default();
        let empty = DurableStore::open(&dir.path().join("empty"), &[], 0).unwrap();
        let error = upload.commit(&first, &conditions, &empty, 0).unwrap_err();
        assert_eq!(error.code, "BucketNotFound");
        let store = DurableStore::open(&dir.path().join("buckets"), &["demo"], 0).unwrap();
        let all = CommitRequest { parts, ..CommitRequest::default() };
        upload.commit(&all, &conditions, &store, 0).unwrap();
        let (_, file) = store.open("demo", "x").unwrap().unwrap();
        assert_eq!(io::read_to_string(file).unwrap(), "onetwo");
        assert!(!dir.path().join("u").exists());
    }

    #[test]
    fn an_unfinished_part_leaves_no_file_and_can_be_sent_again_with_another_size() {
        let dir = tempfile::tempdir().unwrap();
        let mut upload = upload(dir.path());
        drop(upload.begin_part(1, 100).unwrap());
        drop(upload.begin_part(1, 50).unwrap());
        let parts = vec![part(&mut upload, 1, b"one"), part(&mut upload, 2, b"two")];
        let store = DurableStore::open(&dir.path().join("buckets"), &["demo"], 0).unwrap();
        let all = CommitRequest { parts, ..CommitRequest::default() };
        let object = upload.commit(&all, &Conditions::default(), &store, 0).unwrap();
        assert_eq!(object.size, 6);
        let (_, file) = store.open("demo", "x").unwrap().unwrap();
        assert_eq!(io::read_to_string(file).unwrap(), "onetwo");
    }
}

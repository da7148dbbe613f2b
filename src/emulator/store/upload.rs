//! One open multipart upload: its parts on disk, and how a commit turns them into an object.
//!
//! Knows files and the commit rules; the caller holds the lock and brings the shelf. Invariant: a commit
//! that is refused, for whatever reason, leaves the upload and its parts as they were.

use super::super::checksum::{Algorithm, ChecksumHasher, Checksums, Multipart};
use super::super::conditions::Conditions;
use super::super::response::ErrorResponse;
use super::super::state_dir::NAMESPACE;
use super::ObjectStore;
use super::assembly::{AssemblyPlan, CommittedPart, Layout, PartLocation, WriteLock};
use super::object::{self, Object, ObjectChecksums, Properties};
use super::ranges::{copy, create, read};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// The most parts an upload may have, and the highest part number.
pub const MAX_PARTS: u32 = 10_000;

const OBJECT: &str = "object";

/// What was said when the upload was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRecord {
    pub id: String,
    pub bucket: String,
    pub name: String,
    pub time: u64,
    pub properties: Properties,
    pub algorithm: Option<Algorithm>,
}

/// A part that was received whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPart {
    pub number: u32,
    pub etag: String,
    pub sums: Checksums,
    pub place: PartLocation,
}

/// What a commit asks for.
#[derive(Debug, Clone, Default)]
pub struct CommitRequest {
    pub commit: Vec<(u32, String)>,
    pub exclude: Vec<u32>,
    pub lie: CommitFault,
}

/// What a faulty store does at commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CommitFault {
    #[default]
    None,
    Swap(u32, u32),
    Drop(u32),
    StoreNothing,
}

/// An open upload.
#[derive(Debug)]
pub struct OpenUpload {
    pub created: UploadRecord,
    dir: PathBuf,
    parts: BTreeMap<u32, StoredPart>,
    regions: Layout,
    gone: bool,
}

/// Room for a part that is about to arrive.
#[derive(Debug)]
pub struct PartWriter {
    pub file: File,
    pub offset: u64,
    place: PartLocation,
    path: PathBuf,
    writing: Option<WriteLock>,
    landed: bool,
}

impl PartWriter {
    /// Room for a body that is no part of an upload.
    pub fn alone(path: PathBuf) -> io::Result<PartWriter> {
        let place = PartLocation::OwnFile(String::new());
        Ok(PartWriter {
            file: create(&path)?,
            offset: 0,
            place,
            path,
            writing: None,
            landed: false,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if let Some(writing) = &self.writing {
            writing.store(false, Ordering::SeqCst);
        }
        if !self.landed && matches!(self.place, PartLocation::OwnFile(_)) {
            // What cannot be removed now goes with the upload's folder.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl OpenUpload {
    pub fn create(dir: PathBuf, created: UploadRecord) -> io::Result<OpenUpload> {
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("upload.json"), serde_json::to_vec(&created)?)?;
        create(&dir.join(OBJECT))?;
        let (parts, regions) = (BTreeMap::new(), Layout::default());
        Ok(OpenUpload { created, dir, parts, regions, gone: false })
    }

    /// Reopens an upload of an earlier run; nothing says how far its writers came, so from now on parts
    /// are kept apart.
    pub fn reopen(dir: PathBuf) -> io::Result<OpenUpload> {
        let created = serde_json::from_slice(&fs::read(dir.join("upload.json"))?)?;
        let mut parts = BTreeMap::new();
        for entry in fs::read_dir(&dir)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("part-") && name.ends_with(".json") {
                let part: StoredPart = serde_json::from_slice(&fs::read(dir.join(&*name))?)?;
                parts.insert(part.number, part);
            }
        }
        Ok(OpenUpload { created, dir, parts, regions: Layout::closed(), gone: false })
    }

    pub fn parts(&self) -> impl Iterator<Item = &StoredPart> {
        self.parts.values()
    }

    /// The etag of a part that is there.
    pub fn etag(&self, number: u32) -> Option<&str> {
        self.parts.get(&number).map(|part| part.etag.as_str())
    }

    /// Makes room for a part of this size.
    pub fn begin(&mut self, number: u32, size: u64) -> Result<PartWriter, ErrorResponse> {
        self.check_open()?;
        if let Some((offset, writing)) = self.regions.reserve(number, size) {
            let path = self.dir.join(OBJECT);
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let (place, writing) = (PartLocation::InObject(offset), Some(writing));
            return Ok(PartWriter { file, offset, place, path, writing, landed: false });
        }
        let name = format!("part-{number}-{}", object::uuid());
        let path = self.dir.join(&name);
        let file = create(&path)?;
        Ok(PartWriter {
            file,
            offset: 0,
            place: PartLocation::OwnFile(name),
            path,
            writing: None,
            landed: false,
        })
    }

    /// Takes a received part in, in place of an earlier one of that number; returns its etag.
    pub fn land(
        &mut self,
        number: u32,
        mut slot: PartWriter,
        sums: Checksums,
    ) -> Result<String, ErrorResponse> {
        self.check_open()?;
        let etag = part_etag();
        let part = StoredPart { number, etag: etag.clone(), sums, place: slot.place.clone() };
        self.record(&part)?;
        slot.landed = true;
        if let Some(StoredPart { place: PartLocation::OwnFile(name), .. }) =
            self.parts.insert(number, part)
        {
            let _ = fs::remove_file(self.dir.join(name));
        }
        Ok(etag)
    }

    fn record(&self, part: &StoredPart) -> io::Result<()> {
        let path = self.dir.join(format!("part-{}.json", part.number));
        let new = self.dir.join(format!("new-{}", object::uuid()));
        fs::write(&new, serde_json::to_vec(part)?)?;
        fs::rename(new, path)
    }

    /// Forgets a part.
    pub fn drop_part(&mut self, number: u32) {
        self.parts.remove(&number);
    }

    /// Puts a part of other bytes in the place of one.
    pub fn rewrite_part(&mut self, number: u32) -> Result<(), ErrorResponse> {
        self.flip_byte(number)?;
        if let Some(part) = self.parts.get_mut(&number) {
            part.etag = object::uuid();
        }
        Ok(())
    }

    /// Flips one bit of a part and believes the result.
    pub fn flip_byte(&mut self, number: u32) -> Result<(), ErrorResponse> {
        let Some(mut part) = self.parts.get(&number).cloned() else { return Ok(()) };
        let (path, offset) = self.part_location(&part.place);
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let middle = offset + part.sums.size / 2;
        let mut byte = [0];
        file.read_exact_at(&mut byte, middle)?;
        file.write_all_at(&[byte[0] ^ 1], middle)?;
        let mut summer = ChecksumHasher::new(&Algorithm::ALL);
        read(&file, offset, part.sums.size, |bytes| {
            summer.update(bytes);
            Ok(())
        })?;
        part.sums = summer.finish();
        self.record(&part)?;
        self.parts.insert(number, part);
        Ok(())
    }

    fn part_location(&self, place: &PartLocation) -> (PathBuf, u64) {
        match place {
            PartLocation::InObject(offset) => (self.dir.join(OBJECT), *offset),
            PartLocation::OwnFile(name) => (self.dir.join(name), 0),
        }
    }

    /// Turns the parts into an object. Everything is checked before anything is changed.
    pub fn commit(
        &mut self,
        wanted: &CommitRequest,
        conditions: &Conditions,
        shelf: &dyn ObjectStore,
        now: u64,
    ) -> Result<Object, ErrorResponse> {
        self.check_open()?;
        let mut parts = self.chosen(wanted)?;
        let current = shelf.head(&self.created.bucket, &self.created.name)?;
        conditions.allow_write(current.as_ref().map(|object| object.etag.as_str()))?;
        apply_commit_fault(&mut parts, wanted.lie);

        let sums: Vec<&Checksums> = parts.iter().map(|part| &part.sums).collect();
        let object = Object {
            name: self.created.name.clone(),
            etag: object::uuid(),
            size: sums.iter().map(|sums| sums.size).sum(),
            created: now,
            modified: now,
            properties: self.created.properties.clone(),
            checks: ObjectChecksums::Multipart(Multipart::of(&sums, self.created.algorithm)),
            restored_until: None,
        };
        let placed = if wanted.lie == CommitFault::StoreNothing {
            object
        } else {
            let data = self.assemble(&parts)?;
            let placed = shelf.commit_object(&self.created.bucket, &data, object, conditions);
            if placed.is_err() && data != self.dir.join(OBJECT) {
                let _ = fs::remove_file(&data);
            }
            placed?
        };
        self.close();
        Ok(placed)
    }

    /// The parts to commit, in the object's order, if the request is in order.
    fn chosen(&self, wanted: &CommitRequest) -> Result<Vec<StoredPart>, ErrorResponse> {
        let mut named = BTreeSet::new();
        let numbers = wanted.commit.iter().map(|(number, _)| number).chain(&wanted.exclude);
        for number in numbers {
            if !named.insert(*number) {
                let message = format!("Part {number} is named more than once");
                return Err(ErrorResponse::invalid_parameter(message));
            }
        }
        if let Some(left) = self.parts.keys().find(|number| !named.contains(number)) {
            return Err(ErrorResponse::invalid_parameter(format!(
                "Part {left} was uploaded but is neither in partsToCommit nor in partsToExclude"
            )));
        }
        let wanted_etags: BTreeMap<u32, &String> =
            wanted.commit.iter().map(|(number, etag)| (*number, etag)).collect();
        let mut chosen = Vec::new();
        for (number, etag) in wanted_etags {
            let part = self.parts.get(&number).filter(|part| part.etag == *etag);
            chosen.push(part.cloned().ok_or_else(|| self.invalid_part())?);
        }
        Ok(chosen)
    }

    fn invalid_part(&self) -> ErrorResponse {
        let UploadRecord { id, bucket, name, .. } = &self.created;
        ErrorResponse::invalid_parts(format!(
            "There were some invalid part (partNum/etag) combination for the upload UploadKey{{objectKey=ObjectKey{{bucket=BucketKey{{namespace='{NAMESPACE}', name='{bucket}'}}, name='{name}'}}, uploadId='{id}'}}"
        ))
    }

    /// The path of a file that holds the parts one after the other, safely on disk.
    fn assemble(&self, parts: &[StoredPart]) -> io::Result<PathBuf> {
        let pieces: Vec<CommittedPart> = parts
            .iter()
            .map(|part| CommittedPart {
                number: part.number,
                size: part.sums.size,
                place: part.place.clone(),
            })
            .collect();
        let all = parts.len() == self.parts.len();
        let finish = if all { self.regions.finish(&pieces) } else { AssemblyPlan::Copy };
        let (path, file) = match finish {
            AssemblyPlan::InPlace { copies, size } => {
                let path = self.dir.join(OBJECT);
                let file = OpenOptions::new().read(true).write(true).open(&path)?;
                for (name, offset) in copies {
                    let from = File::open(self.dir.join(name))?;
                    let length = from.metadata()?.len();
                    copy(&from, 0, &file, offset, length)?;
                }
                file.set_len(size)?;
                (path, file)
            }
            AssemblyPlan::Copy => {
                let path = self.dir.join(format!("whole-{}", object::uuid()));
                let file = create(&path)?;
                let mut end = 0;
                for piece in pieces {
                    let (from, offset) = self.part_location(&piece.place);
                    copy(&File::open(from)?, offset, &file, end, piece.size)?;
                    end += piece.size;
                }
                (path, file)
            }
        };
        file.sync_all()?;
        Ok(path)
    }

    /// Ends the upload; the caller forgets it.
    pub fn close(&mut self) {
        self.gone = true;
        // A folder that cannot be removed is an orphan and no part of any object.
        let _ = fs::remove_dir_all(&self.dir);
    }

    pub fn check_open(&self) -> Result<(), ErrorResponse> {
        if self.gone { Err(ErrorResponse::upload_not_found()) } else { Ok(()) }
    }
}

/// Etags of parts have been seen in two forms.
fn part_etag() -> String {
    let uuid = object::uuid();
    if fastrand::bool() { uuid } else { uuid.replace('-', "").to_ascii_uppercase() }
}

fn apply_commit_fault(parts: &mut Vec<StoredPart>, lie: CommitFault) {
    match lie {
        CommitFault::Swap(a, b) => {
            let at = |wanted| parts.iter().position(|part| part.number == wanted);
            if let (Some(a), Some(b)) = (at(a), at(b)) {
                parts.swap(a, b);
            }
        }
        CommitFault::Drop(number) => parts.retain(|part| part.number != number),
        CommitFault::None | CommitFault::StoreNothing => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::durable::DurableStore;
    use super::*;

    fn upload(dir: &Path) -> OpenUpload {
        let created = UploadRecord {
            id: "u".to_owned(),
            bucket: "demo".to_owned(),
            name: "x".to_owned(),
            time: 0,
            properties: Properties::default(),
            algorithm: None,
        };
        OpenUpload::create(dir.join("u"), created).unwrap()
    }

    fn part(upload: &mut OpenUpload, number: u32, bytes: &[u8]) -> (u32, String) {
        let slot = upload.begin(number, bytes.len() as u64).unwrap();
        slot.file.write_all_at(bytes, slot.offset).unwrap();
        let mut summer = ChecksumHasher::new(&[]);
        summer.update(bytes);
        (number, upload.land(number, slot, summer.finish()).unwrap())
    }

    /// The shelf refuses at the very end, when the file has been put together.
    #[test]
    fn a_commit_refused_by_the_shelf_leaves_excluded_parts_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut upload = upload(dir.path());
        let parts = vec![part(&mut upload, 1, b"one"), part(&mut upload, 2, b"two")];
        let some = CommitRequest {
            commit: vec![parts[0].clone()],
            exclude: vec![2],
            ..CommitRequest::default()
        };
        let conditions = Conditions::default();
        let empty = DurableStore::open(&dir.path().join("empty"), &[], 0).unwrap();
        let refused = upload.commit(&some, &conditions, &empty, 0).unwrap_err();
        assert_eq!(refused.code, "BucketNotFound");
        let shelf = DurableStore::open(&dir.path().join("buckets"), &["demo"], 0).unwrap();
        let whole = CommitRequest { commit: parts, ..CommitRequest::default() };
        upload.commit(&whole, &conditions, &shelf, 0).unwrap();
        let (_, file) = shelf.open("demo", "x").unwrap().unwrap();
        assert_eq!(io::read_to_string(file).unwrap(), "onetwo");
        assert!(!dir.path().join("u").exists());
    }

    #[test]
    fn a_part_given_up_leaves_no_file_and_can_come_again_of_another_size() {
        let dir = tempfile::tempdir().unwrap();
        let mut upload = upload(dir.path());
        drop(upload.begin(1, 100).unwrap());
        drop(upload.begin(1, 50).unwrap());
        let parts = vec![part(&mut upload, 1, b"one"), part(&mut upload, 2, b"two")];
        let shelf = DurableStore::open(&dir.path().join("buckets"), &["demo"], 0).unwrap();
        let whole = CommitRequest { commit: parts, ..CommitRequest::default() };
        let object = upload.commit(&whole, &Conditions::default(), &shelf, 0).unwrap();
        assert_eq!(object.size, 6);
        let (_, file) = shelf.open("demo", "x").unwrap().unwrap();
        assert_eq!(io::read_to_string(file).unwrap(), "onetwo");
    }
}

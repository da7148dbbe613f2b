//! One open multipart upload: its parts on disk, and how a commit turns them into an object.
//!
//! Knows files and the commit rules; the caller holds the lock and brings the shelf. Invariant: a commit
//! that is refused, for whatever reason, leaves the upload and its parts as they were.

use super::super::answer::Failure;
use super::super::checksum::{Algorithm, Multipart, Summer, Sums};
use super::super::conditions::Conditions;
use super::super::identity::NAMESPACE;
use super::Shelf;
use super::assembly::{Finish, Piece, Place, Regions, Writing};
use super::object::{self, Checks, Object, Properties};
use super::ranges::{copy, create, read};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// The most parts an upload may have, and the highest part number.
pub const MOST_PARTS: u32 = 10_000;

const OBJECT: &str = "object";

/// What was said when the upload was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    pub id: String,
    pub bucket: String,
    pub name: String,
    pub time: u64,
    pub properties: Properties,
    pub algorithm: Option<Algorithm>,
}

/// A part that was received whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub number: u32,
    pub etag: String,
    pub sums: Sums,
    pub place: Place,
}

/// What a commit asks for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub commit: Vec<(u32, String)>,
    pub exclude: Vec<u32>,
    pub lie: Lie,
}

/// What a faulty store does at commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lie {
    #[default]
    None,
    Swap(u32, u32),
    Drop(u32),
    StoreNothing,
}

/// An open upload.
#[derive(Debug)]
pub struct Upload {
    pub created: Created,
    dir: PathBuf,
    parts: BTreeMap<u32, Part>,
    regions: Regions,
    gone: bool,
}

/// Room for a part that is about to arrive.
#[derive(Debug)]
pub struct Slot {
    pub file: File,
    pub offset: u64,
    place: Place,
    path: PathBuf,
    writing: Option<Writing>,
    landed: bool,
}

impl Slot {
    /// Room for a body that is no part of an upload.
    pub fn alone(path: PathBuf) -> io::Result<Slot> {
        let place = Place::Apart(String::new());
        Ok(Slot { file: create(&path)?, offset: 0, place, path, writing: None, landed: false })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(writing) = &self.writing {
            writing.store(false, Ordering::SeqCst);
        }
        if !self.landed && matches!(self.place, Place::Apart(_)) {
            // What cannot be removed now goes with the upload's folder.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Upload {
    pub fn create(dir: PathBuf, created: Created) -> io::Result<Upload> {
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("upload.json"), serde_json::to_vec(&created)?)?;
        create(&dir.join(OBJECT))?;
        let (parts, regions) = (BTreeMap::new(), Regions::default());
        Ok(Upload { created, dir, parts, regions, gone: false })
    }

    /// Reopens an upload of an earlier run; nothing says how far its writers came, so from now on parts
    /// are kept apart.
    pub fn reopen(dir: PathBuf) -> io::Result<Upload> {
        let created = serde_json::from_slice(&fs::read(dir.join("upload.json"))?)?;
        let mut parts = BTreeMap::new();
        for entry in fs::read_dir(&dir)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("part-") && name.ends_with(".json") {
                let part: Part = serde_json::from_slice(&fs::read(dir.join(&*name))?)?;
                parts.insert(part.number, part);
            }
        }
        Ok(Upload { created, dir, parts, regions: Regions::closed(), gone: false })
    }

    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.values()
    }

    /// The etag of a part that is there.
    pub fn etag(&self, number: u32) -> Option<&str> {
        self.parts.get(&number).map(|part| part.etag.as_str())
    }

    /// Makes room for a part of this size.
    pub fn begin(&mut self, number: u32, size: u64) -> Result<Slot, Failure> {
        self.check_open()?;
        if let Some((offset, writing)) = self.regions.reserve(number, size) {
            let path = self.dir.join(OBJECT);
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let (place, writing) = (Place::Within(offset), Some(writing));
            return Ok(Slot { file, offset, place, path, writing, landed: false });
        }
        let name = format!("part-{number}-{}", object::uuid());
        let path = self.dir.join(&name);
        let file = create(&path)?;
        Ok(Slot { file, offset: 0, place: Place::Apart(name), path, writing: None, landed: false })
    }

    /// Takes a received part in, in place of an earlier one of that number; returns its etag.
    pub fn land(&mut self, number: u32, mut slot: Slot, sums: Sums) -> Result<String, Failure> {
        self.check_open()?;
        let etag = part_etag();
        let part = Part { number, etag: etag.clone(), sums, place: slot.place.clone() };
        self.record(&part)?;
        slot.landed = true;
        if let Some(Part { place: Place::Apart(name), .. }) = self.parts.insert(number, part) {
            let _ = fs::remove_file(self.dir.join(name));
        }
        Ok(etag)
    }

    fn record(&self, part: &Part) -> io::Result<()> {
        let path = self.dir.join(format!("part-{}.json", part.number));
        let new = self.dir.join(format!("new-{}", object::uuid()));
        fs::write(&new, serde_json::to_vec(part)?)?;
        fs::rename(new, path)
    }

    /// Forgets a part.
    pub fn lose(&mut self, number: u32) {
        self.parts.remove(&number);
    }

    /// Puts a part of other bytes in the place of one.
    pub fn alter(&mut self, number: u32) -> Result<(), Failure> {
        self.corrupt(number)?;
        if let Some(part) = self.parts.get_mut(&number) {
            part.etag = object::uuid();
        }
        Ok(())
    }

    /// Flips one bit of a part and believes the result.
    pub fn corrupt(&mut self, number: u32) -> Result<(), Failure> {
        let Some(mut part) = self.parts.get(&number).cloned() else { return Ok(()) };
        let (path, offset) = self.whereabouts(&part.place);
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let middle = offset + part.sums.size / 2;
        let mut byte = [0];
        file.read_exact_at(&mut byte, middle)?;
        file.write_all_at(&[byte[0] ^ 1], middle)?;
        let mut summer = Summer::new(&Algorithm::ALL);
        read(&file, offset, part.sums.size, |bytes| {
            summer.update(bytes);
            Ok(())
        })?;
        part.sums = summer.finish();
        self.record(&part)?;
        self.parts.insert(number, part);
        Ok(())
    }

    fn whereabouts(&self, place: &Place) -> (PathBuf, u64) {
        match place {
            Place::Within(offset) => (self.dir.join(OBJECT), *offset),
            Place::Apart(name) => (self.dir.join(name), 0),
        }
    }

    /// Turns the parts into an object. Everything is checked before anything is changed.
    pub fn commit(
        &mut self,
        wanted: &Wanted,
        conditions: &Conditions,
        shelf: &dyn Shelf,
        now: u64,
    ) -> Result<Object, Failure> {
        self.check_open()?;
        let mut parts = self.chosen(wanted)?;
        let current = shelf.head(&self.created.bucket, &self.created.name)?;
        conditions.allow_write(current.as_ref().map(|object| object.etag.as_str()))?;
        tamper(&mut parts, wanted.lie);

        let sums: Vec<&Sums> = parts.iter().map(|part| &part.sums).collect();
        let object = Object {
            name: self.created.name.clone(),
            etag: object::uuid(),
            size: sums.iter().map(|sums| sums.size).sum(),
            created: now,
            modified: now,
            properties: self.created.properties.clone(),
            checks: Checks::Multipart(Multipart::of(&sums, self.created.algorithm)),
            restored_until: None,
        };
        let placed = if wanted.lie == Lie::StoreNothing {
            object
        } else {
            let data = self.assemble(&parts)?;
            let placed = shelf.place(&self.created.bucket, &data, object, conditions);
            if placed.is_err() && data != self.dir.join(OBJECT) {
                let _ = fs::remove_file(&data);
            }
            placed?
        };
        self.close();
        Ok(placed)
    }

    /// The parts to commit, in the object's order, if the request is in order.
    fn chosen(&self, wanted: &Wanted) -> Result<Vec<Part>, Failure> {
        let mut named = BTreeSet::new();
        let numbers = wanted.commit.iter().map(|(number, _)| number).chain(&wanted.exclude);
        for number in numbers {
            if !named.insert(*number) {
                let message = format!("Part {number} is named more than once");
                return Err(Failure::invalid_parameter(message));
            }
        }
        if let Some(left) = self.parts.keys().find(|number| !named.contains(number)) {
            return Err(Failure::invalid_parameter(format!(
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

    fn invalid_part(&self) -> Failure {
        let Created { id, bucket, name, .. } = &self.created;
        Failure::invalid_parts(format!(
            "There were some invalid part (partNum/etag) combination for the upload UploadKey{{objectKey=ObjectKey{{bucket=BucketKey{{namespace='{NAMESPACE}', name='{bucket}'}}, name='{name}'}}, uploadId='{id}'}}"
        ))
    }

    /// The path of a file that holds the parts one after the other, safely on disk.
    fn assemble(&self, parts: &[Part]) -> io::Result<PathBuf> {
        let pieces: Vec<Piece> = parts
            .iter()
            .map(|part| Piece {
                number: part.number,
                size: part.sums.size,
                place: part.place.clone(),
            })
            .collect();
        let all = parts.len() == self.parts.len();
        let finish = if all { self.regions.finish(&pieces) } else { Finish::Copy };
        let (path, file) = match finish {
            Finish::InPlace { copies, size } => {
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
            Finish::Copy => {
                let path = self.dir.join(format!("whole-{}", object::uuid()));
                let file = create(&path)?;
                let mut end = 0;
                for piece in pieces {
                    let (from, offset) = self.whereabouts(&piece.place);
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

    pub fn check_open(&self) -> Result<(), Failure> {
        if self.gone { Err(Failure::upload_not_found()) } else { Ok(()) }
    }
}

/// Etags of parts have been seen in two forms.
fn part_etag() -> String {
    let uuid = object::uuid();
    if fastrand::bool() { uuid } else { uuid.replace('-', "").to_ascii_uppercase() }
}

fn tamper(parts: &mut Vec<Part>, lie: Lie) {
    match lie {
        Lie::Swap(a, b) => {
            let at = |wanted| parts.iter().position(|part| part.number == wanted);
            if let (Some(a), Some(b)) = (at(a), at(b)) {
                parts.swap(a, b);
            }
        }
        Lie::Drop(number) => parts.retain(|part| part.number != number),
        Lie::None | Lie::StoreNothing => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::full::Full;
    use super::*;

    fn upload(dir: &Path) -> Upload {
        let created = Created {
            id: "u".to_owned(),
            bucket: "demo".to_owned(),
            name: "x".to_owned(),
            time: 0,
            properties: Properties::default(),
            algorithm: None,
        };
        Upload::create(dir.join("u"), created).unwrap()
    }

    fn part(upload: &mut Upload, number: u32, bytes: &[u8]) -> (u32, String) {
        let slot = upload.begin(number, bytes.len() as u64).unwrap();
        slot.file.write_all_at(bytes, slot.offset).unwrap();
        let mut summer = Summer::new(&[]);
        summer.update(bytes);
        (number, upload.land(number, slot, summer.finish()).unwrap())
    }

    /// The shelf refuses at the very end, when the file has been put together.
    #[test]
    fn a_commit_refused_by_the_shelf_leaves_excluded_parts_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut upload = upload(dir.path());
        let parts = vec![part(&mut upload, 1, b"one"), part(&mut upload, 2, b"two")];
        let some = Wanted { commit: vec![parts[0].clone()], exclude: vec![2], ..Wanted::default() };
        let conditions = Conditions::default();
        let empty = Full::open(&dir.path().join("empty"), &[], 0).unwrap();
        let refused = upload.commit(&some, &conditions, &empty, 0).unwrap_err();
        assert_eq!(refused.code, "BucketNotFound");
        let shelf = Full::open(&dir.path().join("buckets"), &["demo"], 0).unwrap();
        let whole = Wanted { commit: parts, ..Wanted::default() };
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
        let shelf = Full::open(&dir.path().join("buckets"), &["demo"], 0).unwrap();
        let whole = Wanted { commit: parts, ..Wanted::default() };
        let object = upload.commit(&whole, &Conditions::default(), &shelf, 0).unwrap();
        assert_eq!(object.size, 6);
        let (_, file) = shelf.open("demo", "x").unwrap().unwrap();
        assert_eq!(io::read_to_string(file).unwrap(), "onetwo");
    }
}

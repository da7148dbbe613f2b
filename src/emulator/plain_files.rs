//! The store of `put --local`: an object is the plain file `DIR/BUCKET/NAME`.
//!
//! Owns the files below `DIR`; how paths are confined to `DIR` is in `confined_path`. Invariant:
//! nothing is written outside `DIR`, and a file appears there complete or not at all. Checksums,
//! type and metadata of an object are held in memory and end with the run. The etag is derived from
//! the file, so that it is the same in the next run.

use super::conditions::Conditions;
use super::confined_path::{
    FOLDER, PathRefused, RESERVED_DIR, components, create_parent, open_existing, open_parent,
    open_root,
};
use super::response::ErrorResponse;
use super::store::ObjectStore;
use super::store::object::{Bucket, Object, ObjectChecksums, Properties, uuid, uuid_of};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The etag of a file, which changes with its identity, size or modification time.
fn etag(stat: &Stat) -> String {
    let text = format!(
        "{}:{}:{}:{}:{}",
        stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime, stat.st_mtime_nsec
    );
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let bits = hash.as_ref().iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte));
    uuid_of(bits)
}

/// Plain files below a folder.
pub(crate) struct PlainFileStore {
    root: OwnedFd,
    /// The objects that this run wrote, by `BUCKET/NAME`.
    written: Mutex<HashMap<String, Object>>,
    /// Locked from the evaluation of a precondition to the change that it allows.
    changing: Mutex<()>,
}

impl PlainFileStore {
    /// Opens the store in an existing folder; fails if `dir` cannot be opened as one.
    pub(crate) fn open(dir: &Path) -> io::Result<PlainFileStore> {
        let root = open_root(dir)?;
        Ok(PlainFileStore { root, written: Mutex::default(), changing: Mutex::default() })
    }

    fn written(&self) -> MutexGuard<'_, HashMap<String, Object>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path<'a>(&self, bucket: &'a str, name: &'a str) -> Result<Vec<&'a str>, ErrorResponse> {
        components(bucket, name).map_err(ErrorResponse::invalid_parameter)
    }

    /// The object of a file, with its properties if this run wrote it and the file has not changed
    /// since.
    fn object(&self, bucket: &str, name: &str, stat: &Stat) -> Object {
        let etag = etag(stat);
        let written = self.written().get(&format!("{bucket}/{name}")).cloned();
        if let Some(object) = written.filter(|object| object.etag == etag) {
            return object;
        }
        let modified = u64::try_from(stat.st_mtime).unwrap_or(0) * 1000;
        Object {
            name: name.to_owned(),
            etag,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            created: modified,
            modified,
            properties: Properties::default(),
            checksums: ObjectChecksums::Unknown,
            restored_until: None,
        }
    }

    /// Adds the plain files below `folder` to `found`, with their path below the bucket.
    fn find_files(
        &self,
        folder: &OwnedFd,
        prefix: &str,
        found: &mut Vec<(String, Stat)>,
    ) -> io::Result<()> {
        for entry in rustix::fs::Dir::read_from(folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "." || name == ".." {
                continue;
            }
            let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => found.push((format!("{prefix}{name}"), stat)),
                FileType::Directory => {
                    let below = rustix::fs::openat(folder, name, FOLDER, Mode::empty())?;
                    self.find_files(&below, &format!("{prefix}{name}/"), found)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl ObjectStore for PlainFileStore {
    fn buckets(&self) -> io::Result<Vec<Bucket>> {
        let mut buckets = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.root)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().to_str()
                && components(name, "x").is_ok()
            {
                buckets.push(Bucket::new(name, 0));
            }
        }
        Ok(buckets)
    }

    /// Folders are created on demand, so every bucket whose name can be a folder exists.
    fn bucket(&self, bucket: &str) -> io::Result<Option<Bucket>> {
        Ok(components(bucket, "x").is_ok().then(|| Bucket::new(bucket, 0)))
    }

    fn create_bucket(&self, bucket: Bucket) -> Result<Bucket, ErrorResponse> {
        let path = self.path(&bucket.name, "x")?;
        create_parent(&self.root, &path)?;
        Ok(bucket)
    }

    fn delete_bucket(&self, _bucket: &str) -> Result<bool, ErrorResponse> {
        Err(ErrorResponse::new(403, "NotAllowed", "A bucket of plain files is a folder of yours"))
    }

    fn check_name(&self, bucket: &str, name: &str) -> Result<(), ErrorResponse> {
        open_existing(&self.root, &self.path(bucket, name)?)?;
        Ok(())
    }

    fn head(&self, bucket: &str, name: &str) -> Result<Option<Object>, ErrorResponse> {
        let Ok(path) = components(bucket, name) else { return Ok(None) };
        Ok(open_existing(&self.root, &path)?.map(|(_, stat)| self.object(bucket, name, &stat)))
    }

    fn open(&self, bucket: &str, name: &str) -> Result<Option<(Object, File)>, ErrorResponse> {
        let Ok(path) = components(bucket, name) else { return Ok(None) };
        let Some((folder, _)) = open_existing(&self.root, &path)? else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let last = path.last().copied().unwrap_or_default();
        let file =
            rustix::fs::openat(&folder, last, flags, Mode::empty()).map_err(io::Error::from)?;
        let stat = rustix::fs::fstat(&file).map_err(io::Error::from)?;
        Ok(Some((self.object(bucket, name, &stat), file.into())))
    }

    fn commit_object(
        &self,
        bucket: &str,
        data: &Path,
        mut object: Object,
        conditions: &Conditions,
    ) -> Result<Object, ErrorResponse> {
        let path = self.path(bucket, &object.name)?;
        let last = path.last().copied().unwrap_or_default();
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = open_existing(&self.root, &path)?;
        conditions.allow_write(current.as_ref().map(|(_, stat)| etag(stat)).as_deref())?;
        let folder = create_parent(&self.root, &path)?;
        let existing = match conditions.if_none_match {
            Some(_) => Existing::Keep,
            None => Existing::Replace,
        };
        if let Err(error) = move_into(data, &folder, last, existing) {
            return match error {
                // Another process created a file there after the preconditions were evaluated.
                Errno::EXIST => Err(conditions.allow_write(Some("")).err().unwrap_or_else(|| {
                    ErrorResponse::new(409, "ConcurrentObjectUpdate", "The object was just written")
                })),
                Errno::ISDIR => {
                    Err(PathRefused::WrongKind(path.join("/"), "is in the way: it is a folder")
                        .into())
                }
                error => Err(io::Error::from(error).into()),
            };
        }
        rustix::fs::fsync(&folder).map_err(io::Error::from)?;
        let stat = rustix::fs::statat(&folder, last, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(io::Error::from)?;
        object.etag = etag(&stat);
        self.written().insert(format!("{bucket}/{}", object.name), object.clone());
        Ok(object)
    }

    fn update_metadata(&self, bucket: &str, object: Object) -> Result<(), ErrorResponse> {
        self.written().insert(format!("{bucket}/{}", object.name), object);
        Ok(())
    }

    fn delete(
        &self,
        bucket: &str,
        name: &str,
        conditions: &Conditions,
    ) -> Result<bool, ErrorResponse> {
        let path = self.path(bucket, name)?;
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((folder, stat)) = open_existing(&self.root, &path)? else { return Ok(false) };
        conditions.allow_write(Some(&etag(&stat)))?;
        let last = path.last().copied().unwrap_or_default();
        rustix::fs::unlinkat(&folder, last, AtFlags::empty()).map_err(io::Error::from)?;
        Ok(true)
    }

    fn list(&self, bucket: &str) -> Result<Vec<Object>, ErrorResponse> {
        let path = self.path(bucket, "x")?;
        let Some(folder) = open_parent(&self.root, &path)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        self.find_files(&folder, "", &mut found)?;
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found.iter().map(|(name, stat)| self.object(bucket, name, stat)).collect())
    }
}

/// What happens to a file that exists at the new name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    Replace,
    /// The rename fails with EEXIST.
    Keep,
}

/// Moves a file to its name, atomically.
fn move_into(data: &Path, folder: &OwnedFd, name: &str, existing: Existing) -> Result<(), Errno> {
    let moved = match rename(rustix::fs::CWD, data, folder, name, existing) {
        // The file system has no such rename; the precondition that was evaluated has to suffice.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if existing == Existing::Keep => {
            rename(rustix::fs::CWD, data, folder, name, Existing::Replace)
        }
        moved => moved,
    };
    if moved != Err(Errno::XDEV) {
        return moved;
    }
    // The bucket is on another file system: copy beside the name, then move from there.
    let temporary = format!("{RESERVED_DIR}-{}", uuid());
    let copied = copy_into(data, folder, &temporary)
        .and_then(|()| rename(folder.as_fd(), Path::new(&temporary), folder, name, existing));
    if copied.is_err() {
        // The error to report is the first one.
        let _ = rustix::fs::unlinkat(folder, &*temporary, AtFlags::empty());
    } else {
        // The file is in the folder of the run, which is removed at the end.
        let _ = std::fs::remove_file(data);
    }
    copied
}

fn rename(
    from: BorrowedFd<'_>,
    data: &Path,
    folder: &OwnedFd,
    name: &str,
    existing: Existing,
) -> Result<(), Errno> {
    match existing {
        Existing::Replace => rustix::fs::renameat(from, data, folder, name),
        Existing::Keep => rename_exclusive(from, data, folder, name),
    }
}

fn copy_into(data: &Path, folder: &OwnedFd, temporary: &str) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let file = rustix::fs::openat(folder, temporary, flags, Mode::from_bits_truncate(0o666))?;
    let mut file = File::from(file);
    let mut source = File::open(data).map_err(errno)?;
    io::copy(&mut source, &mut file).map_err(errno)?;
    file.sync_all().map_err(errno)
}

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn rename_exclusive(
    from: BorrowedFd<'_>,
    data: &Path,
    folder: &OwnedFd,
    name: &str,
) -> Result<(), Errno> {
    rustix::fs::renameat_with(from, data, folder, name, rustix::fs::RenameFlags::NOREPLACE)
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn rename_exclusive(_: BorrowedFd<'_>, _: &Path, _: &OwnedFd, _: &str) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

//! The file region into which one received body is written.
//!
//! Owns the file of a body until the body is stored. Knows no upload and no object. Invariant: a
//! body that was not stored leaves no file of its own behind, and its region is marked as not being
//! written.

use super::assembly::{PartLocation, WriteLock};
use super::ranges::create;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// The file and the offset in bytes at which a body is written.
#[derive(Debug)]
pub(crate) struct PartWriter {
    pub file: File,
    pub offset: u64,
    location: PartLocation,
    path: PathBuf,
    writing: Option<WriteLock>,
    finished: bool,
}

impl PartWriter {
    /// Writes a body that is not a part; the file is created at `path`.
    pub(crate) fn standalone(path: PathBuf) -> io::Result<PartWriter> {
        PartWriter::own_file(path, String::new())
    }

    /// Writes a part to a file of this name in the folder of the upload, which is created.
    pub(crate) fn part_file(dir: &Path, name: String) -> io::Result<PartWriter> {
        PartWriter::own_file(dir.join(&name), name)
    }

    fn own_file(path: PathBuf, name: String) -> io::Result<PartWriter> {
        let file = create(&path)?;
        let location = PartLocation::OwnFile(name);
        Ok(PartWriter { file, offset: 0, location, path, writing: None, finished: false })
    }

    /// Writes a part to its region in the object's file, which exists. `writing` is set until the
    /// writer is dropped.
    pub(crate) fn region(path: PathBuf, offset: u64, writing: WriteLock) -> io::Result<PartWriter> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let (location, writing) = (PartLocation::InObject(offset), Some(writing));
        Ok(PartWriter { file, offset, location, path, writing, finished: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn location(&self) -> &PartLocation {
        &self.location
    }

    /// Ends the writing of a part that is recorded; its file stays.
    pub(crate) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if let Some(writing) = &self.writing {
            writing.store(false, Ordering::SeqCst);
        }
        if !self.finished && matches!(self.location, PartLocation::OwnFile(_)) {
            // A file that cannot be removed now is removed with the folder of the upload.
            let _ = fs::remove_file(&self.path);
        }
    }
}

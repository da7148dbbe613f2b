//! The partial file of a download: `.NAME.ocipipe-part` beside the target.
//!
//! Owns its name, its lock and its format. Must not know requests or digests of the service.
//! Invariants: the file begins with the bytes of the object in their order; the trailer at its end
//! has the object's etag, the extent, and the number and the CRC-32 of the bytes that are complete.
//! It is true after every system call until the complete file is on the disk, so that a run that was killed
//! before is continued; only while the file is cut to its length and renamed it has no trailer.
//! No link is followed, and the file belongs to this user and to one run at a time.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proto::byte_range::Extent;
use proto::error::Error;

/// The longest name of a file.
const MAX_NAME: usize = 255;
const SUFFIX: &str = ".ocipipe-part";
/// The first and the last bytes of a trailer.
const BEGIN: &[u8; 8] = b"ocipart1";
const END: &[u8; 8] = b"1trapico";
/// Bytes of a trailer without the etag.
const FIXED: usize = 8 + 4 * 8 + 4 + 4 + 4 + 8;
/// The longest etag of a trailer.
const MAX_ETAG: usize = 4096;
/// How often a file is opened again that another run has renamed or removed in the meantime.
const MAX_OPENS: usize = 20;

/// What a partial file is part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binding {
    pub etag: String,
    /// The size of the object in bytes.
    pub size: u64,
    /// The bytes of the object that the target gets.
    pub extent: Extent,
}

/// An open and locked partial file. A drop keeps it, unless it has no complete byte.
pub(super) struct PartialFile {
    file: File,
    path: PathBuf,
    target: PathBuf,
    binding: Binding,
    /// Bytes that are complete.
    kept: u64,
    crc: crc32fast::Hasher,
    /// Whether the file has no path any more.
    gone: bool,
}

impl PartialFile {
    /// Opens the partial file of `target`, or creates it. Fails where it is not a plain file of this
    /// user, where another run has it, and where it cannot be created.
    pub(super) fn open(target: &Path, binding: Binding) -> Result<PartialFile, Error> {
        let path = path_of(target);
        let refused =
            |reason: String| Error::usage(format!("--file {}: {reason}", target.display()));
        let file = open_and_lock(&path).map_err(|error| match error {
            OpenError::Locked => refused(format!("another run is writing {}", path.display()))
                .with_hint("wait until it has ended"),
            OpenError::NotOurs(what) => refused(format!("{} {what}", path.display()))
                .with_hint("remove it, or give another --file"),
            OpenError::Io(error) => refused(error.to_string()),
        })?;
        let mut partial = PartialFile {
            file,
            path,
            target: target.to_owned(),
            binding,
            kept: 0,
            crc: crc32fast::Hasher::new(),
            gone: false,
        };
        partial.adopt().map_err(|error| refused(error.to_string()))?;
        Ok(partial)
    }

    /// Takes over what an earlier run has kept of the same bytes; empties the file otherwise.
    fn adopt(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        match Trailer::read(&self.file, length)?.filter(|trailer| {
            trailer.binding == self.binding && trailer.kept <= self.binding.extent.length
        }) {
            Some(trailer) => {
                self.kept = trailer.kept;
                self.crc = crc32fast::Hasher::new_with_initial_len(trailer.crc, trailer.kept);
                Ok(())
            }
            None => self.file.set_len(0),
        }
    }

    /// The path of the partial file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The number of bytes that are complete.
    pub(super) fn kept(&self) -> u64 {
        self.kept
    }

    /// The CRC-32 of the bytes that are complete.
    pub(super) fn crc(&self) -> u32 {
        self.crc.clone().finalize()
    }

    /// Reads bytes that are complete, from this offset on. Fails where the file does.
    pub(super) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    /// Forgets all bytes. Fails where the file does.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.kept = 0;
        self.crc = crc32fast::Hasher::new();
        self.file.set_len(0)
    }

    /// Appends the next bytes, in pieces that `each` sees before they are written. Fails where the
    /// file does; the bytes that were complete before stay so.
    pub(super) fn append(
        &mut self,
        bytes: &[u8],
        piece: usize,
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let end = self.kept + bytes.len() as u64;
        // The old trailer is overwritten by the bytes, so that a new one is written behind them first.
        self.file.write_all_at(&self.trailer().to_bytes(), end)?;
        let (mut crc, mut offset) = (self.crc.clone(), self.kept);
        for piece in bytes.chunks(piece) {
            each(piece);
            crc.update(piece);
            self.file.write_all_at(piece, offset)?;
            offset += piece.len() as u64;
        }
        (self.kept, self.crc) = (end, crc);
        self.file.write_all_at(&self.trailer().to_bytes(), end)
    }

    fn trailer(&self) -> Trailer {
        Trailer { binding: self.binding.clone(), kept: self.kept, crc: self.crc() }
    }

    /// Makes the complete file the target. Fails where the file cannot be written to the disk, of which nothing
    /// is kept then, and where it cannot be renamed; it stays in its place then, with its trailer.
    pub(super) fn finish(mut self) -> io::Result<()> {
        // This can take minutes, in which the run can be stopped: the trailer is there still.
        self.sync()?;
        self.file.set_len(self.binding.extent.length)?;
        self.sync()?;
        if let Err(error) = std::fs::rename(&self.path, &self.target) {
            // The error of the rename matters more than one of this.
            let _ = self.file.write_all_at(&self.trailer().to_bytes(), self.kept);
            return Err(error);
        }
        self.gone = true;
        if let Ok(folder) = File::open(folder_of(&self.target)) {
            // Not every file system can do this for a folder.
            let _ = folder.sync_all();
        }
        Ok(())
    }

    /// Writes the file to the disk. After a failure the kernel shows the pages that it has lost, and reports
    /// no further error, so that no later run may take them for written.
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all().inspect_err(|_| {
            let _ = self.restart();
        })
    }

    /// Removes the file.
    pub(super) fn delete(mut self) {
        self.gone = true;
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.gone && self.kept == 0 {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The folder of a path.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The path of the partial file of a target. A name that would be too long is shortened.
pub(super) fn path_of(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().as_bytes();
    let most = MAX_NAME - SUFFIX.len() - 1;
    let mut part = vec![b'.'];
    if name.len() <= most {
        part.extend_from_slice(name);
    } else {
        let hash = format!("-{:08x}", crc32fast::hash(name));
        part.extend_from_slice(&name[..most - hash.len()]);
        part.extend_from_slice(hash.as_bytes());
    }
    part.extend_from_slice(SUFFIX.as_bytes());
    folder_of(target).join(OsString::from_vec(part))
}

enum OpenError {
    /// Another run has the file.
    Locked,
    /// Not a plain file of this user; the text completes "the file ...".
    NotOurs(&'static str),
    Io(io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> OpenError {
        OpenError::Io(error)
    }
}

/// Opens the file with these guards; a file that another run has renamed or removed between the
/// open and the lock is opened again.
fn open_and_lock(path: &Path) -> Result<File, OpenError> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    for _ in 0..MAX_OPENS {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags.bits().cast_signed())
            .open(path);
        let file = match opened {
            Ok(file) => file,
            Err(error) => {
                return Err(match std::fs::symlink_metadata(path) {
                    Ok(there) if there.is_symlink() => OpenError::NotOurs("is a link"),
                    Ok(there) if !there.is_file() => OpenError::NotOurs("is not a plain file"),
                    _ => OpenError::Io(error),
                });
            }
        };
        let opened = file.metadata()?;
        check_owner(&opened)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked),
            Err(TryLockError::Error(error)) => {
                let text = format!("{} cannot be locked: {error}", path.display());
                return Err(io::Error::new(error.kind(), text).into());
            }
        }
        match std::fs::symlink_metadata(path) {
            Ok(there) if there.dev() == opened.dev() && there.ino() == opened.ino() => {
                if opened.mode() & 0o7777 != 0o600 {
                    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
                }
                return Ok(file);
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(OpenError::Locked)
}

fn check_owner(file: &Metadata) -> Result<(), OpenError> {
    if !file.is_file() {
        return Err(OpenError::NotOurs("is not a plain file"));
    }
    if file.uid() != rustix::process::geteuid().as_raw() {
        return Err(OpenError::NotOurs("belongs to another user"));
    }
    if file.nlink() != 1 {
        return Err(OpenError::NotOurs("has more than one name"));
    }
    Ok(())
}

/// The content of the end of a partial file.
struct Trailer {
    binding: Binding,
    kept: u64,
    crc: u32,
}

impl Trailer {
    /// The trailer as bytes; their number depends on the etag only.
    fn to_bytes(&self) -> Vec<u8> {
        let Binding { etag, size, extent } = &self.binding;
        let mut bytes = BEGIN.to_vec();
        bytes.extend_from_slice(etag.as_bytes());
        for number in [*size, extent.first, extent.length, self.kept] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.crc.to_le_bytes());
        bytes.extend_from_slice(&(etag.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes.extend_from_slice(END);
        bytes
    }

    /// Reads the trailer of a file of `length` bytes; `None` where there is none. Fails where the
    /// file cannot be read.
    fn read(file: &File, length: u64) -> io::Result<Option<Trailer>> {
        const TAIL: usize = 4 + 4 + 8;
        let mut tail = [0; TAIL];
        let Some(offset) = length.checked_sub(TAIL as u64) else { return Ok(None) };
        file.read_exact_at(&mut tail, offset)?;
        let etag_len = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]) as usize;
        let total = (FIXED + etag_len.min(MAX_ETAG)) as u64;
        let Some(offset) = length.checked_sub(total) else { return Ok(None) };
        if etag_len > MAX_ETAG || tail[8..] != *END {
            return Ok(None);
        }
        let mut bytes = vec![0; FIXED + etag_len];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(Trailer::parse(&bytes, etag_len).filter(|trailer| trailer.kept <= offset))
    }

    fn parse(bytes: &[u8], etag_len: usize) -> Option<Trailer> {
        let (body, tail) = bytes.split_at_checked(bytes.len().checked_sub(12)?)?;
        let stored = u32::from_le_bytes(tail[..4].try_into().ok()?);
        if stored != crc32fast::hash(body) || !body.starts_with(BEGIN) {
            return None;
        }
        let (etag, numbers) = body[BEGIN.len()..].split_at_checked(etag_len)?;
        let number = |index: usize| {
            let bytes = numbers.get(index * 8..index * 8 + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let extent = Extent { first: number(1)?, length: number(2)? };
        let etag = String::from_utf8(etag.to_vec()).ok()?;
        let crc = u32::from_le_bytes(numbers.get(32..36)?.try_into().ok()?);
        Some(Trailer { binding: Binding { etag, size: number(0)?, extent }, kept: number(3)?, crc })
    }
}

#[cfg(test)]
mod tests;

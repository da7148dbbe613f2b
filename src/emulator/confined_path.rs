//! Paths confined to a folder: opened one component at a time, never through a symbolic link.
//!
//! Knows names and folders, and no object. Invariant: what it opens or creates lies below the
//! folder that it was given, whatever links exist there and however another process changes them
//! meanwhile.

use super::response::ErrorResponse;
use super::store::object::{legal_bucket_name, legal_object_name};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// The folder below `DIR` for temporary files; no bucket can have this name.
pub(crate) const RESERVED_DIR: &str = ".ocipipe";

/// How a folder is opened.
pub(crate) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Checks whether `DIR/BUCKET/NAME` could be written, without writing. The error is the reason in
/// words.
pub fn check_writable(dir: &Path, bucket: &str, name: &str) -> Result<(), String> {
    let path = components(bucket, name)?;
    match open_root(dir) {
        Ok(root) => open_existing(&root, &path).map(|_| ()).map_err(|error| error.describe(dir)),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(format!("{} cannot be used as a folder: {error}", dir.display())),
    }
}

/// The components of `BUCKET/NAME`; fails, with the reason in words, if one cannot be a file name.
pub(crate) fn components<'a>(bucket: &'a str, name: &'a str) -> Result<Vec<&'a str>, String> {
    if !legal_bucket_name(bucket) || bucket.len() > 255 {
        return Err(format!("'{bucket}' cannot be the name of a bucket's folder"));
    }
    if bucket.eq_ignore_ascii_case(RESERVED_DIR) {
        return Err(format!("the folder {RESERVED_DIR} is kept for temporary files"));
    }
    if !legal_object_name(name) {
        return Err("an object name has 1 to 1024 bytes, without NUL, CR or LF".to_owned());
    }
    let mut path = vec![bucket];
    for component in name.split('/') {
        match component {
            "" => return Err(format!("'{name}' has an empty component and cannot be a path")),
            "." | ".." => {
                return Err(format!(
                    "'{name}' has the component '{component}' and is no safe path"
                ));
            }
            long if long.len() > 255 => {
                return Err("a component of the name is longer than 255 bytes".to_owned());
            }
            component => path.push(component),
        }
    }
    Ok(path)
}

/// Why a path cannot be used.
#[derive(Debug)]
pub enum PathRefused {
    /// This path exists and is of the wrong kind, which the text describes.
    WrongKind(String, &'static str),
    System(Errno),
}

impl PathRefused {
    fn describe(self, dir: &Path) -> String {
        match self {
            PathRefused::WrongKind(path, what) => format!("{} {what}", dir.join(path).display()),
            PathRefused::System(error) => format!("{} cannot be written: {error}", dir.display()),
        }
    }
}

impl From<PathRefused> for ErrorResponse {
    fn from(error: PathRefused) -> ErrorResponse {
        match error {
            PathRefused::WrongKind(path, what) => {
                ErrorResponse::invalid_parameter(format!("{path} {what}"))
            }
            PathRefused::System(error) => io::Error::from(error).into(),
        }
    }
}

/// Opens `DIR`, which the user names and which may be a link.
pub(crate) fn open_root(dir: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(dir, flags, Mode::empty())
}

/// Opens the folder of the last component; `None` if it does not exist.
pub(crate) fn open_parent(root: &OwnedFd, path: &[&str]) -> Result<Option<OwnedFd>, PathRefused> {
    match walk(root, path, |_, _| Err(Errno::NOENT)) {
        Err(PathRefused::System(Errno::NOENT)) => Ok(None),
        opened => opened.map(Some),
    }
}

/// Opens the folder of the last component, and creates each folder on the way that does not exist.
pub(crate) fn create_parent(root: &OwnedFd, path: &[&str]) -> Result<OwnedFd, PathRefused> {
    walk(root, path, create_folder)
}

/// Opens the folder of the last component; `missing` opens a folder that does not exist.
fn walk(
    root: &OwnedFd,
    path: &[&str],
    missing: impl Fn(&OwnedFd, &str) -> Result<OwnedFd, Errno>,
) -> Result<OwnedFd, PathRefused> {
    let mut folder = rustix::io::fcntl_dupfd_cloexec(root, 0).map_err(PathRefused::System)?;
    let folders = path.split_last().map_or(path, |(_, folders)| folders);
    for (index, component) in folders.iter().enumerate() {
        let opened = rustix::fs::openat(&folder, *component, FOLDER, Mode::empty());
        folder = match opened {
            Ok(next) => next,
            Err(Errno::NOENT) => missing(&folder, component).map_err(PathRefused::System)?,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let so_far = path[..=index].join("/");
                let what = "is in the way: it is not a folder (links are not followed)";
                return Err(PathRefused::WrongKind(so_far, what));
            }
            Err(error) => return Err(PathRefused::System(error)),
        };
    }
    Ok(folder)
}

fn create_folder(folder: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    match rustix::fs::mkdirat(folder, name, Mode::from_bits_truncate(0o777)) {
        // If another process created it first, `openat` below fails unless it is a folder.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    rustix::fs::fsync(folder)?;
    rustix::fs::openat(folder, name, FOLDER, Mode::empty())
}

/// The folder and the status of the file at a path; `None` if it does not exist. Fails if it is not
/// a plain file.
pub(crate) fn open_existing(
    root: &OwnedFd,
    path: &[&str],
) -> Result<Option<(OwnedFd, Stat)>, PathRefused> {
    let Some(folder) = open_parent(root, path)? else { return Ok(None) };
    let name = path.last().copied().unwrap_or_default();
    match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
            Ok(Some((folder, stat)))
        }
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            Err(PathRefused::WrongKind(path.join("/"), "is in the way: it is a folder"))
        }
        Ok(_) => {
            Err(PathRefused::WrongKind(path.join("/"), "is in the way: it is not a plain file"))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(PathRefused::System(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_has_at_most_255_bytes() {
        let long = "x".repeat(255);
        let name = format!("a/{long}");
        assert_eq!(components(&long, &name), Ok(vec![&*long, "a", &*long]));
        for (bucket, name) in [("b".to_owned(), format!("a/{long}x")), (format!("{long}x"), name)] {
            assert!(components(&bucket, &name).is_err());
        }
    }
}

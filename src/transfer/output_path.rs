//! What the path of a download names: a regular file, or a device or a pipe.
//!
//! Owns the way to open a device or a pipe. Must not know the object. Invariants: no open blocks the thread of
//! its caller; a descriptor of this process that is a regular file is never replaced by a file of the same name.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::platform::standard_stream;
use crate::platform::worker::Worker;

/// The pause before a named pipe without a reader is opened again.
const READER_INTERVAL: Duration = Duration::from_millis(100);

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OutputKind {
    /// A regular file, or none yet, at this path, in which links are resolved.
    Regular(PathBuf),
    /// A device, a pipe or a socket.
    Special,
}

/// What `path` names. Fails for a folder, for a file that cannot be replaced, and for a descriptor of a regular
/// file.
pub(super) fn kind(path: &Path) -> io::Result<OutputKind> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(io::Error::other("this is a folder")),
        Ok(metadata) if !metadata.is_file() => Ok(OutputKind::Special),
        Ok(metadata) if is_descriptor(path) || standard_stream::is_output(&metadata) => {
            Err(io::Error::other(
                "stdout, stderr or another descriptor is this file, which would be replaced: leave --file out to \
             write to stdout",
            ))
        }
        Ok(_) if is_mount(path) => Err(io::Error::other(
            "this file is mounted by itself, so that it cannot be replaced: redirect stdout to it",
        )),
        // The file that a link points to is replaced, and not the link.
        Ok(_) => Ok(OutputKind::Regular(fs::canonicalize(path)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match path.as_os_str().as_encoded_bytes().ends_with(b"/") {
                true => Err(io::Error::other("there is no such folder")),
                false => Ok(OutputKind::Regular(path.to_owned())),
            }
        }
        Err(error) => Err(error),
    }
}

/// Whether the path is that of a descriptor of this process.
fn is_descriptor(path: &Path) -> bool {
    let names = ["/dev/stdin", "/dev/stdout", "/dev/stderr"];
    let folders = ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"];
    names.iter().any(|name| path == Path::new(name))
        || folders.iter().any(|folder| path.starts_with(folder))
}

/// Whether the file is a mount of its own, such as one file of the host in a container.
fn is_mount(path: &Path) -> bool {
    let stat = rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::empty());
    stat.is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Opens a device or a pipe. Calls `waiting` once where a named pipe has no reader, and waits for it. A device
/// is opened by `worker`, since that of a tape waits until the drive is ready.
pub(super) async fn open_special(
    path: &Path,
    worker: &Worker,
    waiting: impl FnOnce(),
) -> io::Result<File> {
    if !fs::metadata(path)?.file_type().is_fifo() {
        let device = path.to_owned();
        let mut options = File::options();
        options.write(true).custom_flags(OFlags::NOCTTY.bits().cast_signed());
        let opened = worker.call(move || options.open(device)).await;
        return opened.unwrap_or_else(|| Err(io::Error::other("the opening failed within itself")));
    }
    let mut waiting = Some(waiting);
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    loop {
        let mut options = File::options();
        let opened = options.write(true).custom_flags(flags.bits().cast_signed()).open(path);
        match opened {
            Ok(file) => {
                let flags = rustix::fs::fcntl_getfl(&file)?;
                rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
                return Ok(file);
            }
            // The pipe has no reader yet.
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
                if let Some(waiting) = waiting.take() {
                    waiting();
                }
                tokio::time::sleep(READER_INTERVAL).await;
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_names_a_file_or_a_device() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "x").unwrap();
        symlink(&file, &link).unwrap();
        let resolved = fs::canonicalize(&file).unwrap();
        let absent = folder.path().join("absent");
        assert_eq!(kind(Path::new("/dev/null")).unwrap(), OutputKind::Special);
        assert_eq!(kind(&link).unwrap(), OutputKind::Regular(resolved.clone()));
        assert_eq!(kind(&file).unwrap(), OutputKind::Regular(resolved));
        assert_eq!(kind(&absent).unwrap(), OutputKind::Regular(absent.clone()));
        for (path, what) in [
            (folder.path().to_owned(), "this is a folder"),
            (absent.join(""), "there is no such folder"),
            (file.join("below"), "Not a directory"),
        ] {
            let error = kind(&path).unwrap_err().to_string();
            assert!(error.contains(what), "{}: {error}", path.display());
        }
    }

    #[test]
    fn a_descriptor_that_is_a_regular_file_is_not_replaced() {
        use std::os::fd::AsRawFd;
        let file = tempfile::tempfile().unwrap();
        for folder in ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"] {
            let path = format!("{folder}/{}", file.as_raw_fd());
            let error = kind(Path::new(&path)).unwrap_err().to_string();
            assert!(error.contains("would be replaced"), "{path}: {error}");
        }
    }

    #[tokio::test]
    async fn a_named_pipe_waits_for_its_reader_and_blocks_then_as_any() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        rustix::fs::mkfifoat(CWD, &path, 0o600.into()).unwrap();
        let (calls, reader) = (std::cell::Cell::new(0), std::cell::OnceCell::new());
        let worker = Worker::start("test").unwrap();
        let opened = open_special(&path, &worker, || {
            calls.set(calls.get() + 1);
            // Opening for reading does not block either with this flag.
            let flags = OFlags::NONBLOCK.bits().cast_signed();
            let opened = File::options().read(true).custom_flags(flags).open(&path);
            reader.set(opened.unwrap()).unwrap();
        });
        let file = opened.await.unwrap();
        assert_eq!(calls.get(), 1);
        assert!(!rustix::fs::fcntl_getfl(&file).unwrap().contains(OFlags::NONBLOCK));
    }
}

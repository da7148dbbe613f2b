//! Writes a downloaded object to stdout, or to a file that appears when it is complete.
//!
//! Owns the output, on a thread that may block, and the digest of the written bytes. Must not know
//! requests. Invariant: a regular file at the given path is never a part of an object.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::platform::worker::{self, Worker};
use proto::api::ObjectMeta;
use proto::digest::{Algorithm, Hasher, Value};
use proto::error::{Error, ErrorKind};

/// The output of a download.
pub struct Sink {
    worker: Worker,
    state: SinkState,
}

/// What the thread owns while it works.
struct SinkState {
    output: Output,
    /// The digest that the service reports for the whole object.
    expected: Option<Value>,
    hasher: Hasher,
}

enum Output {
    Stdout,
    File {
        temporary: NamedTempFile,
        path: PathBuf,
    },
    /// A device or a pipe, which cannot be replaced by renaming.
    Special(File),
}

/// Starts the thread that writes. Fails where the system gives no thread within 10 s.
pub async fn worker() -> Result<Worker, Error> {
    let worker = worker::retry_start(|| Worker::start("ocipipe-write")).await;
    Ok(worker.map_err(|error| worker::thread_error("to write with", &error))?.joined_on_drop())
}

impl Sink {
    /// Opens the output at `path`, or stdout for `None` and `-`. `meta` has the digests to compare
    /// with. Fails where the path is a folder or no file can be created.
    pub fn open(worker: Worker, path: Option<&Path>, meta: &ObjectMeta) -> Result<Sink, Error> {
        let output = match path {
            None => Output::Stdout,
            Some(path) if path == Path::new("-") => Output::Stdout,
            Some(path) => {
                open(path).map_err(|e| Error::usage(format!("--file {}: {e}", path.display())))?
            }
        };
        let expected = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Crc32c, Algorithm::Md5]
            .into_iter()
            .find_map(|algorithm| Value::from_base64(algorithm, meta.content.get(algorithm)?));
        let algorithm = expected.as_ref().map_or(Algorithm::None, Value::algorithm);
        let state = SinkState { output, expected, hasher: Hasher::new(algorithm) };
        Ok(Sink { worker, state })
    }

    /// Writes the next bytes; returns the sink when they are written. Fails with
    /// `ErrorKind::StdoutClosed` where the reader of stdout has closed it, and with
    /// `ErrorKind::Internal` where the output cannot be written.
    pub async fn write(self, bytes: Vec<u8>) -> Result<Sink, Error> {
        let Sink { worker, mut state } = self;
        let written = worker.call(move || {
            state.hasher.update(&bytes);
            state.output.write(&bytes).map(|()| state)
        });
        let state = written.await.unwrap_or_else(|| Err(thread_failed()))?;
        Ok(Sink { worker, state })
    }

    /// Compares the digests and moves a file to its path. Fails with `ErrorKind::Integrity` where
    /// the digests differ.
    pub async fn finish(self) -> Result<(), Error> {
        let Sink { worker, state: SinkState { output, expected, hasher } } = self;
        let finished = worker.call(move || {
            let written = hasher.finish().value;
            match (expected, written) {
                (Some(expected), Some(written)) if expected != written => {
                    let name = expected.algorithm().name();
                    Err(Error::integrity(format!(
                        "the object's {name} is {expected}, of what was read {written}"
                    ))
                    .with_hint("do not use what was written: start again"))
                }
                _ => output.finish(),
            }
        });
        finished.await.unwrap_or_else(|| Err(thread_failed()))
    }
}

fn thread_failed() -> Error {
    Error::new(ErrorKind::Internal, "the writing thread failed within itself")
}

fn open(path: &Path) -> io::Result<Output> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(io::Error::other("this is a folder")),
        Ok(metadata) if !metadata.is_file() => {
            Ok(Output::Special(File::options().write(true).open(path)?))
        }
        _ => {
            // The file that a link points to is replaced, and not the link.
            let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            let folder = match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            Ok(Output::File { temporary: NamedTempFile::new_in(folder)?, path })
        }
    }
}

impl Output {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let to_stdout = matches!(self, Output::Stdout);
        let written = match self {
            Output::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            }
            Output::File { temporary, .. } => temporary.write_all(bytes),
            Output::Special(file) => file.write_all(bytes),
        };
        written.map_err(|e| match e.kind() {
            // Readers like `head` close their stdin when they have read enough.
            io::ErrorKind::BrokenPipe if to_stdout => {
                Error::new(ErrorKind::StdoutClosed, "the reader of stdout left before the end")
            }
            _ => Error::new(ErrorKind::Internal, format!("the object cannot be written: {e}")),
        })
    }

    fn finish(self) -> Result<(), Error> {
        let Output::File { temporary, path } = self else { return Ok(()) };
        let failed = |e: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Internal, format!("{} cannot be written: {e}", path.display()))
        };
        temporary.as_file().sync_all().map_err(|e| failed(&e))?;
        temporary.persist(&path).map_err(|e| failed(&e.error))?;
        Ok(())
    }
}

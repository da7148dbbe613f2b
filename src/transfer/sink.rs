//! Where the bytes of an object go: stdout, or a file that appears when it is whole.
//!
//! Owns the writing, on a thread that may block, and the checksum of what was written. Knows nothing
//! of requests. Invariant: a file of the asked-for name is never half an object.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::platform::worker::{self, Worker};
use proto::api::ObjectMeta;
use proto::digest::{Algorithm, Hasher, Value};
use proto::error::{Error, ErrorKind};

pub struct Sink {
    worker: Worker,
    state: SinkState,
}

/// What the thread works on.
struct SinkState {
    output: Output,
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

/// The thread that writes; there before anything is asked or said.
pub async fn worker() -> Result<Worker, Error> {
    let worker = worker::retry_start(|| Worker::start("ocipipe-write")).await;
    Ok(worker.map_err(|error| worker::thread_error("to write with", &error))?.joined_on_drop())
}

impl Sink {
    /// `head` says which checksum of the whole the service has, if any.
    pub fn open(worker: Worker, path: Option<&Path>, head: &ObjectMeta) -> Result<Sink, Error> {
        let to = match path {
            None => Output::Stdout,
            Some(path) if path == Path::new("-") => Output::Stdout,
            Some(path) => {
                open(path).map_err(|e| Error::usage(format!("--file {}: {e}", path.display())))?
            }
        };
        let expected = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Crc32c, Algorithm::Md5]
            .into_iter()
            .find_map(|algorithm| Value::from_base64(algorithm, head.content.get(algorithm)?));
        let algorithm = expected.as_ref().map_or(Algorithm::None, Value::algorithm);
        let writing = SinkState { output: to, expected, hasher: Hasher::new(algorithm) };
        Ok(Sink { worker, state: writing })
    }

    /// Writes the next bytes; the sink comes back when they are written.
    pub async fn write(self, bytes: Vec<u8>) -> Result<Sink, Error> {
        let Sink { worker, state: mut writing } = self;
        let written = worker.call(move || {
            writing.hasher.update(&bytes);
            writing.output.write(&bytes).map(|()| writing)
        });
        let writing = written.await.unwrap_or_else(|| Err(failed()))?;
        Ok(Sink { worker, state: writing })
    }

    /// Says whether what was written is what the service holds, and lets a file appear.
    pub async fn finish(self) -> Result<(), Error> {
        let Sink { worker, state: SinkState { output: to, expected, hasher } } = self;
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
                _ => to.finish(),
            }
        });
        finished.await.unwrap_or_else(|| Err(failed()))
    }
}

fn failed() -> Error {
    Error::new(ErrorKind::Internal, "the writing thread failed within itself")
}

fn open(path: &Path) -> io::Result<Output> {
    match std::fs::metadata(path) {
        Ok(about) if about.is_dir() => Err(io::Error::other("this is a folder")),
        Ok(about) if !about.is_file() => {
            Ok(Output::Special(File::options().write(true).open(path)?))
        }
        _ => {
            // A link is followed, so that what it points to is replaced and not the link.
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
            // As `head` does: it has seen enough, and what it has seen is right.
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

//! Where the bytes of an object go: stdout, or a file that appears when it is whole.
//!
//! Owns the writing, on a thread that may block, and the checksum of what was written. Knows nothing
//! of requests. Invariant: a file of the asked-for name is never half an object.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::digest::{Algorithm, Hasher, Value};
use crate::error::{Error, Kind};
use crate::oci::api::Held;
use crate::worker::{self, Worker};

pub struct Sink {
    worker: Worker,
    writing: Writing,
}

/// What the thread works on.
struct Writing {
    to: To,
    expected: Option<Value>,
    hasher: Hasher,
}

enum To {
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
    let worker = worker::patiently(|| Worker::start("ocipipe-write")).await;
    Ok(worker.map_err(|error| worker::refused("to write with", &error))?.waited_for())
}

impl Sink {
    /// `head` says which checksum of the whole the service has, if any.
    pub fn open(worker: Worker, path: Option<&Path>, head: &Held) -> Result<Sink, Error> {
        let to = match path {
            None => To::Stdout,
            Some(path) if path == Path::new("-") => To::Stdout,
            Some(path) => {
                open(path).map_err(|e| Error::usage(format!("--file {}: {e}", path.display())))?
            }
        };
        let expected = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Crc32c, Algorithm::Md5]
            .into_iter()
            .find_map(|algorithm| Value::from_base64(algorithm, head.content(algorithm)?));
        let algorithm = expected.as_ref().map_or(Algorithm::None, Value::algorithm);
        let writing = Writing { to, expected, hasher: Hasher::new(algorithm) };
        Ok(Sink { worker, writing })
    }

    /// Writes the next bytes; the sink comes back when they are written.
    pub async fn write(self, bytes: Vec<u8>) -> Result<Sink, Error> {
        let Sink { worker, mut writing } = self;
        let written = worker.ask(move || {
            writing.hasher.update(&bytes);
            writing.to.write(&bytes).map(|()| writing)
        });
        let writing = written.await.unwrap_or_else(|| Err(failed()))?;
        Ok(Sink { worker, writing })
    }

    /// Says whether what was written is what the service holds, and lets a file appear.
    pub async fn finish(self) -> Result<(), Error> {
        let Sink { worker, writing: Writing { to, expected, hasher } } = self;
        let finished = worker.ask(move || {
            let written = hasher.finish().value;
            match (expected, written) {
                (Some(expected), Some(written)) if expected != written => {
                    let name = expected.algorithm().name();
                    Err(Error::integrity(format!(
                        "the object's {name} is {expected}, of what was read {written}"
                    ))
                    .next("do not use what was written: start again"))
                }
                _ => to.finish(),
            }
        });
        finished.await.unwrap_or_else(|| Err(failed()))
    }
}

fn failed() -> Error {
    Error::new(Kind::Unforeseen, "the writing thread failed within itself")
}

fn open(path: &Path) -> io::Result<To> {
    match std::fs::metadata(path) {
        Ok(about) if about.is_dir() => Err(io::Error::other("this is a folder")),
        Ok(about) if !about.is_file() => Ok(To::Special(File::options().write(true).open(path)?)),
        _ => {
            // A link is followed, so that what it points to is replaced and not the link.
            let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            let folder = match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            Ok(To::File { temporary: NamedTempFile::new_in(folder)?, path })
        }
    }
}

impl To {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let to_stdout = matches!(self, To::Stdout);
        let written = match self {
            To::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            }
            To::File { temporary, .. } => temporary.write_all(bytes),
            To::Special(file) => file.write_all(bytes),
        };
        written.map_err(|e| match e.kind() {
            // As `head` does: it has seen enough, and what it has seen is right.
            ErrorKind::BrokenPipe if to_stdout => {
                Error::new(Kind::Left, "the reader of stdout left before the end")
            }
            _ => Error::new(Kind::Unforeseen, format!("the object cannot be written: {e}")),
        })
    }

    fn finish(self) -> Result<(), Error> {
        let To::File { temporary, path } = self else { return Ok(()) };
        let failed = |e: &dyn std::fmt::Display| {
            Error::new(Kind::Unforeseen, format!("{} cannot be written: {e}", path.display()))
        };
        temporary.as_file().sync_all().map_err(|e| failed(&e))?;
        temporary.persist(&path).map_err(|e| failed(&e.error))?;
        Ok(())
    }
}

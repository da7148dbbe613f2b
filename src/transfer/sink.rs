//! Writes a downloaded object to stdout, or to a file that appears when it is complete.
//!
//! Owns the output, on a thread that may block, and the comparison of the written bytes. Must not
//! know requests. Invariant: a regular file at the given path is never a part of an object.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags};

use super::comparison::{Comparison, ComparisonText};
use super::partial_file::{Binding, PartialFile};
use crate::platform::worker::{self, Worker};
use proto::error::{Error, ErrorKind};

/// Bytes that are hashed and then written while they are in the cache.
const PIECE: usize = 128 << 10;
/// Bytes of a partial file that are read again between two looks at signals.
const REREAD: u64 = 16 << 20;
/// Bytes of the buffer of a pipe on stdout.
const PIPE_SIZE: usize = 1 << 20;

/// The output of a download.
pub(crate) struct Sink {
    worker: Worker,
    state: SinkState,
}

/// What the thread owns while it works.
struct SinkState {
    output: Output,
    comparison: Comparison,
    /// Bytes that stdout or a device has taken.
    written: u64,
}

enum Output {
    Stdout(File),
    Partial(PartialFile),
    /// A device or a pipe, which cannot be replaced by renaming.
    Special(File),
}

/// Starts the thread that writes. Fails where the system gives no thread within 10 s.
pub(crate) async fn worker() -> Result<Worker, Error> {
    let worker = worker::retry_start(|| Worker::start("ocipipe-write")).await;
    Ok(worker.map_err(|error| worker::thread_error("to write with", &error))?.joined_on_drop())
}

impl Sink {
    /// Opens the output at `path`, or stdout for `None` and `-`. Fails where the path is a folder,
    /// where no file can be created and where another run writes it.
    pub(crate) fn open(
        worker: Worker,
        path: Option<&Path>,
        binding: Binding,
        comparison: Comparison,
    ) -> Result<Sink, Error> {
        let output = match path.filter(|path| *path != Path::new("-")) {
            None => stdout()?,
            Some(path) => open(path, binding)?,
        };
        Ok(Sink { worker, state: SinkState { output, comparison, written: 0 } })
    }

    /// The number of bytes that an earlier run has written and that are complete.
    pub(crate) fn kept(&self) -> u64 {
        match &self.state.output {
            Output::Partial(partial) => partial.kept(),
            Output::Stdout(_) | Output::Special(_) => 0,
        }
    }

    /// The partial file, where there is one.
    pub(crate) fn partial_path(&self) -> Option<PathBuf> {
        match &self.state.output {
            Output::Partial(partial) => Some(partial.path().to_owned()),
            Output::Stdout(_) | Output::Special(_) => None,
        }
    }

    /// Reads again what an earlier run has written; `progress` gets the number of bytes so far. If
    /// they are not those that were written, they are discarded, and the result is false.
    pub(crate) async fn reread(
        mut self,
        mut progress: impl FnMut(u64),
    ) -> Result<(Sink, bool), Error> {
        let (kept, mut crc, mut offset) = (self.kept(), crc32fast::Hasher::new(), 0);
        while offset < kept {
            let Sink { worker, mut state } = self;
            let end = kept.min(offset + REREAD);
            let read =
                worker.call(move || state.reread(&mut crc, offset, end).map(|()| (state, crc)));
            let (state, hasher) = read.await.unwrap_or_else(|| Err(thread_failed()))?;
            (self, crc, offset) = (Sink { worker, state }, hasher, end);
            progress(offset);
        }
        let Output::Partial(partial) = &mut self.state.output else { return Ok((self, true)) };
        if partial.crc() == crc.finalize() {
            return Ok((self, true));
        }
        partial.restart().map_err(|e| cannot_write(&e))?;
        self.state.comparison.restart()?;
        Ok((self, false))
    }

    /// Writes the next bytes; returns the sink when they are written. Fails with
    /// `ErrorKind::StdoutClosed` where the reader of stdout has closed it, and with
    /// `ErrorKind::Internal` where the output cannot be written.
    pub(crate) async fn write(self, bytes: Bytes) -> Result<Sink, Error> {
        let Sink { worker, mut state } = self;
        let written = worker.call(move || state.write(&bytes).map(|()| state));
        let state = written.await.unwrap_or_else(|| Err(thread_failed()))?;
        Ok(Sink { worker, state })
    }

    /// Compares the digests and moves a file to its path; returns what was compared, for people.
    /// Fails with `ErrorKind::Integrity` where the digests differ.
    pub(crate) async fn finish(self) -> Result<ComparisonText, Error> {
        let Sink { worker, state } = self;
        let finished = worker.call(move || state.finish());
        finished.await.unwrap_or_else(|| Err(thread_failed()))
    }
}

fn thread_failed() -> Error {
    Error::new(ErrorKind::Internal, "the writing thread failed within itself")
}

fn cannot_write(error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("the object cannot be written: {error}"))
}

/// A handle without the line buffer of the standard library, which would copy the end of each write.
fn stdout() -> Result<Output, Error> {
    let file = io::stdout().as_fd().try_clone_to_owned().map_err(|e| cannot_write(&e))?;
    // An error if stdout is no pipe, and where the user may have no larger one.
    let _ = rustix::pipe::fcntl_setpipe_size(&file, PIPE_SIZE);
    Ok(Output::Stdout(File::from(file)))
}

fn open(path: &Path, binding: Binding) -> Result<Output, Error> {
    let refused = |e: io::Error| Error::usage(format!("--file {}: {e}", path.display()));
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(refused(io::Error::other("this is a folder"))),
        Ok(metadata) if !metadata.is_file() => {
            let file = File::options().write(true).open(path).map_err(refused)?;
            Ok(Output::Special(file))
        }
        _ => {
            // The file that a link points to is replaced, and not the link.
            let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            Ok(Output::Partial(PartialFile::open(&path, binding)?))
        }
    }
}

impl SinkState {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let SinkState { output, comparison, written: count } = self;
        let (written, to_stdout) = match output {
            Output::Partial(partial) => {
                (partial.append(bytes, PIECE, |piece| comparison.update(piece)), false)
            }
            Output::Stdout(file) => (write_all(file, bytes, comparison, count), true),
            Output::Special(file) => (write_all(file, bytes, comparison, count), false),
        };
        written.map_err(|e| match e.kind() {
            // Readers like `head` close their stdin when they have read enough.
            io::ErrorKind::BrokenPipe if to_stdout => {
                let what = format!("the reader of stdout closed it after {count} bytes");
                Error::new(ErrorKind::StdoutClosed, what)
            }
            _ => cannot_write(&e),
        })
    }

    /// Reads the bytes of a partial file from `start` to `end`.
    fn reread(&mut self, crc: &mut crc32fast::Hasher, start: u64, end: u64) -> Result<(), Error> {
        let SinkState { output: Output::Partial(partial), comparison, .. } = self else {
            return Ok(());
        };
        let (mut piece, mut offset) = (vec![0; PIECE], start);
        while offset < end {
            let length = (PIECE as u64).min(end - offset) as usize;
            let piece = &mut piece[..length];
            partial.read_at(piece, offset).map_err(|e| {
                let path = partial.path().display();
                Error::new(ErrorKind::Internal, format!("{path} cannot be read: {e}"))
            })?;
            crc.update(piece);
            comparison.update(piece);
            offset += length as u64;
        }
        Ok(())
    }

    fn finish(self) -> Result<ComparisonText, Error> {
        let SinkState { output, comparison, .. } = self;
        match (comparison.finish(), output) {
            (Ok(compared), Output::Partial(partial)) => {
                partial.finish().map_err(|e| cannot_write(&e))?;
                Ok(compared)
            }
            (Ok(compared), Output::Stdout(_) | Output::Special(_)) => Ok(compared),
            (Err(error), Output::Partial(partial)) => {
                partial.delete();
                Err(error.with_hint(
                    "what was read is deleted and the file is as it was before: run it again; if it \
                     differs again, the object is damaged where it is stored",
                ))
            }
            (Err(error), Output::Stdout(_) | Output::Special(_)) => Err(error.with_hint(
                "the whole stream has been delivered: do not use it, and run it again; if it differs \
                 again, the object is damaged where it is stored",
            )),
        }
    }
}

/// Hashes and writes all bytes, piece by piece, and counts those that were taken.
fn write_all(
    file: &mut File,
    bytes: &[u8],
    comparison: &mut Comparison,
    count: &mut u64,
) -> io::Result<()> {
    for piece in bytes.chunks(PIECE) {
        comparison.update(piece);
        let mut left = piece;
        while !left.is_empty() {
            match file.write(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    *count += written as u64;
                    left = &left[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A pipe that another process has made non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_writable(file)?,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn wait_writable(file: &File) -> io::Result<()> {
    match rustix::event::poll(&mut [PollFd::new(file, PollFlags::OUT)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

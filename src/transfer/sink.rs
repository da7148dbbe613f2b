//! Writes a downloaded object to stdout, or to a file that appears when it is complete.
//!
//! Owns the output, on a thread that may block, and the comparison of the written bytes. Must not
//! know requests. Invariants: a regular file at the given path is never a part of an object; `finish` succeeds only
//! when the output is on the disk, where it is on one.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::comparison::{Comparison, ComparisonText};
use super::output_path::{self, OutputKind};
use super::partial_file::{Binding, PartialFile};
use crate::platform::worker::{self, Worker};
use crate::term::progress::Reporter;
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
    /// Opens the output at `path`, or stdout for `None`. Waits for the reader of a named pipe. Fails where the
    /// path is a folder, where no file can be created, where another run writes it, and where it names a descriptor
    /// that is a regular file.
    pub(crate) async fn open(
        worker: Worker,
        path: Option<&Path>,
        binding: Binding,
        comparison: Comparison,
        reporter: &Reporter,
    ) -> Result<Sink, Error> {
        let output = match path.map(|path| (path, output_path::kind(path))) {
            None => stdout()?,
            Some((_, Ok(OutputKind::Regular(path)))) => {
                Output::Partial(PartialFile::open(&path, binding)?)
            }
            Some((path, Ok(OutputKind::Special))) => {
                let opened = output_path::open_special(path, &worker, || {
                    reporter.info(&format!("waiting for a reader of {}", path.display()));
                });
                Output::Special(opened.await.map_err(|error| refused(path, &error))?)
            }
            Some((path, Err(error))) => return Err(refused(path, &error)),
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

    /// Compares the digests, writes the output to the disk and moves a file to its path; returns what was
    /// compared, for people. Fails with `ErrorKind::Integrity` where the digests differ.
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

fn refused(path: &Path, error: &io::Error) -> Error {
    Error::usage(format!("--file {}: {error}", path.display()))
}

/// Writes what the output has taken to the disk, where it is on one. A full disk or quota behind a network can
/// be reported only then.
fn sync(file: &File) -> io::Result<()> {
    let kind = file.metadata()?.file_type();
    let is_on_disk = kind.is_file() || kind.is_block_device();
    match file.sync_all() {
        // A pipe, a socket or a terminal.
        Err(error) if !is_on_disk && has_no_sync(&error) => Ok(()),
        result => result,
    }
}

fn has_no_sync(error: &io::Error) -> bool {
    [Errno::INVAL, Errno::OPNOTSUPP]
        .map(Errno::raw_os_error)
        .contains(&error.raw_os_error().unwrap_or(0))
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
            (Ok(compared), Output::Stdout(file) | Output::Special(file)) => {
                sync(&file).map_err(|e| cannot_write(&e))?;
                Ok(compared)
            }
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

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, OwnedFd};

    use super::*;

    /// A handle that takes no fsync.
    fn without_sync(folder: &Path) -> File {
        let flags = rustix::fs::OFlags::PATH;
        File::from(rustix::fs::open(folder, flags, rustix::fs::Mode::empty()).unwrap())
    }

    #[test]
    fn an_output_that_cannot_be_written_to_the_disk_is_no_success() {
        let folder = tempfile::tempdir().unwrap();
        for output in [Output::Stdout, Output::Special] {
            let output = output(without_sync(folder.path()));
            let state = SinkState { output, comparison: Comparison::of_range(), written: 0 };
            let error = state.finish().err().unwrap();
            assert!(error.message.starts_with("the object cannot be written: "), "{error}");
        }
    }

    #[test]
    fn an_output_without_a_disk_needs_no_sync() {
        let (reader, writer) = io::pipe().unwrap();
        let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
        let null = File::options().write(true).open("/dev/null").unwrap();
        for file in [OwnedFd::from(reader), writer.into(), near.into(), null.into()] {
            sync(&File::from(file)).unwrap();
        }
        let file = tempfile::tempfile().unwrap();
        sync(&File::from(file.as_fd().try_clone_to_owned().unwrap())).unwrap();
    }
}

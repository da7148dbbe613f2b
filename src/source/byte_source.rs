//! The source of the stream: one readable file descriptor.
//!
//! Owns the descriptor, and the wait for bytes on it. Knows nothing of buffers, parts or digests.
//! Invariants: a regular file is read up to the size that it had when it was opened; a failed read
//! or an empty packet is never the end of the stream; a read is given the space of a whole packet,
//! so that the kernel drops no byte; in the program no other descriptor refers to the source, so that
//! its writer gets SIGPIPE once the source is closed. The pipe that the library feeds has a second one.

use std::cell::Cell;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Advice, CWD, FileType, Mode, OFlags, fadvise, fstat, openat, tell};
use rustix::io::Errno;
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;

use super::file_size;
use crate::platform::empty_input;
use proto::error::Error;

/// Bytes that a pipe is enlarged to: the first of these sizes that the system permits. A large pipe
/// needs fewer switches between the writer and this process.
#[cfg(target_os = "linux")]
const PIPE_SIZES: [usize; 3] = [1 << 20, 512 << 10, 256 << 10];

/// The longest record of a tape in bytes. A read with less space than the record fails, and the tape goes on to
/// the next one.
const MAX_RECORD: usize = 1 << 20;
/// Retries of one read for which the kernel has no memory; together they take 60 s.
const MAX_REFUSALS: u32 = 600;
const RETRY_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Bytes of the largest packet of a pipe, where pages are no larger.
const PIPE_BUF: usize = 4096;

/// A stream that is read once, from its start to its end.
pub struct ByteSource {
    descriptor: OwnedFd,
    name: String,
    size: Option<u64>,
    /// Bytes of a file with a size that are still to be read.
    remaining: Cell<Option<u64>>,
    kind: FileType,
    /// When the file was last written to, as of its opening.
    mtime: (i64, i64),
    /// Where this process writes the bytes itself: how that ended.
    feed: Option<FeedEnd>,
}

/// How the writer of a pipe within this process has ended; empty while it writes.
pub(crate) type FeedEnd = Arc<OnceLock<Result<(), Error>>>;

/// The result of one read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadResult {
    Bytes(usize),
    EndOfStream,
    /// The stop pipe was closed.
    Stopped,
}

impl ByteSource {
    /// The process's stdin, moved to another descriptor. Descriptor 0 becomes an empty input, so
    /// that the source is the only reader. Fails where stdin cannot be a stream, as `new` does.
    pub fn stdin() -> Result<ByteSource, Error> {
        let moved = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3);
        let source = ByteSource::new(moved.map_err(|errno| unreadable("stdin", errno))?, "stdin")?;
        let empty = empty_input::open();
        empty.and_then(rustix::stdio::dup2_stdin).map_err(|errno| unreadable("stdin", errno))?;
        Ok(source)
    }

    /// A file by its path. A named pipe opens without a writer, and the first read waits for one,
    /// so that a stop works meanwhile. Fails where the file cannot be opened, or as `new` does.
    pub fn file(path: &Path) -> Result<ByteSource, Error> {
        let name = path.display().to_string();
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = openat(CWD, path, flags, Mode::empty());
        ByteSource::new(opened.map_err(|errno| unreadable(&name, errno))?, &name)
    }

    /// A readable descriptor, such as the stdout of a command; `name` is for messages. Fails for a
    /// directory, and for a socket that is not a stream.
    pub fn new(descriptor: OwnedFd, name: &str) -> Result<ByteSource, Error> {
        let name = name.to_owned();
        let stat = fstat(&descriptor).map_err(|errno| unreadable(&name, errno))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let size = match kind {
            FileType::Directory => {
                let folder = if name == "stdin" { "FOLDER" } else { &name };
                return Err(Error::source(format!("{name} is a directory, not a stream"))
                    .with_hint(format!("pack it: tar c {folder} | ocipipe put DEST")));
            }
            FileType::RegularFile => {
                let start = tell(&descriptor).map_err(|errno| unreadable(&name, errno))?;
                // Reads work without this advice.
                let _ = fadvise(&descriptor, start, None, Advice::Sequential);
                let size = (stat.st_size as u64).saturating_sub(start);
                Some(size).filter(|size| file_size::is_reliable(&descriptor, *size))
            }
            FileType::Fifo => {
                enlarge(&descriptor);
                None
            }
            FileType::Socket => {
                let socket = socket_type(&descriptor).map_err(|errno| unreadable(&name, errno))?;
                if socket != SocketType::STREAM {
                    return Err(not_a_stream(&name, socket));
                }
                None
            }
            _ => None,
        };
        let mtime = file_size::mtime(&stat);
        Ok(ByteSource {
            descriptor,
            name,
            size,
            remaining: Cell::new(size),
            kind,
            mtime,
            feed: None,
        })
    }

    /// The reading end of a pipe that another task of this process fills. The writer sets `end` before
    /// it closes the pipe: without a success there, the end of the pipe is a failure of the source.
    /// Fails as `new` does.
    pub fn fed(descriptor: OwnedFd, name: &str, end: FeedEnd) -> Result<ByteSource, Error> {
        Ok(ByteSource { feed: Some(end), ..ByteSource::new(descriptor, name)? })
    }

    /// The name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of the stream, where they are known before it is read.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Whether the source is a regular file, whose end does not depend on a running producer.
    pub fn is_file(&self) -> bool {
        self.kind == FileType::RegularFile
    }

    /// The warning for a file with a size that was modified while it was read. `done` is what was done
    /// with its bytes: stored or compared.
    pub(super) fn modification_warning(&self, done: &str) -> Option<String> {
        let size = self.size?;
        let (stat, offset) = (fstat(&self.descriptor).ok()?, tell(&self.descriptor).ok()?);
        let (name, more) = (&self.name, (stat.st_size as u64).saturating_sub(offset));
        if more > 0 {
            return Some(format!(
                "{name} grew while it was read: the {size} bytes that it had at the start are \
                 {done}, and the {more} after them are not"
            ));
        }
        (file_size::mtime(&stat) != self.mtime).then(|| {
            format!("{name} was written to while it was read: what is {done} may be a mixture")
        })
    }

    /// Fails where a file with a size ended before it (`bytes` were read), and where the writer of a fed
    /// pipe has not come to the end of its source.
    pub(super) fn check_size(&self, bytes: u64) -> Result<(), Error> {
        if let Some(feed) = &self.feed {
            let unfinished = || Err(Error::source(format!("{} ended early", self.name)));
            return feed.get().cloned().unwrap_or_else(unfinished);
        }
        match self.size {
            Some(size) if bytes < size => {
                let name = &self.name;
                let what = format!("{name} shrank while it was read: {size} bytes, then {bytes}");
                Err(Error::source(what).with_hint("run again when nothing writes to it"))
            }
            _ => Ok(()),
        }
    }

    /// Bytes of space that a read needs. A tape returns one record a read, and fails if it does not fit. A pipe whose writer uses `O_DIRECT` returns one packet a
    /// read and drops the bytes that do not fit, and its reader cannot detect such a pipe. A packet
    /// is written into one page and holds no more than that.
    pub(super) fn min_space(&self) -> usize {
        match self.kind {
            FileType::CharacterDevice => MAX_RECORD,
            _ if self.is_file() => 1,
            _ => PIPE_BUF.max(rustix::param::page_size()),
        }
    }

    /// Whether a read may return one record, so that its space has to be one piece: a driver without vectored
    /// reads is asked for each piece on its own, and may pass the end of a tape file at the second one.
    pub(super) fn reads_records(&self) -> bool {
        self.kind == FileType::CharacterDevice
    }

    /// How often a read is repeated for which the kernel has no memory. A tape has the same error for a record that
    /// is longer than the space, and has passed it then.
    fn max_refusals(&self) -> u32 {
        if self.reads_records() { 0 } else { MAX_REFUSALS }
    }

    /// Reads the available bytes; waits for the first of them, or for `stop_rx` to be closed. Bytes
    /// that `space` does not hold go to `overflow`; both together hold at least `min_space` bytes.
    /// Fails where the descriptor cannot be read.
    pub(super) fn read(
        &self,
        stop_rx: impl AsFd,
        space: &mut [u8],
        overflow: &mut [u8],
    ) -> Result<ReadResult, Error> {
        debug_assert!(!space.is_empty() && space.len() + overflow.len() >= self.min_space());
        let mut refusals = 0;
        loop {
            // poll(2) waits and not read(2), which cannot be cancelled, and which does not wait on
            // a descriptor that another process made non-blocking.
            let mut polled = [
                PollFd::new(&self.descriptor, PollFlags::IN),
                PollFd::new(&stop_rx, PollFlags::IN),
            ];
            match poll(&mut polled, None) {
                Ok(_) if !polled[1].revents().is_empty() => return Ok(ReadResult::Stopped),
                Ok(_) if polled[0].revents().contains(PollFlags::NVAL) => {
                    return Err(unreadable(&self.name, Errno::BADF));
                }
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(unreadable(&self.name, errno)),
            }
            let result = match self.remaining.get() {
                Some(0) => Ok(0),
                Some(left) => {
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(space.len());
                    rustix::io::read(&self.descriptor, &mut space[..length])
                }
                None if overflow.is_empty() => rustix::io::read(&self.descriptor, &mut *space),
                None => {
                    let mut slices = [IoSliceMut::new(space), IoSliceMut::new(overflow)];
                    rustix::io::readv(&self.descriptor, &mut slices)
                }
            };
            if let (Ok(read), Some(left)) = (result, self.remaining.get()) {
                self.remaining.set(Some(left - read as u64));
            }
            if result == Err(Errno::NOMEM) && self.max_refusals() > refusals {
                // The kernel has no page for the read, which took no byte.
                refusals += 1;
                let mut stop = [PollFd::new(&stop_rx, PollFlags::IN)];
                let _ = poll(&mut stop, Some(&RETRY_INTERVAL));
                continue;
            }
            match read_result(result).map_err(|errno| unreadable(&self.name, errno))? {
                Some(ReadResult::EndOfStream) if self.has_writer_or_bytes() => {}
                Some(result) => return Ok(result),
                None => {}
            }
        }
    }

    /// Whether a pipe has a writer or bytes: then an empty read was an empty packet and not the
    /// end.
    fn has_writer_or_bytes(&self) -> bool {
        let mut polled = [PollFd::new(&self.descriptor, PollFlags::IN)];
        let result = poll(&mut polled, Some(&Timespec::default()));
        let flags = polled[0].revents();
        // After an error of poll(2) the caller polls again.
        self.kind == FileType::Fifo
            && (result.is_err() || flags.is_empty() || flags.contains(PollFlags::IN))
    }
}

/// The error for a socket of packets: an empty packet reads like the end of the stream, and the
/// kernel truncates one that is longer than the space for it.
fn not_a_stream(name: &str, socket: SocketType) -> Error {
    let kind = match socket {
        SocketType::DGRAM => "SOCK_DGRAM",
        SocketType::SEQPACKET => "SOCK_SEQPACKET",
        SocketType::RAW => "SOCK_RAW",
        _ => "not SOCK_STREAM",
    };
    Error::usage(format!("{name} is a socket of packets ({kind}), not a stream of bytes"))
        .with_hint("connect a SOCK_STREAM, or pipe in what a program makes of the packets")
}

/// Classifies the result of read(2); `None` means to poll and read again. A non-blocking descriptor
/// can be empty after poll(2) if another process reads it too.
fn read_result(result: Result<usize, Errno>) -> Result<Option<ReadResult>, Errno> {
    match result {
        Ok(0) => Ok(Some(ReadResult::EndOfStream)),
        Ok(read) => Ok(Some(ReadResult::Bytes(read))),
        Err(Errno::INTR | Errno::AGAIN) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn unreadable(name: &str, errno: Errno) -> Error {
    let cause = io::Error::from(errno);
    Error::source(format!("cannot read {name}: {cause}")).with_cause(cause)
}

#[cfg(target_os = "linux")]
fn enlarge(pipe: &OwnedFd) {
    use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};
    let current = fcntl_getpipe_size(pipe).unwrap_or(0);
    // The system may permit none of the sizes; a small pipe works as well.
    let larger = PIPE_SIZES.into_iter().filter(|size| *size > current);
    let _ = larger.map(|size| fcntl_setpipe_size(pipe, size)).find(Result::is_ok);
}

#[cfg(not(target_os = "linux"))]
fn enlarge(_pipe: &OwnedFd) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_read_is_the_end_and_only_an_interrupted_one_is_repeated() {
        assert_eq!(read_result(Ok(0)), Ok(Some(ReadResult::EndOfStream)));
        assert_eq!(read_result(Ok(7)), Ok(Some(ReadResult::Bytes(7))));
        assert_eq!(read_result(Err(Errno::AGAIN)), Ok(None));
        assert_eq!(read_result(Err(Errno::INTR)), Ok(None));
        for errno in [Errno::IO, Errno::CONNRESET, Errno::ISDIR, Errno::BADF, Errno::STALE] {
            assert_eq!(read_result(Err(errno)), Err(errno));
        }
    }

    /// A tape passes a record for which a read has no room.
    #[test]
    fn a_character_device_gets_room_for_a_record_and_no_read_is_repeated() {
        let open = |file: std::fs::File| ByteSource::new(file.into(), "the source").unwrap();
        let device = open(std::fs::File::open("/dev/zero").unwrap());
        assert_eq!((device.min_space(), device.max_refusals()), (MAX_RECORD, 0));
        assert!(device.reads_records() && MAX_RECORD >= 1 << 20);
        let file = open(tempfile::tempfile().unwrap());
        assert_eq!((file.min_space(), file.max_refusals()), (1, MAX_REFUSALS));
        let (reader, _writer) = std::io::pipe().unwrap();
        let pipe = ByteSource::new(reader.into(), "the pipe").unwrap();
        assert!(pipe.min_space() >= PIPE_BUF && !pipe.reads_records());
        assert_eq!(pipe.max_refusals(), MAX_REFUSALS);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_is_enlarged_as_far_as_the_system_permits() {
        use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};
        let size = |pipe: std::io::PipeReader| {
            let source = ByteSource::new(pipe.into(), "the pipe").unwrap();
            fcntl_getpipe_size(&source.descriptor).unwrap()
        };
        let (reader, _writer) = std::io::pipe().unwrap();
        let permitted = fcntl_setpipe_size(&reader, 1 << 20).is_ok();
        assert_eq!(size(reader) >= 1 << 20, permitted);
        let (reader, _writer) = std::io::pipe().unwrap();
        assert_eq!(size(reader) >= 1 << 20, permitted);
        // One that is larger already stays so.
        let (reader, _writer) = std::io::pipe().unwrap();
        if let Ok(large) = fcntl_setpipe_size(&reader, 2 << 20) {
            assert_eq!(size(reader), large);
        }
    }

    #[test]
    fn an_empty_read_of_a_pipe_is_the_end_only_without_a_writer_and_without_bytes() {
        use std::io::Write;
        let (reader, mut writer) = std::io::pipe().unwrap();
        let source = ByteSource::new(reader.into(), "the pipe").unwrap();
        assert!(source.has_writer_or_bytes());
        writer.write_all(b"left").unwrap();
        drop(writer);
        assert!(source.has_writer_or_bytes(), "bytes are left in it");
        assert_eq!(rustix::io::read(&source.descriptor, &mut [0; 4]), Ok(4));
        assert!(!source.has_writer_or_bytes());
        let file = tempfile::tempfile().unwrap();
        assert!(!ByteSource::new(file.into(), "the file").unwrap().has_writer_or_bytes());
    }
}

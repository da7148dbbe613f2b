//! Where the stream comes from: one readable file descriptor.
//!
//! Owns the descriptor, and the waiting for it. Knows nothing of buffers, parts or digests.
//! Invariants: a file is as long as it was when it was opened; a read that failed, or that took an
//! empty packet, is never taken for the end of the stream; no byte is lost to a read that was too short for what the kernel gives in one piece; and
//! closing a source leaves no other descriptor of ours open on it, so that its writer is told.

use std::cell::Cell;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Advice, CWD, FileType, Mode, OFlags, fadvise, fstat, openat, tell};
use rustix::io::Errno;
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;

use super::file_size;
use proto::error::Error;

/// What pipes are enlarged to: fewer switches between the writer and us.
#[cfg(target_os = "linux")]
const PIPE_SIZES: [usize; 3] = [1 << 20, 512 << 10, 256 << 10];

/// A read for which the kernel has no memory is tried again so often, so long after another: a minute
/// together.
const MAX_REFUSALS: u32 = 600;
const RETRY_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// `PIPE_BUF`, the most that a packet of a pipe holds where pages are no larger.
const PIPE_BUF: usize = 4096;

/// A stream that can be read once, from its start to its end.
pub struct ByteSource {
    descriptor: OwnedFd,
    name: String,
    size: Option<u64>,
    /// Of a file with a size: how much of it is still to be read.
    remaining: Cell<Option<u64>>,
    kind: FileType,
    /// When it was last written to, as it was opened.
    written: (i64, i64),
}

/// What reading gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadResult {
    Bytes(usize),
    End,
    /// The other side of the wake-up was dropped.
    Stopped,
}

impl ByteSource {
    /// The process's standard input. Descriptor 0 reads `/dev/null` from here on: nothing but the
    /// stream ever reads the stream, and closing the source closes it for the producer.
    pub fn stdin() -> Result<ByteSource, Error> {
        let taken = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3);
        let source = ByteSource::new(taken.map_err(|errno| unreadable("stdin", errno))?, "stdin")?;
        let null = openat(CWD, "/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        null.and_then(rustix::stdio::dup2_stdin).map_err(|errno| unreadable("/dev/null", errno))?;
        Ok(source)
    }

    /// A file by its path. A named pipe is waited for by reading, not by opening, so that stopping
    /// works before its writer has come.
    pub fn file(path: &Path) -> Result<ByteSource, Error> {
        let name = path.display().to_string();
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = openat(CWD, path, flags, Mode::empty());
        ByteSource::new(opened.map_err(|errno| unreadable(&name, errno))?, &name)
    }

    /// Any descriptor that can be read, as the stdout of a command; `name` is for messages.
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
                // Advice: reading works without it.
                let _ = fadvise(&descriptor, start, None, Advice::Sequential);
                let size = (stat.st_size as u64).saturating_sub(start);
                Some(size).filter(|size| file_size::is_true(&descriptor, *size))
            }
            FileType::Fifo => {
                enlarge(&descriptor);
                None
            }
            FileType::Socket => {
                let found = socket_type(&descriptor).map_err(|errno| unreadable(&name, errno))?;
                if found != SocketType::STREAM {
                    return Err(not_a_stream(&name, found));
                }
                None
            }
            _ => None,
        };
        let written = file_size::last_written(&stat);
        Ok(ByteSource { descriptor, name, size, remaining: Cell::new(size), kind, written })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long the stream is, where that is known before reading.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Whether it is a regular file: then nobody has to live for its end to be right.
    pub fn is_file(&self) -> bool {
        self.kind == FileType::RegularFile
    }

    /// What there is to say of a file with a size that was changed while it was read to that size.
    pub(super) fn modified(&self) -> Option<String> {
        let size = self.size?;
        let (stat, at) = (fstat(&self.descriptor).ok()?, tell(&self.descriptor).ok()?);
        let (name, more) = (&self.name, (stat.st_size as u64).saturating_sub(at));
        if more > 0 {
            return Some(format!(
                "{name} grew while it was read: the {size} bytes that it had at the start are \
                 stored, and the {more} after them are not"
            ));
        }
        (file_size::last_written(&stat) != self.written).then(|| {
            format!("{name} was written to while it was read: what is stored may be a mixture")
        })
    }

    /// The least space that a read must be given. A pipe whose writer uses `O_DIRECT` gives one
    /// packet a read and drops what of it does not fit; who reads cannot see that beforehand. A packet
    /// is written into one page, so that this is the most it can hold.
    pub(super) fn min_size(&self) -> usize {
        match self.is_file() {
            true => 1,
            false => PIPE_BUF.max(rustix::param::page_size()),
        }
    }

    /// Reads what there is, waiting for the first byte or for `wake` to be hung up. What `space` does
    /// not hold goes to `more`; both together are not less than `least`.
    pub(super) fn read(
        &self,
        wake: impl AsFd,
        space: &mut [u8],
        more: &mut [u8],
    ) -> Result<ReadResult, Error> {
        debug_assert!(!space.is_empty() && space.len() + more.len() >= self.min_size());
        let mut refusals = 0;
        loop {
            // Waiting is done here and not in read(2): that one cannot be called off, and on a
            // descriptor that somebody made non-blocking it does not wait at all.
            let mut waited =
                [PollFd::new(&self.descriptor, PollFlags::IN), PollFd::new(&wake, PollFlags::IN)];
            match poll(&mut waited, None) {
                Ok(_) if !waited[1].revents().is_empty() => return Ok(ReadResult::Stopped),
                Ok(_) if waited[0].revents().contains(PollFlags::NVAL) => {
                    return Err(unreadable(&self.name, Errno::BADF));
                }
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(unreadable(&self.name, errno)),
            }
            let result = match self.remaining.get() {
                Some(0) => Ok(0),
                Some(left) => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX).min(space.len());
                    rustix::io::read(&self.descriptor, &mut space[..most])
                }
                None => {
                    let mut slices = [IoSliceMut::new(space), IoSliceMut::new(more)];
                    rustix::io::readv(&self.descriptor, &mut slices)
                }
            };
            if let (Ok(read), Some(left)) = (result, self.remaining.get()) {
                self.remaining.set(Some(left - read as u64));
            }
            if result == Err(Errno::NOMEM) && refusals < MAX_REFUSALS {
                // The kernel has no page for it now; the stream is where it was.
                refusals += 1;
                let mut wake = [PollFd::new(&wake, PollFlags::IN)];
                let _ = poll(&mut wake, Some(&RETRY_INTERVAL));
                continue;
            }
            match read_result(result).map_err(|errno| unreadable(&self.name, errno))? {
                Some(ReadResult::End) if self.is_written_to() => {}
                Some(piece) => return Ok(piece),
                None => {}
            }
        }
    }

    /// Whether a read of nothing was an empty packet: a pipe has ended only when nobody has it open
    /// for writing any more and nothing is left in it.
    fn is_written_to(&self) -> bool {
        let mut asked = [PollFd::new(&self.descriptor, PollFlags::IN)];
        let answered = poll(&mut asked, Some(&Timespec::default()));
        let flags = asked[0].revents();
        // What could not be asked is asked again by waiting.
        self.kind == FileType::Fifo
            && (answered.is_err() || flags.is_empty() || flags.contains(PollFlags::IN))
    }
}

/// The error for a socket that keeps packets: one that is empty looks like the end of the stream, and
/// one that is longer than the space for it is cut.
fn not_a_stream(name: &str, found: SocketType) -> Error {
    let kind = match found {
        SocketType::DGRAM => "SOCK_DGRAM",
        SocketType::SEQPACKET => "SOCK_SEQPACKET",
        SocketType::RAW => "SOCK_RAW",
        _ => "not SOCK_STREAM",
    };
    Error::usage(format!("{name} is a socket of packets ({kind}), not a stream of bytes"))
        .with_hint("connect a SOCK_STREAM, or pipe in what a program makes of the packets")
}

/// What the result of a read means; `None` is to wait and try again. A descriptor that is not to
/// block can have nothing even after the waiting, if somebody else reads it too.
fn read_result(result: Result<usize, Errno>) -> Result<Option<ReadResult>, Errno> {
    match result {
        Ok(0) => Ok(Some(ReadResult::End)),
        Ok(read) => Ok(Some(ReadResult::Bytes(read))),
        Err(Errno::INTR | Errno::AGAIN) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn unreadable(name: &str, errno: Errno) -> Error {
    Error::source(format!("cannot read {name}: {}", io::Error::from(errno)))
}

#[cfg(target_os = "linux")]
fn enlarge(pipe: &OwnedFd) {
    use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};
    let present = fcntl_getpipe_size(pipe).unwrap_or(0);
    // The system may allow less than asked for, or nothing; a small pipe works as well.
    let larger = PIPE_SIZES.into_iter().filter(|size| *size > present);
    let _ = larger.map(|size| fcntl_setpipe_size(pipe, size)).find(Result::is_ok);
}

#[cfg(not(target_os = "linux"))]
fn enlarge(_pipe: &OwnedFd) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_read_is_the_end_and_only_a_missed_one_is_repeated() {
        assert_eq!(read_result(Ok(0)), Ok(Some(ReadResult::End)));
        assert_eq!(read_result(Ok(7)), Ok(Some(ReadResult::Bytes(7))));
        assert_eq!(read_result(Err(Errno::AGAIN)), Ok(None));
        assert_eq!(read_result(Err(Errno::INTR)), Ok(None));
        for errno in [Errno::IO, Errno::CONNRESET, Errno::ISDIR, Errno::BADF, Errno::STALE] {
            assert_eq!(read_result(Err(errno)), Err(errno));
        }
    }

    #[test]
    fn an_empty_read_of_a_pipe_is_the_end_only_when_nobody_writes_to_it_and_it_is_empty() {
        use std::io::Write;
        let (reader, mut writer) = std::io::pipe().unwrap();
        let source = ByteSource::new(reader.into(), "the pipe").unwrap();
        assert!(source.is_written_to());
        writer.write_all(b"left").unwrap();
        drop(writer);
        assert!(source.is_written_to(), "bytes are left in it");
        assert_eq!(rustix::io::read(&source.descriptor, &mut [0; 4]), Ok(4));
        assert!(!source.is_written_to());
        let file = tempfile::tempfile().unwrap();
        assert!(!ByteSource::new(file.into(), "the file").unwrap().is_written_to());
    }
}

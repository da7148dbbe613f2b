//! An input that is at its end.
//!
//! Owns the choice of what such an input is. Must not know what reads it. Invariant: it works in a
//! root without `/dev`, as an empty container has it.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::pipe::{PipeFlags, pipe_with};

/// `/dev/null` or, where it cannot be opened, a pipe without a writer, which reads the same. Fails
/// where the process has no descriptor left.
pub(crate) fn open() -> rustix::io::Result<OwnedFd> {
    let null = openat(CWD, "/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    null.or_else(|_| pipe_with(PipeFlags::CLOEXEC).map(|(reader, _writer)| reader))
}

//! Pipes and terminals for the streams of a run.
//!
//! Must not know the program. Invariant: no descriptor is inherited by accident.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

/// Fills a pipe or terminal, given by its reading and its writing end, so that a further write
/// blocks.
pub fn filled<R>((reader, writer): (R, File)) -> (R, File) {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    for size in [4096, 1] {
        while (&writer).write(&b"x".repeat(size)).is_ok() {}
    }
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

/// The reading and the writing end of a pipe.
pub fn pipe() -> (OwnedFd, File) {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (reader, writer.into())
}

/// The controlling side of a pseudo terminal, and the side that a program is given.
pub fn terminal() -> (OwnedFd, File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let reader = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&reader).unwrap();
    unlockpt(&reader).unwrap();
    let name = ptsname(&reader, Vec::new()).unwrap();
    let writer = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    (reader, writer)
}

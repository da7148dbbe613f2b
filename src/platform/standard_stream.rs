//! What stdin, stdout and stderr of this process are.
//!
//! Owns the comparison of an open file with them. Must not know what a file is for. Invariant: a descriptor that is
//! closed is no file.

use std::fs::Metadata;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

/// Whether the file is what stdin reads from.
pub(crate) fn is_stdin(file: &Metadata) -> bool {
    is_same(file, io::stdin())
}

/// Whether the file is what stdout or stderr writes to.
pub(crate) fn is_output(file: &Metadata) -> bool {
    is_same(file, io::stdout()) || is_same(file, io::stderr())
}

fn is_same(file: &Metadata, stream: impl AsFd) -> bool {
    let stat = rustix::fs::fstat(stream);
    stat.is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (file.dev(), file.ino()))
}

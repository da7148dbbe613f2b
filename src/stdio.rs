//! What the process was given as stdin, stdout and stderr.
//!
//! The runtime opens `/dev/null` in place of a standard descriptor that is closed, before `main`, so
//! that afterwards `<&-` looks like `</dev/null`. But the one is a mistake in a script and the other
//! may be meant, so the state is taken earlier. Must not read or write any of the three. Invariant:
//! a descriptor counts as closed only if nothing at all was open there when the process began.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::io::Errno;

use crate::error::Error;

const STDIN: u8 = 1;
const STDOUT: u8 = 2;

/// One bit for each that was closed.
static CLOSED: AtomicU8 = AtomicU8::new(0);

// Runs before `main`: one atomic and plain system calls, nothing of the standard library that could
// need its runtime. That is what the word `unsafe` in the attribute, which is the crate's and makes no
// unsafe block here, asks to be held to.
#[ctor::ctor(unsafe)]
fn take() {
    let closed = |flags: rustix::io::Result<rustix::io::FdFlags>| flags == Err(Errno::BADF);
    let mut bits = 0;
    if closed(rustix::io::fcntl_getfd(rustix::stdio::stdin())) {
        bits |= STDIN;
    }
    if closed(rustix::io::fcntl_getfd(rustix::stdio::stdout())) {
        bits |= STDOUT;
    }
    CLOSED.store(bits, Ordering::Relaxed);
}

/// Refuses at the start what could only fail later: a stream from a terminal or from nowhere, a
/// result that nobody would see. To be asked before anything is read or sent.
pub fn check(reads_stdin: bool, writes_stdout: bool) -> Result<(), Error> {
    if reads_stdin && closed(STDIN) {
        return Err(Error::usage("stdin is closed: there is no stream to upload")
            .next("pipe something in, or write --file PATH, or a command behind --"));
    }
    if reads_stdin && std::io::stdin().is_terminal() {
        return Err(Error::usage("stdin is a terminal: there is no stream to upload")
            .next("pipe something in, as in `pg_dump mydb | ocipipe put oci://BUCKET/mydb.dump`"));
    }
    if writes_stdout && closed(STDOUT) {
        return Err(Error::usage("stdout is closed: nobody would see the result")
            .next("send it to a file, or to /dev/null"));
    }
    Ok(())
}

fn closed(descriptor: u8) -> bool {
    CLOSED.load(Ordering::Relaxed) & descriptor != 0
}

/// Whether stderr is a terminal: a bar can be drawn.
pub fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

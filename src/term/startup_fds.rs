//! What the process was given as stdin, stdout and stderr.
//!
//! The runtime opens `/dev/null` in place of a standard descriptor that is closed, before `main`, so
//! that afterwards `<&-` looks like `</dev/null`. But the one is a mistake in a script and the other
//! may be meant, so the state is taken earlier. Must not read any of the three. Invariant:
//! a descriptor counts as closed only if nothing at all was open there when the process began.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::io::Errno;

use crate::term::stderr::{self, Priority};
use proto::error::Error;

const STDIN: u8 = 1;
const STDOUT: u8 = 2;

/// One bit for each that was closed.
static CLOSED: AtomicU8 = AtomicU8::new(0);

// Runs before `main`: one atomic and plain system calls, nothing of the standard library that could
// need its runtime. That is what the word `unsafe` in the attribute, which is the crate's and makes no
// unsafe block here, asks to be held to.
#[ctor::ctor(unsafe)]
fn record_closed_fds() {
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
pub fn require(reads_stdin: bool, writes_stdout: bool) -> Result<(), Error> {
    if reads_stdin && closed(STDIN) {
        return Err(Error::usage("stdin is closed: there is no stream to upload")
            .with_hint("pipe something in, or write --file PATH, or a command behind --"));
    }
    if reads_stdin && io::stdin().is_terminal() {
        return Err(Error::usage("stdin is a terminal: there is no stream to upload").with_hint(
            "pipe something in, as in `pg_dump mydb | ocipipe put oci://BUCKET/mydb.dump`",
        ));
    }
    if writes_stdout && closed(STDOUT) {
        return Err(Error::usage("stdout is closed: nobody would see the result")
            .with_hint("send it to a file, or to /dev/null"));
    }
    Ok(())
}

fn closed(descriptor: u8) -> bool {
    CLOSED.load(Ordering::Relaxed) & descriptor != 0
}

/// Whether stderr is a terminal: a bar can be drawn.
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Writes a result that must not be lost: to stdout or, where that fails, to stderr with the reason.
/// That is no error: what it tells of has happened.
pub fn print_result(text: &str) {
    print_to(&mut io::stdout().lock(), text, |told| {
        stderr::shared().enqueue(told, Priority::Final);
    });
}

fn print_to(stdout: &mut impl Write, text: &str, tell: impl FnOnce(String)) {
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        tell(format!("ocipipe: warning: stdout took no result ({error}); this is it:\n{text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct FullDisk;

    impl Write for FullDisk {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_result_goes_to_stdout_alone() {
        let mut out = Vec::new();
        print_to(&mut out, "{}\n", |told| panic!("{told}"));
        assert_eq!(out, b"{}\n");
    }

    #[test]
    fn a_result_that_stdout_does_not_take_is_not_lost() {
        let mut text = String::new();
        print_to(&mut FullDisk, "{}\n", |told| text = told);
        assert!(text.starts_with("ocipipe: warning: ") && text.ends_with("\n{}\n"), "{text}");
    }
}

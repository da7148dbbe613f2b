//! The standard descriptors as the process inherited them, and the result on stdout.
//!
//! Before `main`, the Rust runtime opens `/dev/null` for each closed standard descriptor, after
//! which `<&-` looks like `</dev/null`. The first is an error of a script and the second may be
//! intended, so this module records the state before that. Owns that state and the output of
//! results. Must not read any of the three. Invariant: a descriptor counts as closed only if it was
//! not open when the process started.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU8, Ordering};

use jiff::Timestamp;
use rustix::fs::{Access, access};
use rustix::io::{Errno, fcntl_dupfd_cloexec, fcntl_getfd};
use rustix::pipe::pipe;

use crate::term::log::{self, LogFormat};
use crate::term::stderr::{self, Priority};
use proto::error::Error;

const STDIN: u8 = 1;
const STDOUT: u8 = 2;

/// One bit for each descriptor that was closed at the start.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Records which standard descriptors are closed. The program calls it before `main`, so it uses only
/// system calls and an atomic, and nothing of the standard library that needs the runtime. Without
/// this call every descriptor counts as open.
pub fn record_closed_fds() {
    let closed = |flags: rustix::io::Result<rustix::io::FdFlags>| flags == Err(Errno::BADF);
    let mut bits = 0;
    if closed(fcntl_getfd(rustix::stdio::stdin())) {
        bits |= STDIN;
    }
    if closed(fcntl_getfd(rustix::stdio::stdout())) {
        bits |= STDOUT;
    }
    CLOSED.store(bits, Ordering::Relaxed);
    if bits != 0 || closed(fcntl_getfd(rustix::stdio::stderr())) {
        // Where that fails too, the runtime ends the process with SIGABRT before anything is read.
        let _ = occupy_without_dev_null();
    }
}

/// Replaces the closed standard descriptors by the ends of pipes without another end, where the
/// runtime would find no `/dev/null` and end the process.
fn occupy_without_dev_null() -> rustix::io::Result<()> {
    if access(c"/dev/null", Access::READ_OK | Access::WRITE_OK).is_ok() {
        return Ok(());
    }
    let (reader, writer) = pipe()?;
    // The ends may be standard descriptors themselves, which `reader` and `writer` close.
    let (input, output) = (fcntl_dupfd_cloexec(&reader, 3)?, fcntl_dupfd_cloexec(&writer, 3)?);
    drop((reader, writer));
    if fcntl_getfd(rustix::stdio::stdin()) == Err(Errno::BADF) {
        rustix::stdio::dup2_stdin(&input)?;
    }
    if fcntl_getfd(rustix::stdio::stdout()) == Err(Errno::BADF) {
        rustix::stdio::dup2_stdout(&output)?;
    }
    if fcntl_getfd(rustix::stdio::stderr()) == Err(Errno::BADF) {
        rustix::stdio::dup2_stderr(&output)?;
    }
    Ok(())
}

/// The standard descriptors that a command uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequiredFds {
    pub stdin: bool,
    pub stdout: bool,
}

/// Fails if the command would read a stream from a terminal or a closed stdin, or print its result
/// to a closed stdout. Called before anything is read or sent.
pub(crate) fn require(fds: RequiredFds) -> Result<(), Error> {
    if fds.stdin && closed(STDIN) {
        return Err(Error::usage("stdin is closed: there is no stream to read")
            .with_hint("pipe something in, or write --file PATH, or (put) a command behind --"));
    }
    if fds.stdin && io::stdin().is_terminal() {
        return Err(Error::usage("stdin is a terminal: there is no stream to read").with_hint(
            "pipe something in, as in `pg_dump mydb | ocipipe put oci://BUCKET/mydb.dump`",
        ));
    }
    if fds.stdout && closed(STDOUT) {
        return Err(Error::usage("stdout is closed: the result cannot be printed")
            .with_hint("send it to a file, or to /dev/null"));
    }
    Ok(())
}

fn closed(descriptor: u8) -> bool {
    CLOSED.load(Ordering::Relaxed) & descriptor != 0
}

/// Whether a bar can be drawn on stderr: a terminal whose cursor can be moved. Without `TERM` nothing
/// is known of the terminal.
pub(crate) fn stderr_can_draw() -> bool {
    io::stderr().is_terminal()
        && std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Writes a result to stdout or, if that fails, to stderr with the reason. Not reported as a
/// failure, since the operation itself succeeded.
pub(crate) fn print_result(text: &str, format: LogFormat) {
    print_to(&mut io::stdout().lock(), text, format, |message| {
        stderr::shared().enqueue(message, Priority::Final);
    });
}

fn print_to(stdout: &mut impl Write, text: &str, format: LogFormat, on_error: impl FnOnce(String)) {
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        let line = log::lost_result_line(text, &error.to_string(), format, Timestamp::now());
        on_error(format!("{}\n", line.trim_end()));
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
        print_to(&mut out, "{}\n", LogFormat::Text, |message| panic!("{message}"));
        assert_eq!(out, b"{}\n");
    }

    #[test]
    fn a_result_that_stdout_does_not_accept_is_not_lost() {
        let mut text = String::new();
        print_to(&mut FullDisk, "{}\n", LogFormat::Text, |message| text = message);
        assert!(text.starts_with("ocipipe: warning: ") && text.ends_with("\n{}\n"), "{text}");
        print_to(&mut FullDisk, "{\"size\": 5}\n", LogFormat::Json, |message| text = message);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["level"], &line["result"]["size"]), (&"warning".into(), &5.into()));
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

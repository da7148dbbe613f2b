//! What went wrong, in words for a person, and the exit code it means.
//!
//! Owns the kinds of failure and their exit codes. Knows nothing of where an error comes from.
//! Invariants: every error says what happened and, where anything can be done, what to do next; and
//! nothing in its words moves a cursor or begins a line, whoever they quote.

use std::fmt;

use crate::printable;

/// The kinds of failure; each is one exit code of the command-line contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Anything unforeseen.
    Internal,
    /// Usage or configuration.
    Usage,
    /// No valid credentials.
    Credentials,
    /// The service refused, or could not be reached.
    Service,
    /// The source of the stream failed.
    Source,
    /// The object exists already, or `--if-match` did not match.
    Exists,
    /// A checksum did not match.
    Integrity,
    /// The outcome of the commit is unknown.
    OutcomeUnknown,
    /// The reader of stdout left before the end; it knows, and stderr is not told.
    StdoutClosed,
    /// A signal ended the run.
    Signal(i32),
}

impl ErrorKind {
    /// The exit code of the contract.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Internal | ErrorKind::StdoutClosed => 1,
            ErrorKind::Usage => 2,
            ErrorKind::Credentials => 3,
            ErrorKind::Service => 4,
            ErrorKind::Source => 5,
            ErrorKind::Exists => 6,
            ErrorKind::Integrity => 7,
            ErrorKind::OutcomeUnknown => 8,
            ErrorKind::Signal(number) => 128u8.saturating_add(number as u8),
        }
    }

    /// The name of the signal that ended the run, where one did.
    pub fn signal_name(self) -> Option<&'static str> {
        match self {
            ErrorKind::Signal(number) => {
                Some(signal_hook::low_level::signal_name(number).unwrap_or("a signal"))
            }
            _ => None,
        }
    }
}

/// A failure to report: what happened, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub kind: ErrorKind,
    pub message: String,
    pub hint: Option<String>,
}

impl Error {
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Error {
        Error { kind, message: what.into(), hint: None }
    }

    pub fn usage(what: impl Into<String>) -> Error {
        Error::new(ErrorKind::Usage, what)
    }

    pub fn credentials(what: impl Into<String>) -> Error {
        Error::new(ErrorKind::Credentials, what)
    }

    pub fn service(what: impl Into<String>) -> Error {
        Error::new(ErrorKind::Service, what)
    }

    pub fn source(what: impl Into<String>) -> Error {
        Error::new(ErrorKind::Source, what)
    }

    pub fn integrity(what: impl Into<String>) -> Error {
        Error::new(ErrorKind::Integrity, what)
    }

    /// Adds what the reader of the error can do next.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable::line(&self.message))?;
        if let Some(next) = &self.hint {
            write!(f, "\n  {}", printable::text(next))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

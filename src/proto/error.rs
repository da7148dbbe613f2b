//! The error of a run: a message, a hint, and the exit code.
//!
//! Owns the kinds of failure and their exit codes. Must not know where an error comes from.
//! Invariants: an error has a message of what happened and, if the user can do anything, a hint what to
//! do; its `Display` has no character that a terminal interprets, also in quoted text.

use std::fmt;
use std::sync::Arc;

use crate::printable;
use crate::request_fields::RequestFields;

/// The kinds of failure. Each has one exit code, which is part of the documented command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A condition that the program does not expect.
    Internal,
    /// The command line or the configuration is wrong.
    Usage,
    /// There are no valid credentials.
    Credentials,
    /// The service rejected a request, or could not be reached for as long as the retry budget lasted.
    Service,
    /// The source of the stream failed, or the stream is not whole.
    Source,
    /// The precondition failed: the object exists, or its etag is not that of `--if-match`.
    Exists,
    /// A digest of the stored object differs from that of the stream.
    Integrity,
    /// The outcome of the commit or put is unknown.
    OutcomeUnknown,
    /// The reader of stdout closed it, as `head` does. The message is no error for people, only a note.
    StdoutClosed,
    /// A signal with this number stopped the run.
    Signal(i32),
    /// The caller of the library cancelled the run.
    Cancelled,
}

impl ErrorKind {
    /// The exit code that the documentation promises: 128 plus the number for a signal.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Internal | ErrorKind::StdoutClosed | ErrorKind::Cancelled => 1,
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

    /// The name of the signal, such as `SIGINT`; `None` for the other kinds.
    pub fn signal_name(self) -> Option<&'static str> {
        match self {
            ErrorKind::Signal(number) => {
                Some(signal_hook::low_level::signal_name(number).unwrap_or("a signal"))
            }
            _ => None,
        }
    }
}

/// A failure to report to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The kind of failure, which determines the exit code.
    pub kind: ErrorKind,
    /// What happened, in lower case and without a full stop.
    pub message: String,
    /// What the user can do, if anything.
    pub hint: Option<String>,
    /// The request that failed, where it was one; not part of the text.
    pub request: Option<Box<RequestFields>>,
    /// The error of another layer that caused this one, where it is kept. The message has its text.
    pub cause: Option<Cause>,
}

/// The cause of an [`Error`], which [`std::error::Error::source`] returns. Two of them are equal if their
/// texts are.
#[derive(Clone)]
pub struct Cause(Arc<dyn std::error::Error + Send + Sync>);

impl PartialEq for Cause {
    fn eq(&self, other: &Cause) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for Cause {}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error {
    /// An error without a hint.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), hint: None, request: None, cause: None }
    }

    /// An error of kind [`ErrorKind::Usage`].
    pub fn usage(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Usage, message)
    }

    /// An error of kind [`ErrorKind::Credentials`].
    pub fn credentials(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Credentials, message)
    }

    /// An error of kind [`ErrorKind::Service`].
    pub fn service(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Service, message)
    }

    /// An error of kind [`ErrorKind::Source`].
    pub fn source(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Source, message)
    }

    /// An error of kind [`ErrorKind::Integrity`].
    pub fn integrity(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Integrity, message)
    }

    /// Keeps the error of another layer; its text has to be in the message.
    pub fn with_cause(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
        self.cause = Some(Cause(Arc::new(cause)));
        self
    }

    /// Adds what the user can do.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable::line(&self.message))?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  {}", printable::text(hint))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let cause: &(dyn std::error::Error + 'static) = &*self.cause.as_ref()?.0;
        Some(cause)
    }
}

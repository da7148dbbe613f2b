//! The error of the library.
//!
//! Owns its public form. Must not know where an error comes from. Invariant: message, hint and cause of the
//! error within stay as they are.

use std::fmt;

use proto::error::{self, ErrorKind};

/// Why an object was not stored, or not by this run.
///
/// `Display` is the message and, on a second line, the hint. [`source`](std::error::Error::source) is the
/// error of the caller's reader, of a file or of the connection, where one of them is the cause.
#[derive(Debug, Clone)]
pub struct Error(error::Error);

impl Error {
    /// The kind of failure. The object may exist after [`ErrorKind::OutcomeUnknown`]; after [`ErrorKind::Integrity`]
    /// one that differs from the stream may, which the message says.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, in lower case and without a full stop, with the HTTP status and the service's code
    /// where there is a response.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What can be done about it, in the terms of the program `ocipipe`.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The `opc-request-id` of the response that is the cause.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request.as_ref()?.request_id.as_deref()
    }
}

impl From<error::Error> for Error {
    fn from(error: error::Error) -> Error {
        Error(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0)
    }
}

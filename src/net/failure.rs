//! The error type of the transport.
//!
//! Owns the pair of kind and text. Must not know whether a failed exchange is tried again.
//! Invariant: a text holds no password and no header of a request.

use std::fmt;
use std::io;

use proto::error::Error;
use proto::transport_error::TransportError;

/// A connection or an exchange that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportFailure {
    /// The network, the proxy or the peer failed. `text` is for people and names the address where
    /// no connection was made; `io` is the error of the operating system, if that was the cause.
    Connection { kind: TransportError, text: String, io: Option<io::ErrorKind> },
    /// The request, the endpoint or the configured certificates are unusable; nothing was sent.
    Local(Error),
}

impl TransportFailure {
    pub(super) fn new(kind: TransportError, text: impl Into<String>) -> TransportFailure {
        TransportFailure::Connection { kind, text: text.into(), io: None }
    }
}

impl fmt::Display for TransportFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransportFailure::Connection { text, .. } => f.write_str(text),
            TransportFailure::Local(error) => f.write_str(&error.message),
        }
    }
}

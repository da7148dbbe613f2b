//! The retry policy: what a failed attempt means, and how and for how long it is retried.
//!
//! Owns the types of the policy. `classify` is the one table from operation and failure to decision,
//! `backoff` has the delays, `budget` the time limit, `not_found_streak` the bounds for a 404 that
//! may be spurious, `context` the retries of one request, and `messages` the texts. Must not know a
//! clock or the state of an upload. Invariant: a failure that is not known to be final is retried,
//! since a stream cannot be read twice.

mod backoff;
mod budget;
mod classify;
mod context;
mod messages;
mod not_found_streak;
#[cfg(test)]
mod tests;

use crate::api::ErrorResponse;
use crate::error::{Error, ErrorKind};
use crate::transport_error::TransportError;

#[doc(hidden)]
pub use backoff::{backoff, retry_delay};
#[doc(hidden)]
pub use budget::{BudgetState, RetryBudget};
pub use classify::classify;
#[doc(hidden)]
pub use context::{FailCause, Next, NotFoundHistory, Retry, RetryContext, RetryError};
pub use not_found_streak::BucketStatus;
#[doc(hidden)]
pub use not_found_streak::NotFoundStreak;

/// The operations of the API that are used. Failures of some mean different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// GetNamespace.
    Namespace,
    /// HeadObject.
    Head,
    /// CreateMultipartUpload.
    Create,
    /// UploadPart.
    Part,
    /// PutObject.
    Put,
    /// CommitMultipartUpload.
    Commit,
    /// AbortMultipartUpload.
    Abort,
    /// ListMultipartUploadParts.
    ListParts,
    /// ListMultipartUploads.
    ListUploads,
    /// DeleteObject.
    Delete,
    /// GetObject.
    Get,
    /// RestoreObjects.
    Restore,
}

impl Operation {
    /// The name in the API reference.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Namespace => "GetNamespace",
            Operation::Head => "HeadObject",
            Operation::Create => "CreateMultipartUpload",
            Operation::Part => "UploadPart",
            Operation::Put => "PutObject",
            Operation::Commit => "CommitMultipartUpload",
            Operation::Abort => "AbortMultipartUpload",
            Operation::ListParts => "ListMultipartUploadParts",
            Operation::ListUploads => "ListMultipartUploads",
            Operation::Delete => "DeleteObject",
            Operation::Get => "GetObject",
            Operation::Restore => "RestoreObjects",
        }
    }

    /// Whether a request may have changed what the service stores although its response was lost.
    fn has_side_effects(self) -> bool {
        matches!(self, Operation::Create | Operation::Put | Operation::Commit)
    }
}

/// One failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A whole response that is not a success.
    ErrorResponse(ErrorResponse),
    /// No whole response.
    Transport {
        /// How far the connection got.
        kind: TransportError,
        /// What happened, for messages.
        text: String,
    },
    /// There are no valid credentials to sign with; nothing was sent.
    Credentials(Error),
    /// The request could not be made from its parameters; nothing was sent.
    Local(Error),
}

/// What a failed attempt means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    /// Retry after a backoff; `throttled` if the service asked for fewer requests at a time.
    Retry {
        /// The service asked for fewer requests at a time.
        throttled: bool,
    },
    /// The credentials were rejected: retry when the session has refreshed or checked them.
    RefreshCredentials,
    /// The session has waited for valid credentials as long as it may.
    CredentialsTimedOut,
    /// The service may have acted on the request: find out before anything else.
    ResolveOutcome,
    /// The body was damaged in transit: check the buffer and send it again.
    ChecksumMismatch,
    /// The commit names a part by an etag that the service does not know.
    InvalidPart,
    /// A precondition or a retention rule forbids to replace the object.
    PreconditionFailed,
    /// The upload or object does not exist.
    NotFound,
    /// A 404 that is not about the upload or the object: the bucket is missing, a permission is
    /// missing, or the 404 is spurious. `NotFoundStreak` bounds its retries. The 404 of a HEAD has
    /// no code, so it may also mean `NotFound`. A 401 through a pre-authenticated request counts as
    /// one, since nothing can be renewed.
    AmbiguousNotFound,
    /// Not retryable.
    Fatal(ErrorKind),
}

/// How far the run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStage {
    /// No byte of the stream has been read or written, and a new run costs nothing.
    Preflight,
    /// The stream is being read or written.
    Streaming,
}

impl Failure {
    /// Whether the service rejected the credentials that signed the request (401).
    pub(crate) fn is_unauthorized(&self) -> bool {
        matches!(
            self,
            Failure::ErrorResponse(ErrorResponse { status: 401, through_par: false, .. })
        )
    }

    /// Whether the service rejected a pre-authenticated request (401).
    pub(crate) fn is_par_rejection(&self) -> bool {
        matches!(self, Failure::ErrorResponse(ErrorResponse { status: 401, through_par: true, .. }))
    }

    /// Whether the request went through a pre-authenticated request, and has a response.
    pub fn is_through_par(&self) -> bool {
        matches!(self, Failure::ErrorResponse(ErrorResponse { through_par: true, .. }))
    }

    /// The seconds that the service asks to wait before the next attempt.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Failure::ErrorResponse(response) => response.retry_after,
            _ => None,
        }
    }
}

//! What a failed attempt means: again, renew, wait, settle or refuse.
//!
//! Owns the one table from (operation, failure) to verdict, and the back-off; `spurious` owns how long
//! a 404 is not believed, `words` what is said of a failure. Knows no clock and no state of an upload.
//! Invariant: every failure has exactly one row; whatever is not known to be final is tried again,
//! since a stream cannot be read twice.

mod budget;
mod context;
mod messages;
mod not_found_streak;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::api::ErrorResponse;
use crate::error::{Error, ErrorKind};
use crate::transport_error::TransportError;

pub use budget::{BudgetState, RetryBudget};
pub use context::{
    FailCause, LOOKUP_TIMEOUT, Next, NotFoundHistory, Retry, RetryContext, RetryError,
};
pub use not_found_streak::NotFoundStreak;

/// The calls of an upload, as far as failures differ between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Namespace,
    Head,
    Create,
    Part,
    Put,
    Commit,
    Abort,
    ListParts,
    ListUploads,
    Delete,
    Get,
}

impl Operation {
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
        }
    }

    /// Whether a request whose answer was lost may have changed what others see.
    fn has_side_effects(self) -> bool {
        matches!(self, Operation::Create | Operation::Put | Operation::Commit)
    }
}

/// One failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The service answered, but not with success.
    ErrorResponse(ErrorResponse),
    /// No (whole) answer.
    Transport { kind: TransportError, text: String },
    /// There was nothing valid to sign with.
    Credentials(Error),
    /// The request could not be made from what was given.
    Local(Error),
}

/// What a failed attempt means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    /// Try again; `slower` if the service asked for less at a time.
    Retry { throttled: bool },
    /// The credentials were refused or are missing: try again when they may have changed.
    RefreshCredentials,
    /// The session has waited for credentials as long as it may.
    CredentialsTimedOut,
    /// It may or may not have been done: ask before anything else.
    ResolveOutcome,
    /// The body was damaged on the way: check the buffer and send it again.
    ChecksumMismatch,
    /// The commit does not know one of the parts by the etag we hold.
    InvalidPart,
    /// Something stands at the name that may not be replaced: a condition or a retention rule says so.
    PreconditionFailed,
    /// There is no such upload (or object).
    NotFound,
    /// A 404 that does not speak of the upload or the object: the bucket is not there, a right is
    /// missing, or the service declines a request that it would take a moment later. A `Tally` tells
    /// how long it is tried again. A HEAD's 404 has no code, so that it can also mean `Missing`.
    AmbiguousNotFound,
    /// Final.
    Fatal(ErrorKind),
}

/// Whether the stream is already under way, or nothing is at stake yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStage {
    Preflight,
    Streaming,
}

/// The table.
pub fn classify(operation: Operation, stage: RunStage, failure: &Failure) -> RetryDecision {
    match failure {
        Failure::ErrorResponse(refusal) => classify_response(operation, stage, refusal),
        Failure::Transport { kind: how, .. } => match how {
            TransportError::Connect | TransportError::RequestIncomplete => {
                RetryDecision::Retry { throttled: false }
            }
            // A certificate that was good when the stream began can only be an interception now:
            // that passes, while a wrong bundle at the start does not.
            TransportError::UntrustedCertificate | TransportError::ProxyAuthRequired
                if stage == RunStage::Preflight =>
            {
                RetryDecision::Fatal(ErrorKind::Service)
            }
            // Nor does a proxy that knew the user forget him but for a while.
            TransportError::UntrustedCertificate | TransportError::ProxyAuthRequired => {
                RetryDecision::Retry { throttled: false }
            }
            TransportError::ResponseLost
            | TransportError::Timeout
            | TransportError::InvalidResponse
                if operation.has_side_effects() =>
            {
                RetryDecision::ResolveOutcome
            }
            TransportError::ResponseLost
            | TransportError::Timeout
            | TransportError::InvalidResponse => RetryDecision::Retry { throttled: false },
        },
        Failure::Credentials(_) => RetryDecision::CredentialsTimedOut,
        Failure::Local(error) => RetryDecision::Fatal(error.kind),
    }
}

fn classify_response(
    operation: Operation,
    stage: RunStage,
    refusal: &ErrorResponse,
) -> RetryDecision {
    let code = refusal.code.as_deref().unwrap_or_default();
    // HTML from a proxy or a load balancer under way says nothing about the upload itself.
    if stage == RunStage::Streaming && !refusal.from_service() && refusal.status != 401 {
        return match operation.has_side_effects() {
            true => RetryDecision::ResolveOutcome,
            false => {
                RetryDecision::Retry { throttled: refusal.status == 429 || refusal.status == 503 }
            }
        };
    }
    match refusal.status {
        401 => RetryDecision::RefreshCredentials,
        400 if code == "InvalidUploadPart" => RetryDecision::InvalidPart,
        // `UnmatchedContentMD5`, and its like for the other digests: another was computed than sent.
        400 if code.starts_with("Unmatched") => RetryDecision::ChecksumMismatch,
        // Instead of a 412, since the rule is looked at before the condition.
        403 if code == RETENTION && operation.has_side_effects() => {
            RetryDecision::PreconditionFailed
        }
        404 if matches!(code, "UploadNotFound" | "ObjectNotFound") => RetryDecision::NotFound,
        // The code for an upload that is gone is not documented here. These say something else: that
        // a policy forbids the abort, for one, which leaves the upload open.
        404 if operation == Operation::Abort && !AMBIGUOUS_NOT_FOUND.contains(&code) => {
            RetryDecision::NotFound
        }
        // What no service has said is final before anything is at stake, as any page of a proxy is.
        404 if operation != Operation::Head && !refusal.from_service() => {
            RetryDecision::Fatal(ErrorKind::Service)
        }
        404 => RetryDecision::AmbiguousNotFound,
        408 => retry_or_resolve(operation, false),
        409 => match code {
            "ConcurrentObjectUpdate" | "IncorrectState" | "LockConflict" => {
                RetryDecision::Retry { throttled: false }
            }
            _ => RetryDecision::Fatal(ErrorKind::Service),
        },
        412 => RetryDecision::PreconditionFailed,
        429 => RetryDecision::Retry { throttled: true },
        501 => RetryDecision::Fatal(ErrorKind::Service),
        // A 503 is said before anything is done; the other 5xx may come after it.
        503 => RetryDecision::Retry { throttled: true },
        500..=599 => retry_or_resolve(operation, false),
        // A success that cannot be read, or a redirect, is not the API speaking.
        100..=399 => retry_or_resolve(operation, false),
        _ => RetryDecision::Fatal(ErrorKind::Service),
    }
}

/// The code of a refusal by which a retention rule keeps an object.
const RETENTION: &str = "RetentionRuleViolation";

/// What a 404 says that is not about the upload or object itself.
const AMBIGUOUS_NOT_FOUND: [&str; 3] =
    ["NotAuthorizedOrNotFound", "BucketNotFound", "NamespaceNotFound"];

fn retry_or_resolve(operation: Operation, slower: bool) -> RetryDecision {
    if operation.has_side_effects() {
        RetryDecision::ResolveOutcome
    } else {
        RetryDecision::Retry { throttled: slower }
    }
}

/// Full jitter: anything from nothing to a ceiling that doubles from half a second to 30 s
/// (`random` in 0..1). The service's own word is a floor, as far as it is sane.
pub(crate) fn backoff(attempt: u32, random: f64, retry_after: Option<u64>) -> Duration {
    const INITIAL_BACKOFF: f64 = 0.5;
    const MAX_BACKOFF: f64 = 30.0;
    const MAX_RETRY_AFTER: u64 = 300;
    let ceiling = (INITIAL_BACKOFF * 2f64.powi(attempt.min(16) as i32)).min(MAX_BACKOFF);
    let floor = Duration::from_secs(retry_after.unwrap_or(0).min(MAX_RETRY_AFTER));
    floor + Duration::from_secs_f64(ceiling * random.clamp(0.0, 1.0))
}

/// How long to wait after a failure.
pub fn retry_delay(attempt: u32, random: f64, failure: &Failure) -> Duration {
    /// After refused credentials the session itself waits until there are others, or these pass
    /// again: on top of that there is only a bound to how often.
    const MAX_CREDENTIAL_PAUSE: Duration = Duration::from_secs(2);
    let pause = backoff(attempt, random, failure.retry_after());
    if failure.is_unauthorized() { pause.min(MAX_CREDENTIAL_PAUSE) } else { pause }
}

impl Failure {
    /// Whether the credentials were refused.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self, Failure::ErrorResponse(refusal) if refusal.status == 401)
    }

    /// The service's wish when to be asked again.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Failure::ErrorResponse(refusal) => refusal.retry_after,
            _ => None,
        }
    }
}

//! The table from operation and failure to decision.
//!
//! Owns the meaning of status codes, error codes and broken connections. Must not know messages, a
//! clock or the state of an upload. Invariant: every failure has exactly one row.
//! Source: <https://docs.oracle.com/en-us/iaas/Content/API/References/apierrors.htm>.

use super::{Failure, Operation, RetryDecision, RunStage};
use crate::api::ErrorResponse;
use crate::error::ErrorKind;
use crate::transport_error::TransportError;

/// The error code of a retention rule that forbids to replace or delete an object.
pub(super) const RETENTION: &str = "RetentionRuleViolation";

/// The error codes of a 404 that is not about the upload or the object.
const AMBIGUOUS_NOT_FOUND: [&str; 3] =
    ["NotAuthorizedOrNotFound", "BucketNotFound", "NamespaceNotFound"];

const RETRY: RetryDecision = RetryDecision::Retry { throttled: false };
const RETRY_THROTTLED: RetryDecision = RetryDecision::Retry { throttled: true };
const FATAL: RetryDecision = RetryDecision::Fatal(ErrorKind::Service);

/// What a failed attempt means.
pub fn classify(operation: Operation, stage: RunStage, failure: &Failure) -> RetryDecision {
    match failure {
        Failure::ErrorResponse(response) => classify_response(operation, stage, response),
        Failure::Transport { kind, .. } => classify_transport(operation, stage, *kind),
        Failure::Credentials(_) => RetryDecision::CredentialsTimedOut,
        Failure::Local(error) => RetryDecision::Fatal(error.kind),
    }
}

fn classify_transport(
    operation: Operation,
    stage: RunStage,
    kind: TransportError,
) -> RetryDecision {
    match kind {
        TransportError::Connect | TransportError::RequestIncomplete => RETRY,
        // What was accepted before is rejected for a while only. In the preflight it is a wrong
        // setting.
        TransportError::UntrustedCertificate
        | TransportError::UntrustedProxyCertificate
        | TransportError::ProxyAuthRequired
        | TransportError::ProxyRefused => match stage {
            RunStage::Preflight => FATAL,
            RunStage::Streaming => RETRY,
        },
        TransportError::ResponseLost
        | TransportError::Timeout
        | TransportError::InvalidResponse => resolve_or(RETRY, operation),
    }
}

fn classify_response(
    operation: Operation,
    stage: RunStage,
    response: &ErrorResponse,
) -> RetryDecision {
    let code = response.code.as_deref().unwrap_or_default();
    // A page of a proxy or a load balancer is not about the upload.
    if stage == RunStage::Streaming && !response.from_service() && response.status != 401 {
        let throttled = matches!(response.status, 429 | 503);
        return resolve_or(RetryDecision::Retry { throttled }, operation);
    }
    match response.status {
        401 if response.through_par => RetryDecision::AmbiguousNotFound,
        401 => RetryDecision::RefreshCredentials,
        400 if code == "InvalidUploadPart" => RetryDecision::InvalidPart,
        // `UnmatchedContentMD5` and the like: the service computed another digest than was sent.
        400 if code.starts_with("Unmatched") => RetryDecision::ChecksumMismatch,
        // Comes instead of a 412, since the service checks the rule before the precondition.
        403 if code == RETENTION && operation.has_side_effects() => {
            RetryDecision::PreconditionFailed
        }
        404 => classify_not_found(operation, response, code),
        408 => resolve_or(RETRY, operation),
        // The object is not archived, or is being restored already.
        409 if operation == Operation::Restore => FATAL,
        409 if matches!(code, "ConcurrentObjectUpdate" | "IncorrectState" | "LockConflict") => {
            RETRY
        }
        412 => RetryDecision::PreconditionFailed,
        429 => RETRY_THROTTLED,
        501 => FATAL,
        // A 503 comes before the service acts; the other 5xx may come after.
        503 => RETRY_THROTTLED,
        500..=599 => resolve_or(RETRY, operation),
        // A success without the headers or body of the API, or a redirect.
        100..=399 => resolve_or(RETRY, operation),
        _ => FATAL,
    }
}

fn classify_not_found(operation: Operation, response: &ErrorResponse, code: &str) -> RetryDecision {
    match operation {
        _ if matches!(code, "UploadNotFound" | "ObjectNotFound") => RetryDecision::NotFound,
        // The API reference has no code for an upload that does not exist any more, so every code
        // but these means it. With these the upload may be open still: a policy may forbid to abort.
        Operation::Abort if !AMBIGUOUS_NOT_FOUND.contains(&code) => RetryDecision::NotFound,
        Operation::Head => RetryDecision::AmbiguousNotFound,
        // A page of a proxy, in the preflight.
        _ if !response.from_service() => FATAL,
        _ => RetryDecision::AmbiguousNotFound,
    }
}

/// `retry`, or `ResolveOutcome` where the service may have acted on the request.
fn resolve_or(retry: RetryDecision, operation: Operation) -> RetryDecision {
    if operation.has_side_effects() { RetryDecision::ResolveOutcome } else { retry }
}

impl Failure {
    /// Whether a retention rule forbids to replace or delete the object.
    pub(crate) fn is_retention(&self) -> bool {
        let Failure::ErrorResponse(response) = self else { return false };
        response.code.as_deref() == Some(RETENTION)
    }

    /// Whether the error code shows that no object has this name.
    pub fn is_object_missing(&self) -> bool {
        let Failure::ErrorResponse(response) = self else { return false };
        response.code.as_deref() == Some("ObjectNotFound")
    }

    /// Whether the error code shows that the bucket exists.
    pub(crate) fn shows_bucket(&self) -> bool {
        let Failure::ErrorResponse(response) = self else { return false };
        match response.code.as_deref().unwrap_or_default() {
            "UploadNotFound" | "ObjectNotFound" | "InvalidUploadPart" => true,
            "IfNoneMatchFailed" | "IfMatchFailed" | "NoEtagMatch" => true,
            code => code == RETENTION || code == "BucketIsReadonly",
        }
    }
}

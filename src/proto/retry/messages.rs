//! What is said of a failure: what happened, and what a person can do about it.
//!
//! Owns the texts. Decides nothing, and reads only typed codes. Invariant: where the service may have
//! refused for want of a right, the right is named.

use super::{Failure, Operation, RETENTION};
use crate::api::ErrorResponse;
use crate::error::{Error, ErrorKind};
use crate::transport_error::TransportError;

impl Failure {
    /// What happened, while doing this.
    pub fn message(&self, doing: &str) -> String {
        match self {
            Failure::ErrorResponse(refusal) => format!("{doing}: {refusal}"),
            Failure::Transport { text, .. } => format!("{doing}: {text}"),
            Failure::Credentials(error) | Failure::Local(error) => {
                format!("{doing}: {}", error.message)
            }
        }
    }

    /// The error to end with when this failure of a call is the cause of the end.
    pub fn error(&self, operation: Operation, doing: &str) -> Error {
        let what = self.message(doing);
        match self {
            Failure::ErrorResponse(refusal) => {
                let kind = match refusal.status {
                    401 => ErrorKind::Credentials,
                    412 => ErrorKind::Exists,
                    _ => ErrorKind::Service,
                };
                Error { hint: hint_for(operation, refusal), ..Error::new(kind, what) }
            }
            Failure::Transport { kind: TransportError::UntrustedCertificate, .. } => {
                Error::service(what).with_hint(
                    "if the endpoint is right, give the certificate of its authority with \
                 --cert-bundle FILE",
                )
            }
            Failure::Transport { kind: TransportError::ProxyAuthRequired, .. } => {
                Error::service(what).with_hint(
                    "put the user and the password of the proxy into its URL, as in \
                 http://USER:PASSWORD@HOST:PORT",
                )
            }
            Failure::Transport { .. } => Error::service(what),
            Failure::Credentials(error) | Failure::Local(error) => {
                Error { message: what, ..error.clone() }
            }
        }
    }

    /// What happened to a call, and the right that may be missing, in one line.
    pub fn message_with_permissions(&self, operation: Operation) -> String {
        let what = self.message(operation.name());
        match self {
            Failure::ErrorResponse(refusal) if self.is_retention() || refusal.status == 404 => {
                let next = hint_for(operation, refusal);
                next.map_or(what.clone(), |next| format!("{what}; {next}"))
            }
            _ => what,
        }
    }

    /// Whether a retention rule keeps the object that stands at the name.
    pub fn is_retention(&self) -> bool {
        matches!(self, Failure::ErrorResponse(refusal) if refusal.code.as_deref() == Some(RETENTION))
    }

    /// Whether only the bucket itself can have answered so.
    pub fn shows_bucket(&self) -> bool {
        let Failure::ErrorResponse(refusal) = self else { return false };
        match refusal.code.as_deref().unwrap_or_default() {
            "UploadNotFound" | "ObjectNotFound" | "InvalidUploadPart" => true,
            "IfNoneMatchFailed" | "IfMatchFailed" | "NoEtagMatch" => true,
            code => code == RETENTION || code == "BucketIsReadonly",
        }
    }
}

/// What a person can do about a refusal.
fn hint_for(operation: Operation, refusal: &ErrorResponse) -> Option<String> {
    Some(match (refusal.status, refusal.code.as_deref().unwrap_or_default()) {
        (401, _) => "check the profile, its key and its token: `ocipipe session show`; a new \
                     session token comes from `oci session authenticate`. A region that the tenancy \
                     is not subscribed to answers so too"
            .to_owned(),
        (404, "UploadNotFound" | "ObjectNotFound") => return None,
        (404, code) => not_found(operation, code),
        (403, RETENTION) => "a retention rule of the bucket keeps the object that stands there: give \
                             another name, or wait until its time is over"
            .to_owned(),
        (403, "BucketIsReadonly") => "the bucket is the target of a replication, which takes no \
                                      writes: write to the bucket it replicates"
            .to_owned(),
        (403, _) => match permissions_for(operation) {
            Some(rights) => format!("a policy forbids this call, which takes {rights}"),
            None => "a policy forbids this call".to_owned(),
        },
        (412, "IfMatchFailed") => "look what replaced it before trying again".to_owned(),
        (412, _) => "give --force to replace what stands there".to_owned(),
        (429 | 503, _) => {
            "the service was throttling; --retry-for allows more patience".to_owned()
        }
        _ => return None,
    })
}

/// A name that is not right and a right that is missing have one answer.
fn not_found(operation: Operation, code: &str) -> String {
    let names = match (operation, code) {
        (Operation::Namespace, _) => return "check the endpoint and the region".to_owned(),
        (_, "NamespaceNotFound") => "--namespace (left out, it is looked up)",
        _ => "the bucket's name, the namespace and the region",
    };
    match permissions_for(operation) {
        Some(rights) => format!(
            "check {names}, and the policy: a missing right has the same answer, and this call \
             takes {rights}"
        ),
        None => format!("check {names}"),
    }
}

/// The permissions that a call takes.
pub(super) fn permissions_for(operation: Operation) -> Option<&'static str> {
    Some(match operation {
        Operation::Namespace => return None,
        Operation::Create | Operation::Part | Operation::Commit => {
            "OBJECT_CREATE and OBJECT_OVERWRITE, both also for a new name"
        }
        Operation::Put => "OBJECT_CREATE, and OBJECT_OVERWRITE to replace an object",
        Operation::Abort | Operation::Delete => "OBJECT_DELETE",
        Operation::Head => "OBJECT_READ or OBJECT_INSPECT",
        Operation::Get => "OBJECT_READ",
        Operation::ListParts => "OBJECT_INSPECT",
        Operation::ListUploads => "BUCKET_READ",
    })
}

//! The messages of a failure: what happened, and what the user can do about it.
//!
//! Owns the texts. Must not decide anything, and reads only statuses and error codes. Invariant:
//! where a missing permission may be the cause, the message names the permission.

use super::classify::RETENTION;
use super::{Failure, Operation};
use crate::api::ErrorResponse;
use crate::error::{Error, ErrorKind};
use crate::request_fields::{AttemptName, RequestFields};

impl Failure {
    /// The error response for logs, without the attempt.
    pub fn response_fields(&self) -> RequestFields {
        let Failure::ErrorResponse(response) = self else { return RequestFields::default() };
        RequestFields {
            status: Some(response.status),
            code: response.code.clone(),
            request_id: response.request_id.clone(),
            ..RequestFields::default()
        }
    }

    /// The attempt and its error response, for logs.
    pub fn request_fields(&self, operation: Operation, doing: &AttemptName) -> RequestFields {
        let RequestFields { operation, part, attempt, .. } = doing.fields(operation.name());
        RequestFields { operation, part, attempt, ..self.response_fields() }
    }

    /// What happened; `doing` names the attempt.
    pub fn message(&self, doing: &str) -> String {
        match self {
            Failure::ErrorResponse(response) => format!("{doing}: {response}"),
            Failure::Transport { text, .. } => format!("{doing}: {text}"),
            Failure::Credentials(error) | Failure::Local(error) => {
                format!("{doing}: {}", error.message)
            }
        }
    }

    /// The error of a run that ends because of this failure; `doing` names the attempt.
    pub fn error(&self, operation: Operation, doing: impl Into<AttemptName>) -> Error {
        let doing = doing.into();
        let mut error = self.error_without_fields(operation, doing.as_str());
        if let Failure::Transport { kind, .. } = self {
            error = error.with_cause(*kind);
        }
        Error { request: Some(Box::new(self.request_fields(operation, &doing))), ..error }
    }

    fn error_without_fields(&self, operation: Operation, doing: &str) -> Error {
        let message = self.message(doing);
        match self {
            Failure::ErrorResponse(response) => {
                let kind = match response.status {
                    401 => ErrorKind::Credentials,
                    404 if is_par_refusal(response) => ErrorKind::Credentials,
                    412 => ErrorKind::Exists,
                    _ => ErrorKind::Service,
                };
                Error { hint: hint_for(operation, response), ..Error::new(kind, message) }
            }
            Failure::Transport { .. } => {
                let hint = self.setting_hint().map(str::to_owned);
                Error { hint, ..Error::service(message) }
            }
            Failure::Credentials(error) | Failure::Local(error) => {
                Error { message, ..error.clone() }
            }
        }
    }

    /// What the user can do where a setting of this host or of the proxy lets no connection be made.
    pub fn setting_hint(&self) -> Option<&'static str> {
        match self {
            Failure::Transport { kind, .. } => kind.setting_hint(),
            _ => None,
        }
    }

    /// What happened, and the permission that may be missing, in one line.
    pub(crate) fn message_with_permissions(&self, operation: Operation) -> String {
        let message = self.message(operation.name());
        let Failure::ErrorResponse(response) = self else { return message };
        // A policy or a rule of the bucket has status 403.
        if ![403, 404].contains(&response.status) {
            return message;
        }
        match hint_for(operation, response) {
            Some(hint) => format!("{message}; {hint}"),
            None => message,
        }
    }
}

/// What the user can do about an error response.
fn hint_for(operation: Operation, response: &ErrorResponse) -> Option<String> {
    Some(match (response.status, response.code.as_deref().unwrap_or_default()) {
        _ if is_par_refusal(response) => PAR_REFUSED.to_owned(),
        _ if !response.from_service() => NOT_FROM_SERVICE.to_owned(),
        (403, _) if response.through_par => "the user who created the pre-authenticated request has \
                                             no right to this call, or the request does not allow it"
            .to_owned(),
        (400, _) if response.through_par => "nothing documents digests in headers for pre-authenticated \
                                             requests: --checksum none sends none"
            .to_owned(),
        (401, _) => "check the profile, its key and its token: `ocipipe session show`; a new \
                     session token comes from `oci session authenticate`. A region that the tenancy \
                     is not subscribed to returns the same status"
            .to_owned(),
        (404, "UploadNotFound" | "ObjectNotFound") => return None,
        (404, code) => not_found_hint(operation, code),
        (400, "QuotaExceeded" | "LimitExceeded") => "the storage of the tenancy, or of its \
                                                     compartment, is full: delete what is not needed \
                                                     any more, or have the limit raised"
            .to_owned(),
        (403, RETENTION) => "a retention rule of the bucket keeps the existing object: give \
                             another name, or wait until its time is over"
            .to_owned(),
        (403, "BucketIsReadonly") => "the bucket is the target of a replication, which takes no \
                                      writes: write to the bucket it replicates"
            .to_owned(),
        (403, _) => match permissions_for(operation) {
            Some(permissions) => format!("a policy forbids this call, which needs {permissions}"),
            None => "a policy forbids this call".to_owned(),
        },
        (412, "IfMatchFailed") => "find out what replaced it before trying again".to_owned(),
        (412, _) => "give --force to replace the existing object".to_owned(),
        (429 | 503, _) => {
            "the service was throttling; --retry-for allows more time".to_owned()
        }
        _ => return None,
    })
}

/// A proxy or another server has answered.
const NOT_FROM_SERVICE: &str = "this answer is not from Object Storage, since it has neither an error code of the service nor an \
     opc-request-id: check the endpoint, and the proxy or the gateway in front of it";

/// A pre-authenticated request that lets nothing in has the same response in each of these cases.
const PAR_REFUSED: &str = "the pre-authenticated request has expired or was deleted, or the user who created it has lost the \
     right to store objects; or its URL is not whole, is of another region or for reading only, or the \
     name does not begin with its prefix. It cannot be renewed: create a new one";

/// Whether a pre-authenticated request was refused as a whole.
fn is_par_refusal(response: &ErrorResponse) -> bool {
    let code = response.code.as_deref().unwrap_or_default();
    let gone = response.status == 404 && !["UploadNotFound", "ObjectNotFound"].contains(&code);
    response.through_par && (response.status == 401 || gone)
}

/// A wrong name and a missing permission have the same response.
fn not_found_hint(operation: Operation, code: &str) -> String {
    let names = match (operation, code) {
        (Operation::Namespace, _) => return "check the endpoint and the region".to_owned(),
        (_, "NamespaceNotFound") => "--namespace (left out, it is looked up)",
        _ => "the bucket's name, the namespace and the region",
    };
    match permissions_for(operation) {
        Some(permissions) => format!(
            "check {names}, and the policy: a missing right has the same answer, and this call \
             needs {permissions}"
        ),
        None => format!("check {names}"),
    }
}

/// The permissions that an operation needs; `None` where it needs none.
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
        Operation::Restore => "OBJECT_RESTORE",
        Operation::ListParts => "OBJECT_INSPECT",
        Operation::ListUploads => "BUCKET_READ",
    })
}

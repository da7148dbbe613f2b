//! What a failed attempt means: again, renew, wait, settle or refuse.
//!
//! Owns the one table from (operation, failure) to verdict, and the back-off. Knows no clock and no
//! state of an upload. Invariant: every failure has exactly one row; whatever is not known to be
//! final is tried again, since a stream cannot be read twice.

use std::time::Duration;

use crate::error::{Error, Kind};
use crate::oci::api::Refusal;

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
    fn leaves_a_mark(self) -> bool {
        matches!(self, Operation::Create | Operation::Put | Operation::Commit)
    }
}

/// How far a connection got before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// No connection could be made; the service has seen nothing.
    Connect,
    /// The certificate is not trusted.
    Untrusted,
    /// The proxy does not know who asks (407).
    Denied,
    /// The connection failed while the body was still being written: what the service has seen is a
    /// piece, and it does nothing with a piece.
    Unfinished,
    /// The connection failed after the request may have been seen.
    Lost,
    /// No byte moved for the stall timeout.
    Stalled,
    /// What came back is not an answer of the service.
    Garbage,
}

/// One failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The service answered, but not with success.
    Refused(Refusal),
    /// No (whole) answer.
    Transport { how: Break, text: String },
    /// There was nothing valid to sign with.
    Credentials(Error),
    /// The request could not be made from what was given.
    Local(Error),
}

/// What a failed attempt means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Try again; `slower` if the service asked for less at a time.
    Again { slower: bool },
    /// The credentials were refused or are missing: try again when they may have changed.
    Renew,
    /// The session has waited for credentials as long as it may.
    GiveUp,
    /// It may or may not have been done: ask before anything else.
    Settle,
    /// The body was damaged on the way: check the buffer and send it again.
    Damaged,
    /// The commit does not know one of the parts by the etag we hold.
    Heal,
    /// Something stands at the name that may not be replaced.
    Exists,
    /// There is no such upload (or object).
    Missing,
    /// Final.
    Refuse(Kind),
}

/// Whether the stream is already under way, or nothing is at stake yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Start,
    UnderWay,
}

/// The table.
pub fn judge(operation: Operation, stage: Stage, failure: &Failure) -> Verdict {
    match failure {
        Failure::Refused(refusal) => judge_refusal(operation, stage, refusal),
        Failure::Transport { how, .. } => match how {
            Break::Connect | Break::Unfinished => Verdict::Again { slower: false },
            // A certificate that was good when the stream began can only be an interception now:
            // that passes, while a wrong bundle at the start does not.
            Break::Untrusted | Break::Denied if stage == Stage::Start => {
                Verdict::Refuse(Kind::Service)
            }
            // Nor does a proxy that knew the user forget him but for a while.
            Break::Untrusted | Break::Denied => Verdict::Again { slower: false },
            Break::Lost | Break::Stalled | Break::Garbage if operation.leaves_a_mark() => {
                Verdict::Settle
            }
            Break::Lost | Break::Stalled | Break::Garbage => Verdict::Again { slower: false },
        },
        Failure::Credentials(_) => Verdict::GiveUp,
        Failure::Local(error) => Verdict::Refuse(error.kind),
    }
}

fn judge_refusal(operation: Operation, stage: Stage, refusal: &Refusal) -> Verdict {
    let code = refusal.code.as_deref().unwrap_or_default();
    // HTML from a proxy or a load balancer under way says nothing about the upload itself.
    if stage == Stage::UnderWay && !refusal.from_service() && refusal.status != 401 {
        return match operation.leaves_a_mark() {
            true => Verdict::Settle,
            false => Verdict::Again { slower: refusal.status == 429 || refusal.status == 503 },
        };
    }
    match refusal.status {
        401 => Verdict::Renew,
        400 if code == "InvalidUploadPart" => Verdict::Heal,
        400 if is_damage(code, &refusal.message) => Verdict::Damaged,
        404 if matches!(operation, Operation::Head | Operation::Get) => Verdict::Missing,
        404 if code == "UploadNotFound" => Verdict::Missing,
        // The code for an upload that is gone is not documented here. These say something else: that
        // a policy forbids the abort, for one, which leaves the upload open.
        404 if operation == Operation::Abort && !HIDDEN.contains(&code) => Verdict::Missing,
        408 => again_or_settle(operation, false),
        409 => match code {
            "ConcurrentObjectUpdate" | "IncorrectState" | "LockConflict" => {
                Verdict::Again { slower: false }
            }
            _ => Verdict::Refuse(Kind::Service),
        },
        412 => Verdict::Exists,
        429 => Verdict::Again { slower: true },
        501 => Verdict::Refuse(Kind::Service),
        // A 503 is said before anything is done; the other 5xx may come after it.
        503 => Verdict::Again { slower: true },
        500..=599 => again_or_settle(operation, false),
        // A success that cannot be read, or a redirect, is not the API speaking.
        100..=399 => again_or_settle(operation, false),
        _ => Verdict::Refuse(Kind::Service),
    }
}

/// What a 404 says that is not about the upload or object itself.
const HIDDEN: [&str; 3] = ["NotAuthorizedOrNotFound", "BucketNotFound", "NamespaceNotFound"];

fn again_or_settle(operation: Operation, slower: bool) -> Verdict {
    if operation.leaves_a_mark() { Verdict::Settle } else { Verdict::Again { slower } }
}

/// The service computed another digest than the one sent along. Its code for that is not
/// documented, its wording is ("does not match the Content-MD5 header").
fn is_damage(code: &str, message: &str) -> bool {
    code.starts_with("Unmatched") || (message.contains("computed") && message.contains("not match"))
}

/// Full jitter: anything from nothing to a ceiling that doubles from half a second to 30 s
/// (`random` in 0..1). The service's own word is a floor, as far as it is sane.
fn backoff(attempt: u32, random: f64, retry_after: Option<u64>) -> Duration {
    const FIRST: f64 = 0.5;
    const CEILING: f64 = 30.0;
    const SANE: u64 = 300;
    let ceiling = (FIRST * 2f64.powi(attempt.min(16) as i32)).min(CEILING);
    let floor = Duration::from_secs(retry_after.unwrap_or(0).min(SANE));
    floor + Duration::from_secs_f64(ceiling * random.clamp(0.0, 1.0))
}

/// How long to wait after a failure.
pub fn pause(attempt: u32, random: f64, failure: &Failure) -> Duration {
    /// After refused credentials the session itself waits until there are others, or these pass
    /// again: on top of that there is only a bound to how often.
    const REFUSED: Duration = Duration::from_secs(2);
    let pause = backoff(attempt, random, failure.retry_after());
    if failure.refuses_credentials() { pause.min(REFUSED) } else { pause }
}

impl Failure {
    /// Whether the credentials were refused.
    pub fn refuses_credentials(&self) -> bool {
        matches!(self, Failure::Refused(refusal) if refusal.status == 401)
    }

    /// The service's wish when to be asked again.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Failure::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    /// The error to end with when this failure is the cause of the end.
    pub fn error(&self, doing: &str) -> Error {
        match self {
            Failure::Refused(refusal) => {
                let kind = match refusal.status {
                    401 => Kind::Credentials,
                    412 => Kind::Exists,
                    _ => Kind::Service,
                };
                let error = Error::new(kind, format!("{doing}: {refusal}"));
                match (kind, next_step(refusal)) {
                    (_, Some(next)) => error.next(next),
                    (_, None) => error,
                }
            }
            Failure::Transport { how: Break::Untrusted, text } => {
                Error::service(format!("{doing}: {text}")).next(
                    "if the endpoint is right, give the certificate of its authority with \
                     --cert-bundle FILE",
                )
            }
            Failure::Transport { how: Break::Denied, text } => {
                Error::service(format!("{doing}: {text}")).next(
                    "put the user and the password of the proxy into its URL, as in \
                     http://USER:PASSWORD@HOST:PORT",
                )
            }
            Failure::Transport { text, .. } => Error::service(format!("{doing}: {text}")),
            Failure::Credentials(error) | Failure::Local(error) => {
                Error { what: format!("{doing}: {}", error.what), ..error.clone() }
            }
        }
    }
}

/// What a person can do about a refusal.
fn next_step(refusal: &Refusal) -> Option<&'static str> {
    Some(match (refusal.status, refusal.code.as_deref().unwrap_or_default()) {
        (401, _) => {
            "check the profile, its key and its token: `ocipipe session show`; \
             a new session token comes from `oci session authenticate`"
        }
        (404, "BucketNotFound") => {
            "check the bucket's name, the namespace and the region, and that the policy lets this \
             user write there"
        }
        (404, "NamespaceNotFound") => "check --namespace, or leave it out to have it looked up",
        (404, _) => "the service answers 404 also where a policy forbids the call",
        (403, _) => "a policy forbids this call",
        (412, "IfMatchFailed") => "look what replaced it before trying again",
        (412, _) => "give --force to replace what stands there",
        (429 | 503, _) => "the service was throttling; --retry-for allows more patience",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> Failure {
        Failure::Refused(Refusal {
            status,
            code: (!code.is_empty()).then(|| code.to_owned()),
            request_id: Some("iad-1:x".to_owned()),
            ..Refusal::default()
        })
    }

    #[test]
    fn every_row_of_the_table_means_what_the_api_says() {
        use Operation::*;
        let under_way =
            |operation, status, code| judge(operation, Stage::UnderWay, &refused(status, code));
        let again = Verdict::Again { slower: false };
        let slower = Verdict::Again { slower: true };
        let refuse = Verdict::Refuse(Kind::Service);
        for (operation, status, code, verdict) in [
            (Part, 401, "NotAuthenticated", Verdict::Renew),
            (Commit, 400, "InvalidUploadPart", Verdict::Heal),
            (Part, 400, "UnmatchedContentMD5", Verdict::Damaged),
            (Part, 400, "InvalidParameter", refuse),
            (Part, 403, "NotAllowed", refuse),
            (Part, 404, "BucketNotFound", refuse),
            (Part, 404, "UploadNotFound", Verdict::Missing),
            (Head, 404, "", Verdict::Missing),
            (Abort, 404, "UploadNotFound", Verdict::Missing),
            (Abort, 404, "NotFound", Verdict::Missing),
            (Abort, 404, "NotAuthorizedOrNotFound", refuse),
            (Abort, 404, "BucketNotFound", refuse),
            (Part, 408, "", again),
            (Part, 409, "ConcurrentObjectUpdate", again),
            (Part, 409, "IncorrectState", again),
            (Part, 409, "LockConflict", again),
            (Part, 409, "Conflict", refuse),
            (Create, 412, "IfNoneMatchFailed", Verdict::Exists),
            (Part, 413, "RequestEntityTooLarge", refuse),
            (Part, 429, "TooManyRequests", slower),
            (Commit, 429, "TooManyRequests", slower),
            (Part, 500, "InternalServerError", again),
            (Commit, 500, "InternalServerError", Verdict::Settle),
            (Put, 502, "", Verdict::Settle),
            (Create, 504, "", Verdict::Settle),
            (Part, 501, "MethodNotImplemented", refuse),
            (Part, 503, "ServiceUnavailable", slower),
        ] {
            assert_eq!(
                under_way(operation, status, code),
                verdict,
                "{operation:?} {status} {code}"
            );
        }
    }

    #[test]
    fn a_proxy_that_does_not_know_who_asks_is_final_at_the_start_and_passes_under_way() {
        let denied = Failure::Transport { how: Break::Denied, text: "the proxy".to_owned() };
        for operation in [Operation::Namespace, Operation::Head, Operation::Create] {
            assert_eq!(judge(operation, Stage::Start, &denied), Verdict::Refuse(Kind::Service));
            assert_eq!(
                judge(operation, Stage::UnderWay, &denied),
                Verdict::Again { slower: false }
            );
        }
        assert!(denied.error("HeadObject").to_string().contains("USER:PASSWORD@"));
    }

    #[test]
    fn html_from_a_proxy_is_final_at_the_start_and_passes_under_way() {
        let html = Failure::Refused(Refusal { status: 403, ..Refusal::default() });
        assert_eq!(
            judge(Operation::Part, Stage::UnderWay, &html),
            Verdict::Again { slower: false }
        );
        assert_eq!(judge(Operation::Commit, Stage::UnderWay, &html), Verdict::Settle);
        assert_eq!(
            judge(Operation::Namespace, Stage::Start, &html),
            Verdict::Refuse(Kind::Service)
        );
    }

    #[test]
    fn a_commit_whose_answer_was_lost_is_settled_and_never_repeated_blindly() {
        for how in [Break::Lost, Break::Stalled, Break::Garbage] {
            let failure = Failure::Transport { how, text: String::new() };
            for operation in [Operation::Commit, Operation::Put, Operation::Create] {
                assert_eq!(judge(operation, Stage::UnderWay, &failure), Verdict::Settle);
            }
            assert_eq!(
                judge(Operation::Part, Stage::UnderWay, &failure),
                Verdict::Again { slower: false }
            );
        }
    }

    #[test]
    fn what_was_not_sent_whole_has_left_no_mark() {
        for how in [Break::Connect, Break::Unfinished] {
            let failure = Failure::Transport { how, text: String::new() };
            for operation in [Operation::Commit, Operation::Put, Operation::Create] {
                let again = Verdict::Again { slower: false };
                assert_eq!(judge(operation, Stage::UnderWay, &failure), again);
            }
        }
    }

    #[test]
    fn back_off_is_jittered_bounded_and_never_shorter_than_the_service_asks() {
        assert_eq!(backoff(0, 0.0, None), Duration::ZERO);
        assert_eq!(backoff(0, 1.0, None), Duration::from_millis(500));
        assert_eq!(backoff(40, 1.0, None), Duration::from_secs(30));
        assert!(backoff(0, 0.0, Some(7)) >= Duration::from_secs(7));
        assert!(backoff(0, 1.0, Some(u64::MAX)) <= Duration::from_secs(301));
    }
}

//! What a failed attempt means: again, renew, wait, settle or refuse.
//!
//! Owns the one table from (operation, failure) to verdict, and the back-off; `spurious` owns how long
//! a 404 is not believed, `words` what is said of a failure. Knows no clock and no state of an upload.
//! Invariant: every failure has exactly one row; whatever is not known to be final is tried again,
//! since a stream cannot be read twice.

mod spurious;
#[cfg(test)]
mod tests;
mod words;

use std::time::Duration;

use crate::error::{Error, Kind};
use crate::oci::api::Refusal;

pub use spurious::Tally;

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
    /// Something stands at the name that may not be replaced: a condition or a retention rule says so.
    Exists,
    /// There is no such upload (or object).
    Missing,
    /// A 404 that does not speak of the upload or the object: the bucket is not there, a right is
    /// missing, or the service declines a request that it would take a moment later. A `Tally` tells
    /// how long it is tried again. A HEAD's 404 has no code, so that it can also mean `Missing`.
    Hidden,
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
        // `UnmatchedContentMD5`, and its like for the other digests: another was computed than sent.
        400 if code.starts_with("Unmatched") => Verdict::Damaged,
        // Instead of a 412, since the rule is looked at before the condition.
        403 if code == RETENTION && operation.leaves_a_mark() => Verdict::Exists,
        404 if matches!(code, "UploadNotFound" | "ObjectNotFound") => Verdict::Missing,
        // The code for an upload that is gone is not documented here. These say something else: that
        // a policy forbids the abort, for one, which leaves the upload open.
        404 if operation == Operation::Abort && !HIDDEN.contains(&code) => Verdict::Missing,
        // What no service has said is final before anything is at stake, as any page of a proxy is.
        404 if operation != Operation::Head && !refusal.from_service() => {
            Verdict::Refuse(Kind::Service)
        }
        404 => Verdict::Hidden,
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

/// The code of a refusal by which a retention rule keeps an object.
const RETENTION: &str = "RetentionRuleViolation";

/// What a 404 says that is not about the upload or object itself.
const HIDDEN: [&str; 3] = ["NotAuthorizedOrNotFound", "BucketNotFound", "NamespaceNotFound"];

fn again_or_settle(operation: Operation, slower: bool) -> Verdict {
    if operation.leaves_a_mark() { Verdict::Settle } else { Verdict::Again { slower } }
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
}

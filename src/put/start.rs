//! What is asked before the first byte is read.
//!
//! Owns the look-ups of the start: the namespace, and whether the object exists. Knows nothing of
//! the stream. Invariants: what stands at the name and may not be replaced ends the run here, and so
//! do credentials that are refused, which later would be waited for.

use std::time::Duration;

use crate::ask::{Ask, Unanswered};
use crate::destination::Destination;
use crate::error::{Error, Kind};
use crate::oci::api::{Answer, Condition, CustomerKey, Target, answer, request};
use crate::progress::Reporter;
use crate::retry::{Failure, Operation, Verdict};
use crate::service::{Service, unreadable};

/// What the start brought.
pub struct Start {
    pub target: Target,
    /// Whether the service has answered anything.
    pub answered: bool,
    /// Whether the bucket has answered anything but that it may not be there.
    pub bucket_answered: bool,
}

/// Asks what has to be known before the stream is read.
pub async fn start(
    service: &Service,
    wanted: &Destination,
    condition: &Condition,
    customer_key: &Option<CustomerKey>,
    retry_for: Duration,
    reporter: &Reporter,
) -> Result<Start, Error> {
    let ask = Ask::new(service, retry_for, reporter);
    let namespace = match &wanted.namespace {
        Some(namespace) => namespace.clone(),
        None => ask.namespace().await?,
    };
    let target = Target { namespace, bucket: wanted.bucket.clone(), object: wanted.name.clone() };
    // Where anything may be replaced the namespace's answer will do, or else this one.
    if *condition == Condition::Anything && wanted.namespace.is_none() {
        return Ok(Start { target, answered: true, bucket_answered: false });
    }
    let answered = standing(&ask, &target, condition, customer_key).await?;
    Ok(Start { target, answered, bucket_answered: ask.bucket_answered() })
}

/// Judges what stands at the name by the condition; says whether the service itself has answered.
async fn standing(
    ask: &Ask<'_>,
    target: &Target,
    condition: &Condition,
    customer_key: &Option<CustomerKey>,
) -> Result<bool, Error> {
    let read = |answer: &Answer| answer::read_object(answer).map_err(unreadable);
    let head = request::head_object(target, customer_key);
    let name = format!("oci://{}@{}/{}", target.bucket, target.namespace, target.object);
    match (ask.ask(Operation::Head, head, read).await, condition) {
        (Ok(held), Condition::Absent) => {
            let etag = held.etag.unwrap_or_default();
            Err(Error::new(Kind::Exists, format!("{name} exists already (etag {etag})"))
                .next("give another name, or --force to replace it"))
        }
        (Ok(held), Condition::Matches(etag)) if held.etag.as_ref() != Some(etag) => {
            let stands = held.etag.unwrap_or_default();
            let what = format!("{name} has the etag {stands}, not {etag} as --if-match asks");
            Err(Error::new(Kind::Exists, what).next("look what replaced it before trying again"))
        }
        (Ok(_), _) => Ok(true),
        (Err(no), _) => match unseen(&no) {
            Some(by_service) => {
                ask.reporter().debug(|| format!("going on without HeadObject: {}", no.error.what));
                Ok(by_service)
            }
            None => Err(no.error),
        },
    }
}

/// Whether a look at the object was refused in a way that says nothing against storing one: the
/// conditions on create and commit decide. A policy may hide the object or forbid the look, and another
/// key than that of `--encryption-key-file` does not open it. Then, whether the service itself said so.
fn unseen(no: &Unanswered) -> Option<bool> {
    let Failure::Refused(refusal) = &no.failure else { return None };
    // The one of credentials, the other of a proxy that wants some: what follows is refused as well.
    let of_this_host = matches!(refusal.status, 401 | 407);
    let final_word = no.verdict.is_some_and(|verdict| verdict != Verdict::GiveUp);
    (final_word && !of_this_host).then(|| refusal.from_service())
}

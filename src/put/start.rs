//! What is asked before the first byte is read.
//!
//! Owns the look-ups of the start: the namespace, and whether the object exists. Knows nothing of
//! the stream. Invariants: what stands at the name and may not be replaced ends the run here, and so
//! do credentials that are refused, which later would be waited for.

use std::time::Duration;

use crate::ask::{Ask, PATIENCE};
use crate::destination::Destination;
use crate::error::{Error, Kind};
use crate::oci::api::{Answer, Condition, CustomerKey, Target, answer, request};
use crate::progress::Reporter;
use crate::retry::{Operation, Verdict};
use crate::service::{Service, unreadable};

/// What the start brought.
pub struct Start {
    pub target: Target,
    /// Whether the service was asked anything, and so has answered.
    pub answered: bool,
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
    let ask = Ask { service, patience: retry_for.min(PATIENCE), reporter };
    let namespace = match &wanted.namespace {
        Some(namespace) => namespace.clone(),
        None => ask.namespace().await?,
    };
    let target = Target { namespace, bucket: wanted.bucket.clone(), object: wanted.name.clone() };
    // Where anything may be replaced the namespace's answer will do, or else this one.
    if *condition == Condition::Anything && wanted.namespace.is_none() {
        return Ok(Start { target, answered: true });
    }
    standing(&ask, &target, condition, customer_key).await?;
    Ok(Start { target, answered: true })
}

/// Judges what stands at the name by the condition.
async fn standing(
    ask: &Ask<'_>,
    target: &Target,
    condition: &Condition,
    customer_key: &Option<CustomerKey>,
) -> Result<(), Error> {
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
        (Ok(_), _) => Ok(()),
        // A 404 may as well be a policy that hides the object: the conditions on create and commit
        // decide. The same goes for a HEAD that is forbidden.
        (Err((_, Some(Verdict::Missing))), _) => Ok(()),
        (Err((error, Some(Verdict::Refuse(Kind::Service)))), _) if forbidden(&error) => {
            ask.reporter.debug(|| format!("going on without HeadObject: {}", error.what));
            Ok(())
        }
        (Err((error, _)), _) => Err(error),
    }
}

fn forbidden(error: &Error) -> bool {
    error.what.contains("HTTP 403")
}

//! What is asked before the first byte is read.
//!
//! Owns the look-ups of the start: the namespace, and whether the object exists. Knows nothing of
//! the stream. Invariants: what stands at the name and may not be replaced ends the run here, and so
//! do credentials that are refused, which later would be waited for.

use std::time::Duration;

use crate::term::progress::Reporter;
use crate::transfer::client::{Client, invalid_response};
use crate::transfer::lookup::{Lookup, LookupError};
use proto::api::{CustomerKey, ObjectLocation, Precondition, Response, request, response};
use proto::error::{Error, ErrorKind};
use proto::object_url::ObjectUrl;
use proto::retry::{Failure, Operation, RetryDecision};

/// What the start brought.
pub struct PreflightResult {
    pub location: ObjectLocation,
    /// Whether the service has answered anything.
    pub answered: bool,
    /// Whether the bucket has answered anything but that it may not be there.
    pub bucket_seen: bool,
}

/// Asks what has to be known before the stream is read.
pub async fn preflight(
    service: &Client,
    wanted: &ObjectUrl,
    condition: &Precondition,
    customer_key: &Option<CustomerKey>,
    retry_for: Duration,
    reporter: &Reporter,
) -> Result<PreflightResult, Error> {
    let ask = Lookup::new(service, retry_for, reporter);
    let namespace = match &wanted.namespace {
        Some(namespace) => namespace.clone(),
        None => ask.namespace().await?,
    };
    let target =
        ObjectLocation { namespace, bucket: wanted.bucket.clone(), object: wanted.name.clone() };
    // Where anything may be replaced the namespace's answer will do, or else this one.
    if *condition == Precondition::None && wanted.namespace.is_none() {
        return Ok(PreflightResult { location: target, answered: true, bucket_seen: false });
    }
    let answered = check_existing_object(&ask, &target, condition, customer_key).await?;
    Ok(PreflightResult { location: target, answered, bucket_seen: ask.bucket_answered() })
}

/// Judges what stands at the name by the condition; says whether the service itself has answered.
async fn check_existing_object(
    ask: &Lookup<'_>,
    target: &ObjectLocation,
    condition: &Precondition,
    customer_key: &Option<CustomerKey>,
) -> Result<bool, Error> {
    let read = |answer: &Response| response::parse_object(answer).map_err(invalid_response);
    let head = request::head_object(target, customer_key);
    let name = format!("oci://{}@{}/{}", target.bucket, target.namespace, target.object);
    match (ask.run(Operation::Head, head, read).await, condition) {
        (Ok(held), Precondition::IfNoneMatch) => {
            let etag = held.etag.unwrap_or_default();
            Err(Error::new(ErrorKind::Exists, format!("{name} exists already (etag {etag})"))
                .with_hint("give another name, or --force to replace it"))
        }
        (Ok(held), Precondition::IfMatch(etag)) if held.etag.as_ref() != Some(etag) => {
            let stands = held.etag.unwrap_or_default();
            let what = format!("{name} has the etag {stands}, not {etag} as --if-match asks");
            Err(Error::new(ErrorKind::Exists, what)
                .with_hint("look what replaced it before trying again"))
        }
        (Ok(_), _) => Ok(true),
        (Err(no), _) => match hidden_object(&no) {
            Some(by_service) => {
                ask.reporter()
                    .debug(|| format!("going on without HeadObject: {}", no.error.message));
                Ok(by_service)
            }
            None => Err(no.error),
        },
    }
}

/// Whether a look at the object was refused in a way that says nothing against storing one: the
/// conditions on create and commit decide. A policy may hide the object or forbid the look, and another
/// key than that of `--encryption-key-file` does not open it. Then, whether the service itself said so.
fn hidden_object(no: &LookupError) -> Option<bool> {
    let Failure::ErrorResponse(refusal) = &no.failure else { return None };
    // The one of credentials, the other of a proxy that wants some: what follows is refused as well.
    let of_this_host = matches!(refusal.status, 401 | 407);
    let final_word =
        no.decision.is_some_and(|verdict| verdict != RetryDecision::CredentialsTimedOut);
    (final_word && !of_this_host).then(|| refusal.from_service())
}

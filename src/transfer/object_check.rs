//! What the object is that is to be read, before any of it is.
//!
//! Owns the meaning of a refused look. Knows nothing of ranges. Invariant: an object is said not to
//! exist only where the service says so by its code, which a HEAD's 404 does not have.

use std::time::{Duration, Instant};

use crate::transfer::client::invalid_response;
use crate::transfer::lookup::{Lookup, LookupError};
use proto::api::{Archival, CustomerKey, ObjectLocation, ObjectMeta, Response, request, response};
use proto::error::Error;
use proto::retry::{self, Failure, NotFoundStreak, Operation, RetryDecision};
use proto::shell;

/// Asks what the object is. A HEAD's 404 has no code: a GET tells whether no object stands there or the
/// service has declined the one request.
pub(super) async fn check_object(
    ask: &Lookup<'_>,
    target: &ObjectLocation,
    customer_key: &Option<CustomerKey>,
) -> Result<ObjectMeta, Error> {
    let ObjectLocation { namespace, bucket, object } = target;
    let name = format!("oci://{bucket}@{namespace}/{object}");
    let read = |answer: &Response| {
        Ok((response::parse_object(answer).map_err(invalid_response)?, Archival::of(answer)))
    };
    let (began, mut tally) = (Instant::now(), NotFoundStreak::default());
    loop {
        let request = request::head_object(target, customer_key);
        let no = match ask.run(Operation::Head, request, read).await {
            Ok((held, Archival::Readable)) => return Ok(held),
            Ok((_, archival)) => return Err(archived_error(target, archival)),
            Err(no) => no,
        };
        if no.decision != Some(RetryDecision::AmbiguousNotFound) {
            return Err(with_customer_key_hint(no, customer_key));
        }
        let request = request::get_first_byte(target, customer_key);
        match ask.run(Operation::Get, request, |_| Ok(())).await {
            Err(LookupError { error, decision: Some(RetryDecision::NotFound), .. }) => {
                return Err(
                    Error::service(format!("{name} does not exist")).with_hint(error.message)
                );
            }
            Err(no) if no.decision == Some(RetryDecision::AmbiguousNotFound) => {
                let what = format!("{name} cannot be read: {}", no.error.message);
                return Err(Error { message: what, ..no.error });
            }
            // Credentials, or a service that does not answer.
            Err(no)
                if !matches!(
                    no.decision,
                    Some(RetryDecision::Fatal(_) | RetryDecision::PreconditionFailed)
                ) =>
            {
                return Err(no.error);
            }
            // Something stands there: the 404 was not the last word.
            Ok(()) | Err(_) => {}
        }
        let now = began.elapsed();
        tally.add(now);
        if !tally.is_retryable(now, true, Duration::ZERO) {
            return Err(tally.exhausted_error(no.error, now, true));
        }
        let pause = retry::retry_delay(tally.count() - 1, fastrand::f64(), &no.failure);
        tokio::time::sleep(pause).await;
    }
}

/// What a refused look means where a customer's key is in play, or should be: its error has no code.
fn with_customer_key_hint(no: LookupError, customer_key: &Option<CustomerKey>) -> Error {
    let Failure::ErrorResponse(refusal) = &no.failure else { return no.error };
    match (refusal.status, customer_key) {
        (400 | 403, Some(_)) => no.error.with_hint(
            "the object may have been stored with another key than that of --encryption-key-file, \
             or a policy forbids to read it, which takes OBJECT_READ",
        ),
        (400, None) => no.error.with_hint(
            "if the object was stored with a customer's key, give it with --encryption-key-file",
        ),
        _ => no.error,
    }
}

/// What to do about an object whose bytes are not at hand.
fn archived_error(target: &ObjectLocation, archival: Archival) -> Error {
    let ObjectLocation { namespace, bucket, object } = target;
    let name = format!("oci://{bucket}@{namespace}/{object}");
    if archival == Archival::Restoring {
        return Error::service(format!("{name} is archived and being restored"))
            .with_hint("try again when it is restored, about an hour after that was asked for");
    }
    let place = format!("-bn {} --name {}", shell::shell_quote(bucket), shell::shell_quote(object));
    let restore = format!("oci os object restore -ns {} {place}", shell::shell_quote(namespace));
    Error::service(format!("{name} is archived")).with_hint(format!(
        "restore it first, which takes about an hour, and try again: `{restore}`"
    ))
}

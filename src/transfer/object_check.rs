//! What the object of a download is, before any byte of it is read.
//!
//! Owns the meaning of a rejected HeadObject. Must not know the ranges of a download. Invariant: an
//! object is reported as missing only where an error code of the service says so; the 404 of a HEAD
//! has no code.

use std::time::{Duration, Instant};

use crate::transfer::client::invalid_response;
use crate::transfer::lookup::{Lookup, LookupError};
use proto::api::{Archival, CustomerKey, ObjectLocation, ObjectMeta, Response, request, response};
use proto::error::Error;
use proto::retry::{self, BucketStatus, NotFoundStreak, Operation};
use proto::shell;

/// The metadata of the object. After the 404 of a HEAD, which has no code, a GET of one byte shows
/// whether the object is missing or the 404 was spurious. Fails where the object cannot be read.
pub(super) async fn check_object(
    lookup: &Lookup<'_>,
    location: &ObjectLocation,
    customer_key: &Option<CustomerKey>,
) -> Result<ObjectMeta, Error> {
    let parse = |response: &Response| {
        let meta = response::parse_object(response).map_err(invalid_response)?;
        Ok((meta, Archival::of(response)))
    };
    let (started_at, mut streak) = (Instant::now(), NotFoundStreak::default());
    loop {
        let head = request::head_object(location, customer_key);
        let failed = match lookup.run(Operation::Head, head, parse).await {
            Ok((meta, Archival::Readable)) => return Ok(meta),
            Ok((_, archival)) => return Err(archived_error(location, archival)),
            Err(failed) => failed,
        };
        if !failed.is_ambiguous_not_found() {
            return Err(with_customer_key_hint(failed, customer_key));
        }
        check_with_get(lookup, location, customer_key).await?;
        let now = started_at.elapsed();
        streak.add(now);
        // The GET has shown it.
        let bucket = BucketStatus::Seen;
        if !streak.is_retryable(now, bucket, Duration::ZERO) {
            return Err(streak.exhausted_error(failed.error, now, bucket));
        }
        let pause = retry::retry_delay(streak.count() - 1, fastrand::f64(), failed.failure());
        tokio::time::sleep(pause).await;
    }
}

/// Succeeds where a GET shows that there is an object. Fails where it is missing, where a 404 does
/// not tell, and where the credentials or the connection fail.
async fn check_with_get(
    lookup: &Lookup<'_>,
    location: &ObjectLocation,
    customer_key: &Option<CustomerKey>,
) -> Result<(), Error> {
    let get = request::get_first_byte(location, customer_key);
    let Err(failed) = lookup.run(Operation::Get, get, |_| Ok(())).await else { return Ok(()) };
    if failed.is_not_found() {
        let missing = Error::service(format!("{location} does not exist"));
        return Err(missing.with_hint(failed.error.message));
    }
    if failed.is_ambiguous_not_found() {
        let message = format!("{location} cannot be read: {}", failed.error.message);
        return Err(Error { message, ..failed.error });
    }
    // A rejection other than a 404 shows an object: the 404 of the HEAD was spurious.
    if failed.is_rejected() { Ok(()) } else { Err(failed.error) }
}

/// Adds what a rejected HeadObject means where a customer key is given or needed: its response has
/// no error code.
fn with_customer_key_hint(failed: LookupError, customer_key: &Option<CustomerKey>) -> Error {
    let status = failed.response().map(|response| response.status);
    match (status, customer_key) {
        (Some(400 | 403), Some(_)) => failed.error.with_hint(
            "the object may have been stored with another key than that of --encryption-key-file, \
             or a policy forbids to read it, which takes OBJECT_READ",
        ),
        (Some(400), None) => failed.error.with_hint(
            "if the object was stored with a customer's key, give it with --encryption-key-file",
        ),
        _ => failed.error,
    }
}

/// The error for an object in the archive tier, with the command that restores it.
fn archived_error(location: &ObjectLocation, archival: Archival) -> Error {
    if archival == Archival::Restoring {
        return Error::service(format!("{location} is archived and being restored"))
            .with_hint("try again when it is restored, about an hour after that was asked for");
    }
    let [namespace, bucket, object] = [&location.namespace, &location.bucket, &location.object]
        .map(|name| shell::shell_quote(name));
    let restore = format!("oci os object restore -ns {namespace} -bn {bucket} --name {object}");
    Error::service(format!("{location} is archived")).with_hint(format!(
        "restore it first, which takes about an hour, and try again: `{restore}`"
    ))
}

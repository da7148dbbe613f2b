//! What the object of a download is, before any byte of it is read.
//!
//! Owns the meaning of a rejected HeadObject. Must not know the ranges of a download. Invariant: an
//! object is reported as missing only where an error code of the service says so; the 404 of a HEAD
//! has no code.

use std::time::{Duration, Instant};

use super::archive::{RestoreWait, archived_error};
use crate::transfer::client::invalid_response;
use crate::transfer::lookup::{Lookup, LookupError};
use proto::api::{
    Archival, CustomerKey, ObjectLocation, ObjectMeta, ReadOptions, Response, request, response,
};
use proto::error::{Error, ErrorKind};
use proto::retry::{self, BucketStatus, NotFoundStreak, Operation};

/// The pause before the next HeadObject during an outage in the wait for a restore.
const OUTAGE_PAUSE: Duration = Duration::from_secs(5);

/// How an object is read.
pub(super) struct ObjectRequest<'a> {
    pub location: &'a ObjectLocation,
    pub options: &'a ReadOptions,
    /// Hours for which an archived object is restored; `None` if it is not.
    pub restore: Option<u32>,
    /// How long the service may be unreachable during the wait for a restore.
    pub retry_for: Duration,
}

/// The metadata of the object, once it can be read. Fails where the object cannot be read, and with
/// `ErrorKind::Exists` where it has another etag than `if_match`.
pub(super) async fn check_object(
    lookup: &Lookup<'_>,
    object: &ObjectRequest<'_>,
) -> Result<ObjectMeta, Error> {
    head(lookup, object, IfArchived::Wait).await.map(|(meta, _)| meta)
}

/// The metadata of the object, and whether it can be read now. Fails as `check_object` does, but not
/// where the object is archived.
pub(super) async fn look(
    lookup: &Lookup<'_>,
    object: &ObjectRequest<'_>,
) -> Result<(ObjectMeta, Archival), Error> {
    head(lookup, object, IfArchived::Accept).await
}

/// Fails where the object cannot be read and is not to be restored.
pub(super) fn check_restorable(
    object: &ObjectRequest<'_>,
    archival: Archival,
) -> Result<(), Error> {
    match (archival, object.restore) {
        (Archival::Readable, _) | (_, Some(_)) => Ok(()),
        (archival, None) => {
            let version_id = object.options.version_id.as_deref();
            Err(archived_error(object.location, version_id, archival))
        }
    }
}

/// What an archived object means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfArchived {
    /// It is restored, if that is wanted, and waited for.
    Wait,
    /// It is an object like others.
    Accept,
}

/// The metadata of the object. After the 404 of a HEAD, which has no code, a GET of one byte shows
/// whether the object is missing or the 404 was spurious.
async fn head(
    lookup: &Lookup<'_>,
    object: &ObjectRequest<'_>,
    if_archived: IfArchived,
) -> Result<(ObjectMeta, Archival), Error> {
    let ObjectRequest { location, options, restore, retry_for } = *object;
    let parse = |response: &Response| {
        let meta = response::parse_object(response).map_err(invalid_response)?;
        Ok((meta, Archival::of(response)))
    };
    let (started_at, mut streak) = (Instant::now(), NotFoundStreak::default());
    let mut restored = RestoreWait::new(lookup, location, options.version_id.as_deref(), restore);
    let mut last_answer = Instant::now();
    loop {
        let head = request::head_version(location, options);
        let failed = match lookup.run(Operation::Head, head, parse).await {
            Ok((meta, archival)) => {
                if options.if_match.is_some() && meta.etag != options.if_match {
                    return Err(another_etag(object, meta.etag.as_deref()));
                }
                if archival == Archival::Readable || if_archived == IfArchived::Accept {
                    return Ok((meta, archival));
                }
                restored.wait(archival).await?;
                last_answer = Instant::now();
                streak = NotFoundStreak::default();
                continue;
            }
            Err(failed) => failed,
        };
        if failed.response().is_some_and(|response| response.status == 412) {
            return Err(another_etag(object, None));
        }
        // An outage during the wait for a restore is not the end of it, and credentials can be accepted again:
        // the session waits for new ones, and probes the old ones.
        let left = retry_for.saturating_sub(last_answer.elapsed());
        let may_pass = failed.is_outage() || failed.is_unauthorized();
        if restored.has_begun() && may_pass && !left.is_zero() {
            tokio::time::sleep(OUTAGE_PAUSE.min(left)).await;
            continue;
        }
        if !failed.is_ambiguous_not_found() {
            return Err(with_customer_key_hint(failed, &options.customer_key));
        }
        check_with_get(lookup, location, options).await?;
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

/// The error for an object that is not the one of `--if-match`.
fn another_etag(object: &ObjectRequest<'_>, etag: Option<&str>) -> Error {
    let wanted = object.options.if_match.as_deref().unwrap_or_default();
    let now = etag.map(|etag| format!(", it has {etag}")).unwrap_or_default();
    let what = format!("{} does not have the etag {wanted} of --if-match{now}", object.location);
    Error::new(ErrorKind::Exists, what)
}

/// Succeeds where a GET shows that there is an object. Fails where it is missing, where a 404 does
/// not tell, and where the credentials or the connection fail.
async fn check_with_get(
    lookup: &Lookup<'_>,
    location: &ObjectLocation,
    options: &ReadOptions,
) -> Result<(), Error> {
    let get = request::get_first_byte(location, options);
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

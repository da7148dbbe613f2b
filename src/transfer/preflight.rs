//! The checks before the first byte of the stream is read.
//!
//! Owns the look-ups before an upload: the namespace, and whether the object exists. Must not know
//! the stream. Invariants: an object that may not be replaced is found here, and rejected credentials, for
//! which a later stage would wait, end the run here.

use std::time::Duration;

use crate::term::progress::Reporter;
use crate::transfer::client::{Client, invalid_response};
use crate::transfer::lookup::{Lookup, LookupError};
use crate::transfer::par_requests;
use proto::api::{
    CustomerKey, ObjectLocation, ObjectMeta, Precondition, Response, request, response,
};
use proto::error::{Error, ErrorKind};
use proto::object_url::ObjectUrl;
use proto::par;
use proto::retry::{BucketStatus, Operation};
use proto::upload::PreviousObject;

/// What the checks found out.
pub(crate) struct PreflightResult {
    pub location: ObjectLocation,
    /// Whether a response came from the service itself.
    pub service_seen: bool,
    pub bucket: BucketStatus,
    pub conflict: Option<Conflict>,
    /// The object at the name, as far as the precondition or a response shows it.
    pub previous_object: PreviousObject,
}

/// An object that the precondition forbids to replace.
pub(crate) struct Conflict {
    pub object: ObjectMeta,
    /// Of kind `ErrorKind::Exists`.
    pub error: Error,
}

/// Looks up what an upload to `url` needs to know. Fails where a request is rejected for good or
/// gets no response. Where `precondition` forbids the upload, the result has the conflict.
pub(crate) async fn preflight(
    client: &Client,
    url: &ObjectUrl,
    precondition: &Precondition,
    customer_key: &Option<CustomerKey>,
    retry_for: Duration,
    reporter: &Reporter,
) -> Result<PreflightResult, Error> {
    let lookup = Lookup::new(client, retry_for, reporter);
    let location = lookup.locate(url.namespace.as_deref(), &url.bucket, &url.name).await?;
    // Where any object may be replaced, the response to GetNamespace is enough.
    if *precondition == Precondition::None && url.namespace.is_none() {
        let bucket = BucketStatus::Unknown;
        return Ok(PreflightResult {
            location,
            service_seen: true,
            bucket,
            conflict: None,
            previous_object: PreviousObject::Unknown,
        });
    }
    let (service_seen, conflict) =
        check_existing_object(&lookup, &location, precondition, customer_key).await?;
    let (bucket, previous_object) = (lookup.bucket(), replaced_object(precondition));
    Ok(PreflightResult { location, service_seen, bucket, conflict, previous_object })
}

/// The object that a successful request replaces, as its condition implies.
fn replaced_object(condition: &Precondition) -> PreviousObject {
    match condition {
        Precondition::IfNoneMatch => PreviousObject::Nothing,
        Precondition::IfMatch(etag) => PreviousObject::Object(etag.clone()),
        Precondition::None => PreviousObject::Unknown,
    }
}

/// Looks at the object of a pre-authenticated request, which may be for writing only: then nothing is
/// known. Whether the service heeds a precondition is not documented, so that it implies nothing. Fails as
/// `preflight` does, and where the precondition asks for an object and there is none.
pub(crate) async fn preflight_par(
    client: &Client,
    precondition: &Precondition,
    customer_key: &Option<CustomerKey>,
    retry_for: Duration,
    reporter: &Reporter,
) -> Result<PreflightResult, Error> {
    let Some(par) = client.par() else {
        let text = "there is no pre-authenticated request";
        return Err(Error::new(ErrorKind::Internal, text));
    };
    let location = par.object.location.clone();
    let lookup = Lookup::new(client, retry_for, reporter);
    let parse =
        |response: &Response| par::response::parse_object(response).map_err(invalid_response);
    let head = par::request::head(&par.object, customer_key);
    let mut found = PreflightResult {
        location,
        service_seen: true,
        // A request that reads may not write: only a write that was accepted shows that the bucket is
        // there.
        bucket: BucketStatus::Unknown,
        conflict: None,
        previous_object: PreviousObject::Unknown,
    };
    match lookup.run(Operation::Head, head.clone(), parse).await {
        Ok(meta) => {
            let previous = meta.etag.clone().map(PreviousObject::Object);
            found.previous_object = previous.unwrap_or(PreviousObject::Unknown);
            found.conflict = conflict(&found.location, precondition, meta);
        }
        Err(failed) => {
            let from_service = forbidden_head(&failed).ok_or_else(|| failed.error.clone())?;
            reporter.debug(|| format!("going on without HeadObject: {}", failed.error.message));
            let failure = failed.failure().clone();
            let shown = par_requests::explain_missing(client, par, head, failure).await;
            if shown.is_object_missing() {
                if let Precondition::IfMatch(expected) = precondition {
                    return Err(missing(&found.location, expected));
                }
                found.previous_object = PreviousObject::Nothing;
                return Ok(found);
            }
            found.service_seen = from_service;
            let date = failed.response().and_then(|response| response.date.as_deref());
            let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
            found.previous_object =
                date.map_or(PreviousObject::Unknown, PreviousObject::UnknownBefore);
        }
    }
    Ok(found)
}

/// Compares the object at the location with the precondition. Returns whether the response came
/// from the service itself, and the object if it must not be replaced.
async fn check_existing_object(
    lookup: &Lookup<'_>,
    location: &ObjectLocation,
    precondition: &Precondition,
    customer_key: &Option<CustomerKey>,
) -> Result<(bool, Option<Conflict>), Error> {
    let parse = |response: &Response| response::parse_object(response).map_err(invalid_response);
    let head = request::head_object(location, customer_key);
    match lookup.run(Operation::Head, head, parse).await {
        Ok(meta) => Ok((true, conflict(location, precondition, meta))),
        Err(failed) => match forbidden_head(&failed) {
            Some(from_service) => {
                lookup
                    .reporter()
                    .debug(|| format!("going on without HeadObject: {}", failed.error.message));
                Ok((from_service, None))
            }
            None => Err(failed.error),
        },
    }
}

/// The conflict with an object that the precondition forbids to replace.
fn conflict(
    location: &ObjectLocation,
    precondition: &Precondition,
    object: ObjectMeta,
) -> Option<Conflict> {
    let etag = object.etag.as_deref().unwrap_or_default();
    let error = match precondition {
        Precondition::IfNoneMatch => {
            Error::new(ErrorKind::Exists, format!("{location} exists already (etag {etag})"))
                .with_hint("give another name, or --force to replace it")
        }
        Precondition::IfMatch(expected) if etag != *expected => {
            let what = format!("{location} has the etag {etag}, not {expected} as --if-match asks");
            Error::new(ErrorKind::Exists, what)
                .with_hint("find out what replaced it before trying again")
        }
        Precondition::IfMatch(_) | Precondition::None => return None,
    };
    Some(Conflict { object, error })
}

/// No object is there, where the precondition asks for one.
fn missing(location: &ObjectLocation, expected: &str) -> Error {
    let what = format!("there is no {location}, and --if-match asks for the etag {expected}");
    Error::new(ErrorKind::Exists, what).with_hint("find out what removed it before trying again")
}

/// Whether HeadObject was rejected for a reason that does not concern writing: a policy hides the
/// object or forbids to read it, or another customer key encrypts it. The preconditions of create
/// and commit decide then. `Some` holds whether the service itself rejected it.
fn forbidden_head(failed: &LookupError) -> Option<bool> {
    let response = failed.final_response()?;
    // 401 rejects the credentials, and 407 those of a proxy: later requests are rejected as well.
    // A pre-authenticated request for writing only is rejected, and writes.
    let rejects_credentials =
        response.status == 401 && !response.through_par || response.status == 407;
    (!rejects_credentials).then(|| response.from_service())
}

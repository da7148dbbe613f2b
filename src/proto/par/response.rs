//! The responses through a PAR.
//!
//! Owns which successes are accepted: the service documents the body of the start only, so that headers
//! may be missing. Must not know what follows from a response. Invariants: a page that a proxy wrote is no
//! success; nothing of the response to the start is shown, since it has a secret.

use serde::Deserialize;

use super::{ParObject, UploadUri};
use crate::api::{InvalidResponse, ObjectMeta, Response};
use crate::error::{Error, ErrorKind};

/// Why the response to the start of an upload cannot be used.
#[derive(Debug)]
pub enum StartError {
    /// It is not that of the service: the start is sent again.
    Invalid(InvalidResponse),
    /// The service does not do what it documents.
    Fatal(Error),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    upload_id: Option<String>,
    access_uri: Option<String>,
}

/// Reads the response to the start of a multipart upload. Fails if the address of the upload is missing or
/// is not one of this object at this host.
pub fn parse_started(object: &ParObject, response: &Response) -> Result<UploadUri, StartError> {
    let Ok(started) = serde_json::from_slice::<Started>(&response.body) else {
        // A service that ignores the header `opc-multipart` has stored an object without bytes.
        if response.header("etag").is_some() && response.body.is_empty() {
            return Err(StartError::Fatal(empty_object(object)));
        }
        let what = "a body that is not a multipart upload".to_owned();
        return Err(StartError::Invalid(InvalidResponse(what)));
    };
    let Started { upload_id, access_uri } = started;
    let Some(uri) = access_uri else {
        let what = "a multipart upload without an accessUri".to_owned();
        return Err(StartError::Invalid(InvalidResponse(what)));
    };
    UploadUri::parse(object, upload_id.as_deref(), &uri).map_err(|reason| {
        let id = upload_id.filter(|id| !id.contains(char::is_control));
        let left = id.map(|id| format!("; the upload {id} may be left open")).unwrap_or_default();
        StartError::Fatal(Error::service(format!(
            "the accessUri of the multipart upload is not used: {reason}{left}"
        )))
    })
}

/// The start was taken for the PutObject of an empty object.
fn empty_object(object: &ParObject) -> Error {
    let location = &object.location;
    Error::new(
        ErrorKind::OutcomeUnknown,
        format!(
            "the service answered the start of a multipart upload as if it had stored an empty object: \
             {location} may be one now"
        ),
    )
    .with_hint("look at the object; what answers for this URL knows no multipart uploads through it")
}

/// Reads the headers of a response to a part, a put or a commit. Fails if neither a header of the service
/// nor an empty body shows that the service wrote it.
pub fn parse_stored(response: &Response) -> Result<ObjectMeta, InvalidResponse> {
    if !is_from_service(response) {
        return Err(InvalidResponse("a success with a page that is not the service's".to_owned()));
    }
    Ok(ObjectMeta::of(response))
}

/// Checks the response to an abort: any success of the service.
pub fn parse_removed(response: &Response) -> Result<(), InvalidResponse> {
    parse_stored(response).map(drop)
}

/// Reads the headers of a response to HEAD; the content length is the size of the object. Fails if no header
/// shows that the service wrote it: no response to HEAD has a body.
pub fn parse_object(response: &Response) -> Result<ObjectMeta, InvalidResponse> {
    if !has_own_header(response) {
        return Err(InvalidResponse("a success without any header of the service".to_owned()));
    }
    let size = response.header("content-length").and_then(|v| v.parse().ok());
    Ok(ObjectMeta { size, ..ObjectMeta::of(response) })
}

fn is_from_service(response: &Response) -> bool {
    response.body.is_empty() || has_own_header(response)
}

fn has_own_header(response: &Response) -> bool {
    let headers = ["etag", "opc-content-md5", "opc-multipart-md5", "opc-request-id"];
    headers.iter().any(|name| response.header(name).is_some())
}

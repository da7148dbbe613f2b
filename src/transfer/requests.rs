//! Turns a call of the upload machine into a request, and the response into an outcome.
//!
//! Owns the mapping in both directions. Must not decide anything, and keeps no buffer of its own.
//! Invariant: a listing is read to its last page before it becomes an outcome.

use bytes::Bytes;

use crate::transfer::client::{Client, SendProgress, Success, invalid_response};
use crate::transfer::listing::{MaxItems, list_all};
use proto::api::{
    ListedPart, ListedUpload, ObjectLocation, Precondition, PutOptions, Request, parse_created,
    parse_page, request, response,
};
use proto::part_number::PartNumber;
use proto::retry::Failure;
use proto::upload::{ApiCall, Outcome, ProbeCondition, Upload};

/// One call of the upload machine, ready to be performed.
pub(super) struct PreparedCall {
    pub call: ApiCall,
    pub request: Request,
    /// The stream body, where the request has one.
    pub chunks: Vec<Bytes>,
    pub upload_id: Option<String>,
}

/// The request of a call; `None` where the upload or the part of the call does not exist any more.
pub(super) fn request(
    upload: &Upload,
    location: &ObjectLocation,
    options: &PutOptions,
    call: &ApiCall,
) -> Option<Request> {
    let id = upload.upload_id();
    Some(match call {
        ApiCall::Create => request::create_upload(location, options),
        ApiCall::Part(number) => {
            let digest = upload.part(*number)?;
            request::upload_part(location, options, id?, *number, digest.size, &digest.value)
        }
        ApiCall::Put => {
            let digest = upload.part(PartNumber::FIRST)?;
            request::put_object(location, options, digest.size, &digest.value)
        }
        ApiCall::Commit => {
            let (parts, excluded) = (upload.commit_parts(), upload.excluded_parts());
            request::commit(location, &options.condition, id?, parts, excluded)
        }
        ApiCall::Head => request::head_object(location, &options.customer_key),
        ApiCall::ConditionalCreate(probe) => {
            let condition = match probe {
                ProbeCondition::NoObject => Precondition::IfNoneMatch,
                ProbeCondition::ObjectWithEtag(etag) => Precondition::IfMatch(etag.clone()),
            };
            request::create_upload(location, &PutOptions { condition, ..options.clone() })
        }
        ApiCall::ListParts => request::list_parts(location, id?, None),
        ApiCall::ListUploads => request::list_uploads(location, None),
        ApiCall::Abort { upload_id } => request::abort(location, upload_id),
        ApiCall::Delete { etag } => request::delete_object(location, etag),
    })
}

/// One attempt of a call, with its response parsed; of a listing, one attempt of each page. `progress`
/// has started right before the first byte is sent. Fails as `Client::attempt` does, and where a
/// response is not that of the API.
pub(super) async fn perform(
    client: &Client,
    location: &ObjectLocation,
    prepared: PreparedCall,
    progress: &SendProgress,
) -> Result<Outcome, Failure> {
    let PreparedCall { call, request, chunks, upload_id } = prepared;
    // Sends nothing until it is awaited; the listings make requests of their own.
    let attempt = client.attempt(request, chunks, progress);
    let outcome = match call {
        ApiCall::Create | ApiCall::ConditionalCreate(_) => {
            parse_created(&attempt.await?.response).map(|upload_id| Outcome::Created { upload_id })
        }
        ApiCall::Part(_) | ApiCall::Put => {
            let Success { response, crc32 } = attempt.await?;
            response::parse_stored(&response).map(|meta| Outcome::Stored { meta, crc32 })
        }
        ApiCall::Commit => response::parse_stored(&attempt.await?.response).map(Outcome::Committed),
        ApiCall::Head => response::parse_object(&attempt.await?.response).map(Outcome::Object),
        ApiCall::ListParts => {
            let upload_id = &upload_id.unwrap_or_default();
            let parts = list_all(
                MaxItems::Parts,
                |_| true,
                |token| async move {
                    let request = request::list_parts(location, upload_id, token.as_deref());
                    let response = client.send(request).await?;
                    parse_page::<ListedPart>(&response).map_err(invalid_response)
                },
            );
            Ok(Outcome::Parts(parts.await?))
        }
        ApiCall::ListUploads => {
            let own = |upload: &ListedUpload| upload.object == location.object;
            let uploads = list_all(MaxItems::UploadsOfObject, own, |token| async move {
                let request = request::list_uploads(location, token.as_deref());
                let response = client.send(request).await?;
                parse_page::<ListedUpload>(&response).map_err(invalid_response)
            });
            Ok(Outcome::Uploads(uploads.await?))
        }
        ApiCall::Abort { .. } | ApiCall::Delete { .. } => {
            response::parse_removed(&attempt.await?.response).map(|()| Outcome::Removed)
        }
    };
    outcome.map_err(invalid_response)
}

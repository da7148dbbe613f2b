//! A call of the upload machine as a request, and its answer as an outcome.
//!
//! Owns the way there and back. Must not decide anything, and holds no buffer of its own. Invariant:
//! a listing is read to its last page before it counts as answered.

use std::sync::atomic::AtomicBool;

use bytes::Bytes;

use crate::transfer::client::{Client, invalid_response};
use proto::api::{
    ListedPart, ListedUpload, ObjectLocation, Precondition, PutOptions, Request, request, response,
};
use proto::retry::Failure;
use proto::upload::{ApiCall, Outcome, ProbeCondition, Upload};

/// The request of a call. Calls on an upload are begun only when there is one.
pub(super) fn request(
    upload: &Upload,
    target: &ObjectLocation,
    storing: &PutOptions,
    call: &ApiCall,
) -> Option<Request> {
    let id = upload.upload_id();
    Some(match call {
        ApiCall::Create => request::create_upload(target, storing),
        ApiCall::Part(number) => {
            let digest = upload.part(*number)?;
            request::upload_part(target, storing, id?, *number, digest.size, &digest.value)
        }
        ApiCall::Put => {
            let digest = upload.part(1)?;
            request::put_object(target, storing, digest.size, &digest.value)
        }
        ApiCall::Commit => request::commit(target, &storing.condition, id?, upload.commit_parts()),
        ApiCall::Head => request::head_object(target, &storing.customer_key),
        ApiCall::ConditionalCreate(question) => {
            let condition = match question {
                ProbeCondition::NoObject => Precondition::IfNoneMatch,
                ProbeCondition::ObjectWithEtag(etag) => Precondition::IfMatch(etag.clone()),
            };
            request::create_upload(target, &PutOptions { condition, ..storing.clone() })
        }
        ApiCall::ListParts => request::list_parts(target, id?, None),
        ApiCall::ListUploads => request::list_uploads(target, None),
        ApiCall::Abort { upload_id } => request::abort(target, upload_id),
        ApiCall::Delete { etag } => request::delete_object(target, etag),
    })
}

/// One attempt of a call, with its answer read.
pub(super) async fn perform(
    service: &Client,
    target: &ObjectLocation,
    call: &ApiCall,
    (request, chunks): (Request, Vec<Bytes>),
    upload_id: Option<String>,
    sent: &AtomicBool,
) -> Result<Outcome, Failure> {
    let done = service.attempt(request, chunks, sent).await?;
    let answer = done.response;
    Ok(match call {
        ApiCall::Create | ApiCall::ConditionalCreate(_) => Outcome::Created {
            upload_id: response::parse_created(&answer).map_err(invalid_response)?,
        },
        ApiCall::Part(_) | ApiCall::Put => {
            let meta = response::parse_stored(&answer).map_err(invalid_response)?;
            Outcome::Stored { meta, crc32: done.crc32 }
        }
        ApiCall::Commit => {
            Outcome::Committed(response::parse_stored(&answer).map_err(invalid_response)?)
        }
        ApiCall::Head => {
            Outcome::Object(response::parse_object(&answer).map_err(invalid_response)?)
        }
        ApiCall::ListParts => {
            let mut page = response::parse_page::<ListedPart>(&answer).map_err(invalid_response)?;
            let mut all = page.items;
            while let Some(next) = page.next {
                let request = request::list_parts(
                    target,
                    upload_id.as_deref().unwrap_or_default(),
                    Some(&next),
                );
                let done = service.attempt(request, Vec::new(), sent).await?;
                page = response::parse_page(&done.response).map_err(invalid_response)?;
                all.append(&mut page.items);
            }
            Outcome::Parts(all)
        }
        ApiCall::ListUploads => {
            let mut page =
                response::parse_page::<ListedUpload>(&answer).map_err(invalid_response)?;
            let mut all = page.items;
            while let Some(next) = page.next {
                let request = request::list_uploads(target, Some(&next));
                let done = service.attempt(request, Vec::new(), sent).await?;
                page = response::parse_page(&done.response).map_err(invalid_response)?;
                all.append(&mut page.items);
            }
            all.retain(|upload| upload.object == target.object);
            Outcome::Uploads(all)
        }
        ApiCall::Abort { .. } | ApiCall::Delete { .. } => {
            response::parse_removed(&answer).map_err(invalid_response)?;
            Outcome::Removed
        }
    })
}

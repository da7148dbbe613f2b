//! A call of the upload machine as a request, and its answer as an outcome.
//!
//! Owns the way there and back. Must not decide anything, and holds no buffer of its own. Invariant:
//! a listing is read to its last page before it counts as answered.

use std::sync::atomic::AtomicBool;

use bytes::Bytes;

use crate::oci::api::{
    Condition, ListedPart, ListedUpload, Request, Storing, Target, answer, request,
};
use crate::retry::Failure;
use crate::service::{Service, unreadable};
use crate::upload::{Call, Outcome, Question, Upload};

/// The request of a call. Calls on an upload are begun only when there is one.
pub(super) fn request(
    upload: &Upload,
    target: &Target,
    storing: &Storing,
    call: &Call,
) -> Option<Request> {
    let id = upload.upload_id();
    Some(match call {
        Call::Create => request::create_upload(target, storing),
        Call::Part(number) => {
            let digest = upload.part(*number)?;
            request::upload_part(target, storing, id?, *number, digest.size, &digest.value)
        }
        Call::Put => {
            let digest = upload.part(1)?;
            request::put_object(target, storing, digest.size, &digest.value)
        }
        Call::Commit => request::commit(target, &storing.condition, id?, upload.commit_parts()),
        Call::Head => request::head_object(target, &storing.customer_key),
        Call::Probe(question) => {
            let condition = match question {
                Question::Free => Condition::Absent,
                Question::Etag(etag) => Condition::Matches(etag.clone()),
            };
            request::create_upload(target, &Storing { condition, ..storing.clone() })
        }
        Call::ListParts => request::list_parts(target, id?, None),
        Call::ListUploads => request::list_uploads(target, None),
        Call::Abort => request::abort(target, id?),
        Call::Delete { etag } => request::delete_object(target, etag),
    })
}

/// One attempt of a call, with its answer read.
pub(super) async fn perform(
    service: &Service,
    target: &Target,
    call: &Call,
    (request, chunks): (Request, Vec<Bytes>),
    upload_id: Option<String>,
    sent: &AtomicBool,
) -> Result<Outcome, Failure> {
    let done = service.attempt(request, chunks, sent).await?;
    let answer = done.answer;
    Ok(match call {
        Call::Create | Call::Probe(_) => {
            Outcome::Created { upload_id: answer::read_created(&answer).map_err(unreadable)? }
        }
        Call::Part(_) | Call::Put => {
            let held = answer::read_stored(&answer).map_err(unreadable)?;
            Outcome::Stored { held, crc32: done.crc32 }
        }
        Call::Commit => Outcome::Committed(answer::read_stored(&answer).map_err(unreadable)?),
        Call::Head => Outcome::Object(answer::read_object(&answer).map_err(unreadable)?),
        Call::ListParts => {
            let mut page = answer::read_page::<ListedPart>(&answer).map_err(unreadable)?;
            let mut all = page.items;
            while let Some(next) = page.next {
                let request = request::list_parts(
                    target,
                    upload_id.as_deref().unwrap_or_default(),
                    Some(&next),
                );
                let done = service.attempt(request, Vec::new(), sent).await?;
                page = answer::read_page(&done.answer).map_err(unreadable)?;
                all.append(&mut page.items);
            }
            Outcome::Parts(all)
        }
        Call::ListUploads => {
            let mut page = answer::read_page::<ListedUpload>(&answer).map_err(unreadable)?;
            let mut all = page.items;
            while let Some(next) = page.next {
                let request = request::list_uploads(target, Some(&next));
                let done = service.attempt(request, Vec::new(), sent).await?;
                page = answer::read_page(&done.answer).map_err(unreadable)?;
                all.append(&mut page.items);
            }
            all.retain(|upload| upload.object == target.object);
            Outcome::Uploads(all)
        }
        Call::Abort | Call::Delete { .. } => {
            answer::read_gone(&answer).map_err(unreadable)?;
            Outcome::Gone
        }
    })
}

//! The requests of an upload through a pre-authenticated request (PAR), and what their responses mean.
//!
//! Owns the mapping in both directions, and the repetition without digests where the service refuses them.
//! Must not decide anything else. Invariant: no call that a PAR does not allow is sent.

use bytes::Bytes;

use super::client::{Client, ParAccess, SendProgress, Success, invalid_response};
use super::requests::PreparedCall;
use proto::api::{PutOptions, Request};
use proto::digest::Algorithm;
use proto::error::{Error, ErrorKind};
use proto::par::request;
use proto::par::response::{self, StartError};
use proto::part_number::PartNumber;
use proto::retry::Failure;
use proto::upload::{ApiCall, Outcome, Upload};

/// The request of a call; `None` where the upload or the part of the call does not exist any more, or
/// where no PAR allows the call.
pub(super) fn request(
    par: &ParAccess,
    upload: &Upload,
    options: &PutOptions,
    call: &ApiCall,
) -> Option<Request> {
    let object = &par.object;
    let open = |id: Option<&str>| par.upload(id?);
    let digests = !par.leaves_digests_out();
    let without = PutOptions { checksum: Algorithm::None, ..options.clone() };
    Some(match call {
        ApiCall::Create if digests => request::start_multipart(object, options),
        ApiCall::Create => request::start_multipart(object, &without),
        ApiCall::Part(number) => {
            let digest = upload.part(*number)?;
            let value = digest.value.clone().filter(|_| digests);
            request::part(&open(upload.upload_id())?, options, *number, digest.size, &value)
        }
        ApiCall::Put => {
            let digest = upload.part(PartNumber::FIRST)?;
            let value = digest.value.clone().filter(|_| digests);
            request::put(object, options, digest.size, &value)
        }
        ApiCall::Commit => request::commit(&open(upload.upload_id())?, &options.condition),
        ApiCall::Head => request::head(object, &options.customer_key),
        ApiCall::Abort { upload_id } => request::abort(&open(Some(upload_id))?),
        ApiCall::ConditionalCreate(_)
        | ApiCall::ListParts
        | ApiCall::ListUploads
        | ApiCall::Delete { .. } => return None,
    })
}

/// The failure of a call without a request that would still be waited for.
pub(super) fn not_allowed() -> Failure {
    let text = "no pre-authenticated request allows this call";
    Failure::Local(Error::new(ErrorKind::Internal, text))
}

/// One attempt of a call, with its response parsed. `progress` has started right before the first
/// byte is sent. Fails as `Client::attempt` does, and where a response is not that of the service.
pub(super) async fn perform(
    client: &Client,
    par: &ParAccess,
    prepared: PreparedCall,
    progress: &SendProgress,
) -> Result<Outcome, Failure> {
    let PreparedCall { call, request, chunks, .. } = prepared;
    let head = request.clone();
    let Success { response, crc32 } = match attempt(client, par, request, chunks, progress).await {
        Err(failure) if call == ApiCall::Head => {
            return Err(explain_missing(client, par, head, failure).await);
        }
        result => result?,
    };
    let outcome = match call {
        ApiCall::Create => {
            return match response::parse_started(&par.object, &response) {
                Ok(upload) => Ok(Outcome::Created { upload_id: par.add_upload(upload) }),
                Err(StartError::Invalid(error)) => Err(invalid_response(error)),
                Err(StartError::Fatal(error)) => Err(Failure::Local(error)),
            };
        }
        ApiCall::Part(_) | ApiCall::Put => {
            response::parse_stored(&response).map(|meta| Outcome::Stored { meta, crc32 })
        }
        ApiCall::Commit => response::parse_stored(&response).map(Outcome::Committed),
        ApiCall::Head => response::parse_object(&response).map(Outcome::Object),
        ApiCall::Abort { .. } => response::parse_removed(&response).map(|()| Outcome::Removed),
        _ => return Err(not_allowed()),
    };
    outcome.map_err(invalid_response)
}

/// The reason of a 404 to a HEAD, which has no code: a GET shows whether the object does not exist, or the
/// PAR does not read. Returns the failure of the HEAD where the GET shows nothing else.
pub(super) async fn explain_missing(
    client: &Client,
    par: &ParAccess,
    head: Request,
    failure: Failure,
) -> Failure {
    let Failure::ErrorResponse(response) = &failure else { return failure };
    if response.status != 404 || response.code.is_some() {
        return failure;
    }
    let of_key = |(name, _): &(String, String)| name.starts_with("opc-sse-customer-");
    let mut get = request::first_byte(&par.object, &None);
    get.headers.extend(head.headers.into_iter().filter(of_key));
    match client.send(get).await {
        Err(Failure::ErrorResponse(shown)) if shown.status == 404 && shown.code.is_some() => {
            Failure::ErrorResponse(shown)
        }
        _ => failure,
    }
}

/// One attempt of a request. Nothing documents digests in the headers of requests through a PAR: where
/// they may be the reason of a rejection, the request is sent again without.
async fn attempt(
    client: &Client,
    par: &ParAccess,
    request: Request,
    chunks: Vec<Bytes>,
    progress: &SendProgress,
) -> Result<Success, Failure> {
    let mut plain = request.clone();
    let has_digests = plain.remove_digests();
    let result = client.attempt(request, chunks.clone(), progress).await;
    let Err(Failure::ErrorResponse(response)) = &result else { return result };
    let code = response.code.as_deref().unwrap_or_default();
    let is_about_data = code.starts_with("Unmatched") || code == "InvalidUploadPart";
    if response.status != 400 || is_about_data || !has_digests {
        return result;
    }
    let refused = response.to_string();
    let result = client.attempt(plain, chunks, progress).await;
    // Otherwise the digests were not the reason.
    if result.is_ok() && par.leave_digests_out() {
        client.reporter.warn(&format!(
            "the pre-authenticated request takes no digests in headers ({refused}): parts are sent without, \
             and compared by what the answers have"
        ));
    }
    result
}

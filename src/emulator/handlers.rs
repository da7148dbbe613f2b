//! Which handler runs for which operation.
//!
//! Owns this table, and what goes around the handlers of requests through a pre-authenticated
//! request. Imports every handler, so that no other module needs to. Invariant: each operation that
//! `route` can name has a handler.

use super::auth::Caller;
use super::context::{RequestContext, ServerState};
use super::operation::Operation;
use super::response::{ErrorResponse, HandlerError, Response, respond};
use super::{
    auth_handlers, buckets, instance_handlers, login, multipart, objects, par_handlers,
    principal_handlers, state_dir,
};

/// Runs the handler of a request.
pub(crate) async fn handle(
    state: &ServerState,
    mut request: RequestContext,
) -> Result<Response, HandlerError> {
    let Some(par) = request.par.clone() else { return handle_signed(state, request).await };
    use Operation::*;
    let operation = request.target.operation;
    par_handlers::prepare(state, &mut request, &par)?;
    let response = match operation {
        CreateMultipartUpload => par_handlers::create_upload(state, request, par).await,
        ListMultipartUploadParts => par_handlers::list_parts(state, request).await,
        CommitMultipartUpload => par_handlers::commit(state, request).await,
        AbortMultipartUpload => par_handlers::abort(state, request).await,
        _ => handle_signed(state, request).await,
    };
    Ok(par_handlers::finish(state, operation, response?))
}

/// Runs the handler of an operation.
async fn handle_signed(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    use Operation::*;
    match request.target.operation {
        GetNamespace => Ok(respond(200).json(&namespace_of(request.caller()?))),
        ListBuckets => buckets::list(state).await,
        CreateBucket => buckets::create(state, request).await,
        GetBucket => buckets::get(state, request).await,
        HeadBucket => buckets::head(state, request).await,
        DeleteBucket => buckets::delete(state, request).await,
        ListObjects => objects::list(state, request).await,
        PutObject => objects::put(state, request).await,
        GetObject => objects::get(state, request).await,
        HeadObject => objects::head(state, request).await,
        DeleteObject => objects::delete(state, request).await,
        RestoreObjects => objects::restore(state, request).await,
        CreateMultipartUpload => multipart::create(state, request).await,
        ListMultipartUploads => multipart::list_uploads(state, request).await,
        UploadPart => multipart::upload_part(state, request).await,
        ListMultipartUploadParts => multipart::list_parts(state, request).await,
        CommitMultipartUpload => multipart::commit(state, request).await,
        AbortMultipartUpload => multipart::abort(state, request).await,
        CreatePreauthenticatedRequest => par_handlers::create(state, request).await,
        ListPreauthenticatedRequests => par_handlers::list(state, request).await,
        GetPreauthenticatedRequest => par_handlers::get(state, request).await,
        DeletePreauthenticatedRequest => par_handlers::delete(state, request).await,
        RefreshToken => auth_handlers::refresh(state, request).await,
        GenerateToken => auth_handlers::generate(state, request).await,
        AuthorizeLogin => login::authorize(state, request).await,
        GetWorkloadToken => principal_handlers::workload_token(state, request).await,
        ExchangeToken => principal_handlers::exchange(state, request).await,
        GetResourceToken => principal_handlers::resource_token(state, request).await,
        GetResourceSessionToken => principal_handlers::resource_session_token(state, request).await,
        GetMetadataRegion
        | GetMetadataRegionInfo
        | GetMetadataCanonicalRegionName
        | GetMetadataInstanceId
        | GetMetadataInstance
        | GetMetadataCertificate
        | GetMetadataKey
        | GetMetadataIntermediate => instance_handlers::metadata(state, request).await,
        FederateInstance => instance_handlers::federate(state, request).await,
        Unknown => Err(ErrorResponse::not_found("").into()),
    }
}

/// The namespace of the caller's tenancy.
pub(crate) fn namespace_of(caller: &Caller) -> &'static str {
    let is_local = caller.tenancy() == state_dir::TENANCY;
    if is_local { state_dir::NAMESPACE } else { state_dir::OTHER_NAMESPACE }
}

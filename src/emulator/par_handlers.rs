//! The calls on pre-authenticated requests, and what a request through one does differently.
//!
//! Owns the form of their requests and responses; what one allows is decided in `par`. Invariant: a
//! secret is in the response to the call that made it and in no other.

use super::clock;
use super::context::{RequestContext, ServerState, blocking};
use super::multipart::{self, NamedParts};
use super::operation::Operation;
use super::paging::page;
use super::par::access::{AccessType, ListingAction, ParRecord};
use super::par::options::{AbortStatus, PartListing, SlashForm};
use super::par_route::encoded_name;
use super::par_secret::SecretHash;
use super::properties;
use super::response::{ErrorResponse, HandlerError, Response, parse, respond};
use super::state_dir::NAMESPACE;
use super::store::upload::OpenUpload;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateParBody {
    name: String,
    access_type: AccessType,
    time_expires: String,
    object_name: Option<String>,
    bucket_listing_action: Option<ListingAction>,
}

impl CreateParBody {
    /// The record without id and secret; fails with 400 where the fields contradict each other.
    fn record(self, bucket: &str, now: u64) -> Result<ParRecord, ErrorResponse> {
        let invalid = |message: &str| Err(ErrorResponse::invalid_parameter(message));
        let Ok(expires) = self.time_expires.parse::<jiff::Timestamp>() else {
            return invalid("timeExpires is not a time of RFC 3339");
        };
        let expires = u64::try_from(expires.as_millisecond()).unwrap_or(0);
        let object_name = self.object_name.filter(|name| !name.is_empty());
        if self.name.is_empty() {
            return invalid("The name is empty");
        }
        if expires <= now {
            return invalid("timeExpires is not in the future");
        }
        if self.access_type.is_for_one_object() {
            let Some(name) = &object_name else {
                return invalid("This accessType requires an objectName");
            };
            properties::check_object_name(name)?;
            if self.bucket_listing_action == Some(ListingAction::ListObjects) {
                return invalid("This accessType does not allow bucketListingAction ListObjects");
            }
        }
        Ok(ParRecord {
            id: String::new(),
            name: self.name,
            bucket: bucket.to_owned(),
            object_name,
            access: self.access_type,
            listing: self.bucket_listing_action,
            created: now,
            expires,
            secret: SecretHash::of(""),
        })
    }
}

/// A pre-authenticated request as lists and GET return it.
fn summary(par: &ParRecord) -> Value {
    json!({
        "id": par.id,
        "name": par.name,
        "objectName": par.object_name,
        "bucketListingAction": par.listing,
        "accessType": par.access,
        "timeCreated": clock::iso(par.created),
        "timeExpires": clock::iso(par.expires),
    })
}

/// The path of the URL of a pre-authenticated request.
pub(crate) fn access_path(par: &ParRecord, secret: &str, slashes: SlashForm) -> String {
    let object = par.object_name.as_deref().filter(|_| par.access.is_for_one_object());
    let object = encoded_name(object.unwrap_or_default(), slashes == SlashForm::Raw);
    format!("/p/{secret}/n/{NAMESPACE}/b/{}/o/{object}", par.bucket)
}

/// CreatePreauthenticatedRequest; fails with 400 on fields that are not valid, and with 404 if the
/// bucket does not exist or the caller lacks a right that it would give away.
pub(crate) async fn create(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    let bucket = state.find_bucket(&request.target.bucket).await?;
    let body: CreateParBody = parse(&request.signed_body)?;
    let record = body.record(&bucket.name, state.now())?;
    let access = record.access;
    state.policy().check_par(&bucket.name, access.reads(), access.writes())?;
    let pars = state.pars.clone();
    let (par, secret) = blocking(move || Ok(pars.add(record)?)).await?;
    let path = access_path(&par, &secret, state.pars.options().slashes);
    let scheme = if request.tls { "https" } else { "http" };
    let host = properties::text(&request.headers, "host").unwrap_or_default();
    let mut body = summary(&par);
    body["accessUri"] = path.clone().into();
    body["fullPath"] = format!("{scheme}://{host}{path}").into();
    Ok(respond(200).json(&body))
}

/// The pre-authenticated request that a request names; fails with 404.
fn find(state: &ServerState, request: &RequestContext) -> Result<ParRecord, ErrorResponse> {
    let pars = state.pars.list(&request.target.bucket);
    let found = pars.into_iter().find(|par| par.id == request.target.object);
    found.ok_or_else(|| {
        let message = "The pre-authenticated request was not found";
        ErrorResponse::new(404, "PreauthenticatedRequestNotFound", message)
    })
}

/// ListPreauthenticatedRequests; fails with 404 if the bucket does not exist.
pub(crate) async fn list(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    state.find_bucket(&request.target.bucket).await?;
    let query = &request.target.query;
    let prefix = query.value("objectNamePrefix").unwrap_or_default();
    let mut pars = state.pars.list(&request.target.bucket);
    pars.retain(|par| par.object_name.as_deref().unwrap_or_default().starts_with(prefix));
    let key = |par: &ParRecord| format!("{:015}:{}", par.created, par.id);
    pars.sort_by_key(key);
    let (pars, next) = page(state, query, pars, key)?;
    let body: Vec<Value> = pars.iter().map(summary).collect();
    Ok(respond(200).maybe("opc-next-page", next).json(&body))
}

/// GetPreauthenticatedRequest; fails with 404.
pub(crate) async fn get(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    state.find_bucket(&request.target.bucket).await?;
    Ok(respond(200).json(&summary(&find(state, &request)?)))
}

/// DeletePreauthenticatedRequest; fails with 404.
pub(crate) async fn delete(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    state.find_bucket(&request.target.bucket).await?;
    let par = find(state, &request)?;
    let pars = state.pars.clone();
    blocking(move || Ok(pars.delete(|known| known.id == par.id)?)).await?;
    Ok(respond(204).empty())
}

/// Begins an upload through a pre-authenticated request; fails as CreateMultipartUpload, and with 400
/// if the request has a body.
pub(crate) async fn create_upload(
    state: &ServerState,
    mut request: RequestContext,
    par: ParRecord,
) -> Result<Response, HandlerError> {
    let name = request.target.object.clone();
    properties::check_object_name(&name)?;
    if !request.signed_body.is_empty() {
        let message = "The request that begins an upload has a body";
        return Err(ErrorResponse::invalid_parameter(message).into());
    }
    let bucket = state.find_bucket(&request.target.bucket).await?;
    let mut properties = properties::of_headers(&request.headers)?;
    properties.storage_tier.get_or_insert(bucket.storage_tier);
    let record = multipart::open_upload(state, &mut request, &name, properties).await?;
    let (pars, upload, object) = (state.pars.clone(), record.id.clone(), name.clone());
    let secret = blocking(move || Ok(pars.add_upload(&par, &upload, &object)?)).await?;
    let name = encoded_name(&name, state.pars.options().slashes == SlashForm::Raw);
    let base = format!("/p/{secret}/n/{NAMESPACE}/b/{}", bucket.name);
    let mut body = multipart::upload_json(&record);
    body["accessUri"] = format!("{base}/u/{name}/id/{}/", record.id).into();
    Ok(respond(200).json(&body))
}

/// Commits all parts of an upload in ascending order; fails as CommitMultipartUpload.
pub(crate) async fn commit(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    let upload = request.target.query.value("uploadId").unwrap_or_default().to_owned();
    let all = |upload: &OpenUpload| {
        upload.check_open()?;
        let parts: Vec<_> = upload.parts().map(|part| (part.number, part.etag.clone())).collect();
        if parts.is_empty() {
            return Err(ErrorResponse::invalid_parts("There are no parts to commit"));
        }
        Ok(NamedParts { parts, exclude: Vec::new() })
    };
    let done = multipart::commit_parts(state, request, all).await?;
    end_upload(state, upload).await?;
    Ok(done)
}

/// AbortMultipartUpload through the upload's URL.
pub(crate) async fn abort(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    let upload = request.target.query.value("uploadId").unwrap_or_default().to_owned();
    let mut done = multipart::abort(state, request).await?;
    end_upload(state, upload).await?;
    if state.pars.options().abort == AbortStatus::Ok {
        *done.status_mut() = StatusCode::OK;
    }
    Ok(done)
}

async fn end_upload(state: &ServerState, upload: String) -> Result<(), ErrorResponse> {
    let pars = state.pars.clone();
    blocking(move || Ok(pars.end_upload(&upload)?)).await
}

/// A GET of an upload's URL, which the service's documentation does not have.
pub(crate) async fn list_parts(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    match state.pars.options().list_parts {
        PartListing::NotFound => Err(ErrorResponse::not_found("").into()),
        PartListing::MethodNotAllowed => Err(ErrorResponse::method_not_allowed("GET").into()),
        PartListing::Listed => multipart::list_parts(state, request).await,
    }
}

/// Changes a request through a pre-authenticated request before it is handled: headers that the
/// settings ignore are removed, and a list is limited to the prefix. Fails where the list's own prefix
/// lies outside.
pub(crate) fn prepare(
    state: &ServerState,
    request: &mut RequestContext,
    par: &ParRecord,
) -> Result<(), ErrorResponse> {
    let options = state.pars.options();
    let operation = request.target.operation;
    if !state.pars.evaluates_conditions(operation) {
        request.headers.remove("if-match");
        request.headers.remove("if-none-match");
    }
    if !options.request_checksums {
        for name in CHECKSUM_REQUEST_HEADERS {
            request.headers.remove(name);
        }
    }
    let prefix = par.object_name.as_deref().unwrap_or_default();
    if operation == Operation::ListObjects {
        let wanted = request.target.query.value("prefix").unwrap_or_default().to_owned();
        if prefix.starts_with(&wanted) {
            request.target.query.set("prefix", prefix);
        } else if !wanted.starts_with(prefix) {
            return Err(options.not_allowed.response(&par.bucket));
        }
    }
    Ok(())
}

/// The headers in which a client names checksums.
const CHECKSUM_REQUEST_HEADERS: [&str; 5] = [
    "content-md5",
    "opc-checksum-algorithm",
    "opc-content-crc32c",
    "opc-content-sha256",
    "opc-content-sha384",
];

/// Removes from a response what the settings leave out.
pub(crate) fn finish(
    state: &ServerState,
    operation: Operation,
    mut response: Response,
) -> Response {
    let options = state.pars.options();
    let (etag, checksums) = match operation {
        Operation::UploadPart => (options.part_etag, options.part_checksums),
        Operation::PutObject | Operation::CommitMultipartUpload => {
            (options.object_etag, options.object_checksums)
        }
        _ => (true, true),
    };
    let headers = response.headers_mut();
    if !etag {
        headers.remove("etag");
    }
    if !checksums {
        let named =
            |name: &str| name.starts_with("opc-content-") || name.starts_with("opc-multipart-");
        let names: Vec<_> = headers.keys().filter(|name| named(name.as_str())).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
    response
}

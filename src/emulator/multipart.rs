//! The calls on multipart uploads.
//!
//! Owns the form of their requests and responses; the rules of a commit are in `store::upload`.
//! Invariant: a part is stored only if its whole body was received and matches the checksums in its
//! headers; the preconditions of an UploadPart apply to the part of that number and never to the
//! object.

use super::checksum::{Algorithm, ClaimedChecksums};
use super::clock;
use super::conditions::Conditions;
use super::context::{RequestContext, ServerState, blocking, declared_length};
use super::fault::Fault;
use super::paging::page;
use super::properties;
use super::response::{ErrorResponse, HandlerError, Response, parse, respond};
use super::route::Query;
use super::state_dir::NAMESPACE;
use super::store::commit::{CommitFault, CommitRequest};
use super::store::object::{Properties, uuid};
use super::store::upload::{MAX_PARTS, OpenUpload, StoredPart, UploadRecord};
use super::store::uploads::{SharedUpload, lock};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateUploadBody {
    object: String,
    content_type: Option<String>,
    content_language: Option<String>,
    content_encoding: Option<String>,
    content_disposition: Option<String>,
    cache_control: Option<String>,
    storage_tier: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
}

/// CreateMultipartUpload; fails with 400 on properties that are not valid and with 412 if a
/// precondition does not hold.
pub(crate) async fn create(
    state: &ServerState,
    mut request: RequestContext,
) -> Result<Response, HandlerError> {
    let bucket = state.find_bucket(&request.target.bucket).await?;
    let body: CreateUploadBody = parse(&request.signed_body)?;
    properties::check_object_name(&body.object)?;
    let tier = body.storage_tier.as_deref().map(properties::checked_tier).transpose()?;
    let properties = Properties {
        content_type: body.content_type,
        content_language: body.content_language,
        content_encoding: body.content_encoding,
        content_disposition: body.content_disposition,
        cache_control: body.cache_control,
        storage_tier: Some(tier.unwrap_or(bucket.storage_tier)),
        metadata: body.metadata.unwrap_or_default(),
        customer_key: properties::customer_key(&request.headers)?,
        kms_key: properties::kms_key(&request.headers)?,
    };
    properties::check_metadata(&properties)?;
    let record = open_upload(state, &mut request, &body.object, properties).await?;
    let name = utf8_percent_encode(&record.name, NON_ALPHANUMERIC);
    let location = format!("/n/{NAMESPACE}/b/{}/u/{name}?uploadId={}", record.bucket, record.id);
    Ok(respond(200).header("location", location).json(&upload_json(&record)))
}

/// Opens an upload in the bucket of the request; fails with 412 if a precondition does not hold.
pub(crate) async fn open_upload(
    state: &ServerState,
    request: &mut RequestContext,
    name: &str,
    properties: Properties,
) -> Result<UploadRecord, ErrorResponse> {
    let record = UploadRecord {
        id: uuid(),
        bucket: request.target.bucket.clone(),
        name: name.to_owned(),
        time: state.now(),
        properties,
        algorithm: Algorithm::requested(&request.headers)?,
    };
    request.wait_if_delayed().await;
    let (store, uploads, new) = (state.store.clone(), state.uploads.clone(), record.clone());
    let conditions = request.conditions(state);
    blocking(move || {
        store.check_name(&new.bucket, &new.name)?;
        let current = store.head(&new.bucket, &new.name)?;
        conditions.allow_write(current.as_ref().map(|object| object.etag.as_str()))?;
        Ok(uploads.create(new)?)
    })
    .await?;
    Ok(record)
}

/// An upload as CreateMultipartUpload and ListMultipartUploads return it.
pub(crate) fn upload_json(record: &UploadRecord) -> serde_json::Value {
    serde_json::json!({
        "namespace": NAMESPACE,
        "bucket": record.bucket,
        "object": record.name,
        "uploadId": record.id,
        "timeCreated": clock::iso(record.time),
        "storageTier": record.properties.storage_tier,
    })
}

/// Looks up the upload that a request names; fails with 404 `BucketNotFound` or `UploadNotFound`.
async fn find_upload(
    state: &ServerState,
    request: &RequestContext,
) -> Result<SharedUpload, ErrorResponse> {
    state.find_bucket(&request.target.bucket).await?;
    let id = request.target.query.value("uploadId");
    let id = id.ok_or_else(|| ErrorResponse::missing_parameter("uploadId"))?;
    state.uploads.find(id, &request.target.bucket, &request.target.object)
}

/// The part number of an UploadPart; fails with 400 if it is missing or not between 1 and
/// `MAX_PARTS`.
fn part_number(query: &Query) -> Result<u32, ErrorResponse> {
    let number = query.number("uploadPartNum")?;
    let number = number.ok_or_else(|| ErrorResponse::missing_parameter("uploadPartNum"))?;
    let number = u32::try_from(number).ok().filter(|n| (1..=MAX_PARTS).contains(n));
    number.ok_or_else(|| {
        ErrorResponse::invalid_parameter(format!("uploadPartNum must be between 1 and {MAX_PARTS}"))
    })
}

/// UploadPart; fails with 404 if the upload is not open, with 400 on a number or checksum that is
/// not valid, and without a response if the connection breaks within the body.
pub(crate) async fn upload_part(
    state: &ServerState,
    mut request: RequestContext,
) -> Result<Response, HandlerError> {
    let upload = find_upload(state, &request).await?;
    let number = part_number(&request.target.query)?;
    let claimed = ClaimedChecksums::of(&request.headers)?;
    properties::kms_key(&request.headers)?;
    let size = declared_length(&request.headers).unwrap_or(0);
    let conditions = Conditions::of(&request.headers);
    let (early, headers) = (conditions.clone(), request.headers.clone());
    let (writer, algorithm) = blocking({
        let upload = upload.clone();
        move || {
            let mut upload = lock(&upload);
            early.allow_write(upload.etag(number))?;
            properties::check_same_key(&upload.record.properties.customer_key, &headers)?;
            Ok((upload.begin_part(number, size)?, upload.record.algorithm))
        }
    })
    .await?;
    let body = request.body.take().ok_or(HandlerError::Aborted)?;
    let mut algorithms = claimed.algorithms();
    algorithms.extend(algorithm);
    let (writer, checksums) = body.write_to(writer, algorithms).await?;
    if checksums.size != size {
        return Err(HandlerError::Aborted);
    }
    request.reauthenticate(state)?;
    claimed.check(&checksums)?;
    request.wait_if_delayed().await;
    let corrupt = request.fault == Some(Fault::CorruptPart);
    let (etag, checksums) = blocking(move || {
        let mut upload = lock(&upload);
        conditions.allow_write(upload.etag(number))?;
        let etag = upload.store_part(number, writer, checksums.clone())?;
        if corrupt {
            upload.flip_bit(number)?;
        }
        Ok((etag, checksums))
    })
    .await?;
    let response =
        respond(200).header("etag", etag).header("opc-content-md5", checksums.md5_base64());
    let response = claimed.algorithms().into_iter().fold(response, |response, algorithm| {
        response.maybe(algorithm.content_header(), checksums.base64(algorithm))
    });
    Ok(response.empty())
}

/// ListMultipartUploadParts; fails with 404 if the upload is not open.
pub(crate) async fn list_parts(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    let upload = find_upload(state, &request).await?;
    let all = blocking(move || {
        let upload = lock(&upload);
        upload.check_open()?;
        Ok(upload.parts().cloned().collect::<Vec<StoredPart>>())
    })
    .await?;
    let key = |part: &StoredPart| format!("{:05}", part.number);
    let (parts, next) = page(state, &request.target.query, all, key)?;
    let summary = |part: &StoredPart| {
        serde_json::json!({
            "etag": part.etag,
            "md5": part.checksums.md5_base64(),
            "size": part.checksums.size,
            "partNumber": part.number,
        })
    };
    let body: Vec<_> = parts.iter().map(summary).collect();
    Ok(respond(200).maybe("opc-next-page", next).json(&body))
}

/// ListMultipartUploads; fails with 404 if the bucket does not exist.
pub(crate) async fn list_uploads(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    state.find_bucket(&request.target.bucket).await?;
    let all = state.uploads.list(Some(&request.target.bucket));
    let key = |record: &UploadRecord| format!("{:015}:{}", record.time, record.id);
    let (uploads, next) = page(state, &request.target.query, all, key)?;
    let body: Vec<_> = uploads.iter().map(upload_json).collect();
    Ok(respond(200).maybe("opc-next-page", next).json(&body))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommitBody {
    parts_to_commit: Vec<CommitPart>,
    parts_to_exclude: Option<Vec<u32>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommitPart {
    part_num: u32,
    etag: String,
}

/// CommitMultipartUpload; fails as `OpenUpload::commit`, and with 400 if the list of parts is
/// empty.
pub(crate) async fn commit(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    state.find_bucket(&request.target.bucket).await?;
    let body: CommitBody = parse(&request.signed_body)?;
    if body.parts_to_commit.is_empty() {
        return Err(ErrorResponse::invalid_parts("There are no parts to commit").into());
    }
    let named = NamedParts {
        parts: body.parts_to_commit.into_iter().map(|p| (p.part_num, p.etag)).collect(),
        exclude: body.parts_to_exclude.unwrap_or_default(),
    };
    commit_parts(state, request, move |_| Ok(named)).await
}

/// The parts that a commit makes the object of, and those that it leaves out.
pub(crate) struct NamedParts {
    /// Numbers and etags.
    pub parts: Vec<(u32, String)>,
    pub exclude: Vec<u32>,
}

/// Commits the parts that `choose` names of the upload, at the moment of the commit. Fails as
/// `OpenUpload::commit`, and as `choose`.
pub(crate) async fn commit_parts(
    state: &ServerState,
    mut request: RequestContext,
    choose: impl FnOnce(&OpenUpload) -> Result<NamedParts, ErrorResponse> + Send + 'static,
) -> Result<Response, HandlerError> {
    let upload = find_upload(state, &request).await?;
    let commit_fault = match request.fault {
        Some(Fault::SwapParts(a, b)) => CommitFault::Swap(a, b),
        Some(Fault::DropPart(number)) => CommitFault::Drop(number),
        Some(Fault::NothingStored) => CommitFault::StoreNothing,
        _ => CommitFault::None,
    };
    request.wait_if_delayed().await;
    let fault = request.fault.clone();
    let conditions = request.conditions(state);
    let (store, uploads, now) = (state.store.clone(), state.uploads.clone(), state.now());
    let object = blocking(move || {
        let mut upload = lock(&upload);
        let NamedParts { parts, exclude } = choose(&upload)?;
        let commit = CommitRequest { parts, exclude, fault: commit_fault };
        match fault {
            Some(Fault::LosePart(number)) => upload.drop_part(number),
            Some(Fault::AlterPart(number)) => upload.rewrite_part(number)?,
            _ => {}
        }
        let object = upload.commit(&commit, &conditions, &*store, now)?;
        uploads.remove(&upload.record.id);
        Ok(object)
    })
    .await?;
    let response = respond(200)
        .header("etag", &object.etag)
        .header("last-modified", clock::http_of_millis(object.modified));
    Ok(properties::with_checksums(response, &object, "opc-content-md5").empty())
}

/// AbortMultipartUpload; fails with 404 if the upload is not open.
pub(crate) async fn abort(
    state: &ServerState,
    mut request: RequestContext,
) -> Result<Response, HandlerError> {
    let upload = find_upload(state, &request).await?;
    request.wait_if_delayed().await;
    let uploads = state.uploads.clone();
    blocking(move || {
        let mut upload = lock(&upload);
        upload.check_open()?;
        upload.close();
        uploads.remove(&upload.record.id);
        Ok(())
    })
    .await?;
    Ok(respond(204).empty())
}

//! The calls on multipart uploads.
//!
//! Owns what these requests and answers look like; the rules of a commit are in `store::upload`.
//! Invariant: a part counts only when all of it was received and is what its headers claim; the
//! conditions that a part carries speak of the part of that number and never of the object.

use super::auth_handlers::parse;
use super::body::{HandlerError, blocking};
use super::checksum::{Algorithm, ClaimedChecksums};
use super::clock;
use super::conditions::Conditions;
use super::dispatch::{RequestContext, ServerState, declared_length};
use super::fault::Fault;
use super::properties;
use super::response::{ErrorResponse, Response, answer};
use super::state_dir::NAMESPACE;
use super::store::object::{Properties, uuid};
use super::store::upload::{CommitFault, CommitRequest, MAX_PARTS, StoredPart, UploadRecord};
use super::store::uploads::{SharedUpload, lock};
use super::{buckets, objects};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
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

pub async fn create(
    core: &ServerState,
    mut call: RequestContext,
) -> Result<Response, HandlerError> {
    let bucket = buckets::find(core, &call.target.bucket).await?;
    let request: CreateUploadBody = parse(&call.signed)?;
    objects::check_name(&request.object)?;
    let tier = request.storage_tier.as_deref().map(properties::checked_tier).transpose()?;
    let properties = Properties {
        content_type: request.content_type,
        content_language: request.content_language,
        content_encoding: request.content_encoding,
        content_disposition: request.content_disposition,
        cache_control: request.cache_control,
        storage_tier: Some(tier.unwrap_or(bucket.storage_tier)),
        metadata: request.metadata.unwrap_or_default(),
        customer_key: properties::customer_key(&call.headers)?,
        kms_key: properties::kms_key(&call.headers)?,
    };
    properties::check_metadata(&properties)?;
    let created = UploadRecord {
        id: uuid(),
        bucket: bucket.name,
        name: request.object,
        time: core.now(),
        properties,
        algorithm: Algorithm::asked(&call.headers)?,
    };
    call.received().await;
    let (shelf, uploads, made) = (core.store.clone(), core.uploads.clone(), created.clone());
    let conditions = call.conditions(core);
    blocking(move || {
        shelf.check_name(&made.bucket, &made.name)?;
        let current = shelf.head(&made.bucket, &made.name)?;
        conditions.allow_write(current.as_ref().map(|object| object.etag.as_str()))?;
        Ok(uploads.create(made)?)
    })
    .await?;
    let name = utf8_percent_encode(&created.name, NON_ALPHANUMERIC);
    let location = format!("/n/{NAMESPACE}/b/{}/u/{name}?uploadId={}", created.bucket, created.id);
    Ok(answer(200).header("location", location).json(&about(&created)))
}

fn about(created: &UploadRecord) -> serde_json::Value {
    serde_json::json!({
        "namespace": NAMESPACE,
        "bucket": created.bucket,
        "object": created.name,
        "uploadId": created.id,
        "timeCreated": clock::iso(created.time),
        "storageTier": created.properties.storage_tier,
    })
}

/// The upload that a request names.
async fn find(core: &ServerState, call: &RequestContext) -> Result<SharedUpload, ErrorResponse> {
    buckets::find(core, &call.target.bucket).await?;
    let id = call.target.query.value("uploadId");
    let id = id.ok_or_else(|| ErrorResponse::missing_parameter("uploadId"))?;
    core.uploads.find(id, &call.target.bucket, &call.target.object)
}

pub async fn part(core: &ServerState, mut call: RequestContext) -> Result<Response, HandlerError> {
    let upload = find(core, &call).await?;
    let number = call.target.query.number("uploadPartNum")?;
    let number = number.ok_or_else(|| ErrorResponse::missing_parameter("uploadPartNum"))?;
    let number = u32::try_from(number).ok().filter(|n| (1..=MAX_PARTS).contains(n));
    let number = number.ok_or_else(|| {
        ErrorResponse::invalid_parameter(format!("uploadPartNum must be between 1 and {MAX_PARTS}"))
    })?;
    let claims = ClaimedChecksums::of(&call.headers)?;
    properties::kms_key(&call.headers)?;
    let size = declared_length(&call.headers).unwrap_or(0);
    let conditions = Conditions::of(&call.headers);
    let (early, headers) = (conditions.clone(), call.headers.clone());
    let (slot, algorithm) = blocking({
        let upload = upload.clone();
        move || {
            let mut upload = lock(&upload);
            early.allow_write(upload.etag(number))?;
            properties::same_key(&upload.created.properties.customer_key, &headers)?;
            Ok((upload.begin(number, size)?, upload.created.algorithm))
        }
    })
    .await?;
    let body = call.body.take().ok_or(HandlerError::Cut)?;
    let mut algorithms = claims.algorithms();
    algorithms.extend(algorithm);
    let (slot, sums) = body.write_to(slot, algorithms).await?;
    if sums.size != size {
        return Err(HandlerError::Cut);
    }
    call.reauthenticate(core)?;
    claims.check(&sums)?;
    call.received().await;
    let corrupt = call.fault == Some(Fault::CorruptPart);
    let asked = claims.algorithms();
    let (etag, sums) = blocking(move || {
        let mut upload = lock(&upload);
        conditions.allow_write(upload.etag(number))?;
        let etag = upload.land(number, slot, sums.clone())?;
        if corrupt {
            upload.flip_byte(number)?;
        }
        Ok((etag, sums))
    })
    .await?;
    let stored = answer(200).header("etag", etag).header("opc-content-md5", sums.md5_base64());
    let stored = asked.into_iter().fold(stored, |stored, algorithm| {
        stored.maybe(algorithm.content_header(), sums.base64(algorithm))
    });
    Ok(stored.empty())
}

/// The items whose key comes after the one that `page` names, and the last key if more follow. Keys are
/// in the order of the items, so a page holds even where items go in the meantime.
fn page<T>(
    core: &ServerState,
    call: &RequestContext,
    items: Vec<T>,
    key: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), ErrorResponse> {
    let limit = call.target.query.number("limit")?.unwrap_or(100).clamp(1, 1000);
    let limit = usize::try_from(limit).unwrap_or(1000).min(core.page_size());
    let after = call.target.query.value("page").map(key_of_token).transpose()?.unwrap_or_default();
    let mut rest: Vec<T> = items.into_iter().filter(|item| key(item) > after).collect();
    let more = rest.len() > limit;
    rest.truncate(limit);
    let next = rest.last().filter(|_| more).map(|item| token_of_key(&key(item)));
    Ok((rest, next))
}

/// The form that the service's tokens have; a client has to encode it in a URL.
fn token_of_key(key: &str) -> String {
    // Its length leaves a rest of one, so that the encoding ends in `==`.
    let filled = format!("{key}{}", " ".repeat((3 - (key.len() + 2) % 3) % 3));
    format!("1:{}", URL_SAFE.encode(filled))
}

fn key_of_token(token: &str) -> Result<String, ErrorResponse> {
    let key = token.strip_prefix("1:").and_then(|text| URL_SAFE.decode(text).ok());
    let key = key.and_then(|bytes| String::from_utf8(bytes).ok());
    let wrong = || ErrorResponse::invalid_parameter(format!("The page '{token}' does not exist"));
    Ok(key.ok_or_else(wrong)?.trim_end().to_owned())
}

pub async fn parts(core: &ServerState, call: RequestContext) -> Result<Response, HandlerError> {
    let upload = find(core, &call).await?;
    let all = blocking(move || {
        let upload = lock(&upload);
        upload.check_open()?;
        Ok(upload.parts().cloned().collect::<Vec<StoredPart>>())
    })
    .await?;
    let (shown, next) = page(core, &call, all, |part| format!("{:05}", part.number))?;
    let summary = |part: &StoredPart| {
        serde_json::json!({
            "etag": part.etag,
            "md5": part.sums.md5_base64(),
            "size": part.sums.size,
            "partNumber": part.number,
        })
    };
    let body: Vec<_> = shown.iter().map(summary).collect();
    Ok(answer(200).maybe("opc-next-page", next).json(&body))
}

pub async fn list(core: &ServerState, call: RequestContext) -> Result<Response, HandlerError> {
    buckets::find(core, &call.target.bucket).await?;
    let all = core.uploads.list(Some(&call.target.bucket));
    let (shown, next) =
        page(core, &call, all, |created| format!("{:015}:{}", created.time, created.id))?;
    let body: Vec<_> = shown.iter().map(about).collect();
    Ok(answer(200).maybe("opc-next-page", next).json(&body))
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

pub async fn commit(
    core: &ServerState,
    mut call: RequestContext,
) -> Result<Response, HandlerError> {
    buckets::find(core, &call.target.bucket).await?;
    let request: CommitBody = parse(&call.signed)?;
    if request.parts_to_commit.is_empty() {
        return Err(ErrorResponse::invalid_parts("There are no parts to commit").into());
    }
    let upload = find(core, &call).await?;
    let wanted = CommitRequest {
        commit: request.parts_to_commit.into_iter().map(|p| (p.part_num, p.etag)).collect(),
        exclude: request.parts_to_exclude.unwrap_or_default(),
        lie: match call.fault {
            Some(Fault::SwapParts(a, b)) => CommitFault::Swap(a, b),
            Some(Fault::DropPart(number)) => CommitFault::Drop(number),
            Some(Fault::NothingStored) => CommitFault::StoreNothing,
            _ => CommitFault::None,
        },
    };
    call.received().await;
    let fault = call.fault.clone();
    let conditions = call.conditions(core);
    let (shelf, uploads, now) = (core.store.clone(), core.uploads.clone(), core.now());
    let placed = blocking(move || {
        let mut upload = lock(&upload);
        match fault {
            Some(Fault::LosePart(number)) => upload.drop_part(number),
            Some(Fault::AlterPart(number)) => upload.rewrite_part(number)?,
            _ => {}
        }
        let placed = upload.commit(&wanted, &conditions, &*shelf, now)?;
        uploads.forget(&upload.created.id);
        Ok(placed)
    })
    .await?;
    let done = answer(200)
        .header("etag", &placed.etag)
        .header("last-modified", clock::http_of_millis(placed.modified));
    Ok(properties::checks(done, &placed, "opc-content-md5").empty())
}

pub async fn abort(core: &ServerState, mut call: RequestContext) -> Result<Response, HandlerError> {
    let upload = find(core, &call).await?;
    call.received().await;
    let uploads = core.uploads.clone();
    blocking(move || {
        let mut upload = lock(&upload);
        upload.check_open()?;
        upload.close();
        uploads.forget(&upload.created.id);
        Ok(())
    })
    .await?;
    Ok(answer(204).empty())
}

//! The calls on buckets.
//!
//! Invariant: a bucket that is not there is answered alike for every call that names one.

use super::auth_handlers::parse;
use super::body::{HandlerError, blocking};
use super::clock;
use super::dispatch::{RequestContext, ServerState};
use super::response::{ErrorResponse, Response, answer};
use super::state_dir::{NAMESPACE, TENANCY, USER};
use super::store::object::{Bucket, legal_bucket_name, tier};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The bucket a request names.
pub async fn find(core: &ServerState, name: &str) -> Result<Bucket, ErrorResponse> {
    let (shelf, name) = (core.store.clone(), name.to_owned());
    blocking(move || {
        shelf.bucket(&name)?.ok_or_else(|| ErrorResponse::bucket_not_found(&name, NAMESPACE))
    })
    .await
}

fn details(core: &ServerState, bucket: &Bucket) -> serde_json::Value {
    serde_json::json!({
        "namespace": NAMESPACE,
        "name": bucket.name,
        "id": format!("ocid1.bucket.oc1.local-test-1.{}", bucket.etag),
        "compartmentId": TENANCY,
        "createdBy": USER,
        "timeCreated": clock::iso(bucket.created),
        "metadata": bucket.metadata,
        "etag": bucket.etag,
        "publicAccessType": "NoPublicAccess",
        "storageTier": bucket.storage_tier,
        "objectEventsEnabled": false,
        "versioning": "Disabled",
        "autoTiering": "Disabled",
        "isReadOnly": core.policy().of(&bucket.name).read_only,
        "replicationEnabled": false,
        "kmsKeyId": null,
        "objectLifecyclePolicyEtag": null,
        "freeformTags": {},
        "definedTags": {},
    })
}

pub async fn list(core: &ServerState) -> Result<Response, HandlerError> {
    let shelf = core.store.clone();
    let buckets = blocking(move || Ok(shelf.buckets()?)).await?;
    let summary = |bucket: &Bucket| {
        serde_json::json!({
            "namespace": NAMESPACE,
            "name": bucket.name,
            "compartmentId": TENANCY,
            "createdBy": USER,
            "timeCreated": clock::iso(bucket.created),
            "etag": bucket.etag,
            "freeformTags": null,
            "definedTags": null,
        })
    };
    Ok(answer(200).json(&buckets.iter().map(summary).collect::<Vec<_>>()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateBucketBody {
    name: String,
    storage_tier: Option<String>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

pub async fn create(core: &ServerState, call: RequestContext) -> Result<Response, HandlerError> {
    let request: CreateBucketBody = parse(&call.signed)?;
    if !legal_bucket_name(&request.name) {
        let message = format!("The bucket name '{}' is not valid", request.name);
        return Err(ErrorResponse::new(400, "InvalidBucketName", message).into());
    }
    let mut bucket = Bucket::new(&request.name, core.now());
    bucket.metadata = request.metadata.unwrap_or_default();
    if let Some(text) = request.storage_tier {
        let known = tier(&text).filter(|tier| *tier != "InfrequentAccess");
        bucket.storage_tier = known
            .ok_or_else(|| ErrorResponse::invalid_parameter(format!("No storage tier '{text}'")))?
            .to_owned();
    }
    let shelf = core.store.clone();
    let bucket = blocking(move || shelf.create_bucket(bucket)).await?;
    let location = format!("/n/{NAMESPACE}/b/{}", bucket.name);
    let created = answer(200).header("etag", &bucket.etag).header("location", location);
    Ok(created.json(&details(core, &bucket)))
}

pub async fn read(core: &ServerState, call: RequestContext) -> Result<Response, HandlerError> {
    let bucket = find(core, &call.target.bucket).await?;
    let found = answer(200).header("etag", &bucket.etag).header("cache-control", "no-store");
    Ok(found.json(&details(core, &bucket)))
}

pub async fn head(core: &ServerState, call: RequestContext) -> Result<Response, HandlerError> {
    let bucket = find(core, &call.target.bucket).await?;
    Ok(answer(200).header("etag", &bucket.etag).empty())
}

pub async fn delete(core: &ServerState, call: RequestContext) -> Result<Response, HandlerError> {
    let (shelf, name) = (core.store.clone(), call.target.bucket.clone());
    if !core.uploads.list(Some(&name)).is_empty() {
        let message = format!("The bucket named '{name}' has open multipart uploads.");
        return Err(ErrorResponse::new(409, "BucketNotEmpty", message).into());
    }
    blocking(move || {
        let there = shelf.delete_bucket(&name)?;
        if there { Ok(()) } else { Err(ErrorResponse::bucket_not_found(&name, NAMESPACE)) }
    })
    .await?;
    Ok(answer(204).empty())
}

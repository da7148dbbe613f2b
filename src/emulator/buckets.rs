//! The calls on buckets.
//!
//! Owns the form of their requests and responses; what is stored is decided in `store`. Invariant:
//! a bucket that does not exist gets the same error from every call.

use super::clock;
use super::context::{RequestContext, ServerState, blocking};
use super::response::{ErrorResponse, HandlerError, Response, parse, respond};
use super::state_dir::{NAMESPACE, TENANCY, USER};
use super::store::object::{Bucket, legal_bucket_name, tier};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A bucket as GetBucket and CreateBucket return it.
fn bucket_json(state: &ServerState, bucket: &Bucket) -> serde_json::Value {
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
        "isReadOnly": state.policy().protection(&bucket.name).read_only,
        "replicationEnabled": false,
        "kmsKeyId": null,
        "objectLifecyclePolicyEtag": null,
        "freeformTags": {},
        "definedTags": {},
    })
}

/// ListBuckets.
pub(crate) async fn list(state: &ServerState) -> Result<Response, HandlerError> {
    let store = state.store.clone();
    let buckets = blocking(move || Ok(store.buckets()?)).await?;
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
    Ok(respond(200).json(&buckets.iter().map(summary).collect::<Vec<_>>()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateBucketBody {
    name: String,
    storage_tier: Option<String>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

/// CreateBucket; fails with 400 on a name or tier that is not valid and with 409 if the bucket
/// exists.
pub(crate) async fn create(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    let body: CreateBucketBody = parse(&request.signed_body)?;
    if !legal_bucket_name(&body.name) {
        let message = format!("The bucket name '{}' is not valid", body.name);
        return Err(ErrorResponse::new(400, "InvalidBucketName", message).into());
    }
    let mut bucket = Bucket::new(&body.name, state.now());
    bucket.metadata = body.metadata.unwrap_or_default();
    if let Some(text) = body.storage_tier {
        let known = tier(&text).filter(|tier| *tier != "InfrequentAccess");
        bucket.storage_tier = known
            .ok_or_else(|| ErrorResponse::invalid_parameter(format!("No storage tier '{text}'")))?
            .to_owned();
    }
    let store = state.store.clone();
    let bucket = blocking(move || store.create_bucket(bucket)).await?;
    let location = format!("/n/{NAMESPACE}/b/{}", bucket.name);
    let created = respond(200).header("etag", &bucket.etag).header("location", location);
    Ok(created.json(&bucket_json(state, &bucket)))
}

/// GetBucket; fails with 404.
pub(crate) async fn get(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    let bucket = state.find_bucket(&request.target.bucket).await?;
    let found = respond(200).header("etag", &bucket.etag).header("cache-control", "no-store");
    Ok(found.json(&bucket_json(state, &bucket)))
}

/// HeadBucket; fails with 404.
pub(crate) async fn head(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    let bucket = state.find_bucket(&request.target.bucket).await?;
    Ok(respond(200).header("etag", &bucket.etag).empty())
}

/// DeleteBucket; fails with 404, and with 409 if the bucket holds objects, open uploads or
/// pre-authenticated requests.
pub(crate) async fn delete(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    let (store, name) = (state.store.clone(), request.target.bucket);
    if !state.uploads.list(Some(&name)).is_empty() {
        let message = format!("The bucket named '{name}' has open multipart uploads.");
        return Err(ErrorResponse::new(409, "BucketNotEmpty", message).into());
    }
    if !state.pars.list(&name).is_empty() {
        let message = format!("The bucket named '{name}' has pre-authenticated requests.");
        return Err(ErrorResponse::new(409, "BucketNotEmpty", message).into());
    }
    blocking(move || {
        let existed = store.delete_bucket(&name)?;
        if existed { Ok(()) } else { Err(ErrorResponse::bucket_not_found(&name, NAMESPACE)) }
    })
    .await?;
    Ok(respond(204).empty())
}

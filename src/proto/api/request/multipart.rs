//! The requests of a multipart upload.
//!
//! Owns their queries and JSON bodies. Must not know which parts there are. Invariant: create and commit
//! have the same precondition.

use serde::Serialize;

use super::{Request, RequestClass, RequestPayload, encode, json};
use crate::api::{ObjectLocation, Precondition, PutOptions};
use crate::digest::Value;
use crate::part_number::PartNumber;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateBody<'a> {
    object: &'a str,
    content_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_language: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_disposition: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_tier: &'a Option<String>,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    metadata: serde_json::Map<String, serde_json::Value>,
}

/// CreateMultipartUpload.
pub fn create_upload(location: &ObjectLocation, options: &PutOptions) -> Request {
    // Each property by its name, so that a new one cannot be left out.
    let PutOptions {
        condition,
        checksum,
        storage_tier,
        content_type,
        content_encoding,
        content_language,
        content_disposition,
        cache_control,
        metadata,
        customer_key,
        kms_key_id,
    } = options;
    let metadata = metadata
        .iter()
        // Lower case, as the headers of PutObject are: the length of a stream must not change a name.
        .map(|(key, value)| {
            (format!("opc-meta-{}", key.to_ascii_lowercase()), value.clone().into())
        })
        .collect();
    let body = CreateBody {
        object: &location.object,
        content_type,
        content_language,
        content_encoding,
        content_disposition,
        cache_control,
        storage_tier,
        metadata,
    };
    let mut request = Request::new("POST", format!("{}/u", location.bucket_path()));
    request.condition(condition);
    request.checksum_algorithm(*checksum);
    request.customer_key(customer_key);
    request.optional("opc-sse-kms-key-id", kms_key_id);
    request.body = json(&body);
    request
}

/// UploadPart of part `number`, counted from 1, with a body of `size` bytes.
pub fn upload_part(
    location: &ObjectLocation,
    options: &PutOptions,
    upload_id: &str,
    number: PartNumber,
    size: u64,
    value: &Option<Value>,
) -> Request {
    let path = format!("{}&uploadPartNum={number}", location.upload_path(upload_id));
    let mut request = Request::new("PUT", path);
    request.header("content-type", "application/octet-stream");
    request.checksum(value);
    request.customer_key(&options.customer_key);
    request.body = RequestPayload::Stream { size, crc: options.checksum.buffer_crc() };
    request.class = RequestClass::Transfer(number.get().into());
    request
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CommitPart<'a> {
    part_num: PartNumber,
    etag: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CommitBody<'a> {
    parts_to_commit: Vec<CommitPart<'a>>,
    parts_to_exclude: &'a [PartNumber],
}

/// CommitMultipartUpload of `parts`, each a part number and an etag, without the parts `excluded`. The precondition of the create is
/// repeated, since the service evaluates it at the commit.
pub fn commit<'a>(
    location: &ObjectLocation,
    condition: &Precondition,
    upload_id: &str,
    parts: impl Iterator<Item = (PartNumber, &'a str)>,
    excluded: &[PartNumber],
) -> Request {
    let mut request = Request::new("POST", location.upload_path(upload_id));
    request.condition(condition);
    let parts_to_commit = parts.map(|(part_num, etag)| CommitPart { part_num, etag }).collect();
    request.body = json(&CommitBody { parts_to_commit, parts_to_exclude: excluded });
    request
}

/// AbortMultipartUpload.
pub fn abort(location: &ObjectLocation, upload_id: &str) -> Request {
    let request = Request::new("DELETE", location.upload_path(upload_id));
    Request { class: RequestClass::Abort, ..request }
}

/// ListMultipartUploadParts, one page of at most 1,000 parts; `page` is `Page::next` of the page before.
pub fn list_parts(location: &ObjectLocation, upload_id: &str, page: Option<&str>) -> Request {
    let path = format!("{}&limit=1000{}", location.upload_path(upload_id), page_query(page));
    Request::new("GET", path)
}

/// ListMultipartUploads of the bucket, one page of at most 1,000 uploads.
pub fn list_uploads(location: &ObjectLocation, page: Option<&str>) -> Request {
    let path = format!("{}/u?limit=1000{}", location.bucket_path(), page_query(page));
    Request::new("GET", path)
}

fn page_query(page: Option<&str>) -> String {
    page.map(|page| format!("&page={}", encode(page))).unwrap_or_default()
}

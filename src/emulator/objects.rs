//! The calls on objects: put, get, head, delete, list, restore.
//!
//! Invariant: conditions are judged at the moment of the change, and a body that is not what its
//! headers claim is never stored.

use super::auth_handlers::parse;
use super::body::{HandlerError, blocking};
use super::checksum::ClaimedChecksums;
use super::clock;
use super::conditions::{Conditions, ReadOutcome};
use super::dispatch::{RequestContext, ServerState, declared_length};
use super::fault::Fault;
use super::properties;
use super::response::{ErrorResponse, Payload, Response, answer};
use super::state_dir::NAMESPACE;
use super::store::listing::{self, ListRequest};
use super::store::object::{Object, ObjectChecksums, legal_object_name, uuid};
use super::store::upload::PartWriter;
use super::{buckets, range, threads};
use bytes::Bytes;
use serde::Deserialize;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use tokio::sync::mpsc;

const CHUNK: u64 = 256 * 1024;

/// Refuses names that no object can have.
pub fn check_name(name: &str) -> Result<(), ErrorResponse> {
    if legal_object_name(name) {
        return Ok(());
    }
    Err(ErrorResponse::new(400, "InvalidObjectName", "The object name is not valid"))
}

pub async fn put(core: &ServerState, mut call: RequestContext) -> Result<Response, HandlerError> {
    let (bucket_name, name) = (call.target.bucket.clone(), call.target.object.clone());
    check_name(&name)?;
    let bucket = buckets::find(core, &bucket_name).await?;
    let mut properties = properties::of_headers(&call.headers)?;
    properties.storage_tier.get_or_insert(bucket.storage_tier);
    let claims = ClaimedChecksums::of(&call.headers)?;
    let conditions = call.conditions(core);
    let (shelf, scratch, early) = (core.store.clone(), core.uploads.scratch(), conditions.clone());
    let slot = blocking({
        let name = name.clone();
        move || {
            shelf.check_name(&bucket_name, &name)?;
            let current = shelf.head(&bucket_name, &name)?;
            early.allow_write(current.as_ref().map(|object| object.etag.as_str()))?;
            Ok(PartWriter::alone(scratch)?)
        }
    })
    .await?;
    let body = call.body.take().ok_or(HandlerError::Cut)?;
    let (slot, sums) = body.write_to(slot, claims.algorithms()).await?;
    if Some(sums.size) != declared_length(&call.headers) {
        return Err(HandlerError::Cut);
    }
    call.reauthenticate(core)?;
    claims.check(&sums)?;
    call.received().await;
    let now = core.now();
    let shelf = core.store.clone();
    let lies = call.fault == Some(Fault::NothingStored);
    let placed = blocking(move || {
        let object = Object {
            name,
            etag: uuid(),
            size: sums.size,
            created: now,
            modified: now,
            properties,
            checks: ObjectChecksums::Single(sums),
            restored_until: None,
        };
        if lies {
            conditions.allow_write(
                shelf.head(&call.target.bucket, &object.name)?.map(|o| o.etag).as_deref(),
            )?;
            return Ok(object);
        }
        slot.file.sync_all()?;
        shelf.commit_object(&call.target.bucket, slot.path(), object, &conditions)
    })
    .await?;
    let done = answer(200)
        .header("etag", &placed.etag)
        .header("last-modified", clock::http_of_millis(placed.modified))
        .header("version-id", placed.version());
    Ok(properties::checks(done, &placed, "opc-content-md5").empty())
}

/// GetObject, and with `whole` false HeadObject.
pub async fn read(
    core: &ServerState,
    call: RequestContext,
    whole: bool,
) -> Result<Response, HandlerError> {
    buckets::find(core, &call.target.bucket).await?;
    let (shelf, target) = (core.store.clone(), call.target.clone());
    let (object, file) = blocking(move || {
        let missing = || ErrorResponse::object_not_found(&target.object, &target.bucket);
        shelf.open(&target.bucket, &target.object)?.ok_or_else(missing)
    })
    .await?;
    let now = core.now();
    let reading = Conditions::of(&call.headers).allow_read(&object.etag)?;
    if reading == ReadOutcome::NotModified {
        return Ok(answer(304).header("etag", &object.etag).empty());
    }
    properties::same_key(&object.properties.customer_key, &call.headers)?;
    if !whole {
        let found = properties::describe(answer(200), &object, now);
        return Ok(found.header("content-length", object.size.to_string()).empty());
    }
    if object.archival_state(now) == Some("Archived") {
        let message = format!("The object '{}' is archived and not restored", object.name);
        return Err(ErrorResponse::new(409, "NotRestored", message).into());
    }
    let asked = properties::text(&call.headers, "range");
    let part = range::wanted(asked.as_deref(), object.size)?;
    let (start, length) = part.unwrap_or((0, object.size));
    let status = if part.is_some() { 206 } else { 200 };
    let mut found = properties::describe(answer(status), &object, now);
    if part.is_some() {
        let last = start + length - 1;
        found = found.header("content-range", format!("bytes {start}-{last}/{}", object.size));
    }
    for (parameter, header) in [
        ("httpResponseContentType", "content-type"),
        ("httpResponseContentLanguage", "content-language"),
        ("httpResponseContentEncoding", "content-encoding"),
        ("httpResponseContentDisposition", "content-disposition"),
        ("httpResponseCacheControl", "cache-control"),
        ("httpResponseExpires", "expires"),
    ] {
        found = found.maybe(header, call.target.query.value(parameter));
    }
    Ok(found.body(stream(file, start, length)))
}

/// The bytes of a file as a response body, read ahead by a few chunks only.
fn stream(file: File, mut at: u64, length: u64) -> Payload {
    if length == 0 {
        return Payload::empty();
    }
    let (sender, chunks) = mpsc::channel(4);
    let end = at + length;
    // Whether it could be read is told through the channel.
    drop(threads::begin(move || {
        while at < end {
            let size = usize::try_from(CHUNK.min(end - at)).unwrap_or(0);
            let mut chunk = vec![0; size];
            let read: io::Result<()> = file.read_exact_at(&mut chunk, at);
            let failed = read.is_err();
            // A closed channel is a client that went away.
            if sender.blocking_send(read.map(|()| Bytes::from(chunk))).is_err() || failed {
                return;
            }
            at += size as u64;
        }
    }));
    Payload::stream(chunks, length)
}

pub async fn delete(
    core: &ServerState,
    mut call: RequestContext,
) -> Result<Response, HandlerError> {
    buckets::find(core, &call.target.bucket).await?;
    call.received().await;
    let (shelf, target) = (core.store.clone(), call.target.clone());
    let conditions = call.conditions(core);
    blocking(move || {
        if shelf.delete(&target.bucket, &target.object, &conditions)? {
            return Ok(());
        }
        Err(ErrorResponse::nothing_to_delete(&target.object, &target.bucket, NAMESPACE))
    })
    .await?;
    Ok(answer(204).header("last-modified", clock::http(core.clock.now())).empty())
}

pub async fn list(core: &ServerState, call: RequestContext) -> Result<Response, HandlerError> {
    buckets::find(core, &call.target.bucket).await?;
    let query = &call.target.query;
    let text = |name: &str| query.value(name).map(str::to_owned);
    let limit = query.number("limit")?.unwrap_or(1000).clamp(1, 1000);
    let delimiter = text("delimiter").filter(|text| !text.is_empty());
    if delimiter.as_deref().is_some_and(|text| text != "/") {
        return Err(ErrorResponse::invalid_parameter("The delimiter can only be '/'").into());
    }
    let wanted = ListRequest {
        prefix: text("prefix").unwrap_or_default(),
        start: text("start"),
        start_after: text("startAfter"),
        end: text("end"),
        delimiter,
        limit: usize::try_from(limit).unwrap_or(1000).min(core.page_size()),
    };
    let fields = text("fields").unwrap_or_default();
    let fields: Vec<&str> = fields.split(',').map(str::trim).collect();
    let (shelf, bucket) = (core.store.clone(), call.target.bucket.clone());
    let all = blocking(move || shelf.list(&bucket)).await?;
    let page = listing::page(&all, &wanted);
    let now = core.now();
    let summary = |object: &&Object| {
        let mut shown =
            serde_json::Map::from_iter([("name".to_owned(), object.name.clone().into())]);
        for field in &fields {
            let value: serde_json::Value = match *field {
                "size" => object.size.into(),
                "etag" => object.etag.clone().into(),
                "md5" => object.md5().into(),
                "timeCreated" => clock::iso(object.created).into(),
                "timeModified" => clock::iso(object.modified).into(),
                "storageTier" => object.tier().into(),
                "archivalState" => object.archival_state(now).into(),
                _ => continue,
            };
            shown.insert((*field).to_owned(), value);
        }
        shown
    };
    let mut body = serde_json::json!({
        "objects": page.objects.iter().map(summary).collect::<Vec<_>>(),
        "prefixes": page.prefixes,
    });
    if let Some(next) = page.next {
        body["nextStartWith"] = next.into();
    }
    Ok(answer(200).json(&body))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RestoreBody {
    object_name: String,
    hours: Option<u64>,
}

/// Restoring takes no time here.
pub async fn restore(core: &ServerState, call: RequestContext) -> Result<Response, HandlerError> {
    buckets::find(core, &call.target.bucket).await?;
    let request: RestoreBody = parse(&call.signed)?;
    let now = core.now();
    let until = now + request.hours.unwrap_or(24).clamp(1, 240) * 3_600_000;
    let (shelf, bucket) = (core.store.clone(), call.target.bucket.clone());
    blocking(move || {
        let found = shelf.head(&bucket, &request.object_name)?;
        let mut object =
            found.ok_or_else(|| ErrorResponse::object_not_found(&request.object_name, &bucket))?;
        if object.archival_state(now) != Some("Archived") {
            let message = "The object is not archived, or is restored already";
            return Err(ErrorResponse::new(409, "IncorrectState", message));
        }
        object.restored_until = Some(until);
        shelf.update_metadata(&bucket, object)
    })
    .await?;
    Ok(answer(200).empty())
}

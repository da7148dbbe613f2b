//! The calls on objects: put, get, head, delete, list, restore.
//!
//! Owns the form of their requests and responses; where the bytes are is decided in `store`.
//! Invariant: preconditions are evaluated at the moment of the change, and a body that does not
//! match the checksums in its headers is never stored.

use super::checksum::{Checksums, ClaimedChecksums};
use super::clock;
use super::conditions::{Conditions, ReadOutcome};
use super::context::{RequestContext, ServerState, blocking, declared_length};
use super::fault::Fault;
use super::properties;
use super::response::{
    ErrorResponse, HandlerError, Payload, Response, ResponseBuilder, parse, respond,
};
use super::route::Query;
use super::state_dir::NAMESPACE;
use super::store::listing::{self, ListRequest};
use super::store::object::{Object, ObjectChecksums, Properties, uuid};
use super::store::part_writer::PartWriter;
use super::{range, threads};
use bytes::Bytes;
use serde::Deserialize;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use tokio::sync::mpsc;

/// Bytes of a file that are read at once.
const CHUNK: u64 = 256 * 1024;

/// Chunks between the disk and the socket.
const READ_AHEAD_CHUNKS: usize = 4;

/// The query parameters of GetObject that replace a response header.
const RESPONSE_HEADERS: [(&str, &str); 6] = [
    ("httpResponseContentType", "content-type"),
    ("httpResponseContentLanguage", "content-language"),
    ("httpResponseContentEncoding", "content-encoding"),
    ("httpResponseContentDisposition", "content-disposition"),
    ("httpResponseCacheControl", "cache-control"),
    ("httpResponseExpires", "expires"),
];

/// PutObject; fails with 400 on headers or checksums that are not valid, with 412 if a precondition
/// does not hold, and without a response if the connection breaks within the body.
pub(crate) async fn put(
    state: &ServerState,
    mut request: RequestContext,
) -> Result<Response, HandlerError> {
    let (bucket_name, name) = (request.target.bucket.clone(), request.target.object.clone());
    properties::check_object_name(&name)?;
    let bucket = state.find_bucket(&bucket_name).await?;
    let mut properties = properties::of_headers(&request.headers)?;
    properties.storage_tier.get_or_insert(bucket.storage_tier);
    let claimed = ClaimedChecksums::of(&request.headers)?;
    let conditions = request.conditions(state);
    let (store, scratch, early) =
        (state.store.clone(), state.uploads.scratch(), conditions.clone());
    let writer = blocking(move || {
        store.check_name(&bucket_name, &name)?;
        let current = store.head(&bucket_name, &name)?;
        early.allow_write(current.as_ref().map(|object| object.etag.as_str()))?;
        Ok(PartWriter::standalone(scratch)?)
    })
    .await?;
    let body = request.body.take().ok_or(HandlerError::Aborted)?;
    let (writer, checksums) = body.write_to(writer, claimed.algorithms()).await?;
    if Some(checksums.size) != declared_length(&request.headers) {
        return Err(HandlerError::Aborted);
    }
    request.reauthenticate(state)?;
    claimed.check(&checksums)?;
    request.wait_if_delayed().await;
    let object = new_object(&request.target.object, state.now(), properties, checksums);
    let stored = store_body(state, request, writer, object, conditions).await?;
    let response = respond(200)
        .header("etag", &stored.etag)
        .header("last-modified", clock::http_of_millis(stored.modified))
        .header("version-id", stored.version());
    Ok(properties::with_checksums(response, &stored, "opc-content-md5").empty())
}

/// The object of a PutObject, created at `now` (milliseconds since 1970).
fn new_object(name: &str, now: u64, properties: Properties, checksums: Checksums) -> Object {
    Object {
        name: name.to_owned(),
        etag: uuid(),
        size: checksums.size,
        created: now,
        modified: now,
        properties,
        checksums: ObjectChecksums::Single(checksums),
        restored_until: None,
    }
}

/// Makes the received body an object and returns it as stored; fails if a precondition does not
/// hold. With the fault `nothing_stored` it only evaluates the preconditions.
async fn store_body(
    state: &ServerState,
    request: RequestContext,
    writer: PartWriter,
    object: Object,
    conditions: Conditions,
) -> Result<Object, ErrorResponse> {
    let (store, bucket) = (state.store.clone(), request.target.bucket);
    let nothing_stored = request.fault == Some(Fault::NothingStored);
    blocking(move || {
        if nothing_stored {
            let current = store.head(&bucket, &object.name)?;
            conditions.allow_write(current.map(|object| object.etag).as_deref())?;
            return Ok(object);
        }
        writer.file.sync_all()?;
        store.commit_object(&bucket, writer.path(), object, &conditions)
    })
    .await
}

/// The object that a GetObject or HeadObject names, with its opened file. Fails with 404, or with
/// 412 if a precondition does not hold.
async fn open(
    state: &ServerState,
    request: &RequestContext,
) -> Result<(Object, File, ReadOutcome), ErrorResponse> {
    state.find_bucket(&request.target.bucket).await?;
    let (store, target) = (state.store.clone(), request.target.clone());
    let (object, file) = blocking(move || {
        let missing = || ErrorResponse::object_not_found(&target.object, &target.bucket);
        store.open(&target.bucket, &target.object)?.ok_or_else(missing)
    })
    .await?;
    let outcome = Conditions::of(&request.headers).allow_read(&object.etag)?;
    if outcome == ReadOutcome::Full {
        properties::check_same_key(&object.properties.customer_key, &request.headers)?;
    }
    Ok((object, file, outcome))
}

fn not_modified(object: &Object) -> Response {
    respond(304).header("etag", &object.etag).empty()
}

/// HeadObject; fails with 404, or with 412 if a precondition does not hold.
pub(crate) async fn head(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    let (object, _, outcome) = open(state, &request).await?;
    if outcome == ReadOutcome::NotModified {
        return Ok(not_modified(&object));
    }
    let response = properties::describe(respond(200), &object, state.now());
    Ok(response.header("content-length", object.size.to_string()).empty())
}

/// GetObject; fails as HeadObject, with 409 if the object is archived and with 416 on a range
/// beyond its end.
pub(crate) async fn get(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    let (object, file, outcome) = open(state, &request).await?;
    if outcome == ReadOutcome::NotModified {
        return Ok(not_modified(&object));
    }
    let now = state.now();
    if object.archival_state(now) == Some("Archived") {
        let message = format!("The object '{}' is archived and not restored", object.name);
        return Err(ErrorResponse::new(409, "NotRestored", message).into());
    }
    let header = properties::text(&request.headers, "range");
    let (response, (start, length)) = match range::parse_range(header.as_deref(), object.size)? {
        Some((start, length)) => {
            let last = start + length - 1;
            let range = format!("bytes {start}-{last}/{}", object.size);
            let partial = properties::describe(respond(206), &object, now);
            (partial.header("content-range", range), (start, length))
        }
        None => (properties::describe(respond(200), &object, now), (0, object.size)),
    };
    let response = with_requested_headers(response, &request.target.query);
    Ok(response.body(stream(file, start, length)))
}

fn with_requested_headers(response: ResponseBuilder, query: &Query) -> ResponseBuilder {
    RESPONSE_HEADERS.into_iter().fold(response, |response, (parameter, header)| {
        response.maybe(header, query.value(parameter))
    })
}

/// A range of a file as a response body; at most `READ_AHEAD_CHUNKS` chunks of it are in memory.
fn stream(file: File, mut offset: u64, length: u64) -> Payload {
    if length == 0 {
        return Payload::empty();
    }
    let (sender, chunks) = mpsc::channel(READ_AHEAD_CHUNKS);
    let end = offset + length;
    // The result of the thread is not needed: a failed read goes through the channel.
    drop(threads::spawn(move || {
        while offset < end {
            let size = usize::try_from(CHUNK.min(end - offset)).unwrap_or(0);
            let mut chunk = vec![0; size];
            let read: io::Result<()> = file.read_exact_at(&mut chunk, offset);
            let failed = read.is_err();
            // The channel is closed when the client has closed the connection.
            if sender.blocking_send(read.map(|()| Bytes::from(chunk))).is_err() || failed {
                return;
            }
            offset += size as u64;
        }
    }));
    Payload::stream(chunks, length)
}

/// DeleteObject; fails with 404, or with 412 if a precondition does not hold.
pub(crate) async fn delete(
    state: &ServerState,
    mut request: RequestContext,
) -> Result<Response, HandlerError> {
    state.find_bucket(&request.target.bucket).await?;
    request.wait_if_delayed().await;
    let (store, target) = (state.store.clone(), request.target.clone());
    let conditions = request.conditions(state);
    blocking(move || {
        if store.delete(&target.bucket, &target.object, &conditions)? {
            return Ok(());
        }
        Err(ErrorResponse::nothing_to_delete(&target.object, &target.bucket, NAMESPACE))
    })
    .await?;
    Ok(respond(204).header("last-modified", clock::http(state.clock.now())).empty())
}

/// Reads the query of a ListObjects; `page_size` is the most items of one page.
fn list_request(query: &Query, page_size: usize) -> Result<ListRequest, ErrorResponse> {
    let text = |name: &str| query.value(name).map(str::to_owned);
    let limit = query.number("limit")?.unwrap_or(1000).clamp(1, 1000);
    let delimiter = text("delimiter").filter(|text| !text.is_empty());
    if delimiter.as_deref().is_some_and(|text| text != "/") {
        return Err(ErrorResponse::invalid_parameter("The delimiter can only be '/'"));
    }
    Ok(ListRequest {
        prefix: text("prefix").unwrap_or_default(),
        start: text("start"),
        start_after: text("startAfter"),
        end: text("end"),
        delimiter,
        limit: usize::try_from(limit).unwrap_or(1000).min(page_size),
    })
}

/// The name of an object and those of `fields` that ListObjects knows.
fn summary(
    object: &Object,
    fields: &[&str],
    now: u64,
) -> serde_json::Map<String, serde_json::Value> {
    let mut summary = serde_json::Map::from_iter([("name".to_owned(), object.name.clone().into())]);
    for field in fields {
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
        summary.insert((*field).to_owned(), value);
    }
    summary
}

/// ListObjects; fails with 404 if the bucket does not exist and with 400 on a query that is not
/// valid.
pub(crate) async fn list(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    state.find_bucket(&request.target.bucket).await?;
    let list_request = list_request(&request.target.query, state.page_size())?;
    let fields = request.target.query.value("fields").unwrap_or_default();
    let fields: Vec<&str> = fields.split(',').map(str::trim).collect();
    let (store, bucket) = (state.store.clone(), request.target.bucket.clone());
    let all = blocking(move || store.list(&bucket)).await?;
    let page = listing::page(&all, &list_request);
    let now = state.now();
    let objects: Vec<_> = page.objects.iter().map(|object| summary(object, &fields, now)).collect();
    let mut body = serde_json::json!({ "objects": objects, "prefixes": page.prefixes });
    if let Some(next) = page.next {
        body["nextStartWith"] = next.into();
    }
    Ok(respond(200).json(&body))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RestoreBody {
    object_name: String,
    hours: Option<u64>,
}

/// RestoreObjects: restores an archived object at once, where the service takes up to an hour.
/// Fails with 404, and with 409 if the object is not archived.
pub(crate) async fn restore(
    state: &ServerState,
    request: RequestContext,
) -> Result<Response, HandlerError> {
    state.find_bucket(&request.target.bucket).await?;
    let body: RestoreBody = parse(&request.signed_body)?;
    let now = state.now();
    let until = now + body.hours.unwrap_or(24).clamp(1, 240) * 3_600_000;
    let (store, bucket) = (state.store.clone(), request.target.bucket);
    blocking(move || {
        let found = store.head(&bucket, &body.object_name)?;
        let mut object =
            found.ok_or_else(|| ErrorResponse::object_not_found(&body.object_name, &bucket))?;
        if object.archival_state(now) != Some("Archived") {
            let message = "The object is not archived, or is restored already";
            return Err(ErrorResponse::new(409, "IncorrectState", message));
        }
        object.restored_until = Some(until);
        store.update_metadata(&bucket, object)
    })
    .await?;
    Ok(respond(200).empty())
}

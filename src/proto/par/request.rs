//! The requests through a PAR.
//!
//! Owns what they have that the signed ones lack, and what they lack. Must not know signatures. Invariant:
//! the secret is not part of the target, so that a target can be shown.
//!
//! Headers for digests, preconditions and tiers are documented for no request through a PAR. They are
//! sent all the same, and nothing relies on them.

use super::{ParObject, UploadUri};
use crate::api::{CustomerKey, Precondition, PutOptions, Request, RequestClass, RequestPayload};
use crate::digest::{BufferCrc, Value};
use crate::part_number::PartNumber;

fn of_object(method: &'static str, object: &ParObject) -> Request {
    Request { secret: Some(object.secret.clone()), ..Request::new(method, object.target.clone()) }
}

fn of_upload(method: &'static str, upload: &UploadUri, suffix: &str) -> Request {
    let target = format!("{}{suffix}", upload.target);
    Request { secret: Some(upload.secret.clone()), ..Request::new(method, target) }
}

/// HEAD of the object.
pub fn head(object: &ParObject, customer_key: &Option<CustomerKey>) -> Request {
    let mut request = of_object("HEAD", object);
    request.customer_key(customer_key);
    request
}

/// GET of the first byte. Unlike that of HEAD, an error response has a body with a code.
pub fn first_byte(object: &ParObject, customer_key: &Option<CustomerKey>) -> Request {
    let mut request = of_object("GET", object);
    request.header("range", "bytes=0-0");
    request.customer_key(customer_key);
    request
}

/// The PUT that starts a multipart upload. Only it carries the properties of the object.
pub fn start_multipart(object: &ParObject, options: &PutOptions) -> Request {
    let mut request = of_object("PUT", object);
    request.header("opc-multipart", "true");
    request.object_properties(options);
    request.checksum_algorithm(options.checksum);
    request.body = RequestPayload::Stream { size: 0, crc: options.checksum.buffer_crc() };
    request
}

/// The PUT of a whole stream of `size` bytes.
pub fn put(object: &ParObject, options: &PutOptions, size: u64, value: &Option<Value>) -> Request {
    let mut request = of_object("PUT", object);
    request.object_properties(options);
    request.checksum(value);
    request.body = RequestPayload::Stream { size, crc: options.checksum.buffer_crc() };
    request.class = RequestClass::Transfer(1);
    request
}

/// The PUT of part `number`, counted from 1, with a body of `size` bytes.
pub fn part(
    upload: &UploadUri,
    options: &PutOptions,
    number: PartNumber,
    size: u64,
    value: &Option<Value>,
) -> Request {
    let mut request = of_upload("PUT", upload, &number.to_string());
    request.header("content-type", "application/octet-stream");
    request.checksum(value);
    request.customer_key(&options.customer_key);
    request.body = RequestPayload::Stream { size, crc: options.checksum.buffer_crc() };
    request.class = RequestClass::Transfer(number.get().into());
    request
}

/// The POST that commits whatever parts the upload has. The precondition of the start is repeated.
pub fn commit(upload: &UploadUri, condition: &Precondition) -> Request {
    let mut request = of_upload("POST", upload, "");
    request.condition(condition);
    request.body = RequestPayload::Stream { size: 0, crc: BufferCrc::Crc32 };
    request
}

/// The DELETE that discards the upload.
pub fn abort(upload: &UploadUri) -> Request {
    Request { class: RequestClass::Abort, ..of_upload("DELETE", upload, "") }
}

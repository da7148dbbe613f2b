//! The requests for one object, and GetNamespace.
//!
//! Owns their headers. Must not know parts or uploads. Invariant: a request that depends on a version of
//! the object has `if-match`.

use serde::Serialize;

use super::{Request, RequestClass, RequestPayload, json};
use crate::api::{CustomerKey, ObjectLocation, PutOptions, ReadOptions};
use crate::digest::Value;

/// GetNamespace.
pub fn namespace() -> Request {
    Request::new("GET", "/n".to_owned())
}

/// HeadObject.
pub fn head_object(location: &ObjectLocation, customer_key: &Option<CustomerKey>) -> Request {
    let mut request = Request::new("HEAD", location.object_path());
    request.customer_key(customer_key);
    request
}

/// HeadObject of the version that the options name, if it has the etag that they name.
pub fn head_version(location: &ObjectLocation, options: &ReadOptions) -> Request {
    let mut request = Request::new("HEAD", location.version_path(&options.version_id));
    request.optional("if-match", &options.if_match);
    request.customer_key(&options.customer_key);
    request
}

/// GetObject of bytes `first` to `last`, both included, if the object has this etag.
pub fn get_range(
    location: &ObjectLocation,
    options: &ReadOptions,
    etag: &str,
    (first, last): (u64, u64),
) -> Request {
    let mut request = Request::new("GET", location.version_path(&options.version_id));
    request.header("if-match", etag);
    request.header("range", format!("bytes={first}-{last}"));
    request.customer_key(&options.customer_key);
    request.class = RequestClass::Transfer(last);
    request
}

/// GetObject of the first byte of any object of this name. Unlike that of HeadObject, an error response
/// has a body with a code.
pub fn get_first_byte(location: &ObjectLocation, options: &ReadOptions) -> Request {
    let mut request = Request::new("GET", location.version_path(&options.version_id));
    request.header("range", "bytes=0-0");
    request.customer_key(&options.customer_key);
    request
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RestoreBody<'a> {
    object_name: &'a str,
    hours: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<&'a str>,
}

/// RestoreObjects: makes an archived object readable for `hours`.
pub fn restore_object(location: &ObjectLocation, version_id: Option<&str>, hours: u32) -> Request {
    let path = format!("{}/actions/restoreObjects", location.bucket_path());
    let mut request = Request::new("POST", path);
    request.body = json(&RestoreBody { object_name: &location.object, hours, version_id });
    request
}

/// DeleteObject, if the object has this etag.
pub fn delete_object(location: &ObjectLocation, etag: &str) -> Request {
    let mut request = Request::new("DELETE", location.object_path());
    request.header("if-match", etag);
    request
}

/// PutObject of a whole stream of `size` bytes.
pub fn put_object(
    location: &ObjectLocation,
    options: &PutOptions,
    size: u64,
    value: &Option<Value>,
) -> Request {
    let mut request = Request::new("PUT", location.object_path());
    request.object_properties(options);
    request.checksum(value);
    request.body = RequestPayload::Stream { size, crc: options.checksum.buffer_crc() };
    request.class = RequestClass::Transfer(1);
    request
}

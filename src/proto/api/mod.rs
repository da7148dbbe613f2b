//! The Object Storage API: requests and responses as data.
//!
//! Owns the paths, header names and JSON fields of the API, except those of a signature. Must not know
//! how a request is sent, signed or retried. Invariant: stream data never passes through here; a request
//! knows only its length.

pub mod request;
pub mod response;

pub use request::{
    CustomerKey, ObjectLocation, Precondition, PutOptions, Request, RequestClass, RequestPayload,
};
pub use response::{
    Archival, Digests, ErrorResponse, InvalidResponse, ListedPart, ListedUpload, ObjectMeta, Page,
    Response,
};

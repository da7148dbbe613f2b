//! The Object Storage API: requests and responses as data.
//!
//! Owns the paths, header names and JSON fields of the API, except those of a signature. Must not know
//! how a request is sent, signed or retried. Invariant: stream data never passes through here; a request
//! knows only its length.

mod error_response;
mod expected_properties;
mod listing;
mod object;
pub mod request;
pub mod response;

pub use error_response::ErrorResponse;
pub use expected_properties::{ExpectedProperties, ObjectHeaders};
pub use listing::{ListedPart, ListedUpload, Page, parse_created, parse_page};
pub use object::{CustomerKey, ObjectLocation, Precondition, PutOptions, ReadOptions};
pub use request::{Request, RequestClass, RequestPayload};
pub use response::{Archival, Digests, InvalidResponse, ObjectMeta, Response};

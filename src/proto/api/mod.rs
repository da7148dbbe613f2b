//! The Object Storage API as the client speaks it: requests and answers as data.

pub mod request;
pub mod response;

pub use request::{
    CustomerKey, ObjectLocation, Precondition, PutOptions, Request, RequestClass, RequestPayload,
};
pub use response::{
    Archival, Digests, ErrorResponse, InvalidResponse, ListedPart, ListedUpload, ObjectMeta, Page,
    Response,
};

//! The Object Storage API as the client speaks it: requests and answers as data.

pub mod answer;
pub mod request;

pub use answer::{
    Archival, ErrorResponse, InvalidResponse, ListedPart, ListedUpload, ObjectMeta, Page, Response,
};
pub use request::{
    CustomerKey, ObjectLocation, Precondition, PutOptions, Request, RequestClass, RequestPayload,
};

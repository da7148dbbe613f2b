//! Decisions and wire formats of an upload to OCI Object Storage.
//!
//! Owns the upload state machine, the token life cycle, the retry policy, the part plan, request
//! signing, and the requests and responses of the API. Knows no runtime, socket, file, process or
//! clock: time is an argument. Invariant: the manifest names no crate that does I/O.

pub mod api;
pub mod customer_key;
pub mod digest;
pub mod endpoint;
pub mod error;
pub mod key;
pub mod metadata;
pub mod object_url;
pub mod part_plan;
pub mod printable;
pub mod receipt;
pub mod region;
pub mod retry;
pub mod shell;
pub mod sign;
pub mod token;
pub mod token_lifecycle;
pub mod units;
pub mod upload;

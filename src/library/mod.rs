//! The library: a stream of the caller, stored as one object.
//!
//! Owns the public types of the crate, and what a caller must not be able to get wrong. Must not know the
//! command line, stdin, stdout, stderr or signals. Invariant: nothing is read from the process or
//! written for people; progress and warnings go to the caller's functions.

mod client;
mod error;
mod feed;
mod put;
mod receipt;
#[cfg(test)]
mod tests;

pub use client::{ClientConfig, StorageClient};
pub use error::Error;
pub use put::{Progress, PutRequest};
pub use receipt::Receipt;

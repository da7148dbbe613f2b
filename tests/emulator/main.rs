//! The embedded Object Storage, seen from a socket.

// Code here runs only in tests, where a panic is how to say that something is wrong.
#![allow(clippy::unwrap_used)]

mod auth;
mod client;
mod faults;
mod local;
mod multipart;
mod objects;
mod policy;

//! The embedded Object Storage, tested through its socket.
//!
//! Knows the public interface of the emulator and HTTP. Invariant: each test has a server and a
//! folder of its own, so tests run side by side.

// A test fails by a panic.
#![allow(clippy::unwrap_used)]

mod auth;
mod client;
mod faults;
mod instance;
mod local;
mod login;
mod multipart;
mod objects;
mod par;
mod par_uploads;
mod policy;
mod principals;

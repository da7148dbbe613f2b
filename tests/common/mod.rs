//! Helpers of the tests of the whole program: the program itself, a store in this process, streams.

#![allow(dead_code)] // Each test file uses a part of it.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A panic is how a test fails.

pub mod disposition;
pub mod flaky_proxy;
pub mod limits;
pub mod open_upload;
pub mod peer;
pub mod pipes;
pub mod postgres;
pub mod run;
pub mod serve;
pub mod store;
pub mod stream;

//! Services, files and users that do harm: what they can reach.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod files;
mod processes;
mod redirects;
mod uploads;

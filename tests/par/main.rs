//! `put` through a pre-authenticated request (PAR): a host that has its URL and nothing else.
//!
//! The emulator plays what the documentation leaves open both ways.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod ends;
mod expiry;
mod host;
mod open_questions;
mod secret;
mod uploads;
mod usage;

//! Every way to sign in but API keys and sessions, through the real program: instances, resources, pods
//! and exchanged tokens, with tokens of a few seconds.
//!
//! The emulator writes the variables of each mode to a file; a host of a test has these and no others.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod delegation;
mod exchange;
mod host;
mod instance;
mod lives;
mod metadata;
mod oke;
mod resource;
mod secrets;
mod show;

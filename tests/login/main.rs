//! `session authenticate`, `export` and `import`: the real program, with a test in the place of the
//! browser.
//!
//! The login page leads to port 8181 of this host, so one login runs at a time.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod archive;
mod browser;
mod session;

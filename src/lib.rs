//! ocipipe: one stream that exists only once, stored as one object.
//!
//! The map. An arrow points at what a group may import; `tests/layers` checks each of them.
//!
//! `commands` -> `cli`, `transfer`, `term`, `auth`, `source`; `transfer` -> `source`, `net`, `auth`,
//! `term`; all of them -> `platform` and the crates `proto` (decisions and wire formats, no I/O),
//! `validate` (whether a stream is whole in its format) and `emulator` (the embedded Object Storage,
//! which `commands::serve` alone may import).

pub mod auth;
pub mod cli;
pub mod commands;
pub mod net;
pub mod platform;
pub mod source;
pub mod term;
pub mod transfer;

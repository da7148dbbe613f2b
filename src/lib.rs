//! ocipipe: one stream that exists only once, stored as one object.
//!
//! The map. An arrow points at what a group may import; `tests/layers` checks each of them.
//!
//! `commands` -> every group; `transfer` -> `source`, `net`, `auth`, `term`; `cli` -> the types of
//! options in `auth` and `term`; `net` -> the types of options in `auth`; all of them -> `platform`
//! (except `cli`) and the crates `proto` (decisions and wire formats, no I/O) and `validate`
//! (whether a stream is complete in its format). `commands::serve` alone imports `emulator` (the
//! embedded Object Storage).

pub mod auth;
pub mod cli;
pub mod commands;
pub mod net;
pub mod platform;
pub mod source;
pub mod term;
pub mod transfer;

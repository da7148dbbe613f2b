//! One stream that exists only once, stored as one object of OCI Object Storage.
//!
//! A stream is read once, without a temporary file, and sent as parallel parts of a multipart upload. It
//! survives what goes wrong on the way: lost connections, throttling, an outage of the service, a token
//! that expires. Success is reported only for an object that was compared with the bytes that were read.
//!
//! This crate is first of all the program `ocipipe`; as a library it has what the program does for one
//! stream: [`Client`], its [`ClientConfig`], a [`PutRequest`], its [`Receipt`] or [`Error`]. Cancellation is
//! an argument, and so are progress and warnings; the library handles no signal, reads no stdin and writes
//! nothing to stdout or stderr.
//!
//! The decisions are in the crate `ocipipe-proto`, without any I/O, for those who have a transport of their
//! own.
//!
//! ```no_run
//! use ocipipe::{Client, ClientConfig, PutRequest};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::open(ClientConfig::new().profile("BACKUP")).await?;
//! let file = tokio::fs::File::open("/var/lib/db/dump").await?;
//! let never = std::future::pending();
//! let receipt = PutRequest::new("backups", "db/dump").run(&client, file, never, |_| ()).await?;
//! println!("{} bytes as {}, compared by {}", receipt.size, receipt.etag, receipt.verified_by);
//! # Ok(())
//! # }
//! ```
//!
//! `examples/store_stream.rs` is a whole program.
//!
//! # Inside
//!
//! The map. An arrow points at what a group may import; `tests/layers` checks each of them.
//!
//! `program` -> `commands`, `cli`, `term`, the environment in `auth`; `commands` -> every group but
//! `library`; `library` and `transfer` -> `source`, `net`, `auth`, `term`; `library` -> `transfer`; `cli`
//! -> the types of options in `auth` and `term`; `net` -> the types of options in `auth`; all of them ->
//! `platform` (except `cli`) and the crates `proto` (decisions and wire formats, no I/O) and `validate`
//! (whether a stream is complete in its format).
//! `commands::serve` alone imports `emulator` (the embedded Object Storage).

#![cfg_attr(not(test), warn(missing_docs, unreachable_pub))]

mod auth;
mod cli;
mod commands;
mod library;
mod net;
mod platform;
mod program;
mod source;
mod term;
mod transfer;

pub use library::{ClientConfig, Error, Progress, PutRequest, Receipt, StorageClient as Client};
pub use proto::error::ErrorKind;

#[doc(hidden)]
pub mod internals;

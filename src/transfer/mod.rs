//! Performs what `proto` decides: requests, uploads and downloads.
//!
//! Owns the order of connect, check credentials, sign, send and read, and the tasks of a transfer.
//! Must not know the command line. Invariant: every attempt is signed after its connection is open.

pub mod client;
mod connection_rate;
pub mod download;
mod headers;
pub mod lookup;
mod object_check;
mod part_buffers;
pub mod preflight;
mod producer_state;
mod range_reader;
mod requests;
pub mod session_transport;
pub mod sink;
pub mod upload_driver;
mod upload_tasks;

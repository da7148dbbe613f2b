//! Performs what `proto` decides: requests, uploads and downloads.
//!
//! Owns the order of connect, check credentials, sign, send and read, and the tasks of a transfer.
//! Must not know the command line. Invariant: every attempt is signed after its connection is open.

mod archive;
pub mod client;
pub mod comparison;
mod connection_rate;
pub mod download;
mod headers;
pub mod lookup;
mod object_check;
pub mod object_reading;
pub mod open_uploads;
mod par_requests;
mod part_buffers;
mod partial_file;
pub mod preflight;
mod producer_state;
mod range_reader;
mod range_sampler;
mod range_sink;
mod range_window;
pub mod read_progress;
mod requests;
pub mod resume;
pub mod session_transport;
pub mod sink;
pub mod upload_driver;
mod upload_tasks;

//! Performs what `proto` decides: requests, uploads and downloads.
//!
//! Owns the order of connect, check credentials, sign, send and read, and the tasks of a transfer.
//! Must not know the command line. Invariant: every attempt is signed after its connection is open.

mod archive;
pub(crate) mod client;
pub(crate) mod comparison;
mod connection_rate;
pub(crate) mod download;
mod event_tasks;
mod headers;
pub(crate) mod listing;
pub(crate) mod lookup;
mod object_check;
pub(crate) mod object_reading;
pub(crate) mod open_uploads;
mod output_path;
mod par_requests;
mod part_buffers;
mod partial_file;
pub(crate) mod preflight;
mod producer_state;
mod range_reader;
mod range_sampler;
mod range_sink;
mod range_window;
pub(crate) mod read_progress;
mod requests;
pub(crate) mod resume;
pub(crate) mod session_transport;
pub(crate) mod sink;
pub(crate) mod upload_driver;
mod upload_tasks;

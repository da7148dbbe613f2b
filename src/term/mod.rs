//! The output of a run: progress and messages on stderr, the result on stdout.
//!
//! Owns the terminal and the standard descriptors. Must not know what is transferred or how.
//! Invariant: no write to stderr delays or fails a transfer.

pub(crate) mod log;
pub(crate) mod progress;
pub(crate) mod startup_fds;
pub(crate) mod stderr;

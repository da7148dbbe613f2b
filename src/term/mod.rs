//! What people see: progress, messages on stderr, the result on stdout.
//!
//! Owns the terminal and the standard descriptors. Must not know what is transferred or how.

pub mod progress;
pub mod startup_fds;
pub mod stderr;

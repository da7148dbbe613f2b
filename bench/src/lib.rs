//! Shared by the programs of the benchmark: options, and TLS records.
//!
//! Imports nothing of ocipipe; only the programs `ladder` and `bookkeeping` do.

pub mod options;
pub mod records;

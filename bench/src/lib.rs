//! What the programs of the benchmark share: options, and TLS records.
//!
//! Imports nothing of ocipipe: only the ladder does, to climb its modules.

pub mod options;
pub mod records;

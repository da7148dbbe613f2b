//! Memory, core dumps, threads, signals and small files, as the operating system provides them.
//!
//! Owns the system calls that belong to no other group. Must not know uploads or sessions.
//! Invariant: it imports no other group of this crate.

pub mod allocator;
pub mod core_dumps;
pub mod empty_input;
pub mod memory;
pub mod replaced_file;
pub mod signals;
pub mod small_file;
pub mod worker;

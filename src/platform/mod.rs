//! Memory, core dumps, threads, signals and small files, as the operating system provides them.
//!
//! Owns the system calls that belong to no other group. Must not know uploads or sessions.
//! Invariant: it imports no other group of this crate.

pub(crate) mod allocator;
pub(crate) mod core_dumps;
pub(crate) mod empty_input;
pub(crate) mod exposed_file;
pub(crate) mod memory;
pub(crate) mod replaced_file;
pub(crate) mod signals;
pub(crate) mod small_file;
pub(crate) mod standard_stream;
pub(crate) mod sync;
pub(crate) mod worker;

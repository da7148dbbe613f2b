//! What the operating system gives: memory, threads, signals, small files.
//!
//! Owns the calls to the system that no other group owns. Must not know uploads or credentials.

pub mod memory;
pub mod retrying_allocator;
pub mod signals;
pub mod small_file;
pub mod worker;

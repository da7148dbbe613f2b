//! The process `ocipipe`.
//!
//! Owns what a process has once: its allocator, and what happens before `main`. Must not know what the
//! program does. Invariant: a program that links the library has none of these.

use std::process::ExitCode;

use ocipipe::internals::{RetryingAllocator, record_closed_fds, run_program};

#[global_allocator]
static HEAP: RetryingAllocator = RetryingAllocator::new();

// Runs before `main`, when the Rust runtime has not yet opened the standard descriptors that are closed.
// `unsafe` in the attribute is the `ctor` crate's reminder that the standard library cannot be used there;
// there is no unsafe code here.
#[ctor::ctor(unsafe)]
fn before_main() {
    record_closed_fds();
}

fn main() -> ExitCode {
    run_program()
}

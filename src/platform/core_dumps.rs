//! Core dumps and debuggers are kept away from the memory of the process, which holds credentials.
//!
//! Owns the limit of core files and the dumpable attribute. Must not know what is secret. Invariant: a
//! process that is started within `with_inherited_limit` has the limit that this process was started
//! with.

use std::sync::OnceLock;

#[cfg(target_os = "linux")]
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit that the process was started with; not set while core dumps are as they were.
static INHERITED: OnceLock<Rlimit> = OnceLock::new();

/// Forbids core dumps of this process, and access to its memory by other processes of the same user.
/// Only the soft limit changes, so that it can be restored for the command that is run. Neither call
/// can fail for a process of its own; a sandbox that rejects one has the last word.
pub(crate) fn disable() {
    let inherited = *INHERITED.get_or_init(|| getrlimit(Resource::Core));
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: inherited.maximum });
    // The kernel resets the attribute in a process that executes another program.
    #[cfg(target_os = "linux")]
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Starts a process with the limit that this process was started with. Meanwhile the dumpable
/// attribute forbids a dump of this one.
pub(crate) fn with_inherited_limit<T>(start: impl FnOnce() -> T) -> T {
    let Some(inherited) = INHERITED.get() else { return start() };
    let _ = setrlimit(Resource::Core, *inherited);
    let started = start();
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: inherited.maximum });
    started
}

//! The number of heaps ("arenas") that the C library keeps.
//!
//! glibc reserves 64 MiB of address space for each thread that allocates, up to eight arenas per
//! core. Under a limit on the address space (`ulimit -v`) these reservations leave no room for the
//! buffers. Owns the one setting of the allocator. Must not know how much memory a run may use.
//! Invariant: after `limit_to_one` all threads allocate from the main arena, which grows by what is
//! allocated.

/// Limits glibc's malloc to one arena. A thread that has an arena of its own keeps it, so this is
/// called before any other thread starts. Without glibc it does nothing.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)] // See the SAFETY comment.
pub fn limit_to_one() {
    // SAFETY: `mallopt` takes two integers, keeps no pointer and locks the allocator itself. A
    // parameter that the C library does not know is refused with 0, and changes nothing.
    let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Limits glibc's malloc to one arena: here there is no glibc.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn limit_to_one() {}

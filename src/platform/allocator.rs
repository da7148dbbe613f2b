//! The global allocator: the system's, with one heap for all threads and with retries of small
//! allocations that it refuses.
//!
//! Rust aborts the process, and so loses the stream, where an allocation fails. Owns the retries and
//! the one setting of the system's allocator. A large allocation fails at once, since the code that
//! makes it can go on without. Knows nothing of the use of the memory. Invariant: a pointer is the
//! system allocator's own, or null.

#![allow(unsafe_code)] // The trait of an allocator is unsafe, and `mallopt` is a C function.

use std::alloc::{GlobalAlloc, Layout, System};
use std::thread;
use std::time::Duration;

/// Bytes from which on an allocation is not retried.
const LARGE_ALLOCATION: usize = 1 << 20;
/// Retries of one allocation, which together take 60 s: a host without memory may have some again
/// by then.
const MAX_RETRIES: u32 = 1200;
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// An allocator that retries refused small allocations.
pub struct RetryingAllocator<A = System> {
    inner: A,
    interval: Duration,
}

impl RetryingAllocator {
    /// Retries the system's allocator for up to 60 s.
    pub const fn new() -> RetryingAllocator {
        RetryingAllocator { inner: System, interval: RETRY_INTERVAL }
    }
}

impl Default for RetryingAllocator {
    fn default() -> RetryingAllocator {
        RetryingAllocator::new()
    }
}

impl<A> RetryingAllocator<A> {
    fn retry(&self, size: usize, mut allocate: impl FnMut(&A) -> *mut u8) -> *mut u8 {
        let mut pointer = allocate(&self.inner);
        let mut retries_left = if size < LARGE_ALLOCATION { MAX_RETRIES } else { 0 };
        while pointer.is_null() && retries_left > 0 {
            // A sleep allocates nothing.
            thread::sleep(self.interval);
            pointer = allocate(&self.inner);
            retries_left -= 1;
        }
        pointer
    }
}

// SAFETY: every call passes its arguments unchanged to the inner allocator and returns its result,
// so the contracts of the inner allocator and of the caller hold as they are. A retry is a new
// call: a failed allocation has no effect, and a failed `realloc` leaves the old block as it was.
unsafe impl<A: GlobalAlloc> GlobalAlloc for RetryingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.retry(layout.size(), |inner| unsafe { inner.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.retry(layout.size(), |inner| unsafe { inner.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.retry(size, |inner| unsafe { inner.realloc(pointer, layout, size) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { self.inner.dealloc(pointer, layout) }
    }
}

/// Limits glibc's malloc to one heap ("arena") for all threads. A thread that has an arena of its own
/// keeps it, so this is called before any other thread starts. Without glibc it does nothing.
///
/// glibc reserves 64 MiB of address space for each thread that allocates, up to eight arenas per core.
/// Under a limit on the address space (`ulimit -v`) these reservations leave no room for the buffers.
/// The main arena grows by what is allocated.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn limit_arenas_to_one() {
    // SAFETY: `mallopt` takes two integers, keeps no pointer and locks the allocator itself. A
    // parameter that the C library does not know is refused with 0, and changes nothing.
    let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Limits glibc's malloc to one arena: here there is no glibc.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn limit_arenas_to_one() {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr::null_mut;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Refuses this number of allocations, then passes them to the system.
    struct Refusing(AtomicU32);

    impl Refusing {
        fn refuses(&self) -> bool {
            self.0
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok()
        }
    }

    // SAFETY: an allocation that is not refused is the system's.
    unsafe impl GlobalAlloc for Refusing {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            if self.refuses() { null_mut() } else { unsafe { System.alloc(layout) } }
        }

        unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            if self.refuses() {
                return null_mut();
            }
            unsafe { System.realloc(pointer, layout, size) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    #[test]
    fn small_allocations_are_retried_and_large_ones_are_not() {
        let heap = RetryingAllocator {
            inner: Refusing(AtomicU32::new(0)),
            interval: Duration::from_millis(1),
        };
        let refuse = |times| heap.inner.0.store(times, Ordering::SeqCst);
        let small = Layout::from_size_align(100, 8).unwrap();
        let large = Layout::from_size_align(LARGE_ALLOCATION, 8).unwrap();
        // SAFETY: each layout is that of its block, and no block is used after it is freed.
        unsafe {
            refuse(20);
            let block = heap.alloc(small);
            assert!(!block.is_null());
            block.write(7);
            refuse(20);
            let block = heap.realloc(block, small, 200);
            assert_eq!(block.read(), 7);
            heap.dealloc(block, Layout::from_size_align(200, 8).unwrap());
            refuse(20);
            let block = heap.alloc_zeroed(small);
            assert_eq!(block.read(), 0);
            heap.dealloc(block, small);
            refuse(2);
            assert!(heap.alloc(large).is_null());
            assert!(heap.alloc(large).is_null());
            heap.dealloc(heap.alloc(large), large);
            refuse(u32::MAX);
            assert!(heap.alloc(small).is_null(), "not for ever");
        }
    }
}

//! The heap of the program: that of the system, asked again where it gives nothing.
//!
//! Small pieces of memory are taken everywhere, and the language ends the process where one is
//! refused: with it the stream. Owns the patience with refusals; large pieces are refused at once, for
//! who takes them can go on without. Knows nothing of what the memory is for. Invariant: a piece is
//! the system's own, or none.

#![allow(unsafe_code)] // The trait of an allocator is unsafe; see the comment on its implementation.

use std::alloc::{GlobalAlloc, Layout, System};
use std::thread;
use std::time::Duration;

/// From this size on memory is asked for by those who can be refused.
const LARGE_ALLOCATION: usize = 1 << 20;
/// A host that has promised all its memory may have some again in a moment: so often, and so long
/// between, which is a minute together.
const MAX_RETRIES: u32 = 1200;
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// An allocator with patience.
pub struct RetryingAllocator<A = System> {
    inner: A,
    interval: Duration,
}

impl RetryingAllocator {
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
    fn retry(&self, size: usize, mut ask: impl FnMut(&A) -> *mut u8) -> *mut u8 {
        let mut piece = ask(&self.inner);
        let mut left = if size < LARGE_ALLOCATION { MAX_RETRIES } else { 0 };
        while piece.is_null() && left > 0 {
            // Sleeping takes no memory.
            thread::sleep(self.interval);
            piece = ask(&self.inner);
            left -= 1;
        }
        piece
    }
}

// SAFETY: every call is passed on to the allocator behind with the arguments that came in, and its
// result is returned, so that its promises and those of the caller are kept as they are. Asking again
// is asking anew: a refusal leaves nothing behind, and that of `realloc` leaves the piece as it was.
unsafe impl<A: GlobalAlloc> GlobalAlloc for RetryingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.retry(layout.size(), |inner| unsafe { inner.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.retry(layout.size(), |inner| unsafe { inner.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.retry(size, |inner| unsafe { inner.realloc(piece, layout, size) })
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        unsafe { self.inner.dealloc(piece, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr::null_mut;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Refuses so often, then gives what the system gives.
    struct Refusing(AtomicU32);

    impl Refusing {
        fn refuses(&self) -> bool {
            self.0
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok()
        }
    }

    // SAFETY: what is not refused is the system's.
    unsafe impl GlobalAlloc for Refusing {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            if self.refuses() { null_mut() } else { unsafe { System.alloc(layout) } }
        }

        unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            if self.refuses() {
                return null_mut();
            }
            unsafe { System.realloc(piece, layout, size) }
        }

        unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
            unsafe { System.dealloc(piece, layout) }
        }
    }

    #[test]
    fn small_pieces_are_asked_for_again_and_large_ones_are_not() {
        let heap = RetryingAllocator {
            inner: Refusing(AtomicU32::new(0)),
            interval: Duration::from_millis(1),
        };
        let refuse = |times| heap.inner.0.store(times, Ordering::SeqCst);
        let small = Layout::from_size_align(100, 8).unwrap();
        let large = Layout::from_size_align(LARGE_ALLOCATION, 8).unwrap();
        // SAFETY: each layout is that of the piece, and no piece is used after it is given back.
        unsafe {
            refuse(20);
            let piece = heap.alloc(small);
            assert!(!piece.is_null());
            piece.write(7);
            refuse(20);
            let piece = heap.realloc(piece, small, 200);
            assert_eq!(piece.read(), 7);
            heap.dealloc(piece, Layout::from_size_align(200, 8).unwrap());
            refuse(20);
            let piece = heap.alloc_zeroed(small);
            assert_eq!(piece.read(), 0);
            heap.dealloc(piece, small);
            refuse(2);
            assert!(heap.alloc(large).is_null());
            assert!(heap.alloc(large).is_null());
            heap.dealloc(heap.alloc(large), large);
            refuse(u32::MAX);
            assert!(heap.alloc(small).is_null(), "not for ever");
        }
    }
}

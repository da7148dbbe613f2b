//! The number of requests that wait for valid credentials.
//!
//! Owns the count. Must not know why a request waits. Invariant: a request whose wait ended, also by being
//! dropped, is not counted.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the requests that wait.
#[derive(Debug, Default)]
pub(super) struct WaitingRequests(AtomicUsize);

/// A request that waits, until it is dropped.
pub(super) struct WaitingRequest<'a>(&'a AtomicUsize);

impl WaitingRequests {
    /// Counts one more request.
    pub(super) fn begin(&self) -> WaitingRequest<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        WaitingRequest(&self.0)
    }

    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for WaitingRequest<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

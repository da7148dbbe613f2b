//! Estimates the transfer rate from counts of acknowledged bytes.
//!
//! Pure: the time is an argument. Owns the window of the average. Must not know what the bytes are.
//! Invariant: no sequence of counts makes the estimate panic, and a rate falls while no byte is
//! acknowledged.

use std::collections::VecDeque;
use std::time::Duration;

/// The average rate over the last 30 s or the last 8 acknowledgements, whichever is longer. The
/// count grows by entire parts, so that a shorter window would jump.
#[derive(Debug, Default)]
pub(super) struct RateEstimate {
    /// When each count of bytes was first seen, oldest first.
    changes: VecDeque<(Duration, u64)>,
}

impl RateEstimate {
    const WINDOW: Duration = Duration::from_secs(30);
    const CHANGES: usize = 8;

    /// Records the count of bytes at `elapsed`. Returns bytes per second, 0 until bytes have moved.
    pub(super) fn observe(&mut self, elapsed: Duration, bytes: u64) -> u64 {
        if self.changes.is_empty() {
            self.changes.push_back((Duration::ZERO, 0));
        }
        if self.changes.back().is_some_and(|(_, last)| bytes > *last) {
            self.changes.push_back((elapsed, bytes));
        }
        // The oldest entry is dropped once the second oldest lies outside the window.
        while self.changes.len() > RateEstimate::CHANGES
            && self
                .changes
                .get(1)
                .is_some_and(|(at, _)| elapsed.saturating_sub(*at) > RateEstimate::WINDOW)
        {
            self.changes.pop_front();
        }
        let (from, base) = self.changes.front().copied().unwrap_or_default();
        let millis = elapsed.saturating_sub(from).as_millis();
        let moved = u128::from(bytes.saturating_sub(base));
        u64::try_from((moved * 1000).checked_div(millis).unwrap_or(0)).unwrap_or(u64::MAX)
    }
}

//! The pace of something that is tried again and again: how long until the next time.
//!
//! Pure. Must not know what is tried. Invariant: delays grow to a bound and never beyond.

use std::time::Duration;

use super::Clocks;

/// When something may be tried next.
#[derive(Debug, Clone, Default)]
pub(super) struct Backoff {
    /// Not before this moment of the steady clock.
    next: Duration,
    delays: u32,
}

impl Backoff {
    /// The first time after a delay.
    pub(super) fn starting(now: Clocks, delay: Duration) -> Backoff {
        Backoff { next: now.monotonic + delay, delays: 0 }
    }

    /// How long until the next time.
    pub(super) fn remaining(&self, now: Clocks) -> Duration {
        self.next.saturating_sub(now.monotonic)
    }

    /// How many delays there have been since the last reset.
    pub(super) fn attempts(&self) -> u32 {
        self.delays
    }

    /// Another delay, twice as long as the last up to a bound; returns it.
    pub(super) fn next_delay(&mut self, now: Clocks, first: Duration, most: Duration) -> Duration {
        let delay = first.saturating_mul(1 << self.delays.min(20)).min(most.max(first));
        self.delays += 1;
        self.next = now.monotonic + delay;
        delay
    }

    pub(super) fn reset(&mut self) {
        *self = Backoff::default();
    }
}

//! The pace of something that is tried again and again: how long until the next time.
//!
//! Pure. Must not know what is tried. Invariant: delays grow to a bound and never beyond.

use std::time::Duration;

use super::Now;

/// When something may be tried next.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    /// Not before this moment of the steady clock.
    next: Duration,
    delays: u32,
}

impl Pace {
    /// The first time after a delay.
    pub(super) fn beginning(now: Now, delay: Duration) -> Pace {
        Pace { next: now.steady + delay, delays: 0 }
    }

    /// How long until the next time.
    pub(super) fn wait(&self, now: Now) -> Duration {
        self.next.saturating_sub(now.steady)
    }

    /// How many delays there have been since the last reset.
    pub(super) fn delays(&self) -> u32 {
        self.delays
    }

    /// Another delay, twice as long as the last up to a bound; returns it.
    pub(super) fn slow_down(&mut self, now: Now, first: Duration, most: Duration) -> Duration {
        let delay = first.saturating_mul(1 << self.delays.min(20)).min(most.max(first));
        self.delays += 1;
        self.next = now.steady + delay;
        delay
    }

    pub(super) fn reset(&mut self) {
        *self = Pace::default();
    }
}

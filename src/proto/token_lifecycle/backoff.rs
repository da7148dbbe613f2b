//! Backoff for refreshes and time queries.
//!
//! Owns the delays. Must not know what is retried. Invariant: a ceiling is twice the one before, and at most
//! the given maximum; a delay is half of its ceiling to all of it.

use std::time::Duration;

use super::Clocks;
use super::jitter::Jitter;

/// The time before which the next attempt must not be made.
#[derive(Debug, Clone, Default)]
pub(super) struct Backoff {
    /// By the monotonic clock.
    next: Duration,
    /// Delays since the last reset.
    attempts: u32,
}

impl Backoff {
    /// The time until the next attempt.
    pub(super) fn remaining(&self, now: Clocks) -> Duration {
        self.next.saturating_sub(now.monotonic)
    }

    /// The number of delays since the last reset.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Starts a delay, of a ceiling twice as long as the one before, from `first` up to `max`.
    pub(super) fn next_delay(
        &mut self,
        now: Clocks,
        first: Duration,
        max: Duration,
        jitter: &mut Jitter,
    ) {
        let ceiling = first.saturating_mul(1 << self.attempts.min(20)).min(max.max(first));
        self.attempts += 1;
        self.next = now.monotonic + jitter.shorten(ceiling);
    }

    /// Extends the delay to at least `delay` from now, and returns what is left of it.
    pub(super) fn at_least(&mut self, now: Clocks, delay: Duration) -> Duration {
        self.next = self.next.max(now.monotonic + delay);
        self.remaining(now)
    }

    /// Allows an attempt at once; the next delay is a first one.
    pub(super) fn reset(&mut self) {
        *self = Backoff::default();
    }

    /// Adds what the exploration of states distinguishes: in its short lives the third delay is the longest.
    #[cfg(test)]
    pub(super) fn add_to(&self, fingerprint: &mut crate::state_space::Fingerprint, now: Clocks) {
        fingerprint.time(Some(self.remaining(now)));
        fingerprint.add(self.attempts.min(3));
    }
}

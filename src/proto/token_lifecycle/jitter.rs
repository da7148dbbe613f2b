//! Jitter, so that hosts with equal schedules act at different times.
//!
//! Owns the generator. Must not know what is delayed. Invariant: without a seed no time changes, and `shorten`
//! returns at least half of a delay and at most all of it.

use std::time::Duration;

/// A generator with a given seed; without one, no time changes.
#[derive(Debug, Clone)]
pub(super) struct Jitter(Option<fastrand::Rng>);

impl Jitter {
    /// The numbers of a seed.
    pub(super) fn of(seed: Option<u64>) -> Jitter {
        Jitter(seed.map(fastrand::Rng::with_seed))
    }

    /// A number in 0..1; 0 without a seed.
    pub(super) fn share(&mut self) -> f64 {
        self.0.as_mut().map_or(0.0, fastrand::Rng::f64)
    }

    /// Half of the delay to all of it.
    pub(super) fn shorten(&mut self, delay: Duration) -> Duration {
        delay - (delay / 2).mul_f64(self.share())
    }
}

//! The time at the service, as far as it is known.
//!
//! Owns the skew between the service's clock and the local one. Must not know what the time is for.
//! Invariant: the skew is zero until a date of the service differs from the local clock, and then the
//! last measured one.

use std::time::Duration;

use super::backoff::Backoff;
use super::jitter::Jitter;
use super::{Clocks, SECOND};

/// Seconds. A smaller measured skew may be the latency of the network.
const MIN_CLOCK_SKEW: u64 = 30;

/// The local clock, corrected by dates of the service.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock {
    /// Seconds by which the service's clock is ahead of the local one.
    skew: i64,
    /// When the last date of the service arrived.
    date_set_at: Option<Clocks>,
    /// Whether a time query is in flight.
    querying: bool,
    /// Whether a time query has failed since the last date.
    query_failed: bool,
    backoff: Backoff,
}

impl Clock {
    /// The time at the service, since 1970.
    pub(super) fn now(&self, now: Clocks) -> Duration {
        let skew = Duration::from_secs(self.skew.unsigned_abs());
        if self.skew.is_negative() { now.wall.saturating_sub(skew) } else { now.wall + skew }
    }

    /// Records a date of the service. Returns the skew in seconds if it changed.
    pub(super) fn set_server_date(&mut self, now: Clocks, server: Duration) -> Option<i64> {
        self.date_set_at = Some(now);
        self.query_failed = false;
        self.backoff.reset();
        let skew = seconds(server).saturating_sub(seconds(now.wall));
        if skew.abs_diff(self.skew) < MIN_CLOCK_SKEW {
            return None;
        }
        self.skew = skew;
        Some(skew)
    }

    /// Whether the local clock has jumped since the last date, or the machine was suspended.
    pub(super) fn jumped(&self, now: Clocks) -> bool {
        self.date_set_at.is_some_and(|then| {
            let monotonic = seconds(now.monotonic).saturating_sub(seconds(then.monotonic));
            let wall = seconds(now.wall).saturating_sub(seconds(then.wall));
            wall.abs_diff(monotonic) >= MIN_CLOCK_SKEW
        })
    }

    /// Whether a time query may change the skew.
    pub(super) fn is_uncertain(&self, now: Clocks) -> bool {
        self.date_set_at.is_none() || self.jumped(now)
    }

    /// Whether a time query may change the skew, and none has failed since the last date.
    pub(super) fn may_be_corrected(&self, now: Clocks) -> bool {
        self.is_uncertain(now) && !self.query_failed
    }

    /// The time until the next time query; `None` while one is in flight.
    pub(super) fn next_query(&self, now: Clocks) -> Option<Duration> {
        (!self.querying).then(|| self.backoff.remaining(now))
    }

    pub(super) fn query_started(&mut self) {
        self.querying = true;
    }

    /// Records that the query has ended. A date that it gave was passed to `set_server_date` before.
    pub(super) fn query_finished(&mut self, now: Clocks, jitter: &mut Jitter) {
        self.querying = false;
        if self.is_uncertain(now) {
            self.query_failed = true;
            self.backoff.next_delay(now, SECOND, Duration::from_secs(60), jitter);
        }
    }

    /// Adds what the exploration of states distinguishes.
    #[cfg(test)]
    pub(super) fn add_to(&self, fingerprint: &mut crate::state_space::Fingerprint, now: Clocks) {
        let Clock { skew, date_set_at, querying, query_failed, backoff } = self;
        fingerprint.add((skew, date_set_at.is_some(), self.jumped(now), querying, query_failed));
        backoff.add_to(fingerprint, now);
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

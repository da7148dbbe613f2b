//! What the time is at the service, as far as that is known.
//!
//! Owns the difference to the local clock. Pure. Must not know what the time is needed for. Invariant:
//! a local clock is believed until a date of the service speaks against it, and a service's date holds
//! for as long as the local clock does not jump.

use std::time::Duration;

use super::backoff::Backoff;
use super::{Clocks, SECOND};

/// A smaller difference of the clocks is the way the answer came.
const MIN_CLOCK_SKEW: i64 = 30;

#[derive(Debug, Default)]
pub(super) struct Clock {
    /// How far the service's clock is ahead of the local one, in seconds.
    skew: i64,
    /// When a date of the service came last.
    date_set_at: Option<Clocks>,
    querying: bool,
    /// Whether a question for the time has stayed without an answer.
    unanswered: bool,
    backoff: Backoff,
}

impl Clock {
    /// The service's time.
    pub(super) fn now(&self, now: Clocks) -> Duration {
        let skew = Duration::from_secs(self.skew.unsigned_abs());
        match self.skew < 0 {
            true => now.wall.saturating_sub(skew),
            false => now.wall + skew,
        }
    }

    /// The service gave this date; says how far its clock is ahead, if that is another word than the
    /// last.
    pub(super) fn set_server_date(&mut self, now: Clocks, server: Duration) -> Option<i64> {
        self.date_set_at = Some(now);
        self.unanswered = false;
        self.backoff.reset();
        let skew = seconds(server).saturating_sub(seconds(now.wall));
        let differs = skew.abs_diff(self.skew) >= MIN_CLOCK_SKEW.unsigned_abs();
        differs.then(|| self.skew = skew).map(|()| skew)
    }

    /// Whether the local clock has jumped since the last date, or gone on while this machine slept.
    pub(super) fn jumped(&self, now: Clocks) -> bool {
        self.date_set_at.is_some_and(|then| {
            let steady = seconds(now.monotonic).saturating_sub(seconds(then.monotonic));
            let wall = seconds(now.wall).saturating_sub(seconds(then.wall));
            wall.abs_diff(steady) >= MIN_CLOCK_SKEW.unsigned_abs()
        })
    }

    /// Whether a question for the time may show another one than is believed.
    pub(super) fn is_uncertain(&self, now: Clocks) -> bool {
        self.date_set_at.is_none() || self.jumped(now)
    }

    /// As above, and no question has been in vain.
    pub(super) fn may_be_corrected(&self, now: Clocks) -> bool {
        self.is_uncertain(now) && !self.unanswered
    }

    /// How long until the next question for the time; none while one is under way.
    pub(super) fn next_query(&self, now: Clocks) -> Option<Duration> {
        (!self.querying).then(|| self.backoff.remaining(now))
    }

    pub(super) fn query_started(&mut self) {
        self.querying = true;
    }

    /// The question has ended; an answer has been told by `dated`.
    pub(super) fn query_finished(&mut self, now: Clocks) {
        self.querying = false;
        if self.is_uncertain(now) {
            self.unanswered = true;
            self.backoff.next_delay(now, SECOND, Duration::from_secs(60));
        }
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

//! The clocks of a session: the local ones, and what is known of the services' clock.
//!
//! Owns the date of the last response, and times since 1970. Must not know tokens. Invariant: a time before 1970
//! counts as 1970.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proto::token_lifecycle::Clocks;

/// The time at the services, as far as it is known.
pub(super) trait ServiceClock: Sync {
    /// Since 1970.
    fn now(&self) -> Duration;
    /// Records the date of a response.
    fn on_server_date(&self, date: SystemTime);
    /// Whether no response has shown yet what time it is.
    fn is_unverified(&self) -> bool;
}

/// The clock of a run that has no session yet: the local clock, corrected by the last response.
pub(super) struct StartClock(Mutex<Option<(SystemTime, Instant)>>);

impl StartClock {
    pub(super) fn new() -> StartClock {
        StartClock(Mutex::new(None))
    }

    /// The time of the last response, and when it arrived.
    pub(super) fn server_date(&self) -> Option<SystemTime> {
        let (date, at) = (*self.last())?;
        Some(date + at.elapsed())
    }

    fn last(&self) -> MutexGuard<'_, Option<(SystemTime, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServiceClock for StartClock {
    fn now(&self) -> Duration {
        since_1970(self.server_date().unwrap_or_else(SystemTime::now))
    }

    fn on_server_date(&self, date: SystemTime) {
        *self.last() = Some((date, Instant::now()));
    }

    fn is_unverified(&self) -> bool {
        self.last().is_none()
    }
}

/// The current time by both local clocks; the monotonic one began at `started_at`.
pub(super) fn now(started_at: Instant) -> Clocks {
    Clocks { wall: since_1970(SystemTime::now()), monotonic: started_at.elapsed() }
}

/// A time before 1970 counts as 1970.
pub(super) fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_a_start_is_unverified_until_a_server_has_told_the_time() {
        let clock = StartClock::new();
        assert!(clock.is_unverified());
        clock.on_server_date(UNIX_EPOCH + Duration::from_secs(1000));
        assert!(!clock.is_unverified());
        assert!((1000..1600).contains(&clock.now().as_secs()), "{:?}", clock.now());
    }
}

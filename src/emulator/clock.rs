//! The server's clock, which can be set ahead or behind, and the service's formats of a time.
//!
//! Knows nothing of requests. Invariant: every wall-clock time that the emulator uses or sends
//! comes from here, so a shifted clock shifts all of them together.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The system clock plus an offset.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// Seconds ahead of the system clock; negative is behind.
    offset: AtomicI64,
}

impl Clock {
    /// A clock that is this many seconds ahead of the system clock; negative is behind.
    pub(crate) fn with_offset(seconds: i64) -> Clock {
        Clock { offset: AtomicI64::new(seconds) }
    }

    /// Sets how many seconds the clock is ahead of the system clock.
    pub(crate) fn set_offset(&self, seconds: i64) {
        self.offset.store(seconds, Ordering::SeqCst);
    }

    /// Moves the clock by this many seconds; negative is backwards.
    pub(crate) fn advance(&self, seconds: i64) {
        self.offset.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The server's time.
    pub(crate) fn now(&self) -> SystemTime {
        let offset = self.offset.load(Ordering::SeqCst);
        let shift = Duration::from_secs(offset.unsigned_abs());
        let now = SystemTime::now();
        let shifted = if offset < 0 { now.checked_sub(shift) } else { now.checked_add(shift) };
        shifted.unwrap_or(now)
    }
}

/// Whole seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Milliseconds since 1970.
pub(crate) fn millis(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(0)
}

/// The format of HTTP headers: `Sun, 11 Mar 2018 16:32:46 GMT`.
pub(crate) fn http(time: SystemTime) -> String {
    httpdate::fmt_http_date(time)
}

/// The format of the service's messages: that of HTTP with `UTC` in place of `GMT`.
pub(crate) fn utc(time: SystemTime) -> String {
    http(time).replace("GMT", "UTC")
}

/// The format of JSON bodies: `2023-01-25T14:49:00.262Z`.
pub(crate) fn iso(millis: u64) -> String {
    let millis = i64::try_from(millis).unwrap_or(0);
    jiff::Timestamp::from_millisecond(millis)
        .map(|time| time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
        .unwrap_or_default()
}

/// The HTTP format of a time in milliseconds since 1970.
pub(crate) fn http_of_millis(millis: u64) -> String {
    http(UNIX_EPOCH + Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_service_writes_them() {
        let time = UNIX_EPOCH + Duration::from_millis(1_520_785_966_262);
        assert_eq!(http(time), "Sun, 11 Mar 2018 16:32:46 GMT");
        assert_eq!(http_of_millis(1_520_785_966_262), http(time));
        assert_eq!(utc(time), "Sun, 11 Mar 2018 16:32:46 UTC");
        assert_eq!(iso(millis(time)), "2018-03-11T16:32:46.262Z");
        assert_eq!(iso(1_000), "1970-01-01T00:00:01.000Z");
    }

    #[test]
    fn an_offset_moves_the_clock_both_ways() {
        let clock = Clock::with_offset(-3600);
        let behind = SystemTime::now().duration_since(clock.now()).unwrap().as_secs();
        assert!((3599..=3600).contains(&behind));
        clock.advance(7200);
        assert!(clock.now() > SystemTime::now());
    }
}

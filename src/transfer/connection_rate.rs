//! How fast one connection sends.
//!
//! Owns the last measured rate. Must not know connections or clocks: bodies and durations are
//! arguments. Invariant: only bodies of 1 MiB or more are measured.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The rate of one connection, by the last large body. Zero until there was one.
#[derive(Default)]
pub struct ConnectionRate {
    bytes_per_second: AtomicU64,
}

impl ConnectionRate {
    /// Records that a body of this many bytes was sent within `took`.
    pub(super) fn observe(&self, bytes: u64, took: Duration) {
        // The time of a small body is mostly latency.
        if bytes >= 1 << 20 {
            let rate = bytes as f64 / took.as_secs_f64().max(1e-3);
            self.bytes_per_second.store(rate as u64, Ordering::Relaxed);
        }
    }

    /// How long a body of this many bytes takes; `None` where no rate is known.
    pub(super) fn estimate(&self, bytes: u64) -> Option<Duration> {
        match self.bytes_per_second.load(Ordering::Relaxed) {
            0 => None,
            rate => Some(Duration::from_secs_f64(bytes as f64 / rate as f64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_bodies_are_measured() {
        let rate = ConnectionRate::default();
        assert_eq!(rate.estimate(1 << 20), None);
        rate.observe((1 << 20) - 1, Duration::from_secs(1));
        assert_eq!(rate.estimate(1 << 20), None);
        rate.observe(2 << 20, Duration::from_secs(1));
        assert_eq!(rate.estimate(1 << 20), Some(Duration::from_millis(500)));
    }
}

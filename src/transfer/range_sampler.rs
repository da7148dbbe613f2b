//! What is observed of the ranges of a download, about twice a second.
//!
//! Owns the time that the writer has waited for bytes, and when the next sample is due. Decides nothing
//! about the number of ranges (`proto::range_plan`). Invariant: a wait counts while it lasts.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::range_sink::RangeCounts;
use crate::net::Throttle;
use proto::range_plan::RangeSample;

const INTERVAL: Duration = Duration::from_millis(500);

/// Observes one download.
pub(super) struct RangeSampler {
    counts: RangeCounts,
    throttle: Option<Arc<Throttle>>,
    waited: Duration,
    next_at: Instant,
}

impl RangeSampler {
    /// The first sample is due in half a second.
    pub(super) fn new(counts: RangeCounts, throttle: Option<Arc<Throttle>>) -> RangeSampler {
        let (waited, next_at) = (Duration::ZERO, Instant::now() + INTERVAL);
        RangeSampler { counts, throttle, waited, next_at }
    }

    /// Awaits `arrival` until the next sample is due; the time counts as waiting. `None` where a
    /// sample is due.
    pub(super) async fn waiting<T>(&mut self, arrival: impl Future<Output = T>) -> Option<T> {
        let since = Instant::now();
        let arrived = tokio::time::timeout_at(self.next_at, arrival).await;
        self.waited += since.elapsed();
        arrived.ok()
    }

    /// The sample, where it is due.
    pub(super) fn sample_if_due(&mut self) -> Option<RangeSample> {
        let now = Instant::now();
        if now < self.next_at {
            return None;
        }
        self.next_at = now + INTERVAL;
        let counts = &self.counts;
        let number = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Some(RangeSample {
            at: counts.elapsed(),
            arrived: counts.arrived(),
            waited: self.waited,
            peak_in_flight: number(counts.take_peak_in_flight()),
            in_flight: number(counts.in_flight()),
            refused: number(counts.refused()),
            limited: self.throttle.as_ref().is_some_and(|throttle| throttle.is_limiting()),
        })
    }
}

//! What the upload machine learns of the line, about twice a second.
//!
//! Owns the difference between a wait for the network and one for `--bwlimit`. Must not know what follows
//! from a sample. Invariant: time in which the bandwidth limit made bytes wait is no wait for the network.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::source::Reader;
use crate::transfer::client::Client;
use proto::upload::Event;

/// Ticks of the loop between two samples.
const TICKS: u32 = 2;

/// The totals of the samples.
#[derive(Debug, Default)]
pub(super) struct LineSampler {
    ticks: u32,
    /// All waits of the reader, at the last sample.
    waited: Duration,
    /// The waits of the reader for the network.
    for_network: Duration,
    delays: u64,
}

impl LineSampler {
    /// The event of every second tick.
    pub(super) fn sample(&mut self, client: &Client, reader: &Reader) -> Option<Event> {
        self.ticks += 1;
        if self.ticks < TICKS {
            return None;
        }
        self.ticks = 0;
        let delays = client.throttle.as_ref().map_or(0, |throttle| throttle.delays());
        let waited = self.add(reader.stats().waited(), delays);
        Some(Event::Sample { sent: client.sent_bytes.load(Ordering::Relaxed), waited })
    }

    /// The waits for the network, after a sample of all waits and of the delays by the limit.
    fn add(&mut self, waited: Duration, delays: u64) -> Duration {
        let since = waited.saturating_sub(self.waited);
        self.waited = waited;
        if delays == self.delays {
            self.for_network += since;
        }
        self.delays = delays;
        self.for_network
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_the_bandwidth_limit_is_no_waiting_for_the_network() {
        let second = Duration::from_secs(1);
        let mut sampler = LineSampler::default();
        assert_eq!(sampler.add(second, 0), second);
        assert_eq!(sampler.add(2 * second, 7), second);
        assert_eq!(sampler.add(3 * second, 8), second);
        assert_eq!(sampler.add(4 * second, 8), 2 * second);
    }
}

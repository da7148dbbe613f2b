//! What is counted while a fleet runs.
//!
//! Owns the counts per second of virtual time and the indices that are computed of them. Must not know
//! hosts or services. Invariant: a request is counted in the second in which it is sent.

use std::ops::Range;
use std::time::Duration;

/// The number of requests in each second of virtual time.
#[derive(Debug, Default, Clone)]
pub struct PerSecond(Vec<u32>);

impl PerSecond {
    /// Counts one request.
    pub fn add(&mut self, at: Duration) {
        let second = at.as_secs() as usize;
        if second >= self.0.len() {
            self.0.resize(second + 1, 0);
        }
        self.0[second] += 1;
    }

    /// The requests of a second.
    pub fn at(&self, second: u64) -> u32 {
        self.0.get(second as usize).copied().unwrap_or(0)
    }

    /// The number of seconds that have a count.
    pub fn seconds(&self) -> u64 {
        self.0.len() as u64
    }

    /// The most requests in one second of a range of seconds.
    pub fn peak(&self, seconds: Range<u64>) -> u32 {
        seconds.map(|second| self.at(second)).max().unwrap_or(0)
    }

    /// The mean of the requests per second over a range of seconds.
    pub fn mean(&self, seconds: Range<u64>) -> f64 {
        let count = seconds.clone().count().max(1) as f64;
        seconds.map(|second| f64::from(self.at(second))).sum::<f64>() / count
    }
}

/// Jain's index: 1 if all shares are equal, 1/n if one of n hosts has all.
pub fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    if squares > 0.0 { sum * sum / (shares.len() as f64 * squares) } else { 1.0 }
}

/// The median and the maximum.
pub fn median_and_most(mut values: Vec<u64>) -> (u64, u64) {
    values.sort_unstable();
    (values.get(values.len() / 2).copied().unwrap_or(0), values.last().copied().unwrap_or(0))
}

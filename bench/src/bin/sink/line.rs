//! The simulated line: the latency of responses and the rate of bytes.
//!
//! Owns the pacing. Without a rate, every call returns at once. Invariant: unused capacity is lost,
//! as on a real line, except for a burst allowance that compensates coarse sleeps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The burst allowance: this much unused capacity may be used later.
const CATCH_UP: Duration = Duration::from_millis(10);
/// Bytes that are admitted at a time.
pub const STEP: usize = 16 << 10;

pub struct Line {
    latency: Duration,
    total: Option<Arc<Rate>>,
    per_connection: Option<u64>,
    passed: Arc<AtomicU64>,
}

/// The rates that apply to one connection.
#[derive(Clone)]
pub struct Pace {
    latency: Duration,
    rates: Vec<Arc<Rate>>,
    passed: Arc<AtomicU64>,
}

struct Rate {
    per_second: f64,
    free: Mutex<Instant>,
}

impl Rate {
    fn new(per_second: u64) -> Rate {
        Rate { per_second: per_second as f64, free: Mutex::new(Instant::now()) }
    }

    /// The time at which bytes that are requested now have arrived.
    fn spend(&self, bytes: usize) -> Instant {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = Instant::now().checked_sub(CATCH_UP).unwrap_or(*free);
        *free = (*free).max(earliest) + Duration::from_secs_f64(bytes as f64 / self.per_second);
        *free
    }
}

impl Line {
    pub fn new(latency: Duration, total: Option<u64>, per_connection: Option<u64>) -> Line {
        let total = total.map(|rate| Arc::new(Rate::new(rate)));
        Line { latency, total, per_connection, passed: Arc::default() }
    }

    /// The receive buffer of a paced connection, in bytes: the bandwidth-delay product.
    pub fn window(&self) -> Option<usize> {
        let total = self.total.as_ref().map(|rate| rate.per_second as u64);
        let rate = total.into_iter().chain(self.per_connection).min()?;
        let on_the_way = rate as f64 * self.latency.as_secs_f64();
        Some((on_the_way as usize).clamp(64 << 10, 4 << 20))
    }

    pub fn connection(&self) -> Pace {
        let own = self.per_connection.map(|rate| Arc::new(Rate::new(rate)));
        let rates = self.total.iter().cloned().chain(own).collect();
        Pace { latency: self.latency, rates, passed: self.passed.clone() }
    }

    pub fn is_limited(&self) -> bool {
        self.total.is_some() || self.per_connection.is_some()
    }

    /// The bytes that a limited line has carried so far.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Waits for one round trip before a response.
    pub fn delay(&self) {
        if !self.latency.is_zero() {
            thread::sleep(self.latency);
        }
    }
}

impl Pace {
    pub fn is_limited(&self) -> bool {
        !self.rates.is_empty()
    }

    /// Waits for the round trips of a new connection before the first response of TLS.
    pub fn delay(&self) {
        if !self.latency.is_zero() {
            thread::sleep(self.latency * 2);
        }
    }

    /// Waits until `bytes` may have arrived.
    pub fn admit(&self, bytes: usize) {
        let Some(at) = self.rates.iter().map(|rate| rate.spend(bytes)).max() else { return };
        let wait = at.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        self.passed.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

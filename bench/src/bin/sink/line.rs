//! The simulated line: the latency of responses, and the rate of bytes in both directions.
//!
//! Owns the pacing and the counts of the curve. Without a rate, every call returns at once. Invariants:
//! unused capacity is lost, as on a real line, except for a burst allowance that compensates coarse
//! sleeps; connections that share a rate have their turns in the order in which they ask, with at most
//! `STEP` bytes each.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The burst allowance: this much unused capacity may be used later. On a busy machine a thread wakes
/// tens of milliseconds late, in which a real line would have filled the buffer of the socket.
const CATCH_UP: Duration = Duration::from_millis(50);
/// A thread does not sleep for less than this. A rate is never further ahead.
const GRANULE: Duration = Duration::from_millis(1);
/// Bytes that are admitted at a time.
pub const STEP: usize = 16 << 10;

pub struct Line {
    latency: Duration,
    total: Option<Total>,
    per_connection: Option<u64>,
    passed: Arc<AtomicU64>,
    in_flight: AtomicUsize,
}

/// The rates that apply to one direction of one connection. A line carries as much in each direction.
#[derive(Clone)]
pub struct Pace {
    rates: Vec<Arc<Rate>>,
    passed: Arc<AtomicU64>,
}

/// Both directions of one connection.
pub struct Paces {
    latency: Duration,
    pub receiving: Pace,
    pub sending: Pace,
}

/// A request that is served until this is dropped.
pub struct InFlight<'a>(&'a Line);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The rates of a whole line, by direction.
struct Total {
    receiving: Arc<Rate>,
    sending: Arc<Rate>,
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
        let rate = |rate| Arc::new(Rate::new(rate));
        let total = total.map(|total| Total { receiving: rate(total), sending: rate(total) });
        let (passed, in_flight) = (Arc::default(), AtomicUsize::new(0));
        Line { latency, total, per_connection, passed, in_flight }
    }

    /// The socket buffer of a paced connection, in bytes: the bandwidth-delay product.
    pub fn window(&self) -> Option<usize> {
        let total = self.total.as_ref().map(|total| total.sending.per_second as u64);
        let rate = total.into_iter().chain(self.per_connection).min()?;
        let on_the_way = rate as f64 * self.latency.as_secs_f64();
        Some((on_the_way as usize).clamp(64 << 10, 4 << 20))
    }

    pub fn connection(&self) -> Paces {
        let pace = |total: Option<&Arc<Rate>>| {
            let own = self.per_connection.map(|rate| Arc::new(Rate::new(rate)));
            let rates = total.cloned().into_iter().chain(own).collect();
            Pace { rates, passed: self.passed.clone() }
        };
        let total = self.total.as_ref();
        Paces {
            latency: self.latency,
            receiving: pace(total.map(|total| &total.receiving)),
            sending: pace(total.map(|total| &total.sending)),
        }
    }

    pub fn is_limited(&self) -> bool {
        self.total.is_some() || self.per_connection.is_some()
    }

    /// The bytes that a limited line has carried so far, in both directions.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// The requests that are served now.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a request.
    pub fn begin_request(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    /// Waits for one round trip before a response.
    pub fn delay(&self) {
        if !self.latency.is_zero() {
            thread::sleep(self.latency);
        }
    }
}

impl Paces {
    /// Waits for the round trips of a new connection before the first response of TLS.
    pub fn delay(&self) {
        if !self.latency.is_zero() {
            thread::sleep(self.latency * 2);
        }
    }
}

impl Pace {
    pub fn is_limited(&self) -> bool {
        !self.rates.is_empty()
    }

    /// Waits until `bytes` may have passed.
    pub fn admit(&self, bytes: usize) {
        let Some(at) = self.rates.iter().map(|rate| rate.spend(bytes)).max() else { return };
        let wait = at.saturating_duration_since(Instant::now());
        if wait >= GRANULE {
            thread::sleep(wait);
        }
        self.passed.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

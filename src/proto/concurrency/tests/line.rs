//! Models of lines between a host and the service, by seed.
//!
//! Owns the parameters of a line and of the stream that it carries, and the generator that draws them.
//! Must not know the controller that is judged by them. Invariant: one seed is one scenario; each rate,
//! round trip and duration is drawn log-uniformly from its documented range.

use fastrand::Rng;

/// Bytes in a megabyte, the unit of rates.
pub const MB: f64 = 1e6;

/// What a line lets through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// The most that all connections carry together, in bytes per second.
    pub shared: f64,
    /// The most that one connection carries, in bytes per second.
    pub connection: f64,
}

impl Rates {
    /// What this many sending connections carry each, in bytes per second.
    pub fn each(&self, sending: usize) -> f64 {
        self.connection.min(self.shared / sending.max(1) as f64)
    }
}

/// The kind of a line, for the table of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LineKind {
    /// One bottleneck that all connections share.
    Shared,
    /// A limit for each connection.
    Capped,
    /// Both.
    Both,
    /// Both, and the rates change once.
    Changing,
    /// Both, and connections break.
    Lossy,
    /// Both, and the service refuses requests beyond a number in flight.
    Throttled,
}

pub const KINDS: [LineKind; 6] = [
    LineKind::Shared,
    LineKind::Capped,
    LineKind::Both,
    LineKind::Changing,
    LineKind::Lossy,
    LineKind::Throttled,
];

/// A line and a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    pub kind: LineKind,
    pub rates: Rates,
    /// The time in seconds from which the second rates count.
    pub change: Option<(f64, Rates)>,
    /// Seconds.
    pub round_trip: f64,
    /// Seconds from the last byte of a part to its response, without the round trip.
    pub service_time: f64,
    /// The mean number of bytes that a connection carries before it breaks.
    pub bytes_per_break: Option<f64>,
    /// The most requests in flight that the service accepts; it refuses others with 429 or 503.
    pub most_requests: Option<usize>,
    /// What the producer writes, in bytes per second.
    pub producer: f64,
    /// The length of the stream in bytes.
    pub stream: f64,
    /// Whether the length is known from the start, as that of a file is.
    pub length_known: bool,
}

/// Draws from `low..high`, so that each factor has the same probability.
fn log_uniform(rng: &mut Rng, low: f64, high: f64) -> f64 {
    (low.ln() + rng.f64() * (high / low).ln()).exp()
}

/// A shared rate of 20 MB/s to 2 GB/s and 5 to 100 MB/s for each connection.
fn rates(rng: &mut Rng, kind: LineKind) -> Rates {
    let shared = log_uniform(rng, 20.0 * MB, 2000.0 * MB);
    let connection = log_uniform(rng, 5.0 * MB, 100.0 * MB);
    match kind {
        LineKind::Shared => Rates { shared, connection: f64::INFINITY },
        // The rate of a network card of 25 Gbit/s bounds what no other bottleneck does.
        LineKind::Capped => Rates { shared: 3000.0 * MB, connection },
        _ => Rates { shared, connection },
    }
}

impl Scenario {
    /// The scenario of a seed. The stream takes 10 s to 1 h on a line of which at most 16 connections are
    /// used; one producer of eight is slower than the line.
    pub fn of_seed(seed: u64) -> Scenario {
        let mut rng = Rng::with_seed(seed);
        let kind = KINDS[rng.usize(..KINDS.len())];
        let first = rates(&mut rng, kind);
        let seconds = log_uniform(&mut rng, 10.0, 3600.0);
        let at = seconds * (0.2 + 0.6 * rng.f64());
        let second = rates(&mut rng, kind);
        let usable = |rates: &Rates| rates.shared.min(16.0 * rates.connection);
        let mut stream = seconds * usable(&first);
        if kind == LineKind::Changing {
            stream = at * usable(&first) + (seconds - at) * usable(&second);
        }
        let slow_producer = rng.u8(..8) == 0;
        let share = log_uniform(&mut rng, 0.05, 1.0);
        Scenario {
            kind,
            rates: first,
            change: (kind == LineKind::Changing).then_some((at, second)),
            round_trip: log_uniform(&mut rng, 1e-3, 0.2),
            service_time: log_uniform(&mut rng, 5e-3, 0.1),
            bytes_per_break: (kind == LineKind::Lossy).then(|| log_uniform(&mut rng, 0.5e9, 50e9)),
            most_requests: (kind == LineKind::Throttled)
                .then(|| log_uniform(&mut rng, 2.0, 64.0) as usize),
            producer: if slow_producer { share * usable(&first) } else { 4000.0 * MB },
            stream: if slow_producer { share * stream } else { stream },
            length_known: rng.bool(),
        }
    }

    /// The rates at a time in seconds since the start.
    pub fn rates_at(&self, now: f64) -> Rates {
        match self.change {
            Some((at, rates)) if now >= at => rates,
            _ => self.rates,
        }
    }
}

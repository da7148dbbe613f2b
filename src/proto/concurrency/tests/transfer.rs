//! An upload over a modelled line, in virtual time.
//!
//! Owns the reader, the buffers, the connections and the service of the model. Must not know how the
//! number of connections is chosen. Invariant: all sending connections carry the same rate, so that one
//! integral of it orders their ends; each byte of the stream is acknowledged once.

use std::cell::Cell;
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;

use fastrand::Rng;

use super::line::Scenario;

/// Bytes of a buffer.
pub const BUFFER: f64 = (16 << 20) as f64;
/// The smallest piece of a tail split, in bytes.
const MIN_PIECE: f64 = (10 << 20) as f64;
/// Bytes that a new connection sends in its first round trip.
const FIRST_WINDOW: f64 = 14_600.0;
/// The seed of the breaks and the jitter of a transfer.
const DRAWS: u64 = 7;
/// Seconds between two samples.
const SAMPLE_INTERVAL: f64 = 0.5;

/// What is observed of a transfer. Totals since its start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Observed {
    /// Seconds.
    pub now: f64,
    /// Bytes on the wire, those of repeated attempts included.
    pub sent: f64,
    pub acknowledged: f64,
    /// Seconds that the reader waited for a buffer.
    pub waited: f64,
    pub in_flight: usize,
    /// Parts in flight that were refused and not accepted since.
    pub refused: usize,
    /// Responses with 429 or 503.
    pub throttled: u64,
}

/// What chooses connections and part sizes.
pub trait Policy {
    fn connections(&self) -> usize;
    /// The size in buffers of the part with this number, which starts at this byte.
    fn part_buffers(&mut self, number: usize, offset: f64) -> usize;
    fn observe(&mut self, observed: &Observed);
}

/// The result of one transfer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    pub seconds: f64,
    pub peak_connections: usize,
    pub throttled: u64,
    /// The largest part number.
    pub parts: usize,
    /// Bytes acknowledged from the tenth second on, and until the stream ended.
    pub after_ten_seconds: f64,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    bytes: f64,
    buffers: usize,
    attempts: u32,
    /// Whether the last attempt was refused.
    refused: bool,
}

#[derive(Debug, Clone, Copy)]
enum Happening {
    BufferFilled,
    /// The connection is open and the request accepted.
    Send(Part),
    Response(Part),
    Refused(Part),
    /// The backoff with this id is over.
    Retry(u64),
    RatesChange,
    Sample,
}

/// A value ordered by its key alone.
pub struct Keyed<T>(pub f64, pub T);

impl<T> PartialEq for Keyed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for Keyed<T> {}
impl<T> PartialOrd for Keyed<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Keyed<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The end of a sending attempt.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    part: Part,
    broken: bool,
}

pub struct Transfer<'a> {
    scenario: &'a Scenario,
    rng: Rng,
    now: f64,
    /// The integral of the rate of one sending connection, in bytes.
    each_sent: f64,
    timers: BinaryHeap<Reverse<Keyed<Happening>>>,
    sending: BinaryHeap<Reverse<Keyed<Attempt>>>,
    ready: VecDeque<Part>,
    filling: Part,
    /// Part numbers that are left for parts that are cut again.
    split_numbers: usize,
    /// The number of connections.
    window: usize,
    may_split: bool,
    unread: f64,
    free: usize,
    /// Parts in backoff, with the ids of their timers.
    backing_off: Vec<(u64, Part)>,
    backoffs: u64,
    waits_since: Option<f64>,
    /// Open connections without a request.
    idle_connections: usize,
    /// Requests that the service has accepted and not answered.
    accepted: Rc<Cell<usize>>,
    observed: Observed,
    outcome: Outcome,
}

impl<'a> Transfer<'a> {
    /// Carries the whole stream with this many buffers of memory.
    pub fn run(scenario: &'a Scenario, buffers: usize, policy: &mut dyn Policy) -> Outcome {
        let mut transfer = Transfer::new(scenario, buffers, Rc::default(), DRAWS);
        transfer.start();
        while transfer.observed.acknowledged < scenario.stream - 1.0 {
            transfer.step(policy);
        }
        transfer.outcome.seconds = transfer.now;
        transfer.outcome.throttled = transfer.observed.throttled;
        transfer.outcome
    }

    /// A transfer that shares the service's number of accepted requests with others.
    pub fn new(
        scenario: &'a Scenario,
        buffers: usize,
        accepted: Rc<Cell<usize>>,
        seed: u64,
    ) -> Transfer<'a> {
        Transfer {
            scenario,
            rng: Rng::with_seed(seed),
            now: 0.0,
            each_sent: 0.0,
            timers: BinaryHeap::new(),
            sending: BinaryHeap::new(),
            ready: VecDeque::new(),
            filling: Part { bytes: 0.0, buffers: 0, attempts: 0, refused: false },
            split_numbers: 64,
            window: 4,
            may_split: false,
            unread: scenario.stream,
            free: buffers,
            backing_off: vec![],
            backoffs: 0,
            waits_since: None,
            idle_connections: 0,
            accepted,
            observed: Observed::default(),
            outcome: Outcome::default(),
        }
    }

    pub fn start(&mut self) {
        let first = SAMPLE_INTERVAL * (0.5 + self.rng.f64());
        self.timer(first, Happening::Sample);
        if let Some((at, _)) = self.scenario.change {
            self.timer(at, Happening::RatesChange);
        }
        self.fill();
    }

    /// Bytes acknowledged so far.
    pub fn acknowledged(&self) -> f64 {
        self.observed.acknowledged
    }

    /// The time of the next event, in seconds.
    pub fn next_at(&self) -> f64 {
        self.sent_at().min(self.timer_at())
    }

    fn each(&self) -> f64 {
        self.scenario.rates_at(self.now).each(self.sending.len())
    }

    fn sent_at(&self) -> f64 {
        self.sending.peek().map_or(f64::INFINITY, |Reverse(Keyed(end, _))| {
            self.now + (end - self.each_sent).max(0.0) / self.each()
        })
    }

    fn timer_at(&self) -> f64 {
        self.timers.peek().map_or(f64::INFINITY, |Reverse(Keyed(at, _))| *at)
    }

    fn timer(&mut self, after: f64, happening: Happening) {
        self.timers.push(Reverse(Keyed(self.now + after, happening)));
    }

    /// Goes on to the next event.
    pub fn step(&mut self, policy: &mut dyn Policy) {
        let (sent_at, timer_at) = (self.sent_at(), self.timer_at());
        let next = sent_at.min(timer_at);
        let each_sent = self.each() * (next - self.now);
        if !self.sending.is_empty() {
            self.each_sent += each_sent;
            self.observed.sent += each_sent * self.sending.len() as f64;
        }
        self.now = next;
        if sent_at <= timer_at {
            if let Some(Reverse(Keyed(_, attempt))) = self.sending.pop() {
                self.on_sent(attempt);
            }
        } else if let Some(Reverse(Keyed(_, happening))) = self.timers.pop() {
            self.on_timer(happening, policy);
        }
        self.start_parts(policy);
    }

    fn on_sent(&mut self, attempt: Attempt) {
        if attempt.broken {
            self.accepted.update(|accepted| accepted - 1);
            self.back_off(attempt.part);
        } else {
            let after = self.scenario.round_trip + self.scenario.service_time;
            self.timer(after, Happening::Response(attempt.part));
        }
    }

    fn back_off(&mut self, part: Part) {
        let longest = 0.5 * f64::from(1 << part.attempts.min(6));
        let after = longest * (0.5 + 0.5 * self.rng.f64());
        self.backoffs += 1;
        self.backing_off.push((self.backoffs, Part { attempts: part.attempts + 1, ..part }));
        self.timer(after, Happening::Retry(self.backoffs));
    }

    fn on_timer(&mut self, happening: Happening, policy: &mut dyn Policy) {
        match happening {
            Happening::BufferFilled => self.on_buffer_filled(policy),
            Happening::Send(part) => self.send(part),
            Happening::Response(part) => {
                self.accepted.update(|accepted| accepted - 1);
                self.observed.in_flight -= 1;
                self.idle_connections += 1;
                self.observed.acknowledged += part.bytes;
                if self.now >= 10.0 {
                    self.outcome.after_ten_seconds += part.bytes;
                }
                self.free += part.buffers;
                // There is room for one of the parts that were refused.
                if let Some(at) = self.backing_off.iter().position(|(_, part)| part.refused) {
                    let (_, part) = self.backing_off.remove(at);
                    self.request(part);
                }
                if let Some(since) = self.waits_since.take() {
                    self.observed.waited += self.now - since;
                    self.fill();
                }
            }
            Happening::Refused(part) => {
                self.observed.throttled += 1;
                self.observed.refused += usize::from(!part.refused);
                self.idle_connections += 1;
                self.back_off(Part { refused: true, ..part });
            }
            Happening::Retry(id) => {
                if let Some(at) = self.backing_off.iter().position(|(other, _)| *other == id) {
                    let (_, part) = self.backing_off.remove(at);
                    self.request(part);
                }
            }
            Happening::RatesChange => {}
            Happening::Sample => {
                self.observed.now = self.now;
                let waiting = self.waits_since.map_or(0.0, |since| self.now - since);
                let waited = self.observed.waited + waiting;
                policy.observe(&Observed { waited, ..self.observed });
                // Parts may be smaller from now on.
                if self.filling.bytes > 0.0 && self.waits_since.is_some() {
                    self.end_full_part(policy);
                }
                self.timer(SAMPLE_INTERVAL, Happening::Sample);
            }
        }
    }

    /// Reads on into the next buffer, if there is one.
    fn fill(&mut self) {
        if self.unread <= 0.0 {
            return;
        }
        // Buffers are scarcer than idle connections: the part goes as it is.
        let used = self.observed.in_flight + self.ready.len();
        let idle = if self.window > 4 && self.observed.throttled == 0 {
            self.window.saturating_sub(used)
        } else {
            0
        };
        if self.filling.bytes > 0.0 && idle > self.free {
            self.push_part();
            return self.fill();
        }
        if self.free == 0 {
            self.waits_since = Some(self.now);
            return;
        }
        if self.filling.buffers == 0 {
            self.outcome.parts += 1;
        }
        self.free -= 1;
        self.filling.buffers += 1;
        let bytes = self.unread.min(BUFFER);
        self.timer(bytes / self.scenario.producer, Happening::BufferFilled);
    }

    fn on_buffer_filled(&mut self, policy: &mut dyn Policy) {
        let bytes = self.unread.min(BUFFER);
        self.filling.bytes += bytes;
        self.unread -= bytes;
        self.end_full_part(policy);
        self.fill();
    }

    /// Ends the part that is filled, if it is as large as parts are now.
    fn end_full_part(&mut self, policy: &mut dyn Policy) {
        let offset = self.scenario.stream - self.unread - self.filling.bytes;
        let planned = policy.part_buffers(self.outcome.parts, offset);
        if self.filling.buffers >= planned || self.unread <= 0.0 {
            self.push_part();
        }
    }

    fn push_part(&mut self) {
        self.ready.push_back(self.filling);
        self.filling = Part { bytes: 0.0, buffers: 0, attempts: 0, refused: false };
    }

    fn start_parts(&mut self, policy: &dyn Policy) {
        let idle = policy.connections().saturating_sub(self.observed.in_flight);
        let all = policy.connections();
        self.may_split |= all > self.window;
        self.window = all;
        if self.unread <= 0.0 && idle > 0 && self.ready.len() < all && !self.ready.is_empty() {
            self.split(all);
        } else if all > 4 && idle > self.ready.len() && self.may_split && self.split_numbers > 0 {
            let before = self.outcome.parts;
            self.split(idle);
            let added = self.outcome.parts - before;
            self.may_split &= added == 0;
            self.split_numbers = self.split_numbers.saturating_sub(added);
        }
        while self.observed.in_flight < policy.connections() {
            let Some(part) = self.ready.pop_front() else { break };
            self.observed.in_flight += 1;
            let peak = self.outcome.peak_connections.max(self.observed.in_flight);
            self.outcome.peak_connections = peak;
            self.request(part);
        }
    }

    /// Divides the unsent parts among the idle connections.
    fn split(&mut self, idle: usize) {
        let bytes: f64 = self.ready.iter().map(|part| part.bytes).sum();
        let buffers: usize = self.ready.iter().map(|part| part.buffers).sum();
        let least = if self.unread > 0.0 { BUFFER } else { MIN_PIECE };
        let pieces = idle.min((bytes / least) as usize);
        if pieces <= self.ready.len() {
            return;
        }
        self.ready.clear();
        for piece in 0..pieces {
            let buffers = buffers * (piece + 1) / pieces - buffers * piece / pieces;
            self.ready.push_back(Part {
                bytes: bytes / pieces as f64,
                buffers,
                attempts: 0,
                refused: false,
            });
        }
        self.outcome.parts += pieces - 1;
    }

    /// Sends a request; the service accepts or refuses it.
    fn request(&mut self, part: Part) {
        let round_trip = self.scenario.round_trip;
        if self.scenario.most_requests.is_some_and(|most| self.accepted.get() >= most) {
            self.idle_connections = self.idle_connections.saturating_sub(1);
            return self.timer(round_trip, Happening::Refused(part));
        }
        self.accepted.update(|accepted| accepted + 1);
        self.observed.refused -= usize::from(part.refused);
        let part = Part { refused: false, ..part };
        if self.idle_connections > 0 {
            self.idle_connections -= 1;
            return self.send(part);
        }
        // A handshake of TCP and TLS, then slow start until the window holds what one round trip carries.
        let window = self.scenario.rates_at(self.now).each(self.sending.len() + 1) * round_trip;
        let doublings = (window / FIRST_WINDOW).max(1.0).log2();
        self.timer(round_trip * (2.0 + doublings), Happening::Send(part));
    }

    fn send(&mut self, part: Part) {
        let until_break = match self.scenario.bytes_per_break {
            Some(mean) => -mean * (1.0 - self.rng.f64()).ln(),
            None => f64::INFINITY,
        };
        let attempt = Attempt { part, broken: until_break < part.bytes };
        let end = self.each_sent + part.bytes.min(until_break);
        self.sending.push(Reverse(Keyed(end, attempt)));
    }
}

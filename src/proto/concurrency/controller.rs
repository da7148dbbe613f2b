//! The controller: adds connections as long as they carry more.
//!
//! Owns the number of connections of one transfer. Must not know parts, buffers, sockets or clocks: its
//! input is one sample after the other. Invariant: the number is above the first one only while the
//! stream waited for the network and a trial showed that more connections carry more.

use std::collections::VecDeque;
use std::time::Duration;

use super::phase::{Phase, Trial};

/// The number of connections at the start.
pub const START: u16 = 4;

/// A trial with more connections is kept if it carries this much more.
const KEPT_GAIN: f64 = 1.05;
/// The share of a proportional gain from which the next trial follows at once.
const STEEP_GAIN: f64 = 0.5;
/// A trial with fewer connections is kept if it carries at least this share.
const KEPT_SHARE: f64 = 0.98;
/// A rate that differs by this factor from that of the last decision is another line.
const OTHER_LINE: f64 = 1.25;
/// The stream waits for the network if the reader waits for this share of the time.
const NETWORK_BOUND: f64 = 0.5;
/// Bytes that a connection holds in the buffers of both hosts: a part that starts fills them at once, so
/// that a gain counts only if it is larger.
const BUFFERED: f64 = (4 << 20) as f64;
/// Times in seconds.
const SHORTEST_WINDOW: f64 = 2.0;
const LONGEST_WINDOW: f64 = 4.0;
const LONGEST_TRIAL: f64 = 12.0;
const LONGEST_SETTLING: f64 = 60.0;
const FIRST_HOLD: f64 = 15.0;
const LONGEST_HOLD: f64 = 240.0;
const LONGEST_BACKOFF: f64 = 60.0;
const FIRST_REFUSAL_HOLD: f64 = 30.0;
const LONGEST_REFUSAL_HOLD: f64 = 600.0;

/// What is observed of a transfer. Totals since its start.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    /// The time since the start.
    pub at: Duration,
    /// Bytes that the connections took, those of repeated attempts included.
    pub sent: u64,
    /// How long the reader waited for a buffer.
    pub waited: Duration,
    /// Parts in flight.
    pub in_flight: u16,
    /// Parts in flight that the service refused with 429 or 503 and has not accepted since.
    pub refused: u16,
}

/// Chooses the number of connections.
#[derive(Debug, Clone)]
pub struct Controller {
    connections: u16,
    most: u16,
    pub(super) phase: Phase,
    samples: VecDeque<Sample>,
    /// How long the number is kept after the next trial that brings nothing, in seconds.
    hold: f64,
    /// Whether the next trial is one with fewer connections.
    fewer_next: bool,
    /// The number at which the service refused requests.
    refused_at: Option<u16>,
    /// How long no number is tried at which the service refused requests, in seconds.
    refusal_hold: f64,
    refused_until: f64,
    /// Until then, parts that were refused already are not counted again, unless all were accepted.
    ignored_until: f64,
    refused_since: Option<f64>,
    /// The most requests that the service accepted at once since then.
    accepted: u16,
    /// The number after the next sample, whatever that shows, and whether the service refuses more.
    #[cfg(test)]
    scripted: Option<(u16, bool)>,
}

impl Controller {
    /// Begins with four connections, or with `most` if that is less.
    pub fn new(most: u16) -> Controller {
        Controller {
            connections: START.min(most.max(1)),
            most: most.max(1),
            phase: Phase::Measuring { since: 0.0 },
            samples: VecDeque::new(),
            hold: FIRST_HOLD,
            fewer_next: false,
            refused_at: None,
            refusal_hold: FIRST_REFUSAL_HOLD,
            refused_until: 0.0,
            ignored_until: 0.0,
            refused_since: None,
            accepted: 0,
            #[cfg(test)]
            scripted: None,
        }
    }

    /// Lets the next sample change the number to this one, as the service refuses more or not.
    #[cfg(test)]
    pub(crate) fn script(&mut self, to: u16, refused: bool) {
        self.scripted = Some((to, refused));
    }

    /// The connections to use now.
    pub fn connections(&self) -> u16 {
        self.connections
    }

    /// Whether the service refused requests beyond some number.
    pub(crate) fn was_refused(&self) -> bool {
        self.refused_at.is_some()
    }

    /// Whether the rate of the first number is known.
    pub(crate) fn has_decided(&self) -> bool {
        !matches!(self.phase, Phase::Measuring { .. })
    }

    /// Takes a sample; samples come about twice a second, in the order of time.
    pub fn handle_sample(&mut self, sample: Sample) {
        #[cfg(test)]
        if let Some((to, refused)) = self.scripted.take() {
            self.connections = to;
            self.refused_at = refused.then_some(to + 1).or(self.refused_at);
            return;
        }
        self.samples.push_back(sample);
        let now = sample.at.as_secs_f64();
        while self.samples.len() > 2 && self.samples[1].at.as_secs_f64() <= now - LONGEST_TRIAL {
            self.samples.pop_front();
        }
        if sample.refused == 0 {
            self.refused_since = None;
            self.accepted = 0;
            self.ignored_until = 0.0;
        } else if now >= self.ignored_until && sample.in_flight <= self.connections {
            self.accepted = self.accepted.max(sample.in_flight.saturating_sub(sample.refused));
            // All requests of one round trip are refused at about the same time. Where none is
            // accepted, the service is down, and fewer connections are no help.
            if now - *self.refused_since.get_or_insert(now) >= 0.9 && self.accepted > 0 {
                return self.on_refused(now);
            }
        }
        match self.phase {
            Phase::Measuring { since } => self.on_measuring(now, since),
            Phase::Settling { trial, since } => self.on_settling(now, trial, since),
            Phase::Trying { trial, since } => self.on_trying(now, trial, since),
            Phase::Holding { until, rate } => self.on_holding(now, until, rate),
        }
    }

    fn on_measuring(&mut self, now: f64, since: f64) {
        if now - since >= SHORTEST_WINDOW {
            let (rate, waited) = self.window(now - since);
            if waited >= NETWORK_BOUND {
                self.try_more(now, rate);
            } else {
                self.phase.enter(Phase::Holding { until: now, rate });
            }
        }
    }

    fn on_settling(&mut self, now: f64, trial: Trial, since: f64) {
        let in_flight = self.samples.back().map_or(0, |sample| sample.in_flight);
        let in_use = match self.connections > trial.from {
            true => in_flight >= self.connections,
            false => in_flight <= self.connections,
        };
        if in_use || now - since >= LONGEST_SETTLING {
            self.phase.enter(Phase::Trying { trial, since: now });
        } else if self.connections > trial.from && self.window(SHORTEST_WINDOW).1 == 0.0 {
            // The producer is the slower side.
            self.hold_number(now, trial.rate);
        }
    }

    fn on_trying(&mut self, now: f64, trial: Trial, since: f64) {
        // The first half second belongs to handshakes and slow starts.
        let measured = now - since - 0.5;
        if measured < SHORTEST_WINDOW {
            return;
        }
        let (rate, waited) = self.window(measured);
        let gain = rate / trial.rate.max(1.0);
        let proportional = f64::from(self.connections) / f64::from(trial.from);
        let gained = (rate - trial.rate) * measured;
        let is_certain = gained >= BUFFERED * f64::from(self.connections);
        if gain >= KEPT_GAIN && proportional > 1.0 && !is_certain && measured < LONGEST_TRIAL {
            return;
        }
        if proportional < 1.0 {
            if gain >= KEPT_SHARE {
                self.hold = FIRST_HOLD;
                self.hold_number(now, rate);
            } else {
                self.revert(now, trial);
            }
        } else if !is_certain || gain < KEPT_GAIN {
            self.revert(now, trial);
        } else if gain - 1.0 >= STEEP_GAIN * (proportional - 1.0) && waited >= NETWORK_BOUND {
            self.hold = FIRST_HOLD;
            self.try_more(now, rate);
        } else {
            self.hold = FIRST_HOLD;
            self.hold_number(now, rate);
        }
    }

    fn on_holding(&mut self, now: f64, until: f64, rate: f64) {
        let (present, waited) = self.window(LONGEST_WINDOW);
        let other = present > rate * OTHER_LINE || present * OTHER_LINE < rate;
        let refused = self.samples.back().is_some_and(|sample| sample.refused > 0);
        if refused || waited < NETWORK_BOUND || (now < until && !other) {
            return;
        }
        let mut present = present;
        if other {
            self.hold = FIRST_HOLD;
        } else {
            // The number was kept for longer than this.
            present = self.window(LONGEST_TRIAL).0;
        }
        let fewer = self.connections > START && self.fewer_next;
        self.fewer_next = !self.fewer_next;
        if fewer {
            let number = (self.connections * 3 / 4).max(START);
            self.start_trial(now, present, number);
        } else {
            self.try_more(now, present);
        }
    }

    /// The service accepts fewer requests than there are connections.
    fn on_refused(&mut self, now: f64) {
        self.connections = std::mem::take(&mut self.accepted).max(1);
        self.refused_since = None;
        self.refused_at = Some(self.connections + 1);
        self.ignored_until = now + LONGEST_BACKOFF;
        self.refused_until = now + self.refusal_hold;
        self.refusal_hold = (self.refusal_hold * 2.0).min(LONGEST_REFUSAL_HOLD);
        let (rate, _) = self.window(LONGEST_WINDOW);
        self.hold_number(now, rate);
    }

    /// Tries more connections, if there can be more and the service refuses none.
    fn try_more(&mut self, now: f64, rate: f64) {
        if self.samples.back().is_some_and(|sample| sample.refused > 0) {
            return self.hold_number(now, rate);
        }
        let doubled = (self.connections * 2).min(self.most);
        let number = match self.refused_at {
            Some(refused) if now < self.refused_until => doubled.min(refused - 1),
            // After a refusal the number grows by one.
            Some(_) => (self.connections + 1).min(self.most),
            None => doubled,
        };
        if number > self.connections {
            self.start_trial(now, rate, number);
        } else {
            self.hold_number(now, rate);
        }
    }

    fn start_trial(&mut self, now: f64, rate: f64, number: u16) {
        let trial = Trial { from: self.connections, rate };
        self.connections = number;
        self.phase.enter(Phase::Settling { trial, since: now });
    }

    fn revert(&mut self, now: f64, trial: Trial) {
        self.connections = trial.from;
        self.hold_number(now, trial.rate);
        self.hold = (self.hold * 2.0).min(LONGEST_HOLD);
    }

    fn hold_number(&mut self, now: f64, rate: f64) {
        self.phase.enter(Phase::Holding { until: now + self.hold, rate });
    }

    /// Bytes per second, and the share of the time that the reader waited, over the last seconds.
    fn window(&self, seconds: f64) -> (f64, f64) {
        let Some(last) = self.samples.back() else { return (0.0, 0.0) };
        let end = last.at.as_secs_f64();
        let start = end - seconds.min(LONGEST_TRIAL);
        let first =
            self.samples.iter().rev().find(|sample| sample.at.as_secs_f64() <= start + 1e-6);
        let first = first.copied().unwrap_or_default();
        let seconds = (end - first.at.as_secs_f64()).max(1e-3);
        let rate = (last.sent - first.sent) as f64 / seconds;
        (rate, (last.waited - first.waited).as_secs_f64() / seconds)
    }

    /// Adds what the exploration of states distinguishes: all values, with times that count from now.
    #[cfg(test)]
    pub(super) fn add_to(&self, fingerprint: &mut crate::state_space::Fingerprint, now: f64) {
        let Controller {
            connections,
            most,
            phase,
            samples,
            hold,
            fewer_next,
            refused_at,
            refusal_hold,
            refused_until,
            ignored_until,
            refused_since,
            accepted,
            scripted: _,
        } = self;
        let millis = |seconds: f64| (seconds * 1000.0).round() as i64;
        let ahead = |at: f64| millis((at - now).max(0.0));
        let ago = |at: f64| millis(now - at);
        let rate = |rate: f64| (rate / 1e4).round() as i64;
        fingerprint.add((connections, most, millis(*hold), fewer_next));
        let trial = |trial: Trial, since| (trial.from, rate(trial.rate), ago(since));
        fingerprint.add(phase.kind() as u8);
        fingerprint.add(match *phase {
            Phase::Measuring { since } => (0, 0, ago(since)),
            Phase::Settling { trial: of, since } | Phase::Trying { trial: of, since } => {
                trial(of, since)
            }
            Phase::Holding { until, rate: of } => (0, rate(of), ahead(until)),
        });
        for (before, sample) in samples.iter().zip(samples.iter().skip(1)) {
            let Sample { at, sent, waited, in_flight, refused } = *sample;
            fingerprint.add((at - before.at, sent - before.sent, waited - before.waited));
            fingerprint.add((in_flight, refused));
        }
        fingerprint.add((refused_at, millis(*refusal_hold), accepted, refused_since.map(ago)));
        fingerprint.add((ahead(*refused_until), ahead(*ignored_until)));
    }

    /// The number of connections at which requests were refused, while none as high is tried.
    #[cfg(test)]
    pub(super) fn refused_number(&self, now: f64) -> Option<u16> {
        self.refused_at.filter(|_| now < self.refused_until)
    }
}

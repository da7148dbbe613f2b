//! The state space of the connection controller, explored: every order of some conditions of the line.
//!
//! Owns the conditions and the bounds. Must not know how the controller decides. Invariant: every
//! transition of the phases is taken, and in every state that is reached the invariants hold.
//!
//! `OCIPIPE_EXPLORE=3` sets the most changes of the line in a run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::phase::{PhaseKind, TRANSITIONS, coverage};
use super::{Controller, START, Sample};
use crate::state_space::{Exploration, Fingerprint, StateSpace, explore};

const MB: f64 = 1e6;
const INTERVAL: Duration = Duration::from_millis(500);
/// The longest step, in samples: longer than the controller keeps a number.
const LONGEST: u32 = 600;

/// The samples in 13 s, which is longer than the controller remembers.
const REMEMBERED: u32 = 26;

/// What the line and the service do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Condition {
    /// Each connection carries 10 MB/s.
    Free,
    /// All together carry 30 MB/s.
    Shared,
    /// The producer writes 5 MB/s.
    SlowProducer,
    /// The service accepts three requests at once.
    Refusing,
    /// The service refuses all requests.
    Down,
}

const CONDITIONS: [Condition; 5] = [
    Condition::Free,
    Condition::Shared,
    Condition::SlowProducer,
    Condition::Refusing,
    Condition::Down,
];

/// How long a condition lasts before something may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    OneSample,
    /// Until the controller changes its phase or its number.
    UntilChange,
}

#[derive(Clone)]
struct Run {
    controller: Controller,
    condition: Condition,
    total: Sample,
    /// The changes of the condition that are left, and the steps.
    changes: u32,
    steps: u32,
    /// The reader has waited for the network, or the service has refused requests.
    was_limited: bool,
    /// The samples in a row in which nothing waited.
    unlimited: u32,
}

impl Run {
    fn new(most: u16, changes: u32, steps: u32) -> Run {
        Run {
            controller: Controller::new(most),
            condition: Condition::SlowProducer,
            total: Sample::default(),
            changes,
            steps,
            was_limited: false,
            unlimited: 0,
        }
    }

    fn now(&self) -> f64 {
        self.total.at.as_secs_f64()
    }

    /// One sample, half a second later. Returns whether the phase or the number has changed.
    fn sample(&mut self) -> Result<bool, String> {
        let number = self.controller.connections();
        // A slow producer does not fill the connections.
        let in_flight = match self.condition {
            Condition::SlowProducer => number.min(2),
            _ => number,
        };
        let accepted = match self.condition {
            Condition::Refusing => in_flight.min(3),
            Condition::Down => 0,
            _ => in_flight,
        };
        let rate = match self.condition {
            Condition::Free | Condition::Refusing | Condition::Down => 10.0 * f64::from(accepted),
            Condition::Shared => 30.0,
            Condition::SlowProducer => 5.0,
        };
        self.total.at += INTERVAL;
        self.total.sent += (rate * MB * INTERVAL.as_secs_f64()) as u64;
        if self.condition != Condition::SlowProducer {
            self.total.waited += INTERVAL;
            (self.was_limited, self.unlimited) = (true, 0);
        } else {
            self.unlimited = (self.unlimited + 1).min(REMEMBERED);
        }
        (self.total.in_flight, self.total.refused) = (in_flight, in_flight - accepted);
        let before = (self.controller.phase.kind(), number);
        self.controller.handle_sample(self.total);
        self.check(number)?;
        Ok(before != (self.controller.phase.kind(), self.controller.connections()))
    }

    fn check(&self, before: u16) -> Result<(), String> {
        let number = self.controller.connections();
        if number == 0 || number > before * 2 {
            return Err(format!("{number} connections after {before}"));
        }
        if number > START && !self.was_limited {
            return Err(format!("{number} connections though the producer is slower"));
        }
        // A trial with fewer connections may be taken back at any time.
        let tries_more = number > before && self.controller.phase.kind() == PhaseKind::Settling;
        if tries_more && self.unlimited == REMEMBERED {
            return Err(format!("{number} after {before} connections while nothing waits"));
        }
        if tries_more && self.total.refused > 0 {
            return Err(format!("{number} after {before} connections while requests are refused"));
        }
        match self.controller.refused_number(self.now()) {
            Some(refused) if number >= refused => {
                Err(format!("{number} connections, though {refused} were refused just now"))
            }
            _ => Ok(()),
        }
    }
}

impl StateSpace for Run {
    type Step = (Condition, Span);
    type Row = (PhaseKind, PhaseKind);

    fn steps(&self) -> Vec<(Condition, Span)> {
        if self.steps == 0 {
            return Vec::new();
        }
        let possible =
            CONDITIONS.into_iter().filter(|next| *next == self.condition || self.changes > 0);
        possible.flat_map(|next| [(next, Span::OneSample), (next, Span::UntilChange)]).collect()
    }

    fn take(
        &mut self,
        (condition, span): &(Condition, Span),
        rows: &mut BTreeSet<Self::Row>,
    ) -> Result<(), String> {
        self.changes -= u32::from(self.condition != *condition);
        (self.condition, self.steps) = (*condition, self.steps - 1);
        coverage::drain();
        let most = if *span == Span::OneSample { 1 } else { LONGEST };
        for _ in 0..most {
            if self.sample()? {
                break;
            }
        }
        rows.extend(coverage::drain());
        Ok(())
    }

    fn fingerprint(&self) -> u128 {
        let mut fingerprint = Fingerprint::default();
        self.controller.add_to(&mut fingerprint, self.now());
        fingerprint.add((self.condition, self.changes, self.steps, self.was_limited));
        fingerprint.add(self.unlimited);
        fingerprint.value()
    }

    fn is_end(&self) -> bool {
        self.steps == 0
    }

    fn summary(&self) -> String {
        let (number, phase) = (self.controller.connections(), self.controller.phase);
        format!("{number} connections at {:.1} s, {phase:?}", self.now())
    }
}

#[test]
fn the_controller_keeps_its_promises_and_takes_every_transition() {
    let given = std::env::var("OCIPIPE_EXPLORE").ok().map(|text| text.parse().expect("a number"));
    let (changes, steps) = given.map_or((2, 6), |changes| (changes, 10));
    let mut all = Exploration::default();
    for most in [1, 2, 4, 5, 16, 64] {
        let start = Instant::now();
        let explored = explore(&Run::new(most, changes, steps))
            .unwrap_or_else(|counterexample| panic!("at most {most}: {counterexample:?}"));
        let seconds = start.elapsed().as_secs_f64();
        println!("{explored} in {seconds:.1} s: at most {most} connections, {changes} changes");
        all.add(explored);
    }
    println!("{all}");
    let never: Vec<_> =
        TRANSITIONS.iter().filter(|(from, to, _)| !all.rows.contains(&(*from, *to))).collect();
    assert!(never.is_empty(), "transitions that no run takes: {never:?}");
}

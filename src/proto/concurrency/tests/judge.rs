//! The controller on the modelled lines, against fixed numbers.

use std::time::Duration;

use super::fixed::{self, BUFFERS};
use super::line::Scenario;
use super::transfer::{BUFFER, Observed, Outcome, Policy, Transfer};
use crate::concurrency::{Controller, Sample, part_buffers};

/// The part numbers that may be smaller than the first part.
const SMALL_PARTS: usize = 3_000;

/// The most connections that parts of 16 MiB in the default's memory allow.
pub const MOST: u16 = 39;

/// The controller as a policy of the model.
pub struct Auto {
    controller: Controller,
    /// The least size of a part whose number is not small, in buffers.
    least: usize,
    small_parts: usize,
    pub trace: Vec<(f64, u16, f64)>,
}

impl Auto {
    pub fn new(scenario: &Scenario, most: u16) -> Auto {
        let (least, small_parts) = match scenario.length_known {
            true => ((scenario.stream / 9_000.0 / BUFFER).ceil() as usize, usize::MAX),
            false => (1, SMALL_PARTS),
        };
        Auto { controller: Controller::new(most), least, small_parts, trace: vec![] }
    }
}

impl Policy for Auto {
    fn connections(&self) -> usize {
        usize::from(self.controller.connections())
    }

    fn part_buffers(&self, number: usize) -> usize {
        match number {
            ..=4 => 8,
            _ if !self.controller.has_decided() => 2.max(self.least).min(8),
            _ if number <= self.small_parts => {
                part_buffers(BUFFERS, self.controller.connections(), 8).max(self.least).min(8)
            }
            _ => 8,
        }
    }

    fn observe(&mut self, observed: &Observed) {
        self.controller.handle_sample(Sample {
            at: Duration::from_secs_f64(observed.now),
            sent: observed.sent as u64,
            waited: Duration::from_secs_f64(observed.waited),
            in_flight: observed.in_flight as u16,
            refused: observed.refused as u16,
        });
        if self.trace.last().is_none_or(|(_, number, _)| *number != self.controller.connections()) {
            self.trace.push((observed.now, self.controller.connections(), observed.sent / 1e6));
        }
    }
}

/// What a seed shows.
pub struct Verdict {
    pub seed: u64,
    pub scenario: Scenario,
    pub auto: Outcome,
    pub four: Outcome,
    pub best: Outcome,
    pub best_number: usize,
    pub trace: Vec<(f64, u16, f64)>,
}

impl Verdict {
    pub fn of(seed: u64) -> Verdict {
        let scenario = Scenario::of_seed(seed);
        let mut policy = Auto::new(&scenario, MOST);
        let auto = Transfer::run(&scenario, BUFFERS, &mut policy);
        Verdict { trace: policy.trace, ..Verdict::of_outcome(seed, scenario, auto) }
    }

    /// The verdict on a controller that never leaves this number.
    pub fn of_stuck(seed: u64, connections: usize) -> Verdict {
        let scenario = Scenario::of_seed(seed);
        let outcome = Transfer::run(&scenario, BUFFERS, &mut fixed::stuck_at(connections));
        Verdict::of_outcome(seed, scenario, outcome)
    }

    fn of_outcome(seed: u64, scenario: Scenario, auto: Outcome) -> Verdict {
        let (best_number, best) = fixed::best(&scenario);
        let four = fixed::four(&scenario);
        Verdict { seed, scenario, auto, four, best, best_number, trace: vec![] }
    }

    /// What the controller carries of the best fixed number.
    pub fn of_best(&self) -> f64 {
        self.best.seconds / self.auto.seconds
    }

    /// What the controller carries of four connections.
    pub fn of_four(&self) -> f64 {
        self.four.seconds / self.auto.seconds
    }
}

//! The controller on the modelled lines, against fixed numbers.

use std::time::Duration;

use super::fixed::{self, BUFFERS};
use super::line::Scenario;
use super::transfer::{BUFFER, Observed, Outcome, Policy, Transfer};
use crate::concurrency::{Controller, Sample};
use crate::part_plan::{self, PartCut, PartStart, PlanInput};

/// The most connections that parts of 16 MiB in the default's memory allow.
pub const MOST: u16 = 39;

/// The controller as a policy of the model, with the parts of a real plan.
pub struct Auto {
    controller: Controller,
    cut: PartCut,
    pub trace: Vec<(f64, u16, f64)>,
}

impl Auto {
    pub fn new(scenario: &Scenario, most: u16) -> Auto {
        let expected_size = scenario.length_known.then_some(scenario.stream as u64);
        // Without growth for the length: the model compares with parts of 128 MiB.
        let input = PlanInput { expected_size, ..PlanInput::default() };
        let plan = part_plan::plan(&input).expect("a plan without limits");
        let cut = PartCut::new(plan, &input);
        Auto { controller: Controller::new(most), cut, trace: vec![] }
    }
}

impl Policy for Auto {
    fn connections(&self) -> usize {
        usize::from(self.controller.connections())
    }

    fn part_buffers(&mut self, number: usize, offset: f64) -> usize {
        let at = PartStart { number: number as u32, offset: offset as u64 };
        let size = self.cut.part_size(at, self.controller.connections());
        // The memory of the model does not grow.
        ((size as f64 / BUFFER) as usize).clamp(1, 8)
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

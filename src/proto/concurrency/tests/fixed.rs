//! Fixed numbers of connections, which the controller is compared with.
//!
//! Owns the choice of part sizes for a fixed number, and the best number in hindsight. Must not know the
//! controller. Invariant: no number uses more memory than the default of four.

use super::line::Scenario;
use super::transfer::{BUFFER, Observed, Outcome, Policy, Transfer};

/// The buffers of the default: five parts of 128 MiB.
pub const BUFFERS: usize = 40;
const MOST_PARTS: f64 = 10_000.0;
const LARGEST_PART: usize = 8;

/// A number of connections that is kept.
pub struct Fixed {
    connections: usize,
    part_buffers: usize,
}

impl Fixed {
    /// `None` where the memory does not hold this many parts, or 10,000 of them do not hold the stream.
    pub fn new(connections: usize, scenario: &Scenario) -> Option<Fixed> {
        let part_buffers = (BUFFERS / (connections + 1)).min(LARGEST_PART);
        let holds = part_buffers as f64 * BUFFER * MOST_PARTS >= scenario.stream;
        // Four is always possible: its parts grow, with the memory.
        (part_buffers > 0 && (holds || connections == 4))
            .then_some(Fixed { connections, part_buffers })
    }
}

/// A controller that never leaves this number.
pub fn stuck_at(connections: usize) -> Fixed {
    let part_buffers = (BUFFERS / (connections + 1)).clamp(1, LARGEST_PART);
    Fixed { connections, part_buffers }
}

impl Policy for Fixed {
    fn connections(&self) -> usize {
        self.connections
    }

    fn part_buffers(&mut self, _: usize, _: f64) -> usize {
        self.part_buffers
    }

    fn observe(&mut self, _: &Observed) {}
}

/// What the four connections of the default carry.
pub fn four(scenario: &Scenario) -> Outcome {
    let mut fixed = Fixed { connections: 4, part_buffers: LARGEST_PART };
    Transfer::run(scenario, BUFFERS, &mut fixed)
}

/// The best fixed number, and what it carries.
pub fn best(scenario: &Scenario) -> (usize, Outcome) {
    [1, 2, 3, 4, 5, 6, 7, 9, 12, 16, 19, 24, 30, 39]
        .into_iter()
        .filter_map(|number| Some((number, Fixed::new(number, scenario)?)))
        .map(|(number, mut fixed)| (number, Transfer::run(scenario, BUFFERS, &mut fixed)))
        .min_by(|(_, left), (_, right)| left.seconds.total_cmp(&right.seconds))
        .expect("four is always possible")
}

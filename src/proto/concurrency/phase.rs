//! The phases of the controller, and the one table of the transitions between them.
//!
//! Owns which phase may follow which, and why. Must not know samples or when a phase ends. Invariant: the
//! table has every pair that a transfer takes; debug builds assert it, and the exploration takes each.

use PhaseKind::{Holding, Measuring, Settling, Trying};

/// What the controller is doing. Times are seconds since the start, rates bytes per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Phase {
    /// Measures what the present number carries.
    Measuring { since: f64 },
    /// Waits until a new number is in use.
    Settling { trial: Trial, since: f64 },
    /// Measures what a new number carries.
    Trying { trial: Trial, since: f64 },
    /// Keeps the number.
    Holding { until: f64, rate: f64 },
}

/// A change of the number, on trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Trial {
    pub from: u16,
    /// Bytes per second that `from` carried.
    pub rate: f64,
}

/// A phase without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PhaseKind {
    Measuring,
    Settling,
    Trying,
    Holding,
}

/// Every transition, with what causes it.
pub(super) const TRANSITIONS: [(PhaseKind, PhaseKind, &str); 8] = [
    (Measuring, Settling, "the stream waits for the network: more connections are tried"),
    (Measuring, Holding, "the producer is slower, there can be no more, or requests are refused"),
    (Settling, Trying, "the new number is in use"),
    (Settling, Holding, "the producer is slower, or requests are refused"),
    (Trying, Settling, "the trial gained so much that the next follows at once"),
    (Trying, Holding, "the trial is kept or taken back, or requests are refused"),
    (Holding, Settling, "the time of the number is over, or the line is another one"),
    (Holding, Holding, "there can be no more connections, or requests are refused"),
];

impl Phase {
    pub(super) fn kind(&self) -> PhaseKind {
        match self {
            Phase::Measuring { .. } => Measuring,
            Phase::Settling { .. } => Settling,
            Phase::Trying { .. } => Trying,
            Phase::Holding { .. } => Holding,
        }
    }

    /// The only way to another phase.
    pub(super) fn enter(&mut self, next: Phase) {
        let pair = (self.kind(), next.kind());
        debug_assert!(
            TRANSITIONS.iter().any(|(from, to, _)| (*from, *to) == pair),
            "the transition {pair:?} is not in the table"
        );
        #[cfg(test)]
        coverage::record(pair);
        *self = next;
    }
}

/// The transitions that the tests of this thread have taken.
#[cfg(test)]
pub(super) mod coverage {
    use std::cell::RefCell;

    use super::PhaseKind;

    thread_local! {
        static TAKEN: RefCell<Vec<(PhaseKind, PhaseKind)>> = const { RefCell::new(Vec::new()) };
    }

    pub(crate) fn record(pair: (PhaseKind, PhaseKind)) {
        TAKEN.with_borrow_mut(|taken| taken.push(pair));
    }

    /// Removes and returns the transitions since the last call.
    pub(crate) fn drain() -> Vec<(PhaseKind, PhaseKind)> {
        TAKEN.take()
    }
}

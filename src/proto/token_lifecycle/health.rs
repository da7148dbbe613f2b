//! The health of the current token: whether the service accepts requests that it signs.
//!
//! Owns the four states, when a probe is due, and since when the upload is blocked. Must not know when a
//! token expires, or what follows from a state. Invariants: [`Health::apply`] is the only function that
//! changes a state, and it takes only the transitions of [`TRANSITIONS`]; debug builds assert that, and
//! the simulation takes every one of them that it can cause.

use std::time::Duration;

use super::{Clocks, SECOND};

/// The least time between a probe that failed and the next one, and between a rejection and the first probe
/// if the last token was rejected too: requests that are rejected although probes pass must not cause more
/// than six probes a minute.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// Every transition: in this state, this happens, then this is the state.
#[rustfmt::skip]
pub(super) const TRANSITIONS: [(HealthState, HealthInput, HealthState); 26] = {
    use HealthInput::*;
    use HealthState::*;
    [
        (Healthy,    Stalled,       Blocked),
        (Healthy,    Rejection,     Rejected),
        (Healthy,    Replaced,      Healthy),
        (Healthy,    Succeeded,     Healthy),
        (Healthy,    SucceededLate, Healthy),

        (Blocked,    Stalled,       Blocked),
        (Blocked,    Reported,      Blocked),
        (Blocked,    Rejection,     Rejected),
        (Blocked,    Replaced,      Blocked),
        (Blocked,    Succeeded,     Healthy),
        (Blocked,    SucceededLate, Blocked),

        (Rejected,   Stalled,       Rejected),
        (Rejected,   Reported,      Rejected),
        (Rejected,   Rejection,     Rejected),
        (Rejected,   ProbeSent,     Rejected),
        (Rejected,   ProbeFailed,   Rejected),
        (Rejected,   Succeeded,     Rejected), // A request that was sent before the rejection.
        (Rejected,   SucceededLate, Rejected),
        (Rejected,   ProbeAccepted, Recovering),
        (Rejected,   Replaced,      Recovering),

        (Recovering, Stalled,       Recovering),
        (Recovering, Reported,      Recovering),
        (Recovering, Rejection,     Rejected),
        (Recovering, Replaced,      Recovering),
        (Recovering, Succeeded,     Healthy),
        (Recovering, SucceededLate, Recovering),
    ]
};

/// The health of the current token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Health {
    /// The last request succeeded, or none has been sent.
    #[default]
    Healthy,
    /// The token is not rejected, but no request can be sent, or none succeeds for reasons that are not
    /// the token's.
    Blocked(Block),
    /// The service rejected the token. Only an abort may be signed with it.
    Rejected { probe: Probe, block: Block },
    /// The rejection is over, since a probe passed or another token took the place of the rejected one,
    /// but no request has succeeded yet.
    Recovering(Block),
}

/// When a rejected token is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// Not before this time of the monotonic clock.
    DueAt(Duration),
    InFlight,
}

/// An interval in which no request succeeds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// Its beginning; `None` if a request that was sent before the rejection or expiry has succeeded since.
    pub since: Option<Clocks>,
    /// Whether the user knows of it.
    pub reported: bool,
}

/// The name of a state, without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HealthState {
    Healthy,
    Blocked,
    Rejected,
    Recovering,
}

/// What changes a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HealthInput {
    /// No request can be sent, or one failed with a 401 that does not concern the token.
    Stalled,
    /// A warning of the block was emitted.
    Reported,
    /// A request failed with a 401 that concerns the token.
    Rejection,
    ProbeSent,
    ProbeAccepted,
    /// A probe was rejected, or got no response.
    ProbeFailed,
    /// Another token took the place of this one.
    Replaced,
    /// The service did what a request asked for.
    Succeeded,
    /// The same, of a request that was sent before the token expired: no other can be sent.
    SucceededLate,
}

impl Health {
    /// Changes the state.
    pub(super) fn apply(&mut self, now: Clocks, input: HealthInput) {
        let from = self.state();
        *self = self.next(now, input);
        let row = (from, input, self.state());
        debug_assert!(TRANSITIONS.contains(&row), "no transition: {row:?}");
        #[cfg(test)]
        coverage::record(row);
    }

    fn next(self, now: Clocks, input: HealthInput) -> Health {
        let block = self.block();
        let begun = Block { since: block.since.or(Some(now)), ..block };
        let probe_after = |delay| Probe::DueAt(now.monotonic + delay);
        match (input, self) {
            (HealthInput::Stalled, Health::Healthy | Health::Blocked(_)) => Health::Blocked(begun),
            (HealthInput::Stalled, state) => state.with_block(begun),
            (HealthInput::Reported, state) => state.with_block(Block { reported: true, ..block }),

            (HealthInput::Rejection, Health::Healthy | Health::Blocked(_)) => {
                Health::Rejected { probe: probe_after(SECOND), block: begun }
            }
            (HealthInput::Rejection, Health::Recovering(_)) => {
                Health::Rejected { probe: probe_after(PROBE_INTERVAL), block: begun }
            }
            (HealthInput::Rejection, state) => state.with_block(begun),

            (HealthInput::ProbeSent, Health::Rejected { .. }) => {
                Health::Rejected { probe: Probe::InFlight, block }
            }
            (HealthInput::ProbeFailed, Health::Rejected { .. }) => {
                Health::Rejected { probe: probe_after(PROBE_INTERVAL), block }
            }
            (HealthInput::ProbeAccepted | HealthInput::Replaced, Health::Rejected { .. }) => {
                Health::Recovering(block)
            }

            (HealthInput::Succeeded, state @ Health::Rejected { .. })
            | (HealthInput::SucceededLate, state) => {
                state.with_block(Block { since: None, ..block })
            }
            (HealthInput::Succeeded, _) => Health::Healthy,

            (HealthInput::ProbeSent | HealthInput::ProbeFailed, state) => state,
            (HealthInput::ProbeAccepted | HealthInput::Replaced, state) => state,
        }
    }

    fn with_block(self, block: Block) -> Health {
        match self {
            Health::Healthy => Health::Healthy,
            Health::Blocked(_) => Health::Blocked(block),
            Health::Rejected { probe, .. } => Health::Rejected { probe, block },
            Health::Recovering(_) => Health::Recovering(block),
        }
    }

    pub(super) fn state(&self) -> HealthState {
        match self {
            Health::Healthy => HealthState::Healthy,
            Health::Blocked(_) => HealthState::Blocked,
            Health::Rejected { .. } => HealthState::Rejected,
            Health::Recovering(_) => HealthState::Recovering,
        }
    }

    /// The current block; the default while healthy.
    pub(super) fn block(&self) -> Block {
        match *self {
            Health::Healthy => Block::default(),
            Health::Blocked(block) | Health::Recovering(block) => block,
            Health::Rejected { block, .. } => block,
        }
    }

    pub(super) fn is_rejected(&self) -> bool {
        self.state() == HealthState::Rejected
    }

    /// The time until a probe is due, which is `later` than the earliest time; `None` unless the token is
    /// rejected and no probe is in flight.
    pub(super) fn probe_wait(&self, now: Clocks, later: Duration) -> Option<Duration> {
        match self {
            Health::Rejected { probe: Probe::DueAt(at), .. } => {
                Some((*at + later).saturating_sub(now.monotonic))
            }
            _ => None,
        }
    }
}

/// The transitions that the tests of this thread have taken.
#[cfg(test)]
pub(super) mod coverage {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::{HealthInput, HealthState, TRANSITIONS};

    pub(crate) type Row = (HealthState, HealthInput, HealthState);

    thread_local! {
        static TAKEN: RefCell<BTreeSet<Row>> = const { RefCell::new(BTreeSet::new()) };
    }

    pub(crate) fn record(row: Row) {
        TAKEN.with_borrow_mut(|taken| taken.insert(row));
    }

    /// Removes and returns the rows that were taken since the last call.
    pub(crate) fn drain() -> BTreeSet<Row> {
        TAKEN.take()
    }

    /// The rows of the table that have not been taken, in its order.
    pub(crate) fn never_taken() -> Vec<Row> {
        TAKEN.with_borrow(|taken| {
            TRANSITIONS.into_iter().filter(|row| !taken.contains(row)).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_and_an_input_have_one_next_state() {
        for (at, (from, input, _)) in TRANSITIONS.iter().enumerate() {
            let again = TRANSITIONS[at + 1..].iter().any(|(f, i, _)| (f, i) == (from, input));
            assert!(!again, "{from:?} and {input:?} are in the table twice");
        }
    }

    #[test]
    fn every_transition_of_the_table_is_the_one_that_the_code_takes() {
        let now = Clocks { wall: SECOND, monotonic: SECOND };
        let block = Block { since: Some(now), reported: false };
        for (from, input, to) in TRANSITIONS {
            let mut health = match from {
                HealthState::Healthy => Health::Healthy,
                HealthState::Blocked => Health::Blocked(block),
                HealthState::Rejected => Health::Rejected { probe: Probe::InFlight, block },
                HealthState::Recovering => Health::Recovering(block),
            };
            health.apply(now, input);
            assert_eq!(health.state(), to, "{from:?} and {input:?}");
        }
    }
}

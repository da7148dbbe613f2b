//! Exploration of all states that a small model of a state machine and its surroundings can reach.
//!
//! `exploration` visits the states, `graph` keeps them, `fingerprint` makes equal situations one state. Must
//! not know what is explored. Invariant: each path that is reported is one that the real machine has taken.

mod exploration;
mod fingerprint;
mod graph;

pub(crate) use exploration::{Exploration, StateSpace, explore};
pub(crate) use fingerprint::Fingerprint;

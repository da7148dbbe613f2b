//! The state space of the token life cycle of each mode, explored.
//!
//! Owns the modes and the bounds. Must not know what a step does. Invariant: every transition of the health
//! of a token is taken in some mode, and in every state that is reached the invariants hold.
//!
//! `OCIPIPE_EXPLORE=3` explores two requests in flight with up to three faults, where another token is issued
//! or refreshed with two: three have some hundred million states.

mod background;
mod run;
mod space;
mod step;

use std::time::Instant;

use super::health::coverage::Row;
use super::health::{HealthInput, TRANSITIONS};
use crate::state_space::{Exploration, explore};
use run::Run;
use step::Mode;

/// Whether a token of this mode cannot take a transition: nothing replaces a text in the environment, and a
/// key does not expire.
fn is_impossible(mode: Mode, (_, input, _): &Row) -> bool {
    match mode {
        Mode::Never => *input == HealthInput::Replaced,
        Mode::ApiKey => *input == HealthInput::SucceededLate,
        Mode::Refresh | Mode::Issue | Mode::FilesOnly => false,
    }
}

#[test]
fn the_token_life_cycle_of_each_mode_keeps_its_promises_and_takes_every_transition() {
    let given = std::env::var("OCIPIPE_EXPLORE").ok().map(|text| text.parse().expect("a number"));
    let mut all = Exploration::default();
    for mode in [Mode::Refresh, Mode::Issue, Mode::FilesOnly, Mode::Never, Mode::ApiKey] {
        // With refreshes there are the most states.
        let renews = matches!(mode, Mode::Refresh | Mode::Issue);
        let few = if renews { (1, 1) } else { (2, 1) };
        let most = if renews { 2 } else { 3 };
        let (faults, in_flight) = given.map_or(few, |faults: u32| (faults.min(most), 2));
        // Before the stream is read, fewer states wait.
        let stages: &[bool] = if given.is_some() { &[true, false] } else { &[true] };
        for streaming in stages.iter().copied() {
            let start = Instant::now();
            let case =
                format!("{mode:?}, streaming {streaming}, {faults} faults, {in_flight} in flight");
            let explored = explore(&Run::new(mode, streaming, faults, in_flight))
                .unwrap_or_else(|counterexample| panic!("{case}: {counterexample:?}"));
            println!("{explored} in {:.1} s: {case}", start.elapsed().as_secs_f64());
            let never: Vec<_> =
                TRANSITIONS.iter().filter(|row| !explored.rows.contains(row)).collect();
            println!("  transitions that no run takes: {never:?}");
            // One fault is too few for some.
            assert!(faults < 2 || never.iter().all(|row| is_impossible(mode, row)), "{case}");
            all.add(explored);
        }
    }
    println!("{all}");
    let never: Vec<_> = TRANSITIONS.iter().filter(|row| !all.rows.contains(row)).collect();
    assert!(never.is_empty(), "transitions that no run takes: {never:?}");
}

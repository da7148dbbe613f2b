//! The state space of small uploads, explored: every interleaving of what the stream, the service, the
//! timers and signals may do, up to a number of faults.
//!
//! Owns the cases and the bounds. Must not know what a step does. Invariant: every transition of the table
//! is taken by a run, and in every state that is reached the invariants hold.
//!
//! `OCIPIPE_EXPLORE=3` sets the most faults of a run, and takes the full list of cases.
//! `OCIPIPE_EXPLORE_CASE=TEXT` takes the cases whose name has this text.

mod case;
mod cases;
mod causes;
mod cutting;
mod fingerprint;
mod identical;
mod invariants;
mod par;
mod run;
mod service;
mod step;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Instant;

use super::super::{StateKind, TRANSITIONS};
use crate::state_space::{Exploration, StateSpace, explore};
use case::Case;
use cases::{all_cases, conflict_cases, cut_cases, other_cases, par_cases, rare_cases};
use run::Run;
use step::Step;

/// What some run has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Transition(StateKind, StateKind),
    /// One of `HAPPENINGS`.
    Happens(&'static str),
}

/// What has to happen besides the transitions.
const HAPPENINGS: &[&str] = &[
    "a tail is split",
    "a queue is cut",
    "all parts in flight are recalled",
    "it is too late to recall a part",
    "an equal object is proved by digests",
    "an equal object is found by its bytes",
    "an object of other bytes is no success",
    "what a pre-authenticated request stores is not shown",
];

impl StateSpace for Run {
    type Step = Step;
    type Row = Row;

    fn steps(&self) -> Vec<Step> {
        self.possible_steps()
    }

    fn take(&mut self, step: &Step, rows: &mut BTreeSet<Self::Row>) -> Result<(), String> {
        self.perform(step)?;
        rows.extend(self.rows.drain(..));
        self.check_result()
    }

    fn fingerprint(&self) -> u128 {
        self.to_fingerprint()
    }

    fn is_end(&self) -> bool {
        self.result.is_some()
    }

    fn summary(&self) -> String {
        let sent: Vec<_> = self.sent.iter().map(|sent| &sent.request.call).collect();
        let late: Vec<_> = self.late.iter().map(|sent| &sent.request.call).collect();
        let object = self.service.object.as_ref().map(|(etag, _)| etag);
        let uploads: Vec<_> = self.service.uploads.keys().collect();
        let end = self.result.as_ref().map(|result| match result {
            Ok(stored) => format!(", stored by {}", stored.evidence),
            Err(error) => format!(", {:?}: {error}", error.kind),
        });
        format!(
            "{} at {:?}, in flight {sent:?}, late {late:?}, object {object:?}, uploads {uploads:?}{}",
            self.upload.kind(),
            self.now,
            end.unwrap_or_default()
        )
    }
}

/// Explores the cases, on all cores.
fn explore_all(cases: Vec<Case>) -> Exploration<Row> {
    let open = Mutex::new(cases);
    let all = Mutex::new((Exploration::default(), Vec::new()));
    let work = || {
        loop {
            // The last case is the largest.
            let Some(case) = open.lock().unwrap().pop() else { return };
            let explored = explore_case(Rc::new(case));
            let (all, violations) = &mut *all.lock().unwrap();
            match explored {
                Ok(explored) => all.add(explored),
                Err(violation) => violations.push(violation),
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let (all, violations) = all.into_inner().unwrap();
    println!("{all}");
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    all
}

/// Explores one case. The error is a counterexample.
fn explore_case(case: Rc<Case>) -> Result<Exploration<Row>, String> {
    let start = Instant::now();
    let explored = explore(&Run::new(&case))
        .map_err(|counterexample| format!("{}: {counterexample:?}", case.name()))?;
    println!("{explored} in {:.1} s: {}", start.elapsed().as_secs_f64(), case.name());
    match explored.is_cyclic {
        true => Err(format!("{}: a run may never end", case.name())),
        false => Ok(explored),
    }
}

#[test]
fn every_small_upload_keeps_its_promises_and_takes_every_transition() {
    let given = std::env::var("OCIPIPE_EXPLORE").ok().map(|text| text.parse().expect("a number"));
    let mut cases = match given {
        None => all_cases(&[0, 1, 2], 1),
        Some(faults) => all_cases(&[0, 1, 2, 3], faults),
    };
    cases.extend(other_cases(given.unwrap_or(1)));
    cases.extend(cut_cases(given));
    cases.extend(conflict_cases(given));
    cases.extend(par_cases(given));
    cases.extend(rare_cases());
    let only = std::env::var("OCIPIPE_EXPLORE_CASE").ok();
    cases.retain(|case| only.as_ref().is_none_or(|text| case.name().contains(text)));
    cases.sort_by_key(|case| (case.parts, case.faults));
    let all = explore_all(cases);
    let transitions = TRANSITIONS.iter().map(|(from, to, _)| Row::Transition(*from, *to));
    let mut missing: Vec<_> =
        transitions.chain(HAPPENINGS.iter().map(|what| Row::Happens(what))).collect();
    missing.retain(|row| !all.rows.contains(row));
    let complete = missing.is_empty() || only.is_some();
    assert!(complete, "no run does this: {missing:?}");
}

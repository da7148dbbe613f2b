//! The state space of small uploads, explored: every interleaving of what the stream, the service, the
//! timers and signals may do, up to a number of faults.
//!
//! Owns the cases and the bounds. Must not know what a step does. Invariant: every transition of the table
//! is taken by a run, and in every state that is reached the invariants hold.
//!
//! `OCIPIPE_EXPLORE=3` sets the most faults of a run, and takes the full list of cases.
//! `OCIPIPE_EXPLORE_CASE=TEXT` takes the cases whose name has this text.

mod case;
mod fingerprint;
mod invariants;
mod run;
mod service;
mod step;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Instant;

use super::super::{StateKind, TRANSITIONS};
use crate::retry::Operation;
use crate::state_space::{Exploration, StateSpace, explore};
use crate::upload::ApiCall;
use case::{Case, Previous, Resume};
use run::Run;
use step::{Fault, Step};

impl StateSpace for Run {
    type Step = Step;
    type Row = (StateKind, StateKind);

    fn steps(&self) -> Vec<Step> {
        self.possible_steps()
    }

    fn take(&mut self, step: &Step, rows: &mut BTreeSet<Self::Row>) -> Result<(), String> {
        self.perform(step, rows)?;
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

/// Every combination of the options, the object before, and what a policy forbids.
fn all_cases(parts: &[usize], faults: u32) -> Vec<Case> {
    let mut cases = Vec::new();
    for parts in parts {
        for previous in [Previous::Nothing, Previous::IfMatch, Previous::Force] {
            for forbidden in [vec![], vec![Operation::Head]] {
                for resume in [Resume::Off, Resume::Begins, Resume::Continues] {
                    if *parts < 2 && resume != Resume::Off {
                        continue;
                    }
                    let case = Case::new(*parts, faults);
                    cases.push(Case { previous, resume, forbidden: forbidden.clone(), ..case });
                }
            }
        }
    }
    cases
}

/// What else a run may begin with.
fn other_cases(faults: u32) -> Vec<Case> {
    use Operation::{Abort, Head, ListParts, ListUploads};
    let case = |parts| Case::new(parts, faults);
    let forbids = |forbidden: &[Operation]| Case { forbidden: forbidden.to_vec(), ..case(2) };
    vec![
        Case { end_proven: false, ..case(1) },
        Case { end_proven: false, ..case(2) },
        Case { delete_on_mismatch: true, ..case(1) },
        Case { delete_on_mismatch: true, ..case(2) },
        Case { delete_on_mismatch: true, previous: Previous::Force, ..case(2) },
        Case { bucket_is_new: true, ..case(1) },
        Case { bucket_is_new: true, ..case(2) },
        Case { in_flight: 1, ..case(2) },
        forbids(&[Abort]),
        forbids(&[ListUploads]),
        forbids(&[Head, ListParts]),
    ]
}

/// The rare transitions need three faults of these kinds.
fn rare_cases() -> Vec<Case> {
    let explores = |step: &Step| match step {
        Step::LosePart(_) | Step::OtherAbort => true,
        Step::Fault(_, ApiCall::Commit, fault, _) => *fault == Fault::LandLate,
        _ => false,
    };
    let deletes = |step: &Step| match step {
        Step::Fault(_, ApiCall::Create, fault, _) => *fault == Fault::Lose,
        Step::Fault(_, ApiCall::Commit | ApiCall::Put, fault, _) => {
            matches!(fault, Fault::Corrupt | Fault::CorruptUnseen)
        }
        _ => false,
    };
    let stops = |step: &Step| match step {
        Step::Fault(_, ApiCall::Create, fault, _) => *fault == Fault::Lose,
        Step::Fault(_, ApiCall::Commit, fault, _) => *fault == Fault::Lose,
        Step::LosePart(_) | Step::Signal => true,
        _ => false,
    };
    let refuses = |step: &Step| match step {
        Step::Fault(_, ApiCall::Commit, fault, _) => *fault == Fault::Fail,
        step => *step == Step::OtherObject,
    };
    let case = |explores| Case { explores, ..Case::new(2, 3) };
    let deleting =
        |parts| Case { delete_on_mismatch: true, explores: deletes, ..Case::new(parts, 3) };
    vec![case(explores), deleting(1), deleting(2), case(stops), case(refuses)]
}

/// Explores the cases, on all cores.
fn explore_all(cases: Vec<Case>) -> Exploration<(StateKind, StateKind)> {
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
fn explore_case(case: Rc<Case>) -> Result<Exploration<(StateKind, StateKind)>, String> {
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
    cases.extend(rare_cases());
    let only = std::env::var("OCIPIPE_EXPLORE_CASE").ok();
    cases.retain(|case| only.as_ref().is_none_or(|text| case.name().contains(text)));
    cases.sort_by_key(|case| (case.parts, case.faults));
    let all = explore_all(cases);
    let is_missing =
        |(from, to, _): &&(StateKind, StateKind, &str)| !all.rows.contains(&(*from, *to));
    let missing: Vec<_> = TRANSITIONS.iter().filter(is_missing).collect();
    let complete = missing.is_empty() || only.is_some();
    assert!(complete, "transitions that no run takes: {missing:?}");
}

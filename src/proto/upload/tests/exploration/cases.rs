//! The cases of the exploration.
//!
//! Owns which options, objects and faults are combined, and how many. Must not know what happens in a run.
//! Invariant: what `cargo test` explores takes few seconds; a given number of faults takes all.

use super::case::{Case, Previous, Resume};
use super::cutting::{Cut, Progress};
use super::identical::{Conflict, OtherObject};
use super::par::Par;
use super::step::{Fault, Step};
use crate::retry::Operation;
use crate::upload::ApiCall;

/// Every combination of the options, the object before, and what a policy forbids.
pub(super) fn all_cases(parts: &[usize], faults: u32) -> Vec<Case> {
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
pub(super) fn other_cases(faults: u32) -> Vec<Case> {
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
pub(super) fn rare_cases() -> Vec<Case> {
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
        step => matches!(step, Step::OtherObject(_)),
    };
    // Another client stores the same bytes in the same parts before a commit has an answer.
    let overtakes = |step: &Step| match step {
        Step::Fault(_, ApiCall::Commit, fault, _) => matches!(fault, Fault::Fail | Fault::Lose),
        step => matches!(step, Step::OtherObject(OtherObject::Equal)),
    };
    let overtaken = Case { conflict: Conflict::ReadOn, explores: overtakes, ..Case::new(2, 2) };
    let case = |explores| Case { explores, ..Case::new(2, 3) };
    let deleting =
        |parts| Case { delete_on_mismatch: true, explores: deletes, ..Case::new(parts, 3) };
    vec![case(explores), deleting(1), deleting(2), case(stops), case(refuses), overtaken]
}

/// The split of the tail, and uploads that change their number of connections.
pub(super) fn cut_cases(given: Option<u32>) -> Vec<Case> {
    // What is cut, and when, multiplies the states.
    let faults = given.unwrap_or(1).min(2);
    let tail = |tail, case: Case| Case { cut: Cut { tail: Some(tail), changes: 0 }, ..case };
    let auto = |changes, case: Case| Case { cut: Cut { changes, ..case.cut }, ..case };
    let three = || Case::new(3, faults).of_sizes(&[2, 2, 7]);
    let growing = || Case::new(3, faults);
    if given.is_none() {
        let explores = |step: &Step| match step {
            Step::Fault(_, ApiCall::Part(_), fault, _) => {
                matches!(fault, Fault::LandLate | Fault::Fail)
            }
            _ => false,
        };
        let two = Case { explores, ..Case::new(2, faults).of_sizes(&[2, 3]) };
        return vec![tail(Progress::Nothing, three()), auto(1, two)];
    }
    let write_only = Some(Par { reads: false, heeds: true, digests: true });
    let one_fault = Case::new(3, 1);
    vec![
        tail(Progress::Nothing, three()),
        tail(Progress::Everything, three()),
        tail(Progress::Nothing, Case { resume: Resume::Begins, ..three() }),
        tail(Progress::Everything, Case { par: write_only, ..three() }),
        tail(Progress::Nothing, Case { in_flight: 3, ..three().of_sizes(&[1, 1, 1, 5]) }),
        auto(1, growing()),
        auto(1, Case { resume: Resume::Begins, ..growing() }),
        auto(1, Case { par: write_only, ..growing() }),
        auto(2, one_fault.clone()),
        auto(2, tail(Progress::Everything, one_fault)),
    ]
}

/// `--identical-ok`.
pub(super) fn conflict_cases(given: Option<u32>) -> Vec<Case> {
    let faults = given.map_or(1, |given| given.min(2));
    let mut cases = Vec::new();
    for parts in [1, 2] {
        let case = || Case::new(parts, faults);
        cases.push(Case { conflict: Conflict::ReadOn, ..case() });
        for object in [
            OtherObject::Different,
            OtherObject::SameSize,
            OtherObject::Equal,
            OtherObject::EqualInOtherParts,
        ] {
            cases.push(Case { conflict: Conflict::Found(object), ..case() });
        }
    }
    let case = |parts| Case { conflict: Conflict::ReadOn, ..Case::new(parts, faults) };
    cases.push(Case { forbidden: vec![Operation::Head], ..case(2) });
    if given.is_some() {
        cases.push(Case { resume: Resume::Begins, ..case(2) });
        cases.push(Case { resume: Resume::Continues, ..case(2) });
        cases.push(case(3));
    }
    cases
}

/// Uploads through a pre-authenticated request.
pub(super) fn par_cases(given: Option<u32>) -> Vec<Case> {
    let faults = given.map_or(1, |given| given.min(2));
    let mut cases = Vec::new();
    for parts in [1, 2] {
        for (reads, heeds, digests) in [
            (true, true, true),
            (true, false, true),
            (true, true, false),
            (false, true, true),
            (false, false, true),
            (false, true, false),
        ] {
            let par = Some(Par { reads, heeds, digests });
            for previous in [Previous::Nothing, Previous::Force] {
                let is_quick = parts == 1 || reads == heeds && digests;
                if given.is_some() || previous == Previous::Nothing && is_quick {
                    cases.push(Case { par, previous, ..Case::new(parts, faults) });
                }
            }
        }
    }
    cases
}

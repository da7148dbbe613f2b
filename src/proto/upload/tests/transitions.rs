//! The rare transitions, one scripted run each. The recorded runs take all the others.

use super::scripted::{ScriptedRun, abort_of, lost, stop};
use super::*;

use StateKind::{Aborting, Finished, ListingOrphans, RelistingParts, Resolving, Streaming};

/// What no recorded run takes.
pub const RARE: [(StateKind, StateKind); 5] = [
    (Streaming, Resolving),
    (RelistingParts, Resolving),
    (RelistingParts, ListingOrphans),
    (RelistingParts, Finished),
    (ListingOrphans, Aborting),
];

#[track_caller]
fn takes(run: &ScriptedRun, pair: (StateKind, StateKind)) {
    assert!(RARE.contains(&pair));
    assert!(run.transitions.contains(&pair), "{pair:?} is not in {:?}", run.transitions);
}

/// A commit whose response was lost, sent again and rejected for a part's etag.
fn relisting_after_a_lost_response() -> ScriptedRun {
    let mut run = ScriptedRun::committing(settings(1, 2));
    run.fails(ApiCall::Commit, lost());
    run.wait();
    run.refused(ApiCall::Head, 404, "ObjectNotFound");
    run.ok(ApiCall::ListParts, Outcome::Parts(Vec::new()));
    run.wait();
    assert_eq!(run.last(), &ApiCall::Commit);
    run.refused(ApiCall::Commit, 400, "InvalidUploadPart");
    assert_eq!(run.last(), &ApiCall::ListParts);
    run
}

#[test]
fn a_part_that_is_answered_404_after_a_lost_commit_response_is_no_failure() {
    let mut run = relisting_after_a_lost_response();
    run.ok(ApiCall::ListParts, Outcome::Parts(Vec::new()));
    assert_eq!(run.last(), &ApiCall::Part(2));
    run.refused(ApiCall::Part(2), 404, "UploadNotFound");
    assert_eq!(run.last(), &ApiCall::Head);
    takes(&run, (Streaming, Resolving));
}

#[test]
fn an_upload_that_is_gone_while_its_parts_are_listed_is_resolved() {
    let mut run = relisting_after_a_lost_response();
    run.refused(ApiCall::ListParts, 404, "UploadNotFound");
    assert_eq!(run.last(), &ApiCall::Head);
    takes(&run, (RelistingParts, Resolving));
}

/// A stop while the commit is in flight, which is then rejected for a part's etag.
fn stopped_while_relisting(mut run: ScriptedRun) -> ScriptedRun {
    run.tell(stop());
    run.refused(ApiCall::Commit, 400, "InvalidUploadPart");
    assert_eq!(run.last(), &ApiCall::ListParts);
    run.wait();
    run
}

#[test]
fn a_list_of_parts_that_does_not_come_within_a_stop_leaves_the_outcome_unknown() {
    let run = stopped_while_relisting(ScriptedRun::committing(settings(1, 2)));
    assert_eq!(run.kind(), ErrorKind::OutcomeUnknown);
    takes(&run, (RelistingParts, Finished));
}

#[test]
fn the_same_after_a_lost_create_names_the_uploads_that_it_may_have_left() {
    let mut run = ScriptedRun::new(settings(1, 2));
    run.creating();
    run.fails(ApiCall::Create, lost());
    run.wait();
    run.ok(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    run.finish_parts();
    let run = stopped_while_relisting(run);
    assert_eq!(run.last(), &ApiCall::ListUploads);
    takes(&run, (RelistingParts, ListingOrphans));
}

#[test]
fn a_probe_that_is_answered_after_a_stop_leaves_no_upload() {
    let mut run = ScriptedRun::putting(settings(1, 2));
    let body = Bytes::from_static(b"abc");
    let stored = Outcome::Stored { meta: held("e", &body, false), crc32: crc32fast::hash(&body) };
    run.ok(ApiCall::Put, stored);
    run.hidden();
    let probe = ApiCall::ConditionalCreate(ProbeCondition::NoObject);
    assert_eq!(run.last(), &probe);
    run.tell(stop());
    run.wait();
    assert_eq!(run.last(), &ApiCall::ListUploads);
    run.ok(probe, Outcome::Created { upload_id: "probe".to_owned() });
    assert_eq!(run.last(), &abort_of("probe"));
    takes(&run, (ListingOrphans, Aborting));
}

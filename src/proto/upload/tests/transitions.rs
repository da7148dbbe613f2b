//! Tests of the rare transitions, one scripted run each. The recorded runs take all the others.

use super::scripted::{ScriptedRun, abort_of, response_lost, stop};
use super::*;

use StateKind::{Aborting, Finished, ListingOrphans, RelistingParts, Resolving, Streaming};

/// The transitions that no recorded run takes.
pub(super) const UNRECORDED: [(StateKind, StateKind); 6] = [
    (Streaming, RelistingParts),
    (Streaming, Resolving),
    (RelistingParts, Resolving),
    (RelistingParts, ListingOrphans),
    (RelistingParts, Finished),
    (ListingOrphans, Aborting),
];

#[track_caller]
fn check_transition(run: &ScriptedRun, pair: (StateKind, StateKind)) {
    assert!(UNRECORDED.contains(&pair));
    assert!(run.transitions.contains(&pair), "{pair:?} is not in {:?}", run.transitions);
}

/// A run whose commit lost its response, was sent again, and was rejected for a part's etag.
fn relisting_after_a_lost_response() -> ScriptedRun {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.fail(ApiCall::Commit, response_lost());
    run.wait();
    run.reject(ApiCall::Head, 404, "ObjectNotFound");
    run.succeed(ApiCall::ListParts, Outcome::Parts(Vec::new()));
    run.wait();
    assert_eq!(run.last_call(), &ApiCall::Commit);
    run.reject(ApiCall::Commit, 400, "InvalidUploadPart");
    assert_eq!(run.last_call(), &ApiCall::ListParts);
    run
}

#[test]
fn a_part_that_is_answered_404_after_a_lost_commit_response_is_no_failure() {
    let mut run = relisting_after_a_lost_response();
    run.succeed(ApiCall::ListParts, Outcome::Parts(Vec::new()));
    assert_eq!(run.last_call(), &ApiCall::Part(nth(2)));
    run.reject(ApiCall::Part(nth(2)), 404, "UploadNotFound");
    assert_eq!(run.last_call(), &ApiCall::Head);
    check_transition(&run, (Streaming, Resolving));
}

#[test]
fn an_upload_that_is_closed_while_its_parts_are_listed_is_resolved() {
    let mut run = relisting_after_a_lost_response();
    run.reject(ApiCall::ListParts, 404, "UploadNotFound");
    assert_eq!(run.last_call(), &ApiCall::Head);
    check_transition(&run, (RelistingParts, Resolving));
}

/// Stops a run whose commit is in flight and is then rejected for a part's etag.
fn stopped_while_relisting(mut run: ScriptedRun) -> ScriptedRun {
    run.handle_event(stop());
    run.reject(ApiCall::Commit, 400, "InvalidUploadPart");
    assert_eq!(run.last_call(), &ApiCall::ListParts);
    run.wait();
    run
}

#[test]
fn a_list_of_parts_without_response_until_the_end_of_a_stop_leaves_the_outcome_unknown() {
    let run = stopped_while_relisting(ScriptedRun::committing(test_config(1, 2)));
    assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
    check_transition(&run, (RelistingParts, Finished));
}

#[test]
fn after_a_lost_create_response_the_same_lists_the_uploads_that_it_may_have_left() {
    let mut run = ScriptedRun::new(test_config(1, 2));
    run.start_create();
    run.fail(ApiCall::Create, response_lost());
    run.wait();
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    run.finish_parts();
    let run = stopped_while_relisting(run);
    assert_eq!(run.last_call(), &ApiCall::ListUploads);
    check_transition(&run, (RelistingParts, ListingOrphans));
}

#[test]
fn a_probe_whose_response_arrives_after_a_stop_leaves_no_upload() {
    let mut run = ScriptedRun::storing(test_config(1, 2));
    let body = Bytes::from_static(b"abc");
    let stored = Outcome::Stored { meta: response_meta("e", &body), crc32: crc32fast::hash(&body) };
    run.succeed(ApiCall::Put, stored);
    run.reject_heads();
    let probe = ApiCall::ConditionalCreate(ProbeCondition::NoObject);
    assert_eq!(run.last_call(), &probe);
    run.handle_event(stop());
    run.wait();
    assert_eq!(run.last_call(), &ApiCall::ListUploads);
    run.succeed(probe, Outcome::Created { upload_id: "probe".to_owned() });
    assert_eq!(run.last_call(), &abort_of("probe"));
    check_transition(&run, (ListingOrphans, Aborting));
}

//! Tests of 404s for the requests after the stream: put, commit, the look-ups that resolve and confirm,
//! and cleanup.

use super::*;
use crate::upload::tests::scripted::{both_parts, meta_of_size, response_lost};

#[test]
fn a_commit_or_put_answered_404_is_repeated_and_counts_as_not_performed() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.not_found_once(ApiCall::Commit);
    let meta = run.object_meta("new");
    run.succeed(ApiCall::Commit, Outcome::Committed(run.commit_meta("new")));
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    assert!(run.result().is_ok());

    let mut run =
        ScriptedRun::storing(UploadConfig { bucket: BucketStatus::Seen, ..test_config(1, 2) });
    run.not_found_once(ApiCall::Put);
}

#[test]
fn a_commit_whose_404s_are_exhausted_is_resolved_before_the_run_fails() {
    // The service has performed the commit.
    let mut run = ScriptedRun::committing(test_config(1, 2));
    check_full_retries(run.exhaust_not_found(ApiCall::Commit));
    assert_eq!(run.last_call(), &ApiCall::Head);
    let meta = run.object_meta("new");
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    run.succeed(ApiCall::ListUploads, Outcome::Uploads(Vec::new()));
    assert!(run.result().is_ok());

    // The service has not performed it, and the upload can be aborted.
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.exhaust_not_found(ApiCall::Commit);
    run.fail(ApiCall::Head, bucket_not_found(&ApiCall::Head));
    run.succeed(ApiCall::ListParts, both_parts());
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(run.error_kind(), ErrorKind::Service);

    // Every call is answered 404. No response was lost, so the commit has failed for certain.
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.exhaust_not_found(ApiCall::Commit);
    run.fail(ApiCall::Head, bucket_not_found(&ApiCall::Head));
    assert_eq!(run.exhaust_not_found(ApiCall::ListParts).0, 4);
    run.exhaust_not_found(abort());
    assert_eq!(run.error_kind(), ErrorKind::Service);
}

#[test]
fn a_put_whose_404s_are_exhausted_is_resolved_before_the_run_fails() {
    let before = PreviousObject::Object("old".to_owned());
    let config =
        UploadConfig { bucket: BucketStatus::Seen, previous_object: before, ..test_config(1, 2) };
    let exhausted = || {
        let mut run = ScriptedRun::storing(config.clone());
        check_full_retries(run.exhaust_not_found(ApiCall::Put));
        assert_eq!(run.last_call(), &ApiCall::Head);
        run
    };
    let mut stored = exhausted();
    stored.succeed(ApiCall::Head, Outcome::Object(head_meta("new", &Bytes::from_static(b"abc"))));
    assert!(stored.result().is_ok());
    let mut previous = exhausted();
    previous.succeed(ApiCall::Head, Outcome::Object(head_meta("old", &Bytes::from_static(b"abc"))));
    assert_eq!(previous.error_kind(), ErrorKind::Service);
    let mut other = exhausted();
    other.succeed(ApiCall::Head, Outcome::Object(meta_of_size("third", 99)));
    assert_eq!(other.error_kind(), ErrorKind::Service);
    let mut not_found = exhausted();
    not_found.exhaust_not_found(ApiCall::Head);
    assert_eq!(not_found.error_kind(), ErrorKind::Service);
}

/// The response to the commit is lost, and each call after it is answered 404 at first.
#[test]
fn a_spurious_404_of_the_list_of_parts_does_not_mean_a_closed_upload() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.fail(ApiCall::Commit, response_lost());
    run.wait();
    run.fail(ApiCall::Head, bucket_not_found(&ApiCall::Head));
    assert_eq!(run.last_call(), &ApiCall::ListParts);
    run.not_found_once(ApiCall::ListParts);
    run.succeed(ApiCall::ListParts, both_parts());
    run.wait();
    assert_eq!(run.last_call(), &ApiCall::Commit);
    // The first commit took effect late: the upload is closed, and the first HEAD is answered 404.
    run.reject(ApiCall::Commit, 404, "UploadNotFound");
    run.fail(ApiCall::Head, bucket_not_found(&ApiCall::Head));
    run.reject(ApiCall::ListParts, 404, "UploadNotFound");
    run.not_found_once(ApiCall::Head);
    let meta = run.object_meta("new");
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    assert!(run.result().is_ok());
}

#[test]
fn a_lost_commit_response_that_cannot_be_resolved_leaves_the_outcome_unknown() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.fail(ApiCall::Commit, response_lost());
    run.wait();
    run.fail(ApiCall::Head, bucket_not_found(&ApiCall::Head));
    check_full_retries(run.exhaust_not_found(ApiCall::ListParts));
    assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);

    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.fail(ApiCall::Commit, response_lost());
    run.wait();
    run.fail(ApiCall::Head, bucket_not_found(&ApiCall::Head));
    run.succeed(ApiCall::ListParts, both_parts());
    run.wait();
    // Every repetition is answered 404. The first commit may have taken effect.
    check_full_retries(run.exhaust_not_found(ApiCall::Commit));
    run.fail(ApiCall::Head, bucket_not_found(&ApiCall::Head));
    check_full_retries(run.exhaust_not_found(ApiCall::ListParts));
    assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
}

#[test]
fn a_lost_put_response_with_repetitions_answered_404_leaves_the_outcome_unknown() {
    let mut run =
        ScriptedRun::storing(UploadConfig { bucket: BucketStatus::Seen, ..test_config(1, 2) });
    run.fail(ApiCall::Put, response_lost());
    run.wait();
    run.exhaust_not_found(ApiCall::Put);
    check_full_retries(run.exhaust_not_found(ApiCall::Head));
    assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
}

#[test]
fn a_head_of_a_committed_object_that_is_answered_404_is_repeated_at_once() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    let meta = run.object_meta("new");
    run.succeed(ApiCall::Commit, Outcome::Committed(run.commit_meta("new")));
    let start = run.now;
    run.not_found_once(ApiCall::Head);
    assert!(run.now - start < SECOND);
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    let stored = run.result().as_ref().unwrap();
    assert_eq!((stored.meta.size, &run.warnings), (Some(6), &vec![]));
}

#[test]
fn a_probe_that_is_permitted_is_repeated_until_it_has_a_response() {
    let probe = || ApiCall::ConditionalCreate(ProbeCondition::NoObject);
    let mut run = ScriptedRun::committing(test_config(1, 2));
    let committed = run.commit_meta("new");
    run.succeed(ApiCall::Commit, Outcome::Committed(committed));
    run.reject_heads();
    for _ in 0..6 {
        run.fail(probe(), bucket_not_found(&probe()));
        run.wait();
        assert_eq!(run.last_call(), &probe());
    }
    // No object exists: the service has not stored it.
    run.succeed(probe(), Outcome::Created { upload_id: "probe".to_owned() });
    run.not_found_once(abort());
    run.succeed(abort(), Outcome::Removed);
    run.not_found_once(abort());
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(run.error_kind(), ErrorKind::Integrity);
}

/// A put needs the permission to create objects; a conditional create needs another one.
#[test]
fn a_put_by_a_principal_that_may_only_create_objects_is_confirmed_within_two_seconds() {
    let mut run = ScriptedRun::storing(test_config(1, 2));
    let body = Bytes::from_static(b"abc");
    let crc32 = crc32fast::hash(&body);
    run.succeed(ApiCall::Put, Outcome::Stored { meta: response_meta("new", &body), crc32 });
    let start = run.now;
    run.reject_heads();
    assert_eq!(run.exhaust_not_found(ApiCall::ConditionalCreate(ProbeCondition::NoObject)).0, 4);
    assert!(run.now - start < 2 * SECOND);
    assert_eq!(run.result().as_ref().unwrap().evidence.to_string(), "opc-content-sha256");
}

#[test]
fn a_list_of_parts_that_is_answered_404_while_relisting_is_repeated() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.reject(ApiCall::Commit, 400, "InvalidUploadPart");
    run.not_found_once(ApiCall::ListParts);
    run.succeed(ApiCall::ListParts, both_parts());
    assert_eq!(run.last_call(), &ApiCall::Commit);
}

#[test]
fn a_delete_answered_404_is_repeated_and_a_missing_object_counts_as_deleted() {
    let mut run =
        ScriptedRun::committing(UploadConfig { delete_on_mismatch: true, ..test_config(1, 2) });
    run.succeed(ApiCall::Commit, Outcome::Committed(meta_of_size("new", 5)));
    let delete = || ApiCall::Delete { etag: "new".to_owned() };
    run.not_found_once(delete());
    run.fail(delete(), response_lost());
    run.wait();
    run.reject(delete(), 404, "ObjectNotFound");
    let error = run.result().as_ref().unwrap_err();
    assert!(error.hint.as_ref().unwrap().contains("it was deleted"), "{error}");
}

//! Tests of rejections by retention rules, and of the responses that restart the retry budget.

use super::scripted::{ScriptedRun, abort, response_lost};
use super::*;
use crate::api::ListedPart;

const RETENTION: &str = "RetentionRuleViolation";

#[test]
fn a_rejection_by_a_retention_rule_means_that_the_object_exists_if_none_may_be_replaced() {
    let replacing =
        || UploadConfig { previous_object: PreviousObject::Unknown, ..test_config(1, 2) };
    for (config, kind) in
        [(test_config(1, 2), ErrorKind::Exists), (replacing(), ErrorKind::Service)]
    {
        let mut run = ScriptedRun::new(config.clone());
        run.start_create();
        run.reject(ApiCall::Create, 403, RETENTION);
        assert_eq!(run.error_kind(), kind);
        let error = run.result().as_ref().unwrap_err();
        assert!(error.hint.as_ref().unwrap().contains("retention rule"), "{error}");

        let mut run = ScriptedRun::storing(config.clone());
        run.reject(ApiCall::Put, 403, RETENTION);
        assert_eq!(run.error_kind(), kind);

        let mut run = ScriptedRun::committing(config);
        run.reject(ApiCall::Commit, 403, RETENTION);
        run.succeed(abort(), Outcome::Removed);
        assert_eq!(run.error_kind(), kind);
    }
}

#[test]
fn a_rejection_by_a_retention_rule_after_a_lost_response_is_resolved_by_a_head() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.fail(ApiCall::Commit, response_lost());
    run.wait();
    run.reject(ApiCall::Head, 404, "");
    run.succeed(ApiCall::ListParts, Outcome::Parts(Vec::new()));
    run.wait();
    run.reject(ApiCall::Commit, 403, RETENTION);
    assert_eq!(run.last_call(), &ApiCall::Head);
    let meta = run.object_meta("new");
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    run.succeed(ApiCall::ListUploads, Outcome::Uploads(Vec::new()));
    assert!(run.result().is_ok());

    let mut run = ScriptedRun::storing(test_config(1, 2));
    run.fail(ApiCall::Put, response_lost());
    run.wait();
    run.reject(ApiCall::Put, 403, RETENTION);
    let meta = head_meta("new", &Bytes::from_static(b"abc"));
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    assert!(run.result().is_ok());
}

#[test]
fn a_probe_rejected_by_a_retention_rule_does_not_contradict_the_commit() {
    let mut run = ScriptedRun::committing(UploadConfig {
        previous_object: PreviousObject::Unknown,
        ..test_config(1, 2)
    });
    let committed = run.commit_meta("new");
    run.succeed(ApiCall::Commit, Outcome::Committed(committed));
    run.reject_heads();
    run.reject(ApiCall::ConditionalCreate(ProbeCondition::NoObject), 403, RETENTION);
    run.reject(
        ApiCall::ConditionalCreate(ProbeCondition::ObjectWithEtag("new".to_owned())),
        403,
        RETENTION,
    );
    assert!(run.result().is_ok());
}

/// The first attempt of a put takes effect after the second one, with the same bytes.
#[test]
fn an_earlier_attempt_of_a_put_that_takes_effect_late_is_a_success() {
    let mut run = ScriptedRun::storing(UploadConfig {
        previous_object: PreviousObject::Unknown,
        ..test_config(1, 2)
    });
    let body = Bytes::from_static(b"abc");
    run.fail(ApiCall::Put, response_lost());
    run.wait();
    let crc32 = crc32fast::hash(&body);
    run.succeed(ApiCall::Put, Outcome::Stored { meta: response_meta("second", &body), crc32 });
    run.succeed(ApiCall::Head, Outcome::Object(head_meta("first", &body)));
    let stored = run.result().as_ref().unwrap();
    assert_eq!(stored.meta.etag.as_deref(), Some("first"));
}

/// Fails a call for 3,500 s of the retry budget of 3,600 s.
#[track_caller]
fn fail_until_budget_ends(run: &mut ScriptedRun, call: ApiCall, failure: impl Fn() -> Failure) {
    let start = run.now;
    while run.now < start + 3500 * SECOND {
        run.fail(call.clone(), failure());
        run.wait();
        assert_eq!(run.last_call(), &call);
    }
}

fn unavailable() -> Failure {
    Model::rejection(503, "ServiceUnavailable")
}

/// The same for the next call: the call before it has restarted the retry budget.
#[track_caller]
fn check_restarted_budget(run: &mut ScriptedRun, call: ApiCall) {
    assert_eq!(run.last_call(), &call);
    let failure = if call == ApiCall::Commit { unavailable } else { response_lost };
    fail_until_budget_ends(run, call, failure);
}

#[test]
fn an_acknowledged_commit_or_put_restarts_the_retry_budget() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    fail_until_budget_ends(&mut run, ApiCall::Commit, unavailable);
    let meta = run.object_meta("new");
    run.succeed(ApiCall::Commit, Outcome::Committed(run.commit_meta("new")));
    check_restarted_budget(&mut run, ApiCall::Head);
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    assert!(run.result().is_ok());

    let mut run = ScriptedRun::storing(test_config(1, 2));
    fail_until_budget_ends(&mut run, ApiCall::Put, unavailable);
    let body = Bytes::from_static(b"abc");
    let crc32 = crc32fast::hash(&body);
    run.succeed(ApiCall::Put, Outcome::Stored { meta: response_meta("new", &body), crc32 });
    check_restarted_budget(&mut run, ApiCall::Head);
    run.succeed(ApiCall::Head, Outcome::Object(head_meta("new", &body)));
    assert!(run.result().is_ok());
}

#[test]
fn a_response_to_a_probe_restarts_the_retry_budget() {
    let probe = |condition: &ProbeCondition| ApiCall::ConditionalCreate(condition.clone());
    let (no_object, new_etag) =
        (ProbeCondition::NoObject, ProbeCondition::ObjectWithEtag("new".to_owned()));
    let mut run = ScriptedRun::committing(UploadConfig {
        previous_object: PreviousObject::Unknown,
        ..test_config(1, 2)
    });
    let committed = run.commit_meta("new");
    run.succeed(ApiCall::Commit, Outcome::Committed(committed));
    fail_until_budget_ends(&mut run, ApiCall::Head, unavailable);
    run.reject(ApiCall::Head, 403, "");
    check_restarted_budget(&mut run, probe(&no_object));
    run.reject(probe(&no_object), 412, "IfNoneMatchFailed");
    check_restarted_budget(&mut run, probe(&new_etag));
    run.reject(probe(&new_etag), 403, "NotAllowed");
    // The conditional creates whose responses were lost may have left uploads.
    run.succeed(ApiCall::ListUploads, Outcome::Uploads(Vec::new()));
    assert!(run.result().is_ok());
}

#[test]
fn a_rejected_commit_or_a_closed_upload_restarts_the_retry_budget() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.fail(ApiCall::Commit, response_lost());
    run.wait();
    run.reject(ApiCall::Head, 404, "");
    fail_until_budget_ends(&mut run, ApiCall::ListParts, unavailable);
    run.reject(ApiCall::ListParts, 404, "UploadNotFound");
    check_restarted_budget(&mut run, ApiCall::Head);
    let meta = run.object_meta("new");
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    assert!(run.result().is_ok());

    let mut run = ScriptedRun::committing(test_config(1, 2));
    fail_until_budget_ends(&mut run, ApiCall::Commit, unavailable);
    run.reject(ApiCall::Commit, 412, "IfNoneMatchFailed");
    check_restarted_budget(&mut run, ApiCall::Head);
    let meta = run.object_meta("new");
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    run.succeed(ApiCall::ListUploads, Outcome::Uploads(Vec::new()));
    assert!(run.result().is_ok());
}

#[test]
fn a_list_of_parts_restarts_the_retry_budget() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.reject(ApiCall::Commit, 400, "InvalidUploadPart");
    fail_until_budget_ends(&mut run, ApiCall::ListParts, unavailable);
    let part =
        |part_number| ListedPart { part_number, etag: "late".to_owned(), size: 3, md5: None };
    run.succeed(ApiCall::ListParts, Outcome::Parts(vec![part(nth(1)), part(nth(2))]));
    check_restarted_budget(&mut run, ApiCall::Commit);
}

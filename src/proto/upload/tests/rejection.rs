//! Refusals by rules of the bucket, and clocks that what the service acknowledges begins anew.

use super::scripted::{ScriptedRun, abort, lost};
use super::*;
use crate::api::ListedPart;

const KEPT: &str = "RetentionRuleViolation";

#[test]
fn an_object_kept_by_a_retention_rule_exists_already_for_whoever_replaces_nothing() {
    let forced = || UploadConfig { previous_object: PreviousObject::Unknown, ..settings(1, 2) };
    for (settings, kind) in [(settings(1, 2), ErrorKind::Exists), (forced(), ErrorKind::Service)] {
        let mut run = ScriptedRun::new(settings.clone());
        run.creating();
        run.refused(ApiCall::Create, 403, KEPT);
        assert_eq!(run.kind(), kind);
        let error = run.ended().as_ref().unwrap_err();
        assert!(error.hint.as_ref().unwrap().contains("retention rule"), "{error}");

        let mut run = ScriptedRun::putting(settings.clone());
        run.refused(ApiCall::Put, 403, KEPT);
        assert_eq!(run.kind(), kind);

        let mut run = ScriptedRun::committing(settings);
        run.refused(ApiCall::Commit, 403, KEPT);
        run.ok(abort(), Outcome::Removed);
        assert_eq!(run.kind(), kind);
    }
}

#[test]
fn what_a_retention_rule_keeps_after_a_lost_answer_is_looked_at_since_it_may_be_our_own() {
    let mut run = ScriptedRun::committing(settings(1, 2));
    run.fails(ApiCall::Commit, lost());
    run.wait();
    run.refused(ApiCall::Head, 404, "");
    run.ok(ApiCall::ListParts, Outcome::Parts(Vec::new()));
    run.wait();
    run.refused(ApiCall::Commit, 403, KEPT);
    assert_eq!(run.last(), &ApiCall::Head);
    let ours = run.ours("new");
    run.ok(ApiCall::Head, Outcome::Object(ours));
    assert!(run.ended().is_ok());

    let mut run = ScriptedRun::putting(settings(1, 2));
    run.fails(ApiCall::Put, lost());
    run.wait();
    run.refused(ApiCall::Put, 403, KEPT);
    let ours = held("new", &Bytes::from_static(b"abc"), true);
    run.ok(ApiCall::Head, Outcome::Object(ours));
    assert!(run.ended().is_ok());
}

#[test]
fn a_rule_that_keeps_the_new_object_from_a_question_says_nothing_against_it() {
    let mut run = ScriptedRun::committing(UploadConfig {
        previous_object: PreviousObject::Unknown,
        ..settings(1, 2)
    });
    let committed = ObjectMeta { size: None, ..run.ours("new") };
    run.ok(ApiCall::Commit, Outcome::Committed(committed));
    run.hidden();
    run.refused(ApiCall::ConditionalCreate(ProbeCondition::NoObject), 403, KEPT);
    run.refused(
        ApiCall::ConditionalCreate(ProbeCondition::ObjectWithEtag("new".to_owned())),
        403,
        KEPT,
    );
    assert!(run.ended().is_ok());
}

/// A late first try of a put replaces its repetition, with the same bytes.
#[test]
fn an_earlier_try_of_a_put_that_lands_late_is_the_same_object() {
    let mut run = ScriptedRun::putting(UploadConfig {
        previous_object: PreviousObject::Unknown,
        ..settings(1, 2)
    });
    let body = Bytes::from_static(b"abc");
    run.fails(ApiCall::Put, lost());
    run.wait();
    let crc32 = crc32fast::hash(&body);
    run.ok(ApiCall::Put, Outcome::Stored { meta: held("second", &body, false), crc32 });
    run.ok(ApiCall::Head, Outcome::Object(held("first", &body, true)));
    let stored = run.ended().as_ref().unwrap();
    assert_eq!(stored.meta.etag.as_deref(), Some("first"));
}

/// A call fails for nearly all of `--retry-for`.
#[track_caller]
fn outage(run: &mut ScriptedRun, call: ApiCall, failure: impl Fn() -> Failure) {
    let began = run.now;
    while run.now < began + 3500 * SECOND {
        run.fails(call.clone(), failure());
        run.wait();
        assert_eq!(run.last(), &call);
    }
}

fn down() -> Failure {
    Model::refuse(503, "ServiceUnavailable")
}

/// The next call fails for another while, and then the run goes on.
#[track_caller]
fn another(run: &mut ScriptedRun, call: ApiCall) {
    assert_eq!(run.last(), &call);
    let failure = if call == ApiCall::Commit { down } else { lost };
    outage(run, call, failure);
}

#[test]
fn an_acknowledged_commit_or_put_begins_patience_anew() {
    let mut run = ScriptedRun::committing(settings(1, 2));
    outage(&mut run, ApiCall::Commit, down);
    let ours = run.ours("new");
    run.ok(ApiCall::Commit, Outcome::Committed(ObjectMeta { size: None, ..ours.clone() }));
    another(&mut run, ApiCall::Head);
    run.ok(ApiCall::Head, Outcome::Object(ours));
    assert!(run.ended().is_ok());

    let mut run = ScriptedRun::putting(settings(1, 2));
    outage(&mut run, ApiCall::Put, down);
    let body = Bytes::from_static(b"abc");
    let crc32 = crc32fast::hash(&body);
    run.ok(ApiCall::Put, Outcome::Stored { meta: held("new", &body, false), crc32 });
    another(&mut run, ApiCall::Head);
    run.ok(ApiCall::Head, Outcome::Object(held("new", &body, true)));
    assert!(run.ended().is_ok());
}

#[test]
fn an_answered_question_leaves_all_of_patience_to_the_next() {
    let probe = |question: &ProbeCondition| ApiCall::ConditionalCreate(question.clone());
    let (free, new) = (ProbeCondition::NoObject, ProbeCondition::ObjectWithEtag("new".to_owned()));
    let mut run = ScriptedRun::committing(UploadConfig {
        previous_object: PreviousObject::Unknown,
        ..settings(1, 2)
    });
    let committed = ObjectMeta { size: None, ..run.ours("new") };
    run.ok(ApiCall::Commit, Outcome::Committed(committed));
    outage(&mut run, ApiCall::Head, down);
    run.refused(ApiCall::Head, 403, "");
    another(&mut run, probe(&free));
    run.refused(probe(&free), 412, "IfNoneMatchFailed");
    another(&mut run, probe(&new));
    run.refused(probe(&new), 403, "NotAllowed");
    // The lost questions may have left uploads.
    run.ok(ApiCall::ListUploads, Outcome::Uploads(Vec::new()));
    assert!(run.ended().is_ok());
}

#[test]
fn a_plain_no_to_a_lost_commit_or_a_closed_upload_begins_patience_anew() {
    let mut run = ScriptedRun::committing(settings(1, 2));
    run.fails(ApiCall::Commit, lost());
    run.wait();
    run.refused(ApiCall::Head, 404, "");
    outage(&mut run, ApiCall::ListParts, down);
    run.refused(ApiCall::ListParts, 404, "UploadNotFound");
    another(&mut run, ApiCall::Head);
    let ours = run.ours("new");
    run.ok(ApiCall::Head, Outcome::Object(ours));
    assert!(run.ended().is_ok());

    let mut run = ScriptedRun::committing(settings(1, 2));
    outage(&mut run, ApiCall::Commit, down);
    run.refused(ApiCall::Commit, 412, "IfNoneMatchFailed");
    another(&mut run, ApiCall::Head);
    let ours = run.ours("new");
    run.ok(ApiCall::Head, Outcome::Object(ours));
    assert!(run.ended().is_ok());
}

#[test]
fn a_list_that_heals_begins_patience_anew() {
    let mut run = ScriptedRun::committing(settings(1, 2));
    run.refused(ApiCall::Commit, 400, "InvalidUploadPart");
    outage(&mut run, ApiCall::ListParts, down);
    let part =
        |part_number| ListedPart { part_number, etag: "late".to_owned(), size: 3, md5: None };
    run.ok(ApiCall::ListParts, Outcome::Parts(vec![part(1), part(2)]));
    another(&mut run, ApiCall::Commit);
}

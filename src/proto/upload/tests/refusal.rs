//! Refusals by rules of the bucket, and clocks that what the service acknowledges begins anew.

use super::story::{Story, lost};
use super::*;
use crate::api::ListedPart;

const KEPT: &str = "RetentionRuleViolation";

#[test]
fn an_object_kept_by_a_retention_rule_exists_already_for_whoever_replaces_nothing() {
    let forced = || UploadConfig { previous_object: PreviousObject::Unknown, ..settings(1, 2) };
    for (settings, kind) in [(settings(1, 2), ErrorKind::Exists), (forced(), ErrorKind::Service)] {
        let mut story = Story::new(settings.clone());
        story.creating();
        story.refused(ApiCall::Create, 403, KEPT);
        assert_eq!(story.kind(), kind);
        let error = story.ended().as_ref().unwrap_err();
        assert!(error.hint.as_ref().unwrap().contains("retention rule"), "{error}");

        let mut story = Story::putting(settings.clone());
        story.refused(ApiCall::Put, 403, KEPT);
        assert_eq!(story.kind(), kind);

        let mut story = Story::committing(settings);
        story.refused(ApiCall::Commit, 403, KEPT);
        story.ok(ApiCall::Abort, Outcome::Removed);
        assert_eq!(story.kind(), kind);
    }
}

#[test]
fn what_a_retention_rule_keeps_after_a_lost_answer_is_looked_at_since_it_may_be_our_own() {
    let mut story = Story::committing(settings(1, 2));
    story.fails(ApiCall::Commit, lost());
    story.wait();
    story.refused(ApiCall::Head, 404, "");
    story.ok(ApiCall::ListParts, Outcome::Parts(Vec::new()));
    story.wait();
    story.refused(ApiCall::Commit, 403, KEPT);
    assert_eq!(story.last(), &ApiCall::Head);
    let ours = story.ours("new");
    story.ok(ApiCall::Head, Outcome::Object(ours));
    assert!(story.ended().is_ok());

    let mut story = Story::putting(settings(1, 2));
    story.fails(ApiCall::Put, lost());
    story.wait();
    story.refused(ApiCall::Put, 403, KEPT);
    let ours = held("new", &Bytes::from_static(b"abc"), true);
    story.ok(ApiCall::Head, Outcome::Object(ours));
    assert!(story.ended().is_ok());
}

#[test]
fn a_rule_that_keeps_the_new_object_from_a_question_says_nothing_against_it() {
    let mut story = Story::committing(UploadConfig {
        previous_object: PreviousObject::Unknown,
        ..settings(1, 2)
    });
    let committed = ObjectMeta { size: None, ..story.ours("new") };
    story.ok(ApiCall::Commit, Outcome::Committed(committed));
    story.hidden();
    story.refused(ApiCall::ConditionalCreate(ProbeCondition::NoObject), 403, KEPT);
    story.refused(
        ApiCall::ConditionalCreate(ProbeCondition::ObjectWithEtag("new".to_owned())),
        403,
        KEPT,
    );
    assert!(story.ended().is_ok());
}

/// A late first try of a put replaces its repetition, with the same bytes.
#[test]
fn an_earlier_try_of_a_put_that_lands_late_is_the_same_object() {
    let mut story =
        Story::putting(UploadConfig { previous_object: PreviousObject::Unknown, ..settings(1, 2) });
    let body = Bytes::from_static(b"abc");
    story.fails(ApiCall::Put, lost());
    story.wait();
    let crc32 = crc32fast::hash(&body);
    story.ok(ApiCall::Put, Outcome::Stored { held: held("second", &body, false), crc32 });
    story.ok(ApiCall::Head, Outcome::Object(held("first", &body, true)));
    let stored = story.ended().as_ref().unwrap();
    assert_eq!(stored.meta.etag.as_deref(), Some("first"));
}

/// A call fails for nearly all of `--retry-for`.
#[track_caller]
fn outage(story: &mut Story, call: ApiCall, failure: impl Fn() -> Failure) {
    let began = story.now;
    while story.now < began + 3500 * SECOND {
        story.fails(call.clone(), failure());
        story.wait();
        assert_eq!(story.last(), &call);
    }
}

fn down() -> Failure {
    Model::refuse(503, "ServiceUnavailable")
}

/// The next call fails for another while, and then the run goes on.
#[track_caller]
fn another(story: &mut Story, call: ApiCall) {
    assert_eq!(story.last(), &call);
    let failure = if call == ApiCall::Commit { down } else { lost };
    outage(story, call, failure);
}

#[test]
fn an_acknowledged_commit_or_put_begins_patience_anew() {
    let mut story = Story::committing(settings(1, 2));
    outage(&mut story, ApiCall::Commit, down);
    let ours = story.ours("new");
    story.ok(ApiCall::Commit, Outcome::Committed(ObjectMeta { size: None, ..ours.clone() }));
    another(&mut story, ApiCall::Head);
    story.ok(ApiCall::Head, Outcome::Object(ours));
    assert!(story.ended().is_ok());

    let mut story = Story::putting(settings(1, 2));
    outage(&mut story, ApiCall::Put, down);
    let body = Bytes::from_static(b"abc");
    let crc32 = crc32fast::hash(&body);
    story.ok(ApiCall::Put, Outcome::Stored { held: held("new", &body, false), crc32 });
    another(&mut story, ApiCall::Head);
    story.ok(ApiCall::Head, Outcome::Object(held("new", &body, true)));
    assert!(story.ended().is_ok());
}

#[test]
fn an_answered_question_leaves_all_of_patience_to_the_next() {
    let probe = |question: &ProbeCondition| ApiCall::ConditionalCreate(question.clone());
    let (free, new) = (ProbeCondition::NoObject, ProbeCondition::ObjectWithEtag("new".to_owned()));
    let mut story = Story::committing(UploadConfig {
        previous_object: PreviousObject::Unknown,
        ..settings(1, 2)
    });
    let committed = ObjectMeta { size: None, ..story.ours("new") };
    story.ok(ApiCall::Commit, Outcome::Committed(committed));
    outage(&mut story, ApiCall::Head, down);
    story.refused(ApiCall::Head, 403, "");
    another(&mut story, probe(&free));
    story.refused(probe(&free), 412, "IfNoneMatchFailed");
    another(&mut story, probe(&new));
    story.refused(probe(&new), 403, "NotAllowed");
    // The lost questions may have left uploads.
    story.ok(ApiCall::ListUploads, Outcome::Uploads(Vec::new()));
    assert!(story.ended().is_ok());
}

#[test]
fn a_plain_no_to_a_lost_commit_or_a_closed_upload_begins_patience_anew() {
    let mut story = Story::committing(settings(1, 2));
    story.fails(ApiCall::Commit, lost());
    story.wait();
    story.refused(ApiCall::Head, 404, "");
    outage(&mut story, ApiCall::ListParts, down);
    story.refused(ApiCall::ListParts, 404, "UploadNotFound");
    another(&mut story, ApiCall::Head);
    let ours = story.ours("new");
    story.ok(ApiCall::Head, Outcome::Object(ours));
    assert!(story.ended().is_ok());

    let mut story = Story::committing(settings(1, 2));
    outage(&mut story, ApiCall::Commit, down);
    story.refused(ApiCall::Commit, 412, "IfNoneMatchFailed");
    another(&mut story, ApiCall::Head);
    let ours = story.ours("new");
    story.ok(ApiCall::Head, Outcome::Object(ours));
    assert!(story.ended().is_ok());
}

#[test]
fn a_list_that_heals_begins_patience_anew() {
    let mut story = Story::committing(settings(1, 2));
    story.refused(ApiCall::Commit, 400, "InvalidUploadPart");
    outage(&mut story, ApiCall::ListParts, down);
    let part =
        |part_number| ListedPart { part_number, etag: "late".to_owned(), size: 3, md5: None };
    story.ok(ApiCall::ListParts, Outcome::Parts(vec![part(1), part(2)]));
    another(&mut story, ApiCall::Commit);
}

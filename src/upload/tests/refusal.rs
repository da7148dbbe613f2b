//! Refusals by rules of the bucket, and clocks that what the service acknowledges begins anew.

use super::story::{Story, lost};
use super::*;
use crate::oci::api::ListedPart;

const KEPT: &str = "RetentionRuleViolation";

#[test]
fn an_object_kept_by_a_retention_rule_exists_already_for_whoever_replaces_nothing() {
    let forced = || Settings { before: Before::Unknown, ..settings(1, 2) };
    for (settings, kind) in [(settings(1, 2), Kind::Exists), (forced(), Kind::Service)] {
        let mut story = Story::new(settings.clone());
        story.creating();
        story.refused(Call::Create, 403, KEPT);
        assert_eq!(story.kind(), kind);
        let error = story.ended().as_ref().unwrap_err();
        assert!(error.next.as_ref().unwrap().contains("retention rule"), "{error}");

        let mut story = Story::putting(settings.clone());
        story.refused(Call::Put, 403, KEPT);
        assert_eq!(story.kind(), kind);

        let mut story = Story::committing(settings);
        story.refused(Call::Commit, 403, KEPT);
        story.ok(Call::Abort, Outcome::Gone);
        assert_eq!(story.kind(), kind);
    }
}

#[test]
fn what_a_retention_rule_keeps_after_a_lost_answer_is_looked_at_since_it_may_be_our_own() {
    let mut story = Story::committing(settings(1, 2));
    story.fails(Call::Commit, lost());
    story.wait();
    story.refused(Call::Head, 404, "");
    story.ok(Call::ListParts, Outcome::Parts(Vec::new()));
    story.wait();
    story.refused(Call::Commit, 403, KEPT);
    assert_eq!(story.last(), &Call::Head);
    let ours = story.ours("new");
    story.ok(Call::Head, Outcome::Object(ours));
    assert!(story.ended().is_ok());

    let mut story = Story::putting(settings(1, 2));
    story.fails(Call::Put, lost());
    story.wait();
    story.refused(Call::Put, 403, KEPT);
    let ours = held("new", &Bytes::from_static(b"abc"), true);
    story.ok(Call::Head, Outcome::Object(ours));
    assert!(story.ended().is_ok());
}

#[test]
fn a_rule_that_keeps_the_new_object_from_a_question_says_nothing_against_it() {
    let mut story = Story::committing(Settings { before: Before::Unknown, ..settings(1, 2) });
    let committed = Held { size: None, ..story.ours("new") };
    story.ok(Call::Commit, Outcome::Committed(committed));
    story.hidden();
    story.refused(Call::Probe(Question::Free), 403, KEPT);
    story.refused(Call::Probe(Question::Etag("new".to_owned())), 403, KEPT);
    assert!(story.ended().is_ok());
}

/// A late first try of a put replaces its repetition, with the same bytes.
#[test]
fn an_earlier_try_of_a_put_that_lands_late_is_the_same_object() {
    let mut story = Story::putting(Settings { before: Before::Unknown, ..settings(1, 2) });
    let body = Bytes::from_static(b"abc");
    story.fails(Call::Put, lost());
    story.wait();
    let crc32 = crc32fast::hash(&body);
    story.ok(Call::Put, Outcome::Stored { held: held("second", &body, false), crc32 });
    story.ok(Call::Head, Outcome::Object(held("first", &body, true)));
    let stored = story.ended().as_ref().unwrap();
    assert_eq!(stored.held.etag.as_deref(), Some("first"));
}

/// A call fails for nearly all of `--retry-for`.
#[track_caller]
fn outage(story: &mut Story, call: Call, failure: impl Fn() -> Failure) {
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
fn another(story: &mut Story, call: Call) {
    assert_eq!(story.last(), &call);
    let failure = if call == Call::Commit { down } else { lost };
    outage(story, call, failure);
}

#[test]
fn an_acknowledged_commit_or_put_begins_patience_anew() {
    let mut story = Story::committing(settings(1, 2));
    outage(&mut story, Call::Commit, down);
    let ours = story.ours("new");
    story.ok(Call::Commit, Outcome::Committed(Held { size: None, ..ours.clone() }));
    another(&mut story, Call::Head);
    story.ok(Call::Head, Outcome::Object(ours));
    assert!(story.ended().is_ok());

    let mut story = Story::putting(settings(1, 2));
    outage(&mut story, Call::Put, down);
    let body = Bytes::from_static(b"abc");
    let crc32 = crc32fast::hash(&body);
    story.ok(Call::Put, Outcome::Stored { held: held("new", &body, false), crc32 });
    another(&mut story, Call::Head);
    story.ok(Call::Head, Outcome::Object(held("new", &body, true)));
    assert!(story.ended().is_ok());
}

#[test]
fn an_answered_question_leaves_all_of_patience_to_the_next() {
    let probe = |question: &Question| Call::Probe(question.clone());
    let (free, new) = (Question::Free, Question::Etag("new".to_owned()));
    let mut story = Story::committing(Settings { before: Before::Unknown, ..settings(1, 2) });
    let committed = Held { size: None, ..story.ours("new") };
    story.ok(Call::Commit, Outcome::Committed(committed));
    outage(&mut story, Call::Head, down);
    story.refused(Call::Head, 403, "");
    another(&mut story, probe(&free));
    story.refused(probe(&free), 412, "IfNoneMatchFailed");
    another(&mut story, probe(&new));
    story.refused(probe(&new), 403, "NotAllowed");
    // The lost questions may have left uploads.
    story.ok(Call::ListUploads, Outcome::Uploads(Vec::new()));
    assert!(story.ended().is_ok());
}

#[test]
fn a_plain_no_to_a_lost_commit_or_a_closed_upload_begins_patience_anew() {
    let mut story = Story::committing(settings(1, 2));
    story.fails(Call::Commit, lost());
    story.wait();
    story.refused(Call::Head, 404, "");
    outage(&mut story, Call::ListParts, down);
    story.refused(Call::ListParts, 404, "UploadNotFound");
    another(&mut story, Call::Head);
    let ours = story.ours("new");
    story.ok(Call::Head, Outcome::Object(ours));
    assert!(story.ended().is_ok());

    let mut story = Story::committing(settings(1, 2));
    outage(&mut story, Call::Commit, down);
    story.refused(Call::Commit, 412, "IfNoneMatchFailed");
    another(&mut story, Call::Head);
    let ours = story.ours("new");
    story.ok(Call::Head, Outcome::Object(ours));
    assert!(story.ended().is_ok());
}

#[test]
fn a_list_that_heals_begins_patience_anew() {
    let mut story = Story::committing(settings(1, 2));
    story.refused(Call::Commit, 400, "InvalidUploadPart");
    outage(&mut story, Call::ListParts, down);
    let part =
        |part_number| ListedPart { part_number, etag: "late".to_owned(), size: 3, md5: None };
    story.ok(Call::ListParts, Outcome::Parts(vec![part(1), part(2)]));
    another(&mut story, Call::Commit);
}

//! Endings in which an answer is missing: what may be said of the object, and what is left.
//!
//! Each test is one history, answer by answer.

use super::scripted::{ScriptedRun, abort, lost, sized, stop};
use super::*;
use crate::api::{ListedPart, ListedUpload};

fn parts() -> Outcome {
    let part = |part_number| ListedPart {
        part_number,
        etag: format!("e{part_number}"),
        size: 3,
        md5: None,
    };
    Outcome::Parts(vec![part(1), part(2)])
}

fn impatient() -> UploadConfig {
    UploadConfig { retry_for: Duration::ZERO, ..settings(1, 2) }
}

#[test]
fn a_lost_commit_whose_upload_cannot_be_aborted_is_of_unknown_outcome() {
    let mut run = ScriptedRun::committing(impatient());
    run.fails(ApiCall::Commit, lost());
    run.wait();
    run.refused(ApiCall::Head, 404, "");
    run.ok(ApiCall::ListParts, parts());
    assert_eq!(run.last(), &abort());
    run.refused(abort(), 403, "NotAllowed");
    assert_eq!(run.kind(), ErrorKind::OutcomeUnknown);
    assert!(run.ended().as_ref().unwrap_err().hint.as_ref().unwrap().contains("ABORT u"));
}

#[test]
fn a_plain_no_to_a_repeated_commit_ends_the_run_once_the_upload_is_seen_open() {
    let mut run = ScriptedRun::committing(settings(1, 2));
    run.fails(ApiCall::Commit, lost());
    for _ in 0..2 {
        run.wait();
        if run.last() == &ApiCall::Commit {
            run.refused(ApiCall::Commit, 412, "IfNoneMatchFailed");
        }
        assert_eq!(run.last(), &ApiCall::Head);
        run.ok(ApiCall::Head, Outcome::Object(sized("theirs", 99)));
        assert_eq!(run.last(), &ApiCall::ListParts);
        run.ok(ApiCall::ListParts, parts());
    }
    assert_eq!(run.last(), &abort());
    run.ok(abort(), Outcome::Removed);
    assert_eq!(run.kind(), ErrorKind::Exists);
}

#[test]
fn a_commit_that_never_gets_an_answer_is_repeated_ever_more_slowly() {
    let mut run = ScriptedRun::committing(settings(1, 2));
    while run.finish.is_none() {
        match run.last().clone() {
            ApiCall::Commit => run.fails(ApiCall::Commit, lost()),
            ApiCall::Head => run.refused(ApiCall::Head, 404, ""),
            ApiCall::ListParts => run.ok(ApiCall::ListParts, parts()),
            ApiCall::Abort { .. } => {
                run.ok(abort(), Outcome::Removed);
                continue;
            }
            other => panic!("{other:?}"),
        }
        if run.upload.core.call.scheduled.is_some() {
            run.wait();
        }
    }
    assert_eq!(run.kind(), ErrorKind::Service);
    let commits = run.calls.iter().filter(|call| **call == ApiCall::Commit).count();
    assert!(commits < 400, "{commits} commits in an hour");
}

#[test]
fn a_repeated_put_that_stored_something_else_is_an_integrity_failure() {
    let mut run = ScriptedRun::putting(settings(1, 2));
    run.fails(ApiCall::Put, lost());
    run.wait();
    let wrong = Value::from_base64(Algorithm::Md5, "1B2M2Y8AsgTpgAmY7PhCfg==").unwrap();
    let held = ObjectMeta {
        etag: Some("e".to_owned()),
        content: Digests { md5: Some(wrong.base64()), ..Digests::default() },
        ..ObjectMeta::default()
    };
    let body = Bytes::from_static(b"abc");
    run.ok(ApiCall::Put, Outcome::Stored { meta: held, crc32: crc32fast::hash(&body) });
    let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
    let md5 = digest::md5_of(std::slice::from_ref(&body));
    run.tell(Event::Rehashed { number: 1, digest, md5 });
    assert_eq!(run.kind(), ErrorKind::Integrity);
}

#[test]
fn an_object_of_the_right_size_alone_is_no_proof_that_a_lost_put_arrived() {
    let mut run = ScriptedRun::putting(settings(1, 2));
    run.fails(ApiCall::Put, lost());
    run.wait();
    run.refused(ApiCall::Put, 412, "IfNoneMatchFailed");
    assert_eq!(run.last(), &ApiCall::Head);
    run.ok(ApiCall::Head, Outcome::Object(sized("theirs", 3)));
    assert_eq!(run.kind(), ErrorKind::OutcomeUnknown);
}

#[test]
fn a_lost_put_that_is_then_forbidden_is_not_told_as_an_object_that_exists() {
    let mut run = ScriptedRun::putting(settings(1, 2));
    run.fails(ApiCall::Put, lost());
    run.wait();
    run.refused(ApiCall::Put, 403, "NotAllowed");
    run.ok(ApiCall::Head, Outcome::Object(sized("old", 99)));
    assert_eq!(run.kind(), ErrorKind::OutcomeUnknown);
}

#[test]
fn where_anything_may_stand_the_right_size_alone_is_no_proof_of_a_commit() {
    let mut run = ScriptedRun::committing(UploadConfig {
        previous_object: PreviousObject::Unknown,
        ..settings(1, 2)
    });
    run.fails(ApiCall::Commit, lost());
    run.wait();
    run.ok(ApiCall::Head, Outcome::Object(sized("old", 6)));
    run.refused(ApiCall::ListParts, 404, "UploadNotFound");
    run.ok(ApiCall::Head, Outcome::Object(sized("old", 6)));
    assert_eq!(run.kind(), ErrorKind::OutcomeUnknown);
}

#[test]
fn an_equal_object_that_stood_there_before_is_not_taken_for_the_commit() {
    for before in [PreviousObject::Unknown, PreviousObject::Object("old".to_owned())] {
        let mut run =
            ScriptedRun::committing(UploadConfig { previous_object: before, ..settings(1, 2) });
        run.fails(ApiCall::Commit, lost());
        run.wait();
        let same = run.ours("old");
        run.ok(ApiCall::Head, Outcome::Object(same));
        // The upload may be open still: then the commit is repeated, and nothing is left behind.
        assert_eq!(run.last(), &ApiCall::ListParts);
        run.ok(ApiCall::ListParts, parts());
        run.wait();
        assert_eq!(run.last(), &ApiCall::Commit);
    }
}

#[test]
fn a_commit_that_was_refused_as_done_after_an_earlier_try_is_looked_at() {
    for (status, code) in [(404, "UploadNotFound"), (412, "IfNoneMatchFailed")] {
        let mut run = ScriptedRun::committing(settings(1, 2));
        run.refused(ApiCall::Commit, 503, "ServiceUnavailable");
        run.wait();
        run.refused(ApiCall::Commit, status, code);
        assert_eq!(run.last(), &ApiCall::Head);
        let ours = run.ours("new");
        run.ok(ApiCall::Head, Outcome::Object(ours));
        assert!(run.ended().is_ok(), "{status}");
    }
}

#[test]
fn the_receipt_tells_the_request_that_committed_and_not_the_one_that_asked() {
    let mut run = ScriptedRun::committing(settings(1, 2));
    let says = |id: &str| ObjectMeta {
        etag: Some("new".to_owned()),
        request_id: Some(id.to_owned()),
        ..ObjectMeta::default()
    };
    run.ok(ApiCall::Commit, Outcome::Committed(says("commit")));
    run.ok(ApiCall::Head, Outcome::Object(ObjectMeta { size: Some(6), ..says("head") }));
    let stored = run.ended().as_ref().unwrap();
    assert_eq!(stored.meta.request_id.as_deref(), Some("commit"));
}

#[test]
fn the_outcome_is_asked_for_once_even_where_patience_is_over() {
    let mut run = ScriptedRun::committing(settings(1, 2));
    run.refused(ApiCall::Commit, 503, "ServiceUnavailable");
    run.wait();
    run.now += Duration::from_secs(3601);
    run.fails(ApiCall::Commit, lost());
    run.wait();
    assert_eq!(run.last(), &ApiCall::Head);
    let ours = run.ours("new");
    run.ok(ApiCall::Head, Outcome::Object(ours));
    assert!(run.ended().is_ok());

    let mut run = ScriptedRun::putting(impatient());
    run.fails(ApiCall::Put, lost());
    run.wait();
    run.fails(ApiCall::Put, lost());
    assert_eq!(run.last(), &ApiCall::Head);
    let stored = held("new", &Bytes::from_static(b"abc"), true);
    run.ok(ApiCall::Head, Outcome::Object(stored));
    assert!(run.ended().is_ok());
}

#[test]
fn a_signal_brings_the_question_forward() {
    let mut run = ScriptedRun::committing(settings(1, 2));
    run.refused(ApiCall::Commit, 503, "ServiceUnavailable");
    run.wait();
    let lost = Failure::ErrorResponse(crate::api::ErrorResponse {
        status: 500,
        code: Some("InternalServerError".to_owned()),
        retry_after: Some(60),
        ..crate::api::ErrorResponse::default()
    });
    run.fails(ApiCall::Commit, lost);
    let at = run.now;
    run.tell(stop());
    run.wait();
    assert_eq!((run.last(), run.now), (&ApiCall::Head, at));
    let ours = run.ours("new");
    run.ok(ApiCall::Head, Outcome::Object(ours));
    assert!(run.ended().is_ok());
}

#[test]
fn a_create_that_is_never_answered_is_looked_for_before_a_stop_is_over() {
    let mut run = ScriptedRun::new(settings(1, 2));
    run.creating();
    let at = run.now;
    run.tell(stop());
    run.wait();
    assert_eq!(run.last(), &ApiCall::ListUploads);
    let listed = ListedUpload {
        bucket: None,
        object: "o".to_owned(),
        upload_id: "late".to_owned(),
        time_created: None,
        storage_tier: None,
    };
    run.ok(ApiCall::ListUploads, Outcome::Uploads(vec![listed]));
    assert_eq!(run.kind(), ErrorKind::Signal(15));
    assert!(run.notes.iter().any(|note| note.contains("ABORT late")), "{:?}", run.notes);
    assert!(run.now <= at + 10 * SECOND);
}

#[test]
fn nothing_that_follows_a_signal_takes_more_than_ten_seconds() {
    // A committed stream, and a list of open uploads that does not come.
    let mut run = ScriptedRun::new(settings(1, 2));
    run.creating();
    run.fails(ApiCall::Create, lost());
    run.wait();
    run.ok(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    run.finish_parts();
    let ours = run.ours("new");
    run.ok(ApiCall::Commit, Outcome::Committed(ObjectMeta { size: None, ..ours.clone() }));
    run.ok(ApiCall::Head, Outcome::Object(ours));
    assert_eq!(run.last(), &ApiCall::ListUploads);
    let at = run.now;
    run.tell(stop());
    run.wait();
    assert!(run.ended().is_ok());
    assert!(run.now <= at + 10 * SECOND);

    // A commit that is refused in the seventh second, and an abort that does not come.
    let mut run = ScriptedRun::committing(settings(1, 2));
    let at = run.now;
    run.tell(stop());
    run.now += 6 * SECOND;
    run.refused(ApiCall::Commit, 403, "NotAllowed");
    assert_eq!(run.last(), &abort());
    run.wait();
    assert_eq!(run.kind(), ErrorKind::Signal(15));
    assert!(run.now <= at + 10 * SECOND, "{:?}", run.now - at);
}

#[test]
fn leaving_at_once_tells_what_is_left() {
    // The abort is under way.
    let mut run = ScriptedRun::committing(settings(1, 2));
    run.refused(ApiCall::Commit, 403, "NotAllowed");
    run.upload.abandon();
    run.act();
    let error = run.ended().as_ref().unwrap_err();
    assert!(error.hint.as_ref().unwrap().contains("ABORT u"), "{error}");

    // The commit is under way.
    let mut run = ScriptedRun::committing(settings(1, 2));
    run.tell(stop());
    run.upload.abandon();
    run.act();
    assert_eq!(run.kind(), ErrorKind::OutcomeUnknown);

    // It is committed, and only the list of open uploads is missing.
    let mut run = ScriptedRun::new(settings(1, 2));
    run.creating();
    run.fails(ApiCall::Create, lost());
    run.wait();
    run.ok(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    run.finish_parts();
    let ours = run.ours("new");
    run.ok(ApiCall::Commit, Outcome::Committed(ObjectMeta { size: None, ..ours.clone() }));
    run.ok(ApiCall::Head, Outcome::Object(ours));
    run.tell(stop());
    run.upload.abandon();
    run.act();
    assert!(run.ended().is_ok());
}

#[test]
fn an_abort_that_a_policy_forbids_leaves_the_upload_named() {
    let mut run = ScriptedRun::committing(settings(1, 2));
    run.refused(ApiCall::Commit, 403, "NotAllowed");
    while run.finish.is_none() {
        run.refused(abort(), 404, "NotAuthorizedOrNotFound");
        if run.finish.is_none() {
            run.wait();
        }
    }
    let error = run.ended().as_ref().unwrap_err();
    let next = error.hint.as_ref().unwrap();
    assert!(next.contains("ABORT u") && next.contains("OBJECT_DELETE"), "{error}");
}

#[test]
fn a_lost_put_that_then_always_arrives_damaged_is_asked_for_and_not_denied() {
    let mut upload = Upload::new(settings(1, 2));
    let body = Bytes::from_static(b"abc");
    let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
    upload.handle_event(SECOND, Event::Part { number: 1, digest: digest.clone() });
    upload.handle_event(SECOND, Event::EndOfStream { bytes: 3, crc32: crc32fast::hash(&body) });
    upload.handle_event(SECOND, Event::CallDone { call: ApiCall::Put, result: Err(lost()) });
    for _ in 0..9 {
        let damaged = Model::refuse(400, "UnmatchedContentSHA256");
        upload.handle_event(SECOND, Event::CallDone { call: ApiCall::Put, result: Err(damaged) });
        let md5 = digest::md5_of(std::slice::from_ref(&body));
        upload.handle_event(SECOND, Event::Rehashed { number: 1, digest: digest.clone(), md5 });
    }
    let mut actions = std::iter::from_fn(|| upload.poll_action());
    assert!(actions.any(|action| matches!(action, Action::StartCall(ApiCall::Head))));
}

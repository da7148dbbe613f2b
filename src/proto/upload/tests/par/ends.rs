//! Lost answers to the commit, and refusals.
//!
//! Invariant: a run that may have committed is not aborted.

use super::*;

#[test]
fn a_lost_commit_answer_is_settled_by_head_where_the_par_reads() {
    let before = std::time::SystemTime::UNIX_EPOCH + 1_000_000 * SECOND;
    let config = UploadConfig { previous_object: PreviousObject::UnknownBefore(before), ..plain() };
    for (modified, settled) in [(-1i64, false), (0, false), (1, true)] {
        let mut run = ScriptedRun::committing_par(config.clone(), BOTH);
        run.fail(ApiCall::Commit, response_lost());
        run.wait();
        assert_eq!(run.last_call(), &ApiCall::Head);
        let at = std::time::SystemTime::UNIX_EPOCH
            + Duration::from_secs(1_000_000u64.saturating_add_signed(modified));
        let last_modified = Some(httpdate::fmt_http_date(at));
        let meta = ObjectMeta { last_modified, ..run.object_meta("e") };
        run.succeed(ApiCall::Head, Outcome::Object(meta));
        if settled {
            assert_eq!(run.stored().1, "opc-multipart-sha256");
        } else {
            // An object of the same content may have been there before.
            run.wait();
            assert_eq!(run.last_call(), &ApiCall::Commit);
        }
        run.assert_lists_nothing();
    }
}

#[test]
fn a_lost_commit_answer_without_head_is_settled_by_another_commit_or_is_unknown() {
    let lost = || {
        let mut run = ScriptedRun::committing_par(plain(), BOTH);
        run.fail(ApiCall::Commit, response_lost());
        run.wait();
        run.refuse_until_another(&refusal(404, ""));
        assert_eq!(run.last_call(), &ApiCall::Commit);
        run
    };
    // The first one had not arrived.
    let mut run = lost();
    run.succeed(ApiCall::Commit, committed(Some("e")));
    run.refuse_until_another(&refusal(404, ""));
    assert_eq!(run.stored().1, "part-md5");
    // It had: the upload is closed, and nothing shows by what.
    for failure in [
        refusal(404, "UploadNotFound"),
        refusal(404, "NotAuthorizedOrNotFound"),
        refusal(401, "NotAuthenticated"),
        refusal(412, "IfNoneMatchFailed"),
    ] {
        let mut run = lost();
        run.refuse_until_another(&failure);
        assert_eq!(run.last_call(), &ApiCall::Head, "{failure:?}");
        run.refuse_until_another(&refusal(404, ""));
        assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown, "{failure:?}");
        let hint = run.result().as_ref().unwrap_err().hint.clone().unwrap();
        assert!(hint.contains("HEAD") && hint.contains("ABORT u"), "{hint}");
        // An upload that may be committed is not aborted.
        assert!(!run.calls.contains(&abort()));
        run.assert_lists_nothing();
    }
    // A stop does not wait for certainty.
    let mut run = lost();
    run.handle_event(stop());
    while run.finish.is_none() {
        run.upload.handle_timeout(run.upload.poll_timeout().unwrap());
        run.take_actions();
    }
    assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
}

#[test]
fn a_closed_upload_and_an_equal_object_are_a_commit() {
    let mut run = ScriptedRun::committing_par(plain(), BOTH);
    run.fail(ApiCall::Commit, response_lost());
    run.wait();
    let meta = run.object_meta("e");
    run.succeed(ApiCall::Head, Outcome::Object(meta.clone()));
    run.wait();
    run.fail(ApiCall::Commit, refusal(404, "UploadNotFound"));
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    assert_eq!(run.stored().1, "opc-multipart-sha256");
}

#[test]
fn a_par_that_ends_in_the_middle_is_exit_3_and_the_upload_is_aborted() {
    for (failure, attempts, seconds) in [
        (refusal(401, "NotAuthenticated"), 5, 30),
        (refusal(404, "NotAuthorizedOrNotFound"), 10, 120),
        (refusal(404, "BucketNotFound"), 10, 120),
    ] {
        let mut run = ScriptedRun::sending(plain());
        run.acknowledge(1, BOTH);
        let began = run.now;
        let refused = run.refuse_until_another(&failure);
        assert!(refused >= attempts && run.now - began >= seconds * SECOND, "{failure:?}");
        assert!(run.now - began < (seconds + 60) * SECOND, "{failure:?}");
        assert_eq!(run.calls.last(), Some(&abort()));
        run.refuse_until_another(&failure);
        let error = run.result().as_ref().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Credentials);
        let text = error.to_string();
        assert!(text.contains("has expired or was deleted"), "{text}");
        assert!(text.contains("upload u is still open") && text.contains("credentials aborts it"));
        assert!(text.ends_with("ABORT u"), "{text}");
    }
}

#[test]
fn a_refusal_after_the_stated_expiry_is_final_at_once() {
    for failure in [refusal(401, "NotAuthenticated"), refusal(404, "NotAuthorizedOrNotFound")] {
        let mut run = ScriptedRun::sending(config(|par| par.expires_at = Some(SECOND)));
        assert_eq!(run.refuse_until_another(&failure), 1);
        assert_eq!(run.calls.last(), Some(&abort()));
        // Before it, the same refusal may be spurious.
        let mut run = ScriptedRun::sending(config(|par| par.expires_at = Some(9999 * SECOND)));
        run.fail(ApiCall::Part(nth(2)), failure);
        run.wait();
        run.acknowledge(1, BOTH);
        run.acknowledge(2, BOTH);
        assert_eq!(run.last_call(), &ApiCall::Commit);
    }
}

#[test]
fn a_par_that_never_let_anything_in_is_exit_3_after_four_attempts() {
    for failure in [refusal(401, "NotAuthenticated"), refusal(404, "BucketNotFound")] {
        let mut run = ScriptedRun::storing(plain());
        assert_eq!(run.refuse_until_another(&failure), 4);
        assert_eq!(run.error_kind(), ErrorKind::Credentials);
        let mut run = ScriptedRun::new(plain());
        run.start_create();
        assert_eq!(run.refuse_until_another(&failure), 4);
        assert_eq!(run.error_kind(), ErrorKind::Credentials);
    }
}

#[test]
fn what_a_par_does_not_show_is_looked_for_four_times() {
    // The upload is closed after a lost answer.
    let mut run = ScriptedRun::committing_par(plain(), BOTH);
    run.fail(ApiCall::Commit, response_lost());
    run.wait();
    run.refuse_until_another(&refusal(404, ""));
    run.fail(ApiCall::Commit, refusal(404, "UploadNotFound"));
    assert_eq!(run.refuse_until_another(&refusal(404, "")), 4);
    assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
    // A put has no other answer after a lost one.
    let config = UploadConfig { bucket: BucketStatus::Seen, ..plain() };
    let mut run = ScriptedRun::storing(config);
    run.fail(ApiCall::Put, response_lost());
    run.wait();
    run.fail(ApiCall::Put, refusal(412, "IfNoneMatchFailed"));
    assert_eq!(run.last_call(), &ApiCall::Head);
    assert_eq!(run.refuse_until_another(&refusal(404, "")), 4);
    assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
    // A missing object is no success after three repetitions.
    let mut run = ScriptedRun::committing_par(plain(), BOTH);
    run.succeed(ApiCall::Commit, committed(Some("e")));
    assert_eq!(run.refuse_until_another(&refusal(404, "ObjectNotFound")), 4);
    assert_eq!(run.calls.last(), Some(&abort()));
}

#[test]
fn a_commit_that_was_only_refused_is_a_failure_and_the_upload_is_aborted() {
    let mut run = ScriptedRun::committing_par(plain(), BOTH);
    run.refuse_until_another(&refusal(404, "NotAuthorizedOrNotFound"));
    assert_eq!(run.last_call(), &ApiCall::Head);
    run.fail(ApiCall::Head, refusal(404, ""));
    assert_eq!(run.last_call(), &abort());
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(run.error_kind(), ErrorKind::Credentials);
}

#[test]
fn a_start_whose_answer_cannot_be_used_may_have_left_an_upload() {
    let mut run = ScriptedRun::new(plain());
    run.start_create();
    let error = Error::service("the accessUri is on another host");
    run.fail(ApiCall::Create, Failure::Local(error));
    assert_eq!(run.error_kind(), ErrorKind::Service);
    let named = run.warnings.iter().any(|text| text.contains("ocipipe uploads list"));
    assert!(named, "{:?}", run.warnings);
}

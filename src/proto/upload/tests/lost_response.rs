//! Tests of lost responses: how an unknown outcome is resolved, and which uploads are named at the
//! end.

use super::scripted::{ScriptedRun, abort, both_parts, meta_of_size, response_lost, stop};
use super::*;
use crate::api::ListedUpload;

/// A configuration whose retry budget allows no retry.
fn no_retries() -> UploadConfig {
    UploadConfig { retry_for: Duration::ZERO, ..test_config(1, 2) }
}

#[test]
fn a_lost_commit_response_without_an_abort_leaves_the_outcome_unknown() {
    let mut run = ScriptedRun::committing(no_retries());
    run.fail(ApiCall::Commit, response_lost());
    run.wait();
    run.reject(ApiCall::Head, 404, "");
    run.succeed(ApiCall::ListParts, both_parts());
    assert_eq!(run.last_call(), &abort());
    run.reject(abort(), 403, "NotAllowed");
    assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
    assert!(run.result().as_ref().unwrap_err().hint.as_ref().unwrap().contains("ABORT u"));
}

#[test]
fn a_rejected_commit_ends_the_run_once_the_upload_was_seen_open() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.fail(ApiCall::Commit, response_lost());
    for _ in 0..2 {
        run.wait();
        if run.last_call() == &ApiCall::Commit {
            run.reject(ApiCall::Commit, 412, "IfNoneMatchFailed");
        }
        assert_eq!(run.last_call(), &ApiCall::Head);
        run.succeed(ApiCall::Head, Outcome::Object(meta_of_size("other", 99)));
        assert_eq!(run.last_call(), &ApiCall::ListParts);
        run.succeed(ApiCall::ListParts, both_parts());
    }
    assert_eq!(run.last_call(), &abort());
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(run.error_kind(), ErrorKind::Exists);
}

#[test]
fn a_commit_without_responses_is_repeated_with_growing_backoff() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    while run.finish.is_none() {
        match run.last_call().clone() {
            ApiCall::Commit => run.fail(ApiCall::Commit, response_lost()),
            ApiCall::Head => run.reject(ApiCall::Head, 404, ""),
            ApiCall::ListParts => run.succeed(ApiCall::ListParts, both_parts()),
            ApiCall::Abort { .. } => {
                run.succeed(abort(), Outcome::Removed);
                continue;
            }
            other => panic!("{other:?}"),
        }
        if run.upload.core.call.scheduled.is_some() {
            run.wait();
        }
    }
    assert_eq!(run.error_kind(), ErrorKind::Service);
    let commits = run.calls.iter().filter(|call| **call == ApiCall::Commit).count();
    assert!(commits < 400, "{commits} commits in an hour");
}

#[test]
fn a_repeated_put_that_stored_other_bytes_is_an_integrity_failure() {
    let mut run = ScriptedRun::storing(test_config(1, 2));
    run.fail(ApiCall::Put, response_lost());
    run.wait();
    let wrong = Value::from_base64(Algorithm::Md5, "1B2M2Y8AsgTpgAmY7PhCfg==").unwrap();
    let meta = ObjectMeta {
        etag: Some("e".to_owned()),
        content: Digests { md5: Some(wrong.base64()), ..Digests::default() },
        ..ObjectMeta::default()
    };
    let body = Bytes::from_static(b"abc");
    run.succeed(ApiCall::Put, Outcome::Stored { meta, crc32: crc32fast::hash(&body) });
    let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
    let md5 = digest::md5_of(std::slice::from_ref(&body));
    run.handle_event(Event::Rehashed { number: nth(1), digest, md5 });
    assert_eq!(run.error_kind(), ErrorKind::Integrity);
}

#[test]
fn an_object_of_the_same_size_does_not_prove_that_a_put_without_response_succeeded() {
    let mut run = ScriptedRun::storing(test_config(1, 2));
    run.fail(ApiCall::Put, response_lost());
    run.wait();
    run.reject(ApiCall::Put, 412, "IfNoneMatchFailed");
    assert_eq!(run.last_call(), &ApiCall::Head);
    run.succeed(ApiCall::Head, Outcome::Object(meta_of_size("other", 3)));
    assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
}

#[test]
fn a_put_that_is_forbidden_after_a_lost_response_has_an_unknown_outcome() {
    let mut run = ScriptedRun::storing(test_config(1, 2));
    run.fail(ApiCall::Put, response_lost());
    run.wait();
    run.reject(ApiCall::Put, 403, "NotAllowed");
    run.succeed(ApiCall::Head, Outcome::Object(meta_of_size("old", 99)));
    assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
}

#[test]
fn an_object_of_the_same_size_does_not_prove_a_commit_if_the_previous_object_is_unknown() {
    let mut run = ScriptedRun::committing(UploadConfig {
        previous_object: PreviousObject::Unknown,
        ..test_config(1, 2)
    });
    run.fail(ApiCall::Commit, response_lost());
    run.wait();
    run.succeed(ApiCall::Head, Outcome::Object(meta_of_size("old", 6)));
    run.reject(ApiCall::ListParts, 404, "UploadNotFound");
    run.succeed(ApiCall::Head, Outcome::Object(meta_of_size("old", 6)));
    assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
}

/// Another client has stored an object of this size, and something has aborted the upload.
#[test]
fn an_object_of_the_same_size_does_not_prove_a_commit_if_there_was_no_object_before() {
    for (before, size) in [
        (PreviousObject::Nothing, 6),
        (PreviousObject::Object("old".to_owned()), 6),
        (PreviousObject::Nothing, 7),
    ] {
        let mut run =
            ScriptedRun::committing(UploadConfig { previous_object: before, ..test_config(1, 2) });
        run.fail(ApiCall::Commit, response_lost());
        run.wait();
        run.reject(ApiCall::Head, 404, "");
        run.reject(ApiCall::ListParts, 404, "UploadNotFound");
        run.succeed(ApiCall::Head, Outcome::Object(meta_of_size("foreign", size)));
        assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
        let message = &run.result().as_ref().unwrap_err().message;
        assert_eq!(message.contains("is not what was sent"), size != 6, "{message}");
    }
}

#[test]
fn an_equal_object_from_before_the_run_does_not_prove_a_commit() {
    for before in [PreviousObject::Unknown, PreviousObject::Object("old".to_owned())] {
        let mut run =
            ScriptedRun::committing(UploadConfig { previous_object: before, ..test_config(1, 2) });
        run.fail(ApiCall::Commit, response_lost());
        run.wait();
        let previous = run.object_meta("old");
        run.succeed(ApiCall::Head, Outcome::Object(previous));
        // If the upload is still open, the commit is repeated, so that no upload is left.
        assert_eq!(run.last_call(), &ApiCall::ListParts);
        run.succeed(ApiCall::ListParts, both_parts());
        run.wait();
        assert_eq!(run.last_call(), &ApiCall::Commit);
    }
}

#[test]
fn a_repeated_commit_that_is_rejected_as_already_done_is_resolved_by_a_head() {
    for (status, code) in [(404, "UploadNotFound"), (412, "IfNoneMatchFailed")] {
        let mut run = ScriptedRun::committing(test_config(1, 2));
        run.reject(ApiCall::Commit, 503, "ServiceUnavailable");
        run.wait();
        run.reject(ApiCall::Commit, status, code);
        assert_eq!(run.last_call(), &ApiCall::Head);
        let meta = run.object_meta("new");
        run.succeed(ApiCall::Head, Outcome::Object(meta));
        run.succeed(ApiCall::ListUploads, Outcome::Uploads(Vec::new()));
        assert!(run.result().is_ok(), "{status}");
    }
}

#[test]
fn the_receipt_has_the_request_id_of_the_commit_and_not_of_the_head() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    let meta = |id: &str| ObjectMeta {
        etag: Some("new".to_owned()),
        request_id: Some(id.to_owned()),
        ..ObjectMeta::default()
    };
    run.succeed(ApiCall::Commit, Outcome::Committed(meta("commit")));
    run.succeed(ApiCall::Head, Outcome::Object(ObjectMeta { size: Some(6), ..meta("head") }));
    let stored = run.result().as_ref().unwrap();
    assert_eq!(stored.meta.request_id.as_deref(), Some("commit"));
}

#[test]
fn the_outcome_is_looked_up_once_even_if_the_retry_budget_is_exhausted() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.reject(ApiCall::Commit, 503, "ServiceUnavailable");
    run.wait();
    run.now += Duration::from_secs(3601);
    run.fail(ApiCall::Commit, response_lost());
    run.wait();
    assert_eq!(run.last_call(), &ApiCall::Head);
    let meta = run.object_meta("new");
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    run.succeed(ApiCall::ListUploads, Outcome::Uploads(Vec::new()));
    assert!(run.result().is_ok());

    let mut run = ScriptedRun::storing(no_retries());
    run.fail(ApiCall::Put, response_lost());
    run.wait();
    run.fail(ApiCall::Put, response_lost());
    assert_eq!(run.last_call(), &ApiCall::Head);
    let stored = head_meta("new", &Bytes::from_static(b"abc"));
    run.succeed(ApiCall::Head, Outcome::Object(stored));
    assert!(run.result().is_ok());
}

#[test]
fn a_signal_starts_the_scheduled_head_at_once() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.reject(ApiCall::Commit, 503, "ServiceUnavailable");
    run.wait();
    let ambiguous = Failure::ErrorResponse(crate::api::ErrorResponse {
        status: 500,
        code: Some("InternalServerError".to_owned()),
        retry_after: Some(60),
        ..crate::api::ErrorResponse::default()
    });
    run.fail(ApiCall::Commit, ambiguous);
    let at = run.now;
    run.handle_event(stop());
    run.wait();
    assert_eq!((run.last_call(), run.now), (&ApiCall::Head, at));
    let meta = run.object_meta("new");
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    run.succeed(ApiCall::ListUploads, Outcome::Uploads(Vec::new()));
    assert!(run.result().is_ok());
}

#[test]
fn the_upload_of_a_create_without_response_is_listed_before_a_stop_ends() {
    let mut run = ScriptedRun::new(test_config(1, 2));
    run.start_create();
    let at = run.now;
    run.handle_event(stop());
    run.wait();
    assert_eq!(run.last_call(), &ApiCall::ListUploads);
    run.succeed(ApiCall::ListUploads, Outcome::Uploads(vec![listed_upload("late")]));
    assert_eq!(run.error_kind(), ErrorKind::Signal(15));
    assert!(run.warnings.iter().any(|text| text.contains("ABORT late")), "{:?}", run.warnings);
    assert!(run.now <= at + 10 * SECOND);
}

#[test]
fn a_signal_ends_the_run_within_ten_seconds_without_further_responses() {
    // The stream is committed, and the list of open uploads gets no response.
    let mut run = ScriptedRun::new(test_config(1, 2));
    run.start_create();
    run.fail(ApiCall::Create, response_lost());
    run.wait();
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    run.finish_parts();
    let meta = run.object_meta("new");
    run.succeed(ApiCall::Commit, Outcome::Committed(run.commit_meta("new")));
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    assert_eq!(run.last_call(), &ApiCall::ListUploads);
    let at = run.now;
    run.handle_event(stop());
    run.wait();
    assert!(run.result().is_ok());
    assert!(run.now <= at + 10 * SECOND);

    // The commit is rejected after 6 s, and the abort gets no response.
    let mut run = ScriptedRun::committing(test_config(1, 2));
    let at = run.now;
    run.handle_event(stop());
    run.now += 6 * SECOND;
    run.reject(ApiCall::Commit, 403, "NotAllowed");
    assert_eq!(run.last_call(), &abort());
    run.wait();
    assert_eq!(run.error_kind(), ErrorKind::Signal(15));
    assert!(run.now <= at + 10 * SECOND, "{:?}", run.now - at);
}

#[test]
fn abandoning_a_run_names_what_is_left() {
    // The abort is in flight.
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.reject(ApiCall::Commit, 403, "NotAllowed");
    run.upload.abandon();
    run.take_actions();
    let error = run.result().as_ref().unwrap_err();
    assert!(error.hint.as_ref().unwrap().contains("ABORT u"), "{error}");

    // The commit is in flight.
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.handle_event(stop());
    run.upload.abandon();
    run.take_actions();
    assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);

    // The stream is committed, and the list of open uploads is in flight.
    let mut run = ScriptedRun::new(test_config(1, 2));
    run.start_create();
    run.fail(ApiCall::Create, response_lost());
    run.wait();
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    run.finish_parts();
    let meta = run.object_meta("new");
    run.succeed(ApiCall::Commit, Outcome::Committed(run.commit_meta("new")));
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    run.handle_event(stop());
    run.upload.abandon();
    run.take_actions();
    assert!(run.result().is_ok());
}

#[test]
fn an_upload_whose_abort_is_forbidden_is_named() {
    for (status, code) in [(404, "NotAuthorizedOrNotFound"), (403, "NotAllowed")] {
        let mut run = ScriptedRun::committing(test_config(1, 2));
        run.reject(ApiCall::Commit, 403, "NotAllowed");
        while run.finish.is_none() {
            run.reject(abort(), status, code);
            if run.finish.is_none() {
                run.wait();
            }
        }
        let error = run.result().as_ref().unwrap_err();
        let hint = error.hint.as_ref().unwrap();
        assert!(hint.contains("ABORT u") && hint.contains("OBJECT_DELETE"), "{error}");
    }
}

#[test]
fn a_put_with_a_lost_response_and_then_checksum_mismatches_is_resolved_by_a_head() {
    let mut upload = Upload::new(test_config(1, 2));
    let body = Bytes::from_static(b"abc");
    let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
    upload.handle_event(SECOND, Event::Part { number: nth(1), digest: digest.clone() });
    upload.handle_event(SECOND, Event::EndOfStream { bytes: 3, crc32: crc32fast::hash(&body) });
    upload
        .handle_event(SECOND, Event::CallDone { call: ApiCall::Put, result: Err(response_lost()) });
    for _ in 0..9 {
        let mismatch = Model::rejection(400, "UnmatchedContentSHA256");
        upload.handle_event(SECOND, Event::CallDone { call: ApiCall::Put, result: Err(mismatch) });
        let md5 = digest::md5_of(std::slice::from_ref(&body));
        upload
            .handle_event(SECOND, Event::Rehashed { number: nth(1), digest: digest.clone(), md5 });
    }
    let mut actions = std::iter::from_fn(|| upload.poll_action());
    assert!(actions.any(|action| matches!(action, Action::StartCall(ApiCall::Head))));
}

/// Another client can have stored the same bytes in the same parts, so that the object does not show whether
/// the upload is closed.
#[test]
fn an_upload_that_may_be_open_beside_an_object_of_its_bytes_is_named() {
    let resolved = || {
        let mut run = ScriptedRun::committing(test_config(1, 2));
        run.fail(ApiCall::Commit, response_lost());
        run.wait();
        let meta = run.object_meta("new");
        run.succeed(ApiCall::Head, Outcome::Object(meta));
        assert_eq!(run.last_call(), &ApiCall::ListUploads);
        run.warnings.clear();
        run
    };
    let (own, other) = (listed_upload("u"), listed_upload("of another client"));
    let own_id = resolved().upload.upload_id().unwrap().to_owned();
    let own = ListedUpload { upload_id: own_id.clone(), ..own };

    let mut run = resolved();
    run.succeed(ApiCall::ListUploads, Outcome::Uploads(vec![other.clone()]));
    assert!(run.result().is_ok());
    assert_eq!(run.warnings, [""; 0]);

    let mut run = resolved();
    run.succeed(ApiCall::ListUploads, Outcome::Uploads(vec![other, own]));
    assert!(run.result().is_ok());
    assert_eq!(
        run.warnings,
        [format!(
            "the upload {own_id} is still listed, although the object has its bytes: another client may have \
             stored them; abort it with: ABORT {own_id}"
        )]
    );

    let mut run = resolved();
    run.reject(ApiCall::ListUploads, 403, "NotAllowed");
    assert!(run.result().is_ok());
    let [warning] = run.warnings.as_slice() else { panic!("{:?}", run.warnings) };
    assert!(
        warning.starts_with(
            "no answer says whether the commit or another client stored the object, and the open uploads \
             could not be listed ("
        ),
        "{warning}"
    );
    let end = format!("): the upload {own_id} may still be open; abort it with: ABORT {own_id}");
    assert!(warning.ends_with(&end), "{warning}");
}

//! Tests of what comes late: answers to creates and aborts after the outcome is known, and deadlines.
//!
//! Invariant: a run that may have committed ends with an unknown outcome, and any other run with its cause.

use super::scripted::{ScriptedRun, abort, abort_of, both_parts, response_lost, stop};
use super::*;

const MS: Duration = Duration::from_millis(1);

fn created(upload_id: &str) -> Outcome {
    Outcome::Created { upload_id: upload_id.to_owned() }
}

/// The service is busy, and asks for a pause longer than a stop.
fn busy() -> Failure {
    Failure::ErrorResponse(crate::api::ErrorResponse {
        status: 503,
        code: Some("ServiceUnavailable".to_owned()),
        request_id: Some("busy".to_owned()),
        retry_after: Some(60),
        ..crate::api::ErrorResponse::default()
    })
}

/// A run whose commit or put was acknowledged, whose conditional create has no answer, and whose stop
/// leaves no time to wait for it.
fn probing(mut run: ScriptedRun, acknowledged: Outcome) -> ScriptedRun {
    let call = run.last_call().clone();
    run.succeed(call, acknowledged);
    run.reject_heads();
    run.handle_event(stop());
    run.wait();
    assert_eq!(run.last_call(), &ApiCall::ListUploads);
    run
}

#[test]
fn the_upload_of_a_probe_that_is_answered_late_is_aborted() {
    let probe = ApiCall::ConditionalCreate(ProbeCondition::NoObject);
    let body = Bytes::from_static(b"abc");
    let put = Outcome::Stored { meta: response_meta("new", &body), crc32: crc32fast::hash(&body) };
    let committing = ScriptedRun::committing(test_config(1, 2));
    let committed = Outcome::Committed(committing.commit_meta("new"));
    for (run, acknowledged, own) in
        [(committing, committed, Some("u")), (ScriptedRun::storing(test_config(1, 2)), put, None)]
    {
        let mut run = probing(run, acknowledged);
        run.succeed(probe.clone(), created("probe"));
        assert_eq!(run.last_call(), &abort_of("probe"));
        assert_eq!(run.upload.upload_id(), own, "the upload of a probe is not that of the stream");
        run.succeed(abort_of("probe"), Outcome::Removed);
        run.succeed(ApiCall::ListUploads, Outcome::Uploads(Vec::new()));
        assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
    }
}

#[test]
fn the_upload_of_a_create_that_is_answered_late_is_that_of_the_run() {
    let mut run = ScriptedRun::new(test_config(1, 2));
    run.start_create();
    run.handle_event(stop());
    assert_eq!(run.upload.upload_id(), None);
    run.succeed(ApiCall::Create, created("late"));
    assert_eq!(run.last_call(), &abort_of("late"));
    assert_eq!(run.upload.upload_id(), Some("late"));
    run.reject(abort_of("late"), 403, "NotAllowed");
    let error = run.result().as_ref().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Signal(15));
    assert!(error.hint.as_ref().unwrap().contains("ABORT late"), "{error}");
}

/// A lost response, an open upload, and no time for another commit.
fn aborting_in_doubt() -> ScriptedRun {
    let config = UploadConfig { retry_for: Duration::ZERO, ..test_config(1, 2) };
    let mut run = ScriptedRun::committing(config);
    run.fail(ApiCall::Commit, response_lost());
    run.wait();
    run.reject(ApiCall::Head, 404, "");
    run.succeed(ApiCall::ListParts, both_parts());
    assert_eq!(run.last_call(), &abort());
    run
}

#[test]
fn an_upload_that_is_closed_at_its_abort_may_be_committed() {
    let mut run = aborting_in_doubt();
    run.reject(abort(), 404, "UploadNotFound");
    assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
    let text = run.result().as_ref().unwrap_err().to_string();
    assert!(text.contains("the upload is closed"), "{text}");
    // Without a doubt it is no more than an upload that is gone.
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.reject(ApiCall::Commit, 403, "NotAllowed");
    run.reject(abort(), 404, "UploadNotFound");
    assert_eq!(run.error_kind(), ErrorKind::Service);
}

/// A stop while the call is in flight, which the service rejects just before the deadline.
fn stopped_before_the_next_attempt(mut run: ScriptedRun) -> ScriptedRun {
    let (call, stopped) = (run.last_call().clone(), run.now);
    run.handle_event(stop());
    run.now += 6900 * MS;
    run.fail(call.clone(), busy());
    let calls = run.calls.iter().filter(|other| **other == call).count();
    while run.finish.is_none() && run.now < stopped + 10 * SECOND {
        if run.calls.last() == Some(&abort()) {
            run.succeed(abort(), Outcome::Removed);
            continue;
        }
        run.now = run.upload.poll_timeout().unwrap();
        run.upload.handle_timeout(run.now);
        run.take_actions();
    }
    assert_eq!(run.calls.iter().filter(|other| **other == call).count(), calls, "sent again");
    assert_eq!(run.now, stopped + 7 * SECOND);
    run
}

#[test]
fn a_commit_or_put_that_no_attempt_of_can_have_arrived_ends_with_the_signal_at_the_deadline() {
    let run = stopped_before_the_next_attempt(ScriptedRun::committing(test_config(1, 2)));
    assert_eq!((run.error_kind(), run.calls.last()), (ErrorKind::Signal(15), Some(&abort())));
    let run = stopped_before_the_next_attempt(ScriptedRun::storing(test_config(1, 2)));
    assert_eq!(run.error_kind(), ErrorKind::Signal(15));
    // One whose answer was lost may have arrived.
    for mut run in
        [ScriptedRun::committing(test_config(1, 2)), ScriptedRun::storing(test_config(1, 2))]
    {
        let call = run.last_call().clone();
        run.fail(call, response_lost());
        run.handle_event(stop());
        run.wait();
        run.now = run.now.max(run.upload.core.deadline.unwrap());
        run.upload.handle_timeout(run.now);
        run.take_actions();
        assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
    }
}

#[test]
fn a_signal_stops_the_look_up_after_a_commit_that_was_only_rejected() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    while run.last_call() == &ApiCall::Commit {
        run.fail(ApiCall::Commit, bucket_not_found(&ApiCall::Commit));
        if run.upload.core.call.scheduled.is_some() {
            run.wait();
        }
    }
    assert_eq!(run.last_call(), &ApiCall::Head);
    run.fail(ApiCall::Head, busy());
    run.handle_event(stop());
    assert_eq!(run.last_call(), &abort());
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(run.error_kind(), ErrorKind::Signal(15));
}

#[test]
fn an_error_of_the_source_after_a_clean_end_of_the_stream_means_nothing() {
    let mut run = ScriptedRun::new(UploadConfig { end_proven: false, ..test_config(1, 2) });
    let digest = digest::part(Algorithm::Sha256, &[Bytes::from_static(b"abc")]);
    run.handle_event(Event::Part { number: nth(1), digest });
    run.handle_event(Event::EndOfStream { bytes: 3, crc32: crc32fast::hash(b"abc") });
    run.handle_event(Event::SourceFailed(Error::source("killed")));
    run.wait();
    assert_eq!(run.last_call(), &ApiCall::Put);
}

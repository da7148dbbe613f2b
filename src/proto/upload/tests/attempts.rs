//! Tests of the attempts that messages and logs name, and of parts that arrive damaged.

use super::scripted::{ScriptedRun, abort, both_parts, response_lost};
use super::*;
use crate::api::ListedPart;
use crate::request_fields::RequestFields;

/// A run that sends one part at a time, with the first part in flight.
fn streaming(config: UploadConfig) -> ScriptedRun {
    let mut run = ScriptedRun::new(config);
    run.start_create();
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    run
}

fn unavailable() -> Failure {
    Model::rejection(503, "ServiceUnavailable")
}

/// The operation, the part and the attempt that the error of a run is about.
#[track_caller]
fn failed(run: &ScriptedRun) -> (Option<&'static str>, Option<u32>, Option<u32>) {
    let request = run.result().as_ref().unwrap_err().request.clone().expect("a request failed");
    (request.operation, request.part, request.attempt)
}

#[test]
fn warnings_count_the_attempts_of_a_call_or_part_from_one() {
    let mut run = ScriptedRun::new(test_config(1, 2));
    run.start_create();
    run.fail(ApiCall::Create, response_lost());
    assert!(run.warnings[0].contains("CreateMultipartUpload, attempt 1: "), "{:?}", run.warnings);
    let mut run = streaming(test_config(1, 2));
    run.fail(ApiCall::Part(nth(1)), response_lost());
    assert!(run.warnings[0].contains("part 1, attempt 1: "), "{:?}", run.warnings);
}

#[test]
fn a_warning_has_the_fields_of_its_request() {
    let mut upload = Upload::new(test_config(1, 2));
    let digest = digest::part(Algorithm::Sha256, &[Bytes::from_static(b"abc")]);
    upload.handle_event(SECOND, Event::Part { number: nth(1), digest });
    upload.handle_event(SECOND, Event::MultipartNeeded);
    let created = Ok(Outcome::Created { upload_id: "u".to_owned() });
    upload.handle_event(SECOND, Event::CallDone { call: ApiCall::Create, result: created });
    let call = ApiCall::Part(nth(1));
    upload.handle_event(SECOND, Event::CallDone { call, result: Err(unavailable()) });
    let warning = std::iter::from_fn(|| upload.poll_action()).find_map(|action| match action {
        Action::Warn(warning) => warning.request,
        _ => None,
    });
    let fields = RequestFields {
        operation: Some("UploadPart"),
        part: Some(1),
        attempt: Some(1),
        status: Some(503),
        code: Some("ServiceUnavailable".to_owned()),
        request_id: Some("model".to_owned()),
    };
    assert_eq!(warning.as_deref(), Some(&fields));
}

#[test]
fn the_error_of_a_run_has_the_number_of_the_attempt_that_failed() {
    let mut run = streaming(test_config(1, 2));
    run.reject(ApiCall::Part(nth(1)), 503, "ServiceUnavailable");
    run.wait();
    run.reject(ApiCall::Part(nth(1)), 403, "NotAllowed");
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(failed(&run), (Some("UploadPart"), Some(1), Some(2)));
    // The attempts at a commit are counted in all states.
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.reject(ApiCall::Commit, 400, "InvalidUploadPart");
    run.succeed(ApiCall::ListParts, both_parts());
    run.reject(ApiCall::Commit, 403, "NotAllowed");
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(failed(&run), (Some("CommitMultipartUpload"), None, Some(2)));
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.reject(ApiCall::Commit, 400, "InvalidUploadPart");
    run.reject(ApiCall::ListParts, 503, "ServiceUnavailable");
    run.wait();
    run.reject(ApiCall::ListParts, 403, "NotAllowed");
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(failed(&run), (Some("ListMultipartUploadParts"), None, Some(2)));
}

#[test]
fn a_part_that_is_sent_again_after_its_acknowledgement_has_the_next_number() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.reject(ApiCall::Commit, 400, "InvalidUploadPart");
    let first = ListedPart { part_number: nth(1), etag: "e1".to_owned(), size: 3, md5: None };
    run.succeed(ApiCall::ListParts, Outcome::Parts(vec![first]));
    run.reject(ApiCall::Part(nth(2)), 403, "NotAllowed");
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(failed(&run), (Some("UploadPart"), Some(2), Some(2)));
}

/// On a slow line hours can pass between two acknowledged parts.
#[test]
fn failures_far_apart_do_not_end_a_stream_while_another_part_is_being_sent() {
    let mut run = streaming(UploadConfig { retry_for: 20 * SECOND, ..test_config(2, 3) });
    let digest = digest::part(Algorithm::Sha256, &[Bytes::from_static(b"abc")]);
    run.handle_event(Event::Part { number: nth(2), digest });
    for _ in 0..3 {
        run.now += 60 * SECOND;
        run.fail(ApiCall::Part(nth(1)), response_lost());
        run.wait();
    }
    assert!(run.finish.is_none() && run.calls.contains(&ApiCall::Part(nth(2))));
    // A 401 can be late: the token was replaced while the part was being sent.
    run.now += 60 * SECOND;
    run.reject(ApiCall::Part(nth(1)), 401, "NotAuthenticated");
    run.wait();
    assert!(run.finish.is_none());
    // In an outage all parts fail.
    let began_at = run.now;
    run.fail(ApiCall::Part(nth(2)), response_lost());
    while let Some(ApiCall::Part(number)) = run.calls.last().cloned() {
        run.fail(ApiCall::Part(number), response_lost());
        if matches!(run.calls.last(), Some(ApiCall::Part(_))) {
            run.wait();
        }
    }
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(run.error_kind(), ErrorKind::Service);
    assert!(run.now - began_at <= 21 * SECOND, "{:?}", run.now - began_at);
}

#[test]
fn a_404_is_no_sign_of_a_slow_line() {
    let mut run = streaming(UploadConfig { retry_for: 20 * SECOND, ..test_config(2, 3) });
    let digest = digest::part(Algorithm::Sha256, &[Bytes::from_static(b"abc")]);
    run.handle_event(Event::Part { number: nth(2), digest });
    let mut attempts = 0;
    while !run.calls.contains(&abort()) && attempts < 9 {
        run.now += 60 * SECOND;
        run.reject(ApiCall::Part(nth(1)), 404, "BucketNotFound");
        attempts += 1;
        if !run.calls.contains(&abort()) {
            run.wait();
        }
    }
    assert_eq!(attempts, 2);
}

/// The attempts at a call that last `each` and are cut off, until the run ends.
fn attempts_until_the_end(mut run: ScriptedRun, call: &ApiCall, each: Duration) -> u32 {
    let mut attempts = 0;
    while run.calls.last() == Some(call) {
        run.now += each;
        let kind = TransportError::RequestIncomplete;
        run.fail(call.clone(), Failure::Transport { kind, text: "reset".to_owned() });
        attempts += 1;
        if run.finish.is_some() {
            break;
        }
        if run.calls.last() == Some(call) {
            run.wait();
        }
    }
    attempts
}

/// One connection on a slow line: each attempt moves bytes for longer than the retries may last. A request that is
/// cut off each time ends the run.
#[test]
fn a_request_that_lasts_longer_than_the_retries_is_sent_five_times() {
    let config = || UploadConfig { retry_for: 60 * SECOND, ..test_config(1, 2) };
    for (each, attempts) in [(3600 * SECOND, 5), (120 * SECOND, 5), (119 * SECOND, 2)] {
        let part = attempts_until_the_end(streaming(config()), &ApiCall::Part(nth(1)), each);
        let put = attempts_until_the_end(ScriptedRun::storing(config()), &ApiCall::Put, each);
        assert_eq!((part, put), (attempts, attempts), "{each:?}");
    }
}

#[test]
fn an_attempt_is_long_after_twice_the_time_that_a_connection_may_move_nothing() {
    for (stall_timeout, long) in [(0, 120), (60, 120), (61, 122), (300, 600)] {
        assert_eq!(crate::upload::long_attempt(stall_timeout * SECOND), long * SECOND);
    }
    assert_eq!(crate::upload::long_attempt(Duration::MAX), Duration::MAX);
}

#[test]
fn the_error_of_an_exhausted_budget_has_the_time_without_progress() {
    let mut run = streaming(UploadConfig { retry_for: 20 * SECOND, ..test_config(1, 2) });
    while run.calls.last() == Some(&ApiCall::Part(nth(1))) {
        run.fail(ApiCall::Part(nth(1)), response_lost());
        if run.calls.last() == Some(&ApiCall::Part(nth(1))) {
            run.wait();
        }
    }
    run.succeed(abort(), Outcome::Removed);
    let error = run.result().as_ref().unwrap_err();
    assert!(error.message.ends_with("reset (no progress for 20 s)"), "{error}");
    assert_eq!(error.kind, ErrorKind::Service);
}

#[test]
fn a_part_that_arrives_damaged_eight_times_ends_the_run() {
    let mut run = streaming(test_config(1, 2));
    let mut attempts = 0;
    while run.calls.last() == Some(&ApiCall::Part(nth(1))) {
        run.reject(ApiCall::Part(nth(1)), 400, "UnmatchedContentSHA256");
        attempts += 1;
        if run.calls.last() == Some(&ApiCall::Part(nth(1))) {
            let body = [Bytes::from_static(b"abc")];
            let digest = digest::part(Algorithm::Sha256, &body);
            let md5 = digest::md5_of(&body);
            run.handle_event(Event::Rehashed { number: nth(1), digest, md5 });
        }
    }
    run.succeed(abort(), Outcome::Removed);
    assert_eq!((attempts, run.error_kind()), (8, ErrorKind::Integrity));
    let message = &run.result().as_ref().unwrap_err().message;
    assert!(message.ends_with("; nothing was committed"), "{message}");
}

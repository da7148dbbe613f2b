//! Tests of 404s for the bucket: spurious ones are retried, and a missing bucket ends the run.

use super::scripted::{ScriptedRun, abort, both_parts, meta_of_size, response_lost, stop};
use super::*;

impl ScriptedRun {
    /// Answers every attempt of a call with 404, until another call starts or the run finishes.
    /// Returns the number of attempts and the time that they took.
    #[track_caller]
    fn exhaust_not_found(&mut self, call: ApiCall) -> (u32, Duration) {
        let (start, mut attempts) = (self.now, 0);
        while self.finish.is_none() && self.last_call() == &call {
            self.fail(call.clone(), bucket_not_found(&call));
            attempts += 1;
            if self.finish.is_none() && self.upload.core.call.scheduled.is_some() {
                self.wait();
            }
        }
        (attempts, self.now - start)
    }

    /// Answers one attempt of a call with 404, and waits for the next attempt.
    #[track_caller]
    fn not_found_once(&mut self, call: ApiCall) {
        let start = self.now;
        self.fail(call.clone(), bucket_not_found(&call));
        self.wait();
        assert_eq!(self.last_call(), &call);
        assert!(self.now - start < 5 * SECOND, "{:?}", self.now - start);
    }
}

/// Asserts at least ten attempts within two minutes to two minutes and 40 seconds.
#[track_caller]
fn check_full_retries((attempts, duration): (u32, Duration)) {
    let retried = attempts >= 10 && duration >= 120 * SECOND;
    assert!(retried, "{attempts} attempts in {duration:?}");
    assert!(duration <= 160 * SECOND, "{duration:?}");
}

#[test]
fn a_thousand_streams_are_stored_with_7_percent_spurious_404s() {
    for seed in 0..1000 {
        let mut harness = Harness::new(seed, 7, NO_FAULTS);
        harness.spurious_percent = 7;
        harness.schedule_stream(harness.end_of_stream());
        let result = harness.run();
        harness.check_result(seed, &result);
        assert_eq!(result.is_ok(), !harness.bucket_seems_missing(), "seed {seed}: {result:?}");
        assert_eq!(harness.commits >= 1, result.is_ok());
    }
}

#[test]
fn a_stream_fails_only_if_its_first_four_responses_were_all_404s() {
    let mut failed = 0;
    for seed in 0..1000 {
        let mut harness = Harness::new(seed, 1 + seed as usize % 9, NO_FAULTS);
        harness.spurious_percent = 30;
        harness.schedule_stream(harness.end_of_stream());
        let result = harness.run();
        harness.check_result(seed, &result);
        assert_eq!(result.is_ok(), !harness.bucket_seems_missing(), "seed {seed}: {result:?}");
        if let Err(error) = result {
            failed += 1;
            assert_eq!(error.kind, ErrorKind::Service, "seed {seed}: {error}");
            assert!(error.message.contains("answered so 4 times"), "{error}");
        }
    }
    assert!(failed > 0);
}

#[test]
fn a_missing_bucket_fails_after_four_attempts_within_ten_seconds() {
    for parts in [1, 5] {
        let mut harness = Harness::new(1, parts, NO_FAULTS);
        harness.spurious_percent = 100;
        harness.schedule_stream(harness.end_of_stream());
        let read_time = 2 * SECOND * parts as u32;
        let result = harness.run();
        harness.check_result(1, &result);
        let error = result.unwrap_err();
        assert_eq!((error.kind, harness.leading_not_found), (ErrorKind::Service, Some(4)));
        assert!(harness.now < read_time + 13 * SECOND, "{:?}", harness.now);
        let texts = ["BucketNotFound", "answered so 4 times", "no other answer"];
        assert!(texts.iter().all(|text| error.message.contains(text)), "{error}");
        assert!(error.hint.unwrap().contains("OBJECT_CREATE"));
    }
}

#[test]
fn a_bucket_seen_before_fails_after_ten_attempts_and_two_minutes() {
    let mut run = ScriptedRun::new(test_config(1, 1));
    run.start_create();
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    let mut attempts = 0;
    let start = run.now;
    while run.last_call() == &ApiCall::Part(nth(1)) {
        run.fail(ApiCall::Part(nth(1)), bucket_not_found(&ApiCall::Part(nth(1))));
        attempts += 1;
        if run.last_call() == &ApiCall::Part(nth(1)) {
            run.wait();
        }
    }
    check_full_retries((attempts, run.now - start));
    // An abort has less time, since a stop ends within 10 s.
    let (aborts, duration) = run.exhaust_not_found(abort());
    assert!(aborts == 10 && duration < 9 * SECOND, "{aborts} in {duration:?}");
    let error = run.result().as_ref().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Service);
    assert!(error.message.contains("although the bucket had answered before"), "{error}");
    assert!(error.hint.as_ref().unwrap().contains("ABORT u"), "{error}");
}

#[test]
fn a_bucket_seen_by_the_preflight_counts_as_seen() {
    let config = UploadConfig { bucket: BucketStatus::Seen, ..test_config(1, 2) };
    let mut run = ScriptedRun::new(config.clone());
    run.start_create();
    check_full_retries(run.exhaust_not_found(ApiCall::Create));
    let mut run = ScriptedRun::storing(config);
    check_full_retries(run.exhaust_not_found(ApiCall::Put));
}

#[test]
fn the_retry_budget_also_limits_the_retries_of_404s() {
    let mut run =
        ScriptedRun::committing(UploadConfig { retry_for: 20 * SECOND, ..test_config(1, 2) });
    let (_, duration) = run.exhaust_not_found(ApiCall::Commit);
    assert!(duration <= 21 * SECOND, "{duration:?}");
}

#[test]
fn progress_of_another_part_restarts_the_retries_of_404s() {
    let mut run = ScriptedRun::new(test_config(1, 2));
    run.start_create();
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    let body = Bytes::from_static(b"abc");
    let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
    run.handle_event(Event::Part { number: nth(2), digest });
    let start = run.now;
    while run.now < start + 115 * SECOND {
        assert_eq!(run.calls.iter().find(|call| matches!(**call, ApiCall::Abort { .. })), None);
        run.fail(ApiCall::Part(nth(1)), bucket_not_found(&ApiCall::Part(nth(1))));
        run.wait();
    }
    let meta = response_meta("e2", &body);
    let stored = Outcome::Stored { meta, crc32: crc32fast::hash(&body) };
    run.succeed(ApiCall::Part(nth(2)), stored);
    let progress = run.now;
    while run.last_call() == &ApiCall::Part(nth(1)) {
        run.fail(ApiCall::Part(nth(1)), bucket_not_found(&ApiCall::Part(nth(1))));
        if run.last_call() == &ApiCall::Part(nth(1)) {
            run.wait();
        }
    }
    assert!(run.now >= progress + 120 * SECOND);
}

#[test]
fn spurious_404s_are_reported_once_in_a_long_upload() {
    let mut reports = 0;
    for seed in 0..20 {
        let mut harness = Harness::new(seed, 300, NO_FAULTS);
        harness.spurious_percent = 7;
        harness.schedule_stream(harness.end_of_stream());
        assert!(harness.run().is_ok());
        let is_report = |text: &&String| text.contains("mistake of the service");
        let count = harness.warnings.iter().filter(is_report).count();
        assert!(count <= 1, "{:?}", harness.warnings);
        reports += count;
    }
    assert!(reports >= 18, "{reports}");
}

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

#[test]
fn spurious_404s_after_a_signal_do_not_delay_the_end_beyond_ten_seconds() {
    for seed in 0..500 {
        let mut harness = Harness::new(seed, 1 + seed as usize % 6, NO_FAULTS);
        harness.spurious_percent = 50;
        harness.schedule_stream(harness.end_of_stream());
        let at = Duration::from_millis(harness.rng.u64(..20_000));
        harness.schedule(at, Scheduled::Event(stop()));
        let result = harness.run();
        harness.check_result(seed, &result);
        assert!(
            harness.now <= at + 10 * SECOND,
            "seed {seed}: {:?} after the signal",
            harness.now - at
        );
    }
}

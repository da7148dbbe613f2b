//! Tests of 404s for the bucket: spurious ones are retried, and a missing bucket ends the run.

mod after_the_stream;

use super::scripted::{ScriptedRun, abort, stop};
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

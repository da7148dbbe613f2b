//! Tests of the signal hold: the 100 ms from the end of the stream to the put or commit, in which a
//! signal stops the upload.

use super::scripted::{ScriptedRun, abort, response_lost, stop};
use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);

/// A source whose end may be caused by a signal, such as a pipe.
fn unproven_end() -> UploadConfig {
    UploadConfig { end_proven: false, ..test_config(1, 2) }
}

fn digest() -> PartDigest {
    digest::part(Algorithm::Sha256, &[Bytes::from_static(b"abc")])
}

/// A run whose stream of one part has just ended.
fn one_part(config: UploadConfig) -> ScriptedRun {
    let mut run = ScriptedRun::new(config);
    run.handle_event(Event::Part { number: nth(1), digest: digest() });
    run.handle_event(Event::EndOfStream { bytes: 3, crc32: crc32fast::hash(b"abc") });
    run
}

/// A run whose stream of two parts has just ended, with the second part in flight.
fn two_parts(config: UploadConfig) -> ScriptedRun {
    let mut run = ScriptedRun::new(config);
    run.start_create();
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    acknowledge(&mut run, 1);
    run.handle_event(Event::Part { number: nth(2), digest: digest() });
    run.handle_event(Event::EndOfStream { bytes: 6, crc32: crc32fast::hash(b"abcabc") });
    assert_eq!(run.last_call(), &ApiCall::Part(nth(2)));
    run
}

fn acknowledge(run: &mut ScriptedRun, number: u32) {
    let body = Bytes::from_static(b"abc");
    let meta = response_meta(&format!("e{number}"), &body);
    run.succeed(
        ApiCall::Part(nth(number)),
        Outcome::Stored { meta, crc32: crc32fast::hash(&body) },
    );
}

#[test]
fn a_put_or_commit_waits_until_the_signal_hold_has_passed() {
    let mut run = one_part(unproven_end());
    let ended = run.now;
    assert_eq!(run.calls, []);
    run.wait();
    assert_eq!((run.last_call(), run.now), (&ApiCall::Put, ended + 100 * MILLISECOND));

    let mut run = two_parts(unproven_end());
    let ended = run.now;
    acknowledge(&mut run, 2);
    assert_eq!(run.last_call(), &ApiCall::Part(nth(2)));
    run.wait();
    assert_eq!((run.last_call(), run.now), (&ApiCall::Commit, ended + 100 * MILLISECOND));
}

#[test]
fn there_is_no_signal_hold_if_the_end_is_proven() {
    let proven = || UploadConfig { end_proven: true, ..unproven_end() };
    assert_eq!(one_part(proven()).last_call(), &ApiCall::Put);
    let mut run = two_parts(proven());
    acknowledge(&mut run, 2);
    assert_eq!(run.last_call(), &ApiCall::Commit);
}

#[test]
fn an_empty_stream_that_is_allowed_has_a_signal_hold_too() {
    let mut run = ScriptedRun::new(UploadConfig { allow_empty: true, ..unproven_end() });
    run.handle_event(Event::EndOfStream { bytes: 0, crc32: 0 });
    assert_eq!(run.calls, []);
    run.handle_event(stop());
    assert_eq!((run.error_kind(), run.calls.len()), (ErrorKind::Signal(15), 0));
}

#[test]
fn parts_acknowledged_after_the_signal_hold_are_followed_by_the_commit_at_once() {
    let mut run = two_parts(unproven_end());
    let ended = run.now;
    // The hold passes, and no timer runs until the part is acknowledged.
    assert_eq!(run.upload.poll_timeout(), Some(ended + 100 * MILLISECOND));
    run.now = ended + 100 * MILLISECOND;
    run.upload.handle_timeout(run.now);
    run.take_actions();
    assert_eq!((run.last_call(), run.upload.poll_timeout()), (&ApiCall::Part(nth(2)), None));
    run.now = ended + 101 * MILLISECOND;
    acknowledge(&mut run, 2);
    assert_eq!((run.last_call(), run.now), (&ApiCall::Commit, ended + 101 * MILLISECOND));
}

#[test]
fn a_part_or_commit_that_is_sent_again_does_not_restart_the_signal_hold() {
    let mut run = two_parts(unproven_end());
    run.fail(ApiCall::Part(nth(2)), response_lost());
    run.wait();
    assert_eq!(run.last_call(), &ApiCall::Part(nth(2)));
    run.now += 100 * MILLISECOND;
    acknowledge(&mut run, 2);
    assert_eq!(run.last_call(), &ApiCall::Commit);
    // A commit that is sent again is not held either.
    run.reject(ApiCall::Commit, 503, "ServiceUnavailable");
    let at = run.upload.poll_timeout().unwrap();
    run.wait();
    assert_eq!((run.last_call(), run.now), (&ApiCall::Commit, at));
}

#[test]
fn a_signal_within_the_hold_stores_nothing_and_leaves_no_open_upload() {
    for after in [0, 1, 50, 99, 100] {
        let mut run = one_part(unproven_end());
        run.now += after * MILLISECOND;
        run.handle_event(stop());
        assert_eq!(
            (run.error_kind(), run.calls.len()),
            (ErrorKind::Signal(15), 0),
            "after {after} ms"
        );
        assert!(run.warnings[0].contains("stops the upload"), "{:?}", run.warnings);

        for acknowledged in [false, true] {
            let mut run = two_parts(unproven_end());
            if acknowledged {
                acknowledge(&mut run, 2);
            }
            run.now += after * MILLISECOND;
            run.handle_event(stop());
            assert_eq!(run.last_call(), &abort(), "after {after} ms");
            run.succeed(abort(), Outcome::Removed);
            assert_eq!(run.error_kind(), ErrorKind::Signal(15));
        }
    }
}

#[test]
fn the_warning_of_a_signal_after_the_hold_does_not_announce_a_stop() {
    let mut run = one_part(unproven_end());
    run.wait();
    run.handle_event(stop());
    let body = Bytes::from_static(b"abc");
    let meta = response_meta("e", &body);
    run.succeed(ApiCall::Put, Outcome::Stored { meta, crc32: crc32fast::hash(&body) });
    if run.finish.is_none() {
        assert_eq!(run.last_call(), &ApiCall::Head);
        run.succeed(ApiCall::Head, Outcome::Object(head_meta("e", &body)));
    }
    assert!(run.result().is_ok());
    let warnings = run.warnings.join("\n");
    assert!(warnings.contains("SIGTERM") && !warnings.contains("stop"), "{warnings}");
}

#[test]
fn nothing_is_stored_under_any_faults_if_a_signal_arrives_within_the_hold() {
    for seed in 0..2000 {
        let fault_rate = FaultRate { percent: seed as u32 % 60, until: Duration::from_secs(600) };
        let mut harness = Harness::new(seed, 1 + seed as usize % 6, fault_rate);
        harness.configure(|config| config.end_proven = false);
        harness.schedule_stream(harness.end_of_stream());
        let end = harness.queue.keys().map(|(at, _)| *at).max().unwrap();
        let after = Duration::from_millis(harness.rng.u64(..100));
        harness.now = end;
        harness.schedule(after, Scheduled::Event(stop()));
        harness.now = Duration::ZERO;
        let result = harness.run();
        harness.check_result(seed, &result);
        assert_eq!(result.unwrap_err().kind, ErrorKind::Signal(15), "seed {seed}");
        assert_eq!((harness.commits, harness.model.object), (0, None), "seed {seed}");
    }
}

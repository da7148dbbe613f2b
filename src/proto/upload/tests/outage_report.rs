//! Tests of the warnings of an outage: one when it starts and one when it ends, and none for each
//! retry.

use super::scripted::{ScriptedRun, response_lost};
use super::*;

/// A run that sends one part at a time, with the first part in flight.
fn streaming() -> ScriptedRun {
    let mut run = ScriptedRun::new(test_config(1, 1));
    read_part(&mut run, 1);
    run.handle_event(Event::MultipartNeeded);
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    run
}

fn read_part(run: &mut ScriptedRun, number: u32) {
    let digest = digest::part(Algorithm::Sha256, &[Bytes::from_static(b"abc")]);
    run.handle_event(Event::Part { number: nth(number), digest });
}

fn acknowledge(run: &mut ScriptedRun, number: u32) {
    assert_eq!(run.last_call(), &ApiCall::Part(nth(number)));
    let body = Bytes::from_static(b"abc");
    let meta = response_meta(&format!("e{number}"), &body);
    run.succeed(
        ApiCall::Part(nth(number)),
        Outcome::Stored { meta, crc32: crc32fast::hash(&body) },
    );
}

/// Fails a part once and then acknowledges it.
fn fail_once(run: &mut ScriptedRun, number: u32) {
    run.fail(ApiCall::Part(nth(number)), response_lost());
    run.wait();
    acknowledge(run, number);
}

#[test]
fn single_failed_parts_among_acknowledged_ones_are_one_outage() {
    let mut run = streaming();
    for number in 1..=30 {
        run.now += SECOND;
        fail_once(&mut run, number);
        read_part(&mut run, number + 1);
    }
    assert_eq!(run.warnings.len(), 2, "{:?}", run.warnings);
    // A failure after a minute without failures is a new outage.
    run.now += 61 * SECOND;
    fail_once(&mut run, 31);
    assert_eq!(run.warnings.len(), 4, "{:?}", run.warnings);
}

#[test]
fn ten_seconds_without_progress_are_reported_even_just_after_another_outage() {
    let mut run = streaming();
    fail_once(&mut run, 1);
    read_part(&mut run, 2);
    assert_eq!(run.warnings.len(), 2);
    let start = run.now;
    run.fail(ApiCall::Part(nth(2)), response_lost());
    while run.warnings.len() == 2 {
        run.now = run.upload.poll_timeout().unwrap();
        run.upload.handle_timeout(run.now);
        run.take_actions();
        if run.upload.in_flight() > 0 {
            run.fail(ApiCall::Part(nth(2)), response_lost());
        }
    }
    assert_eq!(run.now, start + 10 * SECOND);
    if run.upload.in_flight() == 0 {
        run.wait();
    }
    acknowledge(&mut run, 2);
    assert_eq!(run.warnings.len(), 4, "{:?}", run.warnings);
}

#[test]
fn the_retry_budget_starts_at_the_last_progress_of_a_long_upload() {
    let mut run = streaming();
    run.now += 7200 * SECOND;
    let start = run.now;
    while run.upload.in_flight() > 0 {
        run.fail(ApiCall::Part(nth(1)), response_lost());
        if matches!(run.last_call(), ApiCall::Abort { .. }) {
            break;
        }
        run.wait();
    }
    assert!(run.now >= start + 3600 * SECOND, "aborted after {:?}", run.now - start);
}

fn unauthorized() -> Failure {
    Model::rejection(401, "NotAuthenticated")
}

#[test]
fn rejected_credentials_are_retried_within_two_seconds_after_any_other_failures() {
    let mut run = streaming();
    for _ in 0..12 {
        run.fail(ApiCall::Part(nth(1)), response_lost());
        run.wait();
    }
    for _ in 0..50 {
        let rejected_at = run.now;
        run.fail(ApiCall::Part(nth(1)), unauthorized());
        run.wait();
        assert!(run.now - rejected_at <= 2 * SECOND, "after {:?}", run.now - rejected_at);
    }
}

#[test]
fn rejected_credentials_are_left_to_the_session_and_other_failures_are_reported() {
    let mut run = streaming();
    run.fail(ApiCall::Part(nth(1)), unauthorized());
    run.wait();
    acknowledge(&mut run, 1);
    assert_eq!(run.warnings, [""; 0]);
    read_part(&mut run, 2);
    run.fail(ApiCall::Part(nth(2)), unauthorized());
    run.wait();
    run.fail(ApiCall::Part(nth(2)), response_lost());
    run.wait();
    acknowledge(&mut run, 2);
    assert_eq!(run.warnings.len(), 2, "{:?}", run.warnings);
}

fn spurious() -> Failure {
    bucket_not_found(&ApiCall::Part(nth(1)))
}

/// Fails part 1 at once, and then again at each attempt until something is reported.
#[track_caller]
fn report_of(run: &mut ScriptedRun, number: u32, failures: &[fn() -> Failure]) -> String {
    let known = run.warnings.len();
    for failure in failures.iter().chain(failures.last().into_iter().cycle()) {
        run.fail(ApiCall::Part(nth(number)), failure());
        let mut waits = run.upload.in_flight() == 0;
        while waits && run.warnings.len() == known {
            run.now = run.now.max(run.upload.poll_timeout().unwrap());
            run.upload.handle_timeout(run.now);
            run.take_actions();
            waits = run.upload.in_flight() == 0;
        }
        if run.warnings.len() > known {
            break;
        }
    }
    assert_eq!(run.warnings.len(), known + 1, "{:?}", run.warnings);
    run.warnings[known].clone()
}

#[test]
fn the_report_of_an_outage_names_its_first_failure() {
    let mut run = streaming();
    fail_once(&mut run, 1);
    read_part(&mut run, 2);
    // Just after another outage, it is reported after ten seconds.
    let text = report_of(&mut run, 2, &[response_lost]);
    assert!(text.contains("part 2, attempt 1: reset"), "{text}");
    let mut run = streaming();
    fail_once(&mut run, 1);
    read_part(&mut run, 2);
    let text = report_of(&mut run, 2, &[spurious]);
    assert!(text.contains("part 2, attempt 1: ") && text.contains("404"), "{text}");
}

#[test]
fn a_certain_failure_replaces_a_404_that_may_be_spurious_in_the_report() {
    let mut run = streaming();
    // The first one is reported, later ones only if they last.
    run.fail(ApiCall::Part(nth(1)), spurious());
    run.wait();
    acknowledge(&mut run, 1);
    read_part(&mut run, 2);
    run.now += 100 * SECOND;
    let start = run.now;
    let text = report_of(&mut run, 2, &[spurious, response_lost]);
    assert!(text.contains("part 2, attempt 2: reset"), "{text}");
    assert!(run.now - start < 5 * SECOND, "{:?}", run.now - start);
}

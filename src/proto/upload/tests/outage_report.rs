//! What is said of trouble: a line when it starts and one when it ends, and not one for each retry.

use super::scripted::{ScriptedRun, lost};
use super::*;

/// An upload whose parts come one by one, the first of them on its way.
fn streaming() -> ScriptedRun {
    let mut run = ScriptedRun::new(settings(1, 1));
    read(&mut run, 1);
    run.tell(Event::MultipartNeeded);
    run.ok(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    run
}

fn read(run: &mut ScriptedRun, number: u32) {
    let digest = digest::part(Algorithm::Sha256, &[Bytes::from_static(b"abc")]);
    run.tell(Event::Part { number, digest });
}

fn acknowledge(run: &mut ScriptedRun, number: u32) {
    assert_eq!(run.last(), &ApiCall::Part(number));
    let body = Bytes::from_static(b"abc");
    let held = held(&format!("e{number}"), &body, false);
    run.ok(ApiCall::Part(number), Outcome::Stored { meta: held, crc32: crc32fast::hash(&body) });
}

/// A part fails once and is then acknowledged.
fn stumble(run: &mut ScriptedRun, number: u32) {
    run.fails(ApiCall::Part(number), lost());
    run.wait();
    acknowledge(run, number);
}

#[test]
fn single_parts_that_fail_among_good_ones_are_one_trouble() {
    let mut run = streaming();
    for number in 1..=30 {
        run.now += SECOND;
        stumble(&mut run, number);
        read(&mut run, number + 1);
    }
    assert_eq!(run.notes.len(), 2, "{:?}", run.notes);
    // After a calm minute it is news again.
    run.now += 61 * SECOND;
    stumble(&mut run, 31);
    assert_eq!(run.notes.len(), 4, "{:?}", run.notes);
}

#[test]
fn a_standstill_is_mentioned_even_where_trouble_was_mentioned_a_moment_ago() {
    let mut run = streaming();
    stumble(&mut run, 1);
    read(&mut run, 2);
    assert_eq!(run.notes.len(), 2);
    let began = run.now;
    run.fails(ApiCall::Part(2), lost());
    while run.notes.len() == 2 {
        run.now = run.upload.poll_timeout().unwrap();
        run.upload.handle_timeout(run.now);
        run.act();
        if run.upload.in_flight() > 0 {
            run.fails(ApiCall::Part(2), lost());
        }
    }
    assert_eq!(run.now, began + 10 * SECOND);
    if run.upload.in_flight() == 0 {
        run.wait();
    }
    acknowledge(&mut run, 2);
    assert_eq!(run.notes.len(), 4, "{:?}", run.notes);
}

#[test]
fn patience_is_counted_from_the_last_progress_however_long_the_upload_has_run() {
    let mut run = streaming();
    run.now += 7200 * SECOND;
    let began = run.now;
    while run.upload.in_flight() > 0 {
        run.fails(ApiCall::Part(1), lost());
        if matches!(run.last(), ApiCall::Abort { .. }) {
            break;
        }
        run.wait();
    }
    assert!(run.now >= began + 3600 * SECOND, "gave up after {:?}", run.now - began);
}

fn refused() -> Failure {
    super::model::Model::refuse(401, "NotAuthenticated")
}

#[test]
fn refused_credentials_are_looked_at_again_within_seconds_whatever_failed_before() {
    let mut run = streaming();
    for _ in 0..12 {
        run.fails(ApiCall::Part(1), lost());
        run.wait();
    }
    for _ in 0..50 {
        let refused_at = run.now;
        run.fails(ApiCall::Part(1), refused());
        run.wait();
        assert!(run.now - refused_at <= 2 * SECOND, "after {:?}", run.now - refused_at);
    }
}

#[test]
fn of_refused_credentials_the_session_tells_and_of_what_comes_besides_a_line_is_said() {
    let mut run = streaming();
    run.fails(ApiCall::Part(1), refused());
    run.wait();
    acknowledge(&mut run, 1);
    assert_eq!(run.notes, [""; 0]);
    read(&mut run, 2);
    run.fails(ApiCall::Part(2), refused());
    run.wait();
    run.fails(ApiCall::Part(2), lost());
    run.wait();
    acknowledge(&mut run, 2);
    assert_eq!(run.notes.len(), 2, "{:?}", run.notes);
}

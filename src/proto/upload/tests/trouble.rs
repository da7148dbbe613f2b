//! What is said of trouble: a line when it starts and one when it ends, and not one for each retry.

use super::story::{Story, lost};
use super::*;

/// An upload whose parts come one by one, the first of them on its way.
fn streaming() -> Story {
    let mut story = Story::new(settings(1, 1));
    read(&mut story, 1);
    story.tell(Event::MultipartNeeded);
    story.ok(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    story
}

fn read(story: &mut Story, number: u32) {
    let digest = digest::part(Algorithm::Sha256, &[Bytes::from_static(b"abc")]);
    story.tell(Event::Part { number, digest });
}

fn acknowledge(story: &mut Story, number: u32) {
    assert_eq!(story.last(), &ApiCall::Part(number));
    let body = Bytes::from_static(b"abc");
    let held = held(&format!("e{number}"), &body, false);
    story.ok(ApiCall::Part(number), Outcome::Stored { held, crc32: crc32fast::hash(&body) });
}

/// A part fails once and is then acknowledged.
fn stumble(story: &mut Story, number: u32) {
    story.fails(ApiCall::Part(number), lost());
    story.wait();
    acknowledge(story, number);
}

#[test]
fn single_parts_that_fail_among_good_ones_are_one_trouble() {
    let mut story = streaming();
    for number in 1..=30 {
        story.now += SECOND;
        stumble(&mut story, number);
        read(&mut story, number + 1);
    }
    assert_eq!(story.notes.len(), 2, "{:?}", story.notes);
    // After a calm minute it is news again.
    story.now += 61 * SECOND;
    stumble(&mut story, 31);
    assert_eq!(story.notes.len(), 4, "{:?}", story.notes);
}

#[test]
fn a_standstill_is_mentioned_even_where_trouble_was_mentioned_a_moment_ago() {
    let mut story = streaming();
    stumble(&mut story, 1);
    read(&mut story, 2);
    assert_eq!(story.notes.len(), 2);
    let began = story.now;
    story.fails(ApiCall::Part(2), lost());
    while story.notes.len() == 2 {
        story.now = story.upload.poll_timeout().unwrap();
        story.upload.handle_timeout(story.now);
        story.act();
        if story.upload.in_flight() > 0 {
            story.fails(ApiCall::Part(2), lost());
        }
    }
    assert_eq!(story.now, began + 10 * SECOND);
    if story.upload.in_flight() == 0 {
        story.wait();
    }
    acknowledge(&mut story, 2);
    assert_eq!(story.notes.len(), 4, "{:?}", story.notes);
}

#[test]
fn patience_is_counted_from_the_last_progress_however_long_the_upload_has_run() {
    let mut story = streaming();
    story.now += 7200 * SECOND;
    let began = story.now;
    while story.upload.in_flight() > 0 {
        story.fails(ApiCall::Part(1), lost());
        if story.last() == &ApiCall::Abort {
            break;
        }
        story.wait();
    }
    assert!(story.now >= began + 3600 * SECOND, "gave up after {:?}", story.now - began);
}

fn refused() -> Failure {
    super::model::Model::refuse(401, "NotAuthenticated")
}

#[test]
fn refused_credentials_are_looked_at_again_within_seconds_whatever_failed_before() {
    let mut story = streaming();
    for _ in 0..12 {
        story.fails(ApiCall::Part(1), lost());
        story.wait();
    }
    for _ in 0..50 {
        let refused_at = story.now;
        story.fails(ApiCall::Part(1), refused());
        story.wait();
        assert!(story.now - refused_at <= 2 * SECOND, "after {:?}", story.now - refused_at);
    }
}

#[test]
fn of_refused_credentials_the_session_tells_and_of_what_comes_besides_a_line_is_said() {
    let mut story = streaming();
    story.fails(ApiCall::Part(1), refused());
    story.wait();
    acknowledge(&mut story, 1);
    assert_eq!(story.notes, [""; 0]);
    read(&mut story, 2);
    story.fails(ApiCall::Part(2), refused());
    story.wait();
    story.fails(ApiCall::Part(2), lost());
    story.wait();
    acknowledge(&mut story, 2);
    assert_eq!(story.notes.len(), 2, "{:?}", story.notes);
}

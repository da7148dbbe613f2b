//! The pause between the end of a stream and the request that makes it an object.

use super::scripted::{ScriptedRun, abort, stop};
use super::*;

const MS: Duration = Duration::from_millis(1);

/// A plain pipe: what ended it is not known.
fn pipe() -> UploadConfig {
    UploadConfig { end_proven: false, ..settings(1, 2) }
}

fn digest() -> PartDigest {
    digest::part(Algorithm::Sha256, &[Bytes::from_static(b"abc")])
}

/// A stream of one part that has just ended.
fn one_part(settings: UploadConfig) -> ScriptedRun {
    let mut run = ScriptedRun::new(settings);
    run.tell(Event::Part { number: 1, digest: digest() });
    run.tell(Event::EndOfStream { bytes: 3, crc32: crc32fast::hash(b"abc") });
    run
}

/// A stream of two parts that has just ended, the second of them on its way.
fn two_parts(settings: UploadConfig) -> ScriptedRun {
    let mut run = ScriptedRun::new(settings);
    run.creating();
    run.ok(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    acknowledge(&mut run, 1);
    run.tell(Event::Part { number: 2, digest: digest() });
    run.tell(Event::EndOfStream { bytes: 6, crc32: crc32fast::hash(b"abcabc") });
    assert_eq!(run.last(), &ApiCall::Part(2));
    run
}

fn acknowledge(run: &mut ScriptedRun, number: u32) {
    let body = Bytes::from_static(b"abc");
    let held = held(&format!("e{number}"), &body, false);
    run.ok(ApiCall::Part(number), Outcome::Stored { meta: held, crc32: crc32fast::hash(&body) });
}

#[test]
fn what_makes_an_object_appear_waits_until_no_signal_can_have_been_the_cause_of_the_end() {
    let mut run = one_part(pipe());
    let ended = run.now;
    assert_eq!(run.calls, []);
    run.wait();
    assert_eq!((run.last(), run.now), (&ApiCall::Put, ended + 100 * MS));

    let mut run = two_parts(pipe());
    let ended = run.now;
    acknowledge(&mut run, 2);
    assert_eq!(run.last(), &ApiCall::Part(2));
    run.wait();
    assert_eq!((run.last(), run.now), (&ApiCall::Commit, ended + 100 * MS));
}

#[test]
fn nothing_is_waited_for_where_the_end_is_proven() {
    let proven = || UploadConfig { end_proven: true, ..pipe() };
    assert_eq!(one_part(proven()).last(), &ApiCall::Put);
    let mut run = two_parts(proven());
    acknowledge(&mut run, 2);
    assert_eq!(run.last(), &ApiCall::Commit);
}

#[test]
fn an_empty_stream_that_is_allowed_waits_too() {
    let mut run = ScriptedRun::new(UploadConfig { allow_empty: true, ..pipe() });
    run.tell(Event::EndOfStream { bytes: 0, crc32: 0 });
    assert_eq!(run.calls, []);
    run.tell(stop());
    assert_eq!((run.kind(), run.calls.len()), (ErrorKind::Signal(15), 0));
}

#[test]
fn parts_that_take_longer_than_the_pause_are_followed_by_the_commit_at_once() {
    let mut run = two_parts(pipe());
    let ended = run.now;
    // The pause passes, and nothing else is due before the part is answered.
    assert_eq!(run.upload.poll_timeout(), Some(ended + 100 * MS));
    run.now = ended + 100 * MS;
    run.upload.handle_timeout(run.now);
    run.act();
    assert_eq!((run.last(), run.upload.poll_timeout()), (&ApiCall::Part(2), None));
    run.now = ended + 101 * MS;
    acknowledge(&mut run, 2);
    assert_eq!((run.last(), run.now), (&ApiCall::Commit, ended + 101 * MS));
}

#[test]
fn a_part_that_is_sent_again_after_the_end_does_not_make_the_pause_begin_anew() {
    let mut run = two_parts(pipe());
    run.fails(ApiCall::Part(2), super::scripted::lost());
    run.wait();
    assert_eq!(run.last(), &ApiCall::Part(2));
    run.now += 100 * MS;
    acknowledge(&mut run, 2);
    assert_eq!(run.last(), &ApiCall::Commit);
    // Neither does a commit that is sent again.
    run.refused(ApiCall::Commit, 503, "ServiceUnavailable");
    let at = run.upload.poll_timeout().unwrap();
    run.wait();
    assert_eq!((run.last(), run.now), (&ApiCall::Commit, at));
}

#[test]
fn a_signal_within_the_pause_stores_nothing_and_leaves_nothing_open() {
    for after in [0, 1, 50, 99, 100] {
        let mut run = one_part(pipe());
        run.now += after * MS;
        run.tell(stop());
        assert_eq!((run.kind(), run.calls.len()), (ErrorKind::Signal(15), 0), "after {after} ms");
        assert!(run.notes[0].contains("stops the upload"), "{:?}", run.notes);

        for acknowledged in [false, true] {
            let mut run = two_parts(pipe());
            if acknowledged {
                acknowledge(&mut run, 2);
            }
            run.now += after * MS;
            run.tell(stop());
            assert_eq!(run.last(), &abort(), "after {after} ms");
            run.ok(abort(), Outcome::Removed);
            assert_eq!(run.kind(), ErrorKind::Signal(15));
        }
    }
}

#[test]
fn a_signal_that_comes_after_the_pause_does_not_speak_of_stopping_if_the_object_is_stored() {
    let mut run = one_part(pipe());
    run.wait();
    run.tell(stop());
    let body = Bytes::from_static(b"abc");
    let stored = held("e", &body, false);
    run.ok(ApiCall::Put, Outcome::Stored { meta: stored, crc32: crc32fast::hash(&body) });
    if run.finish.is_none() {
        assert_eq!(run.last(), &ApiCall::Head);
        run.ok(ApiCall::Head, Outcome::Object(held("e", &body, true)));
    }
    assert!(run.ended().is_ok());
    let said = run.notes.join("\n");
    assert!(said.contains("SIGTERM") && !said.contains("stop"), "{said}");
}

#[test]
fn nothing_is_stored_of_any_stream_that_a_signal_follows_within_the_pause() {
    for seed in 0..2000 {
        let fault_rate = FaultRate { faults: seed as u32 % 60, until: Duration::from_secs(600) };
        let mut world = Harness::new(seed, 1 + seed as usize % 6, fault_rate);
        world.configure(|config| config.end_proven = false);
        world.read(world.end());
        let end = world.due.keys().map(|(at, _)| *at).max().unwrap();
        let after = Duration::from_millis(world.rng.u64(..100));
        world.now = end;
        world.after(after, Due::Event(stop()));
        world.now = Duration::ZERO;
        let result = world.run();
        world.judge(seed, &result);
        assert_eq!(result.unwrap_err().kind, ErrorKind::Signal(15), "seed {seed}");
        assert_eq!((world.commits, world.model.object), (0, None), "seed {seed}");
    }
}

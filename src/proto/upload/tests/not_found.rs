//! Single requests that are declined as if the bucket were not there, and buckets that are not.

use super::scripted::{ScriptedRun, abort, lost, sized, stop};
use super::*;
use crate::api::ListedPart;

fn parts() -> Outcome {
    let part = |part_number| ListedPart {
        part_number,
        etag: format!("e{part_number}"),
        size: 3,
        md5: None,
    };
    Outcome::Parts(vec![part(1), part(2)])
}

impl ScriptedRun {
    /// The call is declined as often as it is tried, until something else is asked or all is over.
    /// How often that was, and how long it took.
    #[track_caller]
    fn declined(&mut self, call: ApiCall) -> (u32, Duration) {
        let (began, mut times) = (self.now, 0);
        while self.finish.is_none() && self.last() == &call {
            self.fails(call.clone(), declined(&call));
            times += 1;
            if self.finish.is_none() && self.upload.core.call.scheduled.is_some() {
                self.wait();
            }
        }
        (times, self.now - began)
    }

    /// The call is declined, and tried again.
    #[track_caller]
    fn declined_once(&mut self, call: ApiCall) {
        let began = self.now;
        self.fails(call.clone(), declined(&call));
        self.wait();
        assert_eq!(self.last(), &call);
        assert!(self.now - began < 5 * SECOND, "{:?}", self.now - began);
    }
}

#[track_caller]
fn waited_out((times, took): (u32, Duration)) {
    assert!(times >= 10 && took >= 120 * SECOND, "{times} times in {took:?}");
    assert!(took <= 160 * SECOND, "{took:?}");
}

#[test]
fn a_thousand_streams_arrive_where_7_of_100_requests_are_declined() {
    for seed in 0..1000 {
        let mut world = Harness::new(seed, 7, NO_FAULTS);
        world.spurious = 7;
        world.read(world.end());
        let result = world.run();
        world.judge(seed, &result);
        assert_eq!(result.is_ok(), !world.never_answered(), "seed {seed}: {result:?}");
        assert_eq!(world.commits >= 1, result.is_ok());
    }
}

#[test]
fn a_stream_is_given_up_only_where_its_first_four_answers_were_all_of_this_sort() {
    let mut given_up = 0;
    for seed in 0..1000 {
        let mut world = Harness::new(seed, 1 + seed as usize % 9, NO_FAULTS);
        world.spurious = 30;
        world.read(world.end());
        let result = world.run();
        world.judge(seed, &result);
        assert_eq!(result.is_ok(), !world.never_answered(), "seed {seed}: {result:?}");
        if let Err(error) = result {
            given_up += 1;
            assert_eq!(error.kind, ErrorKind::Service, "seed {seed}: {error}");
            assert!(error.message.contains("answered so 4 times"), "{error}");
        }
    }
    assert!(given_up > 0);
}

#[test]
fn a_bucket_that_is_missing_is_given_up_after_four_tries_within_ten_seconds() {
    for parts in [1, 5] {
        let mut world = Harness::new(1, parts, NO_FAULTS);
        world.spurious = 100;
        world.read(world.end());
        let began = 2 * SECOND * parts as u32;
        let result = world.run();
        world.judge(1, &result);
        let error = result.unwrap_err();
        assert_eq!((error.kind, world.declined_at_first), (ErrorKind::Service, Some(4)));
        assert!(world.now < began + 13 * SECOND, "{:?}", world.now);
        let words = ["BucketNotFound", "answered so 4 times", "no other answer"];
        assert!(words.iter().all(|word| error.message.contains(word)), "{error}");
        assert!(error.hint.unwrap().contains("OBJECT_CREATE"));
    }
}

#[test]
fn a_bucket_that_has_answered_is_believed_to_be_gone_after_ten_tries_and_two_minutes() {
    let mut run = ScriptedRun::new(settings(1, 1));
    run.creating();
    run.ok(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    let mut times = 0;
    let began = run.now;
    while run.last() == &ApiCall::Part(1) {
        run.fails(ApiCall::Part(1), declined(&ApiCall::Part(1)));
        times += 1;
        if run.last() == &ApiCall::Part(1) {
            run.wait();
        }
    }
    waited_out((times, run.now - began));
    // Time for an abort is short, since a stop has to be over in 10 s.
    let (aborts, took) = run.declined(abort());
    assert!(aborts == 10 && took < 9 * SECOND, "{aborts} in {took:?}");
    let error = run.ended().as_ref().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Service);
    assert!(error.message.contains("although the bucket had answered before"), "{error}");
    assert!(error.hint.as_ref().unwrap().contains("ABORT u"), "{error}");
}

#[test]
fn a_bucket_seen_by_a_look_at_the_object_has_answered() {
    let settings = UploadConfig { bucket_seen: true, ..settings(1, 2) };
    let mut run = ScriptedRun::new(settings.clone());
    run.creating();
    waited_out(run.declined(ApiCall::Create));
    let mut run = ScriptedRun::putting(settings);
    waited_out(run.declined(ApiCall::Put));
}

#[test]
fn retry_for_bounds_the_wait_for_a_bucket_too() {
    let mut run =
        ScriptedRun::committing(UploadConfig { retry_for: 20 * SECOND, ..settings(1, 2) });
    let (_, took) = run.declined(ApiCall::Commit);
    assert!(took <= 21 * SECOND, "{took:?}");
}

#[test]
fn what_is_acknowledged_meanwhile_begins_the_wait_anew() {
    let mut run = ScriptedRun::new(settings(1, 2));
    run.creating();
    run.ok(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    let body = Bytes::from_static(b"abc");
    let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
    run.tell(Event::Part { number: 2, digest });
    let began = run.now;
    while run.now < began + 115 * SECOND {
        assert_eq!(run.calls.iter().find(|call| matches!(**call, ApiCall::Abort { .. })), None);
        run.fails(ApiCall::Part(1), declined(&ApiCall::Part(1)));
        run.wait();
    }
    let held = held("e2", &body, false);
    let stored = Outcome::Stored { meta: held, crc32: crc32fast::hash(&body) };
    run.ok(ApiCall::Part(2), stored);
    let forward = run.now;
    while run.last() == &ApiCall::Part(1) {
        run.fails(ApiCall::Part(1), declined(&ApiCall::Part(1)));
        if run.last() == &ApiCall::Part(1) {
            run.wait();
        }
    }
    assert!(run.now >= forward + 120 * SECOND);
}

#[test]
fn it_is_told_once_in_a_long_upload() {
    let mut said = 0;
    for seed in 0..20 {
        let mut world = Harness::new(seed, 300, NO_FAULTS);
        world.spurious = 7;
        world.read(world.end());
        assert!(world.run().is_ok());
        let declines = |note: &&String| note.contains("mistake of the service");
        let count = world.notes.iter().filter(declines).count();
        assert!(count <= 1, "{:?}", world.notes);
        said += count;
    }
    assert!(said >= 18, "{said}");
}

#[test]
fn a_declined_commit_or_put_is_repeated_and_nothing_is_taken_to_have_been_done() {
    let mut run = ScriptedRun::committing(settings(1, 2));
    run.declined_once(ApiCall::Commit);
    let ours = run.ours("new");
    run.ok(ApiCall::Commit, Outcome::Committed(ObjectMeta { size: None, ..ours.clone() }));
    run.ok(ApiCall::Head, Outcome::Object(ours));
    assert!(run.ended().is_ok());

    let mut run = ScriptedRun::putting(UploadConfig { bucket_seen: true, ..settings(1, 2) });
    run.declined_once(ApiCall::Put);
}

#[test]
fn a_commit_declined_to_the_end_is_looked_at_before_it_is_given_up() {
    // It had been done after all.
    let mut run = ScriptedRun::committing(settings(1, 2));
    waited_out(run.declined(ApiCall::Commit));
    assert_eq!(run.last(), &ApiCall::Head);
    let ours = run.ours("new");
    run.ok(ApiCall::Head, Outcome::Object(ours));
    assert!(run.ended().is_ok());

    // It had not, and the upload can be aborted.
    let mut run = ScriptedRun::committing(settings(1, 2));
    run.declined(ApiCall::Commit);
    run.fails(ApiCall::Head, declined(&ApiCall::Head));
    run.ok(ApiCall::ListParts, parts());
    run.ok(abort(), Outcome::Removed);
    assert_eq!(run.kind(), ErrorKind::Service);

    // Nothing can be seen any more: every answer is known, and each was a no.
    let mut run = ScriptedRun::committing(settings(1, 2));
    run.declined(ApiCall::Commit);
    run.fails(ApiCall::Head, declined(&ApiCall::Head));
    assert_eq!(run.declined(ApiCall::ListParts).0, 4);
    run.declined(abort());
    assert_eq!(run.kind(), ErrorKind::Service);
}

#[test]
fn a_put_declined_to_the_end_is_looked_at_before_it_is_given_up() {
    let before = PreviousObject::Object("old".to_owned());
    let settings = UploadConfig { bucket_seen: true, previous_object: before, ..settings(1, 2) };
    let declined = || {
        let mut run = ScriptedRun::putting(settings.clone());
        waited_out(run.declined(ApiCall::Put));
        assert_eq!(run.last(), &ApiCall::Head);
        run
    };
    let mut done = declined();
    done.ok(ApiCall::Head, Outcome::Object(held("new", &Bytes::from_static(b"abc"), true)));
    assert!(done.ended().is_ok());
    let mut older = declined();
    older.ok(ApiCall::Head, Outcome::Object(held("old", &Bytes::from_static(b"abc"), true)));
    assert_eq!(older.kind(), ErrorKind::Service);
    let mut other = declined();
    other.ok(ApiCall::Head, Outcome::Object(sized("third", 99)));
    assert_eq!(other.kind(), ErrorKind::Service);
    let mut gone = declined();
    gone.declined(ApiCall::Head);
    assert_eq!(gone.kind(), ErrorKind::Service);
}

/// A lost commit, and every question after it declined at first.
#[test]
fn an_upload_is_not_taken_for_closed_because_its_list_was_declined() {
    let mut run = ScriptedRun::committing(settings(1, 2));
    run.fails(ApiCall::Commit, lost());
    run.wait();
    run.fails(ApiCall::Head, declined(&ApiCall::Head));
    assert_eq!(run.last(), &ApiCall::ListParts);
    run.declined_once(ApiCall::ListParts);
    run.ok(ApiCall::ListParts, parts());
    run.wait();
    assert_eq!(run.last(), &ApiCall::Commit);
    // It had landed late: the upload is closed, and the look at the object is declined.
    run.refused(ApiCall::Commit, 404, "UploadNotFound");
    run.fails(ApiCall::Head, declined(&ApiCall::Head));
    run.refused(ApiCall::ListParts, 404, "UploadNotFound");
    run.declined_once(ApiCall::Head);
    let ours = run.ours("new");
    run.ok(ApiCall::Head, Outcome::Object(ours));
    assert!(run.ended().is_ok());
}

#[test]
fn a_lost_commit_of_which_nothing_can_be_found_out_is_unknown_and_not_denied() {
    let mut run = ScriptedRun::committing(settings(1, 2));
    run.fails(ApiCall::Commit, lost());
    run.wait();
    run.fails(ApiCall::Head, declined(&ApiCall::Head));
    waited_out(run.declined(ApiCall::ListParts));
    assert_eq!(run.kind(), ErrorKind::OutcomeUnknown);

    let mut run = ScriptedRun::committing(settings(1, 2));
    run.fails(ApiCall::Commit, lost());
    run.wait();
    run.fails(ApiCall::Head, declined(&ApiCall::Head));
    run.ok(ApiCall::ListParts, parts());
    run.wait();
    // Every repetition is declined, so the first one may have been done.
    waited_out(run.declined(ApiCall::Commit));
    run.fails(ApiCall::Head, declined(&ApiCall::Head));
    waited_out(run.declined(ApiCall::ListParts));
    assert_eq!(run.kind(), ErrorKind::OutcomeUnknown);
}

#[test]
fn a_lost_put_whose_repetitions_are_declined_is_unknown_and_not_denied() {
    let mut run = ScriptedRun::putting(UploadConfig { bucket_seen: true, ..settings(1, 2) });
    run.fails(ApiCall::Put, lost());
    run.wait();
    run.declined(ApiCall::Put);
    waited_out(run.declined(ApiCall::Head));
    assert_eq!(run.kind(), ErrorKind::OutcomeUnknown);
}

#[test]
fn a_declined_look_at_a_committed_object_is_repeated_at_once() {
    let mut run = ScriptedRun::committing(settings(1, 2));
    let ours = run.ours("new");
    run.ok(ApiCall::Commit, Outcome::Committed(ObjectMeta { size: None, ..ours.clone() }));
    let began = run.now;
    run.declined_once(ApiCall::Head);
    assert!(run.now - began < SECOND);
    run.ok(ApiCall::Head, Outcome::Object(ours));
    let stored = run.ended().as_ref().unwrap();
    assert_eq!((stored.meta.size, &run.notes), (Some(6), &vec![]));
}

#[test]
fn a_question_that_is_allowed_is_asked_until_it_is_answered() {
    let free = || ApiCall::ConditionalCreate(ProbeCondition::NoObject);
    let mut run = ScriptedRun::committing(settings(1, 2));
    let committed = ObjectMeta { size: None, ..run.ours("new") };
    run.ok(ApiCall::Commit, Outcome::Committed(committed));
    run.hidden();
    for _ in 0..6 {
        run.fails(free(), declined(&free()));
        run.wait();
        assert_eq!(run.last(), &free());
    }
    // The service had lied.
    run.ok(free(), Outcome::Created { upload_id: "probe".to_owned() });
    run.declined_once(abort());
    run.ok(abort(), Outcome::Removed);
    run.declined_once(abort());
    run.ok(abort(), Outcome::Removed);
    assert_eq!(run.kind(), ErrorKind::Integrity);
}

/// The right to create objects is enough for a put, and asking by an upload takes another.
#[test]
fn a_put_of_somebody_who_may_only_create_keeps_nobody_waiting() {
    let mut run = ScriptedRun::putting(settings(1, 2));
    let body = Bytes::from_static(b"abc");
    let crc32 = crc32fast::hash(&body);
    run.ok(ApiCall::Put, Outcome::Stored { meta: held("new", &body, false), crc32 });
    let began = run.now;
    run.hidden();
    assert_eq!(run.declined(ApiCall::ConditionalCreate(ProbeCondition::NoObject)).0, 4);
    assert!(run.now - began < 2 * SECOND);
    assert_eq!(run.ended().as_ref().unwrap().evidence.to_string(), "opc-content-sha256");
}

#[test]
fn a_declined_list_of_parts_does_not_end_a_healing() {
    let mut run = ScriptedRun::committing(settings(1, 2));
    run.refused(ApiCall::Commit, 400, "InvalidUploadPart");
    run.declined_once(ApiCall::ListParts);
    run.ok(ApiCall::ListParts, parts());
    assert_eq!(run.last(), &ApiCall::Commit);
}

#[test]
fn a_declined_deletion_is_repeated_and_an_object_that_is_gone_counts_as_deleted() {
    let mut run =
        ScriptedRun::committing(UploadConfig { delete_on_mismatch: true, ..settings(1, 2) });
    run.ok(ApiCall::Commit, Outcome::Committed(sized("new", 5)));
    let delete = || ApiCall::Delete { etag: "new".to_owned() };
    run.declined_once(delete());
    run.fails(delete(), lost());
    run.wait();
    run.refused(delete(), 404, "ObjectNotFound");
    let error = run.ended().as_ref().unwrap_err();
    assert!(error.hint.as_ref().unwrap().contains("it was deleted"), "{error}");
}

#[test]
fn nothing_declined_after_a_signal_takes_more_than_ten_seconds() {
    for seed in 0..500 {
        let mut world = Harness::new(seed, 1 + seed as usize % 6, NO_FAULTS);
        world.spurious = 50;
        world.read(world.end());
        let at = Duration::from_millis(world.rng.u64(..20_000));
        world.after(at, Due::Event(stop()));
        let result = world.run();
        world.judge(seed, &result);
        assert!(world.now <= at + 10 * SECOND, "seed {seed}: {:?} after it", world.now - at);
    }
}

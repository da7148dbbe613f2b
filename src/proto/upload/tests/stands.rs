//! A commit or put that is answered well is believed only where the object stands.

use super::story::{Story, lost, sized, stop};
use super::*;
use crate::api::Digests;

/// The commit was answered as it should be.
fn committed(settings: UploadConfig) -> (Story, ObjectMeta) {
    let mut story = Story::committing(settings);
    let ours = story.ours("new");
    story.ok(ApiCall::Commit, Outcome::Committed(ObjectMeta { size: None, ..ours.clone() }));
    assert_eq!(story.last(), &ApiCall::Head);
    (story, ours)
}

fn free() -> ApiCall {
    ApiCall::ConditionalCreate(ProbeCondition::NoObject)
}

fn etag(etag: &str) -> ApiCall {
    ApiCall::ConditionalCreate(ProbeCondition::ObjectWithEtag(etag.to_owned()))
}

fn probe() -> Outcome {
    Outcome::Created { upload_id: "probe".to_owned() }
}

fn at(held: ObjectMeta, hour: u32) -> ObjectMeta {
    let date = format!("Thu, 01 Jan 2026 {hour:02}:00:00 GMT");
    ObjectMeta { last_modified: Some(date), ..held }
}

#[test]
fn success_is_said_of_an_object_that_was_seen() {
    let (mut story, ours) = committed(settings(1, 2));
    story.ok(ApiCall::Head, Outcome::Object(ours));
    let stored = story.ended().as_ref().unwrap();
    assert_eq!(stored.evidence.0, "opc-multipart-sha256");
    assert_eq!(stored.meta.size, Some(6));
}

#[test]
fn a_commit_that_stored_nothing_is_found_out_and_both_uploads_are_aborted() {
    let (mut story, _) = committed(settings(1, 2));
    story.hidden();
    // Whether the name is free is asked without the right to read.
    assert_eq!(story.last(), &free());
    story.ok(free(), probe());
    assert_eq!((story.last(), story.upload.upload_id()), (&ApiCall::Abort, Some("u")));
    story.refused(ApiCall::Abort, 404, "UploadNotFound");
    assert_eq!((story.last(), story.upload.upload_id()), (&ApiCall::Abort, Some("probe")));
    story.ok(ApiCall::Abort, Outcome::Removed);
    assert_eq!(story.kind(), ErrorKind::Integrity);
    let error = story.ended().as_ref().unwrap_err();
    assert!(error.message.contains("etag new") && error.message.contains("not stored"), "{error}");
}

#[test]
fn uploads_that_cannot_be_aborted_are_named_the_main_one_and_that_of_the_question() {
    for (first, named) in [(true, vec!["ABORT probe"]), (false, vec!["ABORT u", "ABORT probe"])] {
        let (mut story, _) = committed(settings(1, 2));
        story.hidden();
        story.ok(free(), probe());
        if first {
            story.ok(ApiCall::Abort, Outcome::Removed);
        }
        story.refused(ApiCall::Abort, 403, "NotAllowed");
        let next = story.ended().as_ref().unwrap_err().hint.clone().unwrap();
        assert!(named.iter().all(|command| next.contains(command)), "{next}");
    }
}

#[test]
fn who_may_write_and_not_read_is_told_by_the_refusal_of_a_second_upload() {
    let (mut story, _) = committed(settings(1, 2));
    story.hidden();
    story.refused(free(), 412, "IfNoneMatchFailed");
    let stored = story.ended().as_ref().unwrap();
    assert_eq!(stored.evidence.0, "opc-multipart-sha256");
    // Where even that is forbidden, the answer to the commit is what there is.
    let (mut story, _) = committed(settings(1, 2));
    story.hidden();
    story.refused(free(), 403, "NotAllowed");
    assert!(story.ended().is_ok());
}

#[test]
fn a_look_that_is_refused_in_any_way_leads_to_the_question() {
    for status in [400, 403, 404, 405, 409, 412] {
        let (mut story, _) = committed(settings(1, 2));
        story.refused(ApiCall::Head, status, "");
        if status == 404 {
            // It has no code, and may be spurious.
            story.wait();
            story.hidden();
        }
        assert_eq!(story.last(), &free(), "HTTP {status}");
        story.ok(free(), probe());
        story.ok(ApiCall::Abort, Outcome::Removed);
        story.ok(ApiCall::Abort, Outcome::Removed);
        assert_eq!(story.kind(), ErrorKind::Integrity);
    }
}

/// What stood there before may be hidden, and still stand there.
#[test]
fn where_an_object_may_have_stood_before_the_question_is_for_the_etag_of_the_commit() {
    let old = || PreviousObject::Object("old".to_owned());
    for before in [PreviousObject::Unknown, old()] {
        let story = || {
            let (mut story, _) =
                committed(UploadConfig { previous_object: before.clone(), ..settings(1, 2) });
            story.hidden();
            story.refused(free(), 412, "IfNoneMatchFailed");
            assert_eq!(story.last(), &etag("new"));
            story
        };
        // It is ours: the upload that asked is aborted before success is said.
        let mut ours = story();
        ours.ok(etag("new"), probe());
        assert_eq!((ours.last(), ours.upload.upload_id()), (&ApiCall::Abort, Some("probe")));
        ours.ok(ApiCall::Abort, Outcome::Removed);
        assert_eq!(ours.ended().as_ref().unwrap().upload_id.as_deref(), Some("u"));
        assert_eq!(ours.notes, [""; 0]);
        // Or it is named, where it cannot be aborted.
        let mut ours = story();
        ours.ok(etag("new"), probe());
        ours.refused(ApiCall::Abort, 403, "NotAllowed");
        assert!(ours.ended().is_ok());
        assert!(ours.notes[0].contains("ABORT probe"), "{:?}", ours.notes);
        // Nothing may be asked.
        let mut silent = story();
        silent.refused(etag("new"), 403, "NotAllowed");
        assert!(silent.ended().is_ok());
        // It is another.
        let mut other = story();
        other.refused(etag("new"), 412, "IfMatchFailed");
        if before == PreviousObject::Unknown {
            assert_eq!(other.kind(), ErrorKind::OutcomeUnknown);
            continue;
        }
        // The one that was to be replaced, or a third.
        assert_eq!(other.last(), &etag("old"));
        other.ok(etag("old"), probe());
        other.ok(ApiCall::Abort, Outcome::Removed);
        other.ok(ApiCall::Abort, Outcome::Removed);
        assert_eq!(other.kind(), ErrorKind::Integrity);
        let mut third = story();
        third.refused(etag("new"), 412, "IfMatchFailed");
        third.refused(etag("old"), 412, "IfMatchFailed");
        assert_eq!(third.kind(), ErrorKind::OutcomeUnknown);
    }
}

#[test]
fn a_service_that_hides_what_stands_there_is_not_believed_when_it_lies() {
    for seed in 0..1000 {
        let weather = Weather { faults: seed as u32 % 50, until: Duration::from_secs(600) };
        let mut world = World::new(seed, 1 + seed as usize % 5, weather);
        let old = Bytes::from_static(b"old");
        world.model.hides = [Some(404), Some(403), Some(409), None][world.rng.usize(..4)];
        world.model.lies = world.rng.bool();
        world.condition = false;
        world.upload.config.previous_object = match world.rng.bool() {
            true => PreviousObject::Unknown,
            false => PreviousObject::Object("old".to_owned()),
        };
        if world.rng.bool() || world.upload.config.previous_object != PreviousObject::Unknown {
            world.model.object = Some(("old".to_owned(), old.clone()));
        }
        world.read(world.end());
        let result = world.run();
        let object = world.model.object.as_ref().map(|(_, body)| body.clone());
        match &result {
            Ok(_) => assert_eq!(object, Some(world.whole()), "seed {seed}"),
            Err(error) => assert!(
                matches!(error.kind, ErrorKind::Integrity | ErrorKind::OutcomeUnknown)
                    && world.model.lies
                    || error.kind == ErrorKind::OutcomeUnknown,
                "seed {seed}: {error}"
            ),
        }
        world.judge_uploads(seed, &result);
    }
}

#[test]
fn a_put_is_looked_at_as_a_commit_is() {
    let ours = || held("new", &Bytes::from_static(b"abc"), true);
    let mut story = Story::putting(settings(1, 2));
    let crc32 = crc32fast::hash(b"abc");
    story.ok(ApiCall::Put, Outcome::Stored { held: ObjectMeta { size: None, ..ours() }, crc32 });
    assert_eq!(story.last(), &ApiCall::Head);
    story.ok(ApiCall::Head, Outcome::Object(ours()));
    assert!(story.ended().is_ok());

    let mut story = Story::putting(settings(1, 2));
    story.ok(ApiCall::Put, Outcome::Stored { held: ObjectMeta { size: None, ..ours() }, crc32 });
    story.hidden();
    story.ok(free(), probe());
    story.ok(ApiCall::Abort, Outcome::Removed);
    assert_eq!(story.kind(), ErrorKind::Integrity);
}

#[test]
fn an_object_that_was_there_before_means_that_nothing_was_stored() {
    let old = PreviousObject::Object("old".to_owned());
    let (mut story, _) = committed(UploadConfig { previous_object: old, ..settings(1, 2) });
    story.ok(ApiCall::Head, Outcome::Object(sized("old", 6)));
    story.ok(ApiCall::Abort, Outcome::Removed);
    assert_eq!(story.kind(), ErrorKind::Integrity);

    // Where it is not known what stood there, the dates tell, if they differ.
    for (hour, kind) in
        [(1, ErrorKind::Integrity), (2, ErrorKind::OutcomeUnknown), (3, ErrorKind::OutcomeUnknown)]
    {
        let mut story = Story::committing(UploadConfig {
            previous_object: PreviousObject::Unknown,
            ..settings(1, 2)
        });
        let ours = at(ObjectMeta { size: None, ..story.ours("new") }, 2);
        story.ok(ApiCall::Commit, Outcome::Committed(ours));
        story.ok(ApiCall::Head, Outcome::Object(at(sized("other", 6), hour)));
        if kind == ErrorKind::Integrity {
            story.ok(ApiCall::Abort, Outcome::Removed);
        }
        assert_eq!(story.kind(), kind, "{hour}");
    }
}

#[test]
fn an_object_that_cannot_be_asked_about_is_told_as_committed_and_not_verified() {
    let (mut story, _) = committed(UploadConfig { retry_for: 2 * SECOND, ..settings(1, 2) });
    while story.finish.is_none() {
        story.fails(ApiCall::Head, lost());
        story.wait();
    }
    assert_eq!(story.kind(), ErrorKind::OutcomeUnknown);
    let error = story.ended().as_ref().unwrap_err();
    assert!(error.message.contains("was committed (etag new)"), "{error}");
}

#[test]
fn a_question_under_way_when_a_stop_runs_out_is_looked_for() {
    let (mut story, _) = committed(settings(1, 2));
    story.hidden();
    story.tell(stop());
    story.wait();
    assert_eq!(story.last(), &ApiCall::ListUploads);
    let probe = crate::api::ListedUpload {
        bucket: None,
        object: "o".to_owned(),
        upload_id: "probe".to_owned(),
        time_created: None,
        storage_tier: None,
    };
    story.ok(ApiCall::ListUploads, Outcome::Uploads(vec![probe]));
    assert_eq!(story.kind(), ErrorKind::OutcomeUnknown);
    assert!(story.notes.iter().any(|note| note.contains("ABORT probe")), "{:?}", story.notes);
}

#[test]
fn a_service_that_lies_about_storing_is_never_believed_whatever_else_passes() {
    for seed in 0..1000 {
        let weather = Weather { faults: seed as u32 % 50, until: Duration::from_secs(600) };
        let mut world = World::new(seed, 1 + seed as usize % 5, weather);
        world.model.lies = true;
        world.read(world.end());
        let result = world.run();
        world.judge(seed, &result);
        let kind = result.unwrap_err().kind;
        assert!(
            matches!(kind, ErrorKind::Integrity | ErrorKind::OutcomeUnknown),
            "seed {seed}: {kind:?}"
        );
    }
}

#[test]
fn an_object_that_is_seen_to_be_another_than_its_commit_said_is_a_mismatch() {
    for length in [5, 6] {
        let (mut story, ours) = committed(settings(1, 2));
        let sha256 = (length == 6).then(|| "another".to_owned());
        let multipart = Digests { sha256, ..Digests::default() };
        story.ok(
            ApiCall::Head,
            Outcome::Object(ObjectMeta { size: Some(length), multipart, ..ours }),
        );
        assert_eq!(story.kind(), ErrorKind::Integrity);
        let error = story.ended().as_ref().unwrap_err();
        assert!(error.message.contains("was committed (etag new)"), "{error}");
    }
}

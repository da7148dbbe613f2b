//! A commit or put that is answered well is believed only where the object stands.

use super::scripted::{ScriptedRun, abort, abort_of, lost, sized, stop};
use super::*;

/// The commit was answered as it should be.
fn committed(settings: UploadConfig) -> (ScriptedRun, ObjectMeta) {
    let mut run = ScriptedRun::committing(settings);
    let ours = run.ours("new");
    run.ok(ApiCall::Commit, Outcome::Committed(ObjectMeta { size: None, ..ours.clone() }));
    assert_eq!(run.last(), &ApiCall::Head);
    (run, ours)
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
    let (mut run, ours) = committed(settings(1, 2));
    run.ok(ApiCall::Head, Outcome::Object(ours));
    let stored = run.ended().as_ref().unwrap();
    assert_eq!(stored.evidence.to_string(), "opc-multipart-sha256");
    assert_eq!(stored.meta.size, Some(6));
}

#[test]
fn a_commit_that_stored_nothing_is_found_out_and_both_uploads_are_aborted() {
    let (mut run, _) = committed(settings(1, 2));
    run.hidden();
    // Whether the name is free is asked without the right to read.
    assert_eq!(run.last(), &free());
    run.ok(free(), probe());
    assert_eq!(run.last(), &abort());
    run.refused(abort(), 404, "UploadNotFound");
    assert_eq!(run.last(), &abort_of("probe"));
    run.ok(abort_of("probe"), Outcome::Removed);
    assert_eq!(run.kind(), ErrorKind::Integrity);
    let error = run.ended().as_ref().unwrap_err();
    assert!(error.message.contains("etag new") && error.message.contains("not stored"), "{error}");
}

#[test]
fn uploads_that_cannot_be_aborted_are_named_the_main_one_and_that_of_the_question() {
    for (first, named) in [(true, vec!["ABORT probe"]), (false, vec!["ABORT u", "ABORT probe"])] {
        let (mut run, _) = committed(settings(1, 2));
        run.hidden();
        run.ok(free(), probe());
        if first {
            run.ok(abort(), Outcome::Removed);
        }
        run.refused(abort(), 403, "NotAllowed");
        let next = run.ended().as_ref().unwrap_err().hint.clone().unwrap();
        assert!(named.iter().all(|command| next.contains(command)), "{next}");
    }
}

#[test]
fn who_may_write_and_not_read_is_told_by_the_refusal_of_a_second_upload() {
    let (mut run, _) = committed(settings(1, 2));
    run.hidden();
    run.refused(free(), 412, "IfNoneMatchFailed");
    let stored = run.ended().as_ref().unwrap();
    assert_eq!(stored.evidence.to_string(), "opc-multipart-sha256");
    // Where even that is forbidden, the answer to the commit is what there is.
    let (mut run, _) = committed(settings(1, 2));
    run.hidden();
    run.refused(free(), 403, "NotAllowed");
    assert!(run.ended().is_ok());
}

#[test]
fn a_look_that_is_refused_in_any_way_leads_to_the_question() {
    for status in [400, 403, 404, 405, 409, 412] {
        let (mut run, _) = committed(settings(1, 2));
        run.refused(ApiCall::Head, status, "");
        if status == 404 {
            // It has no code, and may be spurious.
            run.wait();
            run.hidden();
        }
        assert_eq!(run.last(), &free(), "HTTP {status}");
        run.ok(free(), probe());
        run.ok(abort(), Outcome::Removed);
        run.ok(abort(), Outcome::Removed);
        assert_eq!(run.kind(), ErrorKind::Integrity);
    }
}

/// What stood there before may be hidden, and still stand there.
#[test]
fn where_an_object_may_have_stood_before_the_question_is_for_the_etag_of_the_commit() {
    let old = || PreviousObject::Object("old".to_owned());
    for before in [PreviousObject::Unknown, old()] {
        let run = || {
            let (mut run, _) =
                committed(UploadConfig { previous_object: before.clone(), ..settings(1, 2) });
            run.hidden();
            run.refused(free(), 412, "IfNoneMatchFailed");
            assert_eq!(run.last(), &etag("new"));
            run
        };
        // It is ours: the upload that asked is aborted before success is said.
        let mut ours = run();
        ours.ok(etag("new"), probe());
        assert_eq!(ours.last(), &abort_of("probe"));
        ours.ok(abort(), Outcome::Removed);
        assert_eq!(ours.ended().as_ref().unwrap().upload_id.as_deref(), Some("u"));
        assert_eq!(ours.notes, [""; 0]);
        // Or it is named, where it cannot be aborted.
        let mut ours = run();
        ours.ok(etag("new"), probe());
        ours.refused(abort(), 403, "NotAllowed");
        assert!(ours.ended().is_ok());
        assert!(ours.notes[0].contains("ABORT probe"), "{:?}", ours.notes);
        // Nothing may be asked.
        let mut silent = run();
        silent.refused(etag("new"), 403, "NotAllowed");
        assert!(silent.ended().is_ok());
        // It is another.
        let mut other = run();
        other.refused(etag("new"), 412, "IfMatchFailed");
        if before == PreviousObject::Unknown {
            assert_eq!(other.kind(), ErrorKind::OutcomeUnknown);
            continue;
        }
        // The one that was to be replaced, or a third.
        assert_eq!(other.last(), &etag("old"));
        other.ok(etag("old"), probe());
        other.ok(abort(), Outcome::Removed);
        other.ok(abort(), Outcome::Removed);
        assert_eq!(other.kind(), ErrorKind::Integrity);
        let mut third = run();
        third.refused(etag("new"), 412, "IfMatchFailed");
        third.refused(etag("old"), 412, "IfMatchFailed");
        assert_eq!(third.kind(), ErrorKind::OutcomeUnknown);
    }
}

#[test]
fn a_service_that_hides_what_stands_there_is_not_believed_when_it_lies() {
    for seed in 0..1000 {
        let fault_rate = FaultRate { faults: seed as u32 % 50, until: Duration::from_secs(600) };
        let mut world = Harness::new(seed, 1 + seed as usize % 5, fault_rate);
        let old = Bytes::from_static(b"old");
        world.model.hides = [Some(404), Some(403), Some(409), None][world.rng.usize(..4)];
        world.model.lies = world.rng.bool();
        world.condition = false;
        let previous_object = if world.rng.bool() {
            PreviousObject::Unknown
        } else {
            PreviousObject::Object("old".to_owned())
        };
        world.configure(|config| config.previous_object = previous_object);
        if world.rng.bool() || world.upload.core.config.previous_object != PreviousObject::Unknown {
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
    let mut run = ScriptedRun::putting(settings(1, 2));
    let crc32 = crc32fast::hash(b"abc");
    run.ok(ApiCall::Put, Outcome::Stored { meta: ObjectMeta { size: None, ..ours() }, crc32 });
    assert_eq!(run.last(), &ApiCall::Head);
    run.ok(ApiCall::Head, Outcome::Object(ours()));
    assert!(run.ended().is_ok());

    let mut run = ScriptedRun::putting(settings(1, 2));
    run.ok(ApiCall::Put, Outcome::Stored { meta: ObjectMeta { size: None, ..ours() }, crc32 });
    run.hidden();
    run.ok(free(), probe());
    run.ok(abort(), Outcome::Removed);
    assert_eq!(run.kind(), ErrorKind::Integrity);
}

#[test]
fn an_object_that_was_there_before_means_that_nothing_was_stored() {
    let old = PreviousObject::Object("old".to_owned());
    let (mut run, _) = committed(UploadConfig { previous_object: old, ..settings(1, 2) });
    run.ok(ApiCall::Head, Outcome::Object(sized("old", 6)));
    run.ok(abort(), Outcome::Removed);
    assert_eq!(run.kind(), ErrorKind::Integrity);

    // Where it is not known what stood there, the dates tell, if they differ.
    for (hour, kind) in
        [(1, ErrorKind::Integrity), (2, ErrorKind::OutcomeUnknown), (3, ErrorKind::OutcomeUnknown)]
    {
        let mut run = ScriptedRun::committing(UploadConfig {
            previous_object: PreviousObject::Unknown,
            ..settings(1, 2)
        });
        let ours = at(ObjectMeta { size: None, ..run.ours("new") }, 2);
        run.ok(ApiCall::Commit, Outcome::Committed(ours));
        run.ok(ApiCall::Head, Outcome::Object(at(sized("other", 6), hour)));
        if kind == ErrorKind::Integrity {
            run.ok(abort(), Outcome::Removed);
        }
        assert_eq!(run.kind(), kind, "{hour}");
    }
}

#[test]
fn an_object_that_cannot_be_asked_about_is_told_as_committed_and_not_verified() {
    let (mut run, _) = committed(UploadConfig { retry_for: 2 * SECOND, ..settings(1, 2) });
    while run.finish.is_none() {
        run.fails(ApiCall::Head, lost());
        run.wait();
    }
    assert_eq!(run.kind(), ErrorKind::OutcomeUnknown);
    let error = run.ended().as_ref().unwrap_err();
    assert!(error.message.contains("was committed (etag new)"), "{error}");
}

#[test]
fn a_question_under_way_when_a_stop_runs_out_is_looked_for() {
    let (mut run, _) = committed(settings(1, 2));
    run.hidden();
    run.tell(stop());
    run.wait();
    assert_eq!(run.last(), &ApiCall::ListUploads);
    let probe = crate::api::ListedUpload {
        bucket: None,
        object: "o".to_owned(),
        upload_id: "probe".to_owned(),
        time_created: None,
        storage_tier: None,
    };
    run.ok(ApiCall::ListUploads, Outcome::Uploads(vec![probe]));
    assert_eq!(run.kind(), ErrorKind::OutcomeUnknown);
    assert!(run.notes.iter().any(|note| note.contains("ABORT probe")), "{:?}", run.notes);
}

#[test]
fn a_service_that_lies_about_storing_is_never_believed_whatever_else_passes() {
    for seed in 0..1000 {
        let fault_rate = FaultRate { faults: seed as u32 % 50, until: Duration::from_secs(600) };
        let mut world = Harness::new(seed, 1 + seed as usize % 5, fault_rate);
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
        let (mut run, ours) = committed(settings(1, 2));
        let sha256 = (length == 6).then(|| "another".to_owned());
        let multipart = Digests { sha256, ..Digests::default() };
        run.ok(
            ApiCall::Head,
            Outcome::Object(ObjectMeta { size: Some(length), multipart, ..ours }),
        );
        assert_eq!(run.kind(), ErrorKind::Integrity);
        let error = run.ended().as_ref().unwrap_err();
        assert!(error.message.contains("was committed (etag new)"), "{error}");
    }
}

//! Tests of the state `Verifying`: a commit or put that the service acknowledges is confirmed by a
//! HEAD of the object, or by conditional creates if HEAD is forbidden.

use super::scripted::{
    ScriptedRun, abort, abort_of, both_parts, meta_of_size, response_lost, stop,
};
use super::*;
use crate::api::Precondition;

/// A run whose commit was acknowledged, and the metadata of the committed object.
fn committed(config: UploadConfig) -> (ScriptedRun, ObjectMeta) {
    let mut run = ScriptedRun::committing(config);
    run.succeed(ApiCall::Commit, Outcome::Committed(run.commit_meta("new")));
    assert_eq!(run.last_call(), &ApiCall::Head);
    let meta = run.object_meta("new");
    (run, meta)
}

/// The conditional create that succeeds if no object exists.
fn probe_no_object() -> ApiCall {
    ApiCall::ConditionalCreate(ProbeCondition::NoObject)
}

/// The conditional create that succeeds if the object has this etag.
fn probe_etag(etag: &str) -> ApiCall {
    ApiCall::ConditionalCreate(ProbeCondition::ObjectWithEtag(etag.to_owned()))
}

/// The upload that a conditional create makes.
fn probe_created() -> Outcome {
    Outcome::Created { upload_id: "probe".to_owned() }
}

fn modified_at(meta: ObjectMeta, hour: u32) -> ObjectMeta {
    let date = format!("Thu, 01 Jan 2026 {hour:02}:00:00 GMT");
    ObjectMeta { last_modified: Some(date), ..meta }
}

#[test]
fn success_is_reported_after_a_head_shows_the_object() {
    let (mut run, meta) = committed(test_config(1, 2));
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    let stored = run.result().as_ref().unwrap();
    assert_eq!(stored.evidence.to_string(), "opc-multipart-sha256");
    assert_eq!(stored.meta.size, Some(6));
}

#[test]
fn a_commit_that_stored_nothing_is_detected_and_both_uploads_are_aborted() {
    let (mut run, _) = committed(test_config(1, 2));
    run.reject_heads();
    // The permission to write suffices for this check.
    assert_eq!(run.last_call(), &probe_no_object());
    run.succeed(probe_no_object(), probe_created());
    assert_eq!(run.last_call(), &abort());
    run.reject(abort(), 404, "UploadNotFound");
    assert_eq!(run.last_call(), &abort_of("probe"));
    run.succeed(abort_of("probe"), Outcome::Removed);
    assert_eq!(run.error_kind(), ErrorKind::Integrity);
    let error = run.result().as_ref().unwrap_err();
    assert!(error.message.contains("etag new") && error.message.contains("not stored"), "{error}");
}

#[test]
fn uploads_that_cannot_be_aborted_are_named_including_that_of_the_probe() {
    for (main_aborted, commands) in
        [(true, vec!["ABORT probe"]), (false, vec!["ABORT u", "ABORT probe"])]
    {
        let (mut run, _) = committed(test_config(1, 2));
        run.reject_heads();
        run.succeed(probe_no_object(), probe_created());
        if main_aborted {
            run.succeed(abort(), Outcome::Removed);
        }
        run.reject(abort(), 403, "NotAllowed");
        let hint = run.result().as_ref().unwrap_err().hint.clone().unwrap();
        assert!(commands.iter().all(|command| hint.contains(command)), "{hint}");
    }
}

#[test]
fn a_rejected_conditional_create_confirms_the_object_if_head_is_forbidden() {
    let (mut run, _) = committed(test_config(1, 2));
    run.reject_heads();
    run.reject(probe_no_object(), 412, "IfNoneMatchFailed");
    let stored = run.result().as_ref().unwrap();
    assert_eq!(stored.evidence.to_string(), "opc-multipart-sha256");
    // If the conditional create is forbidden too, the response to the commit is the only evidence.
    let (mut run, _) = committed(test_config(1, 2));
    run.reject_heads();
    run.reject(probe_no_object(), 403, "NotAllowed");
    assert!(run.result().is_ok());
}

#[test]
fn a_head_rejected_with_any_status_is_followed_by_a_conditional_create() {
    for status in [400, 403, 404, 405, 409, 412] {
        let (mut run, _) = committed(test_config(1, 2));
        run.reject(ApiCall::Head, status, "");
        if status == 404 {
            // A 404 without an error code may be spurious.
            run.wait();
            run.reject_heads();
        }
        assert_eq!(run.last_call(), &probe_no_object(), "HTTP {status}");
        run.succeed(probe_no_object(), probe_created());
        run.succeed(abort(), Outcome::Removed);
        run.succeed(abort(), Outcome::Removed);
        assert_eq!(run.error_kind(), ErrorKind::Integrity);
    }
}

/// An object from before the run may still exist, and HEAD may be forbidden.
#[test]
fn if_an_object_may_have_existed_before_the_probe_has_the_etag_of_the_commit() {
    let old = || PreviousObject::Object("old".to_owned());
    for before in [PreviousObject::Unknown, old()] {
        let run = || {
            let (mut run, _) =
                committed(UploadConfig { previous_object: before.clone(), ..test_config(1, 2) });
            run.reject_heads();
            run.reject(probe_no_object(), 412, "IfNoneMatchFailed");
            assert_eq!(run.last_call(), &probe_etag("new"));
            run
        };
        // The object has the etag of the commit. The upload of the probe is aborted before the
        // success is reported.
        let mut confirmed = run();
        confirmed.succeed(probe_etag("new"), probe_created());
        assert_eq!(confirmed.last_call(), &abort_of("probe"));
        confirmed.succeed(abort(), Outcome::Removed);
        assert_eq!(confirmed.result().as_ref().unwrap().upload_id.as_deref(), Some("u"));
        assert_eq!(confirmed.warnings, [""; 0]);
        // A warning names the upload of the probe if it cannot be aborted.
        let mut confirmed = run();
        confirmed.succeed(probe_etag("new"), probe_created());
        confirmed.reject(abort(), 403, "NotAllowed");
        assert!(confirmed.result().is_ok());
        assert!(confirmed.warnings[0].contains("ABORT probe"), "{:?}", confirmed.warnings);
        // The probe is forbidden.
        let mut forbidden = run();
        forbidden.reject(probe_etag("new"), 403, "NotAllowed");
        assert!(forbidden.result().is_ok());
        // The object has another etag.
        let mut other = run();
        other.reject(probe_etag("new"), 412, "IfMatchFailed");
        if before == PreviousObject::Unknown {
            assert_eq!(other.error_kind(), ErrorKind::OutcomeUnknown);
            continue;
        }
        // It is the object from before the run.
        assert_eq!(other.last_call(), &probe_etag("old"));
        other.succeed(probe_etag("old"), probe_created());
        other.succeed(abort(), Outcome::Removed);
        other.succeed(abort(), Outcome::Removed);
        assert_eq!(other.error_kind(), ErrorKind::Integrity);
        let text = other.result().as_ref().unwrap_err().to_string();
        assert!(text.contains("an older object still has its name"), "{text}");
        // It is a third object.
        let mut third = run();
        third.reject(probe_etag("new"), 412, "IfMatchFailed");
        third.reject(probe_etag("old"), 412, "IfMatchFailed");
        assert_eq!(third.error_kind(), ErrorKind::OutcomeUnknown);
    }
}

#[test]
fn no_false_success_is_reported_if_head_is_forbidden_and_objects_are_discarded() {
    for seed in 0..1000 {
        let fault_rate = FaultRate { percent: seed as u32 % 50, until: Duration::from_secs(600) };
        let mut harness = Harness::new(seed, 1 + seed as usize % 5, fault_rate);
        let old = Bytes::from_static(b"old");
        harness.model.head_status = [Some(404), Some(403), Some(409), None][harness.rng.usize(..4)];
        harness.model.discards_objects = harness.rng.bool();
        harness.precondition = Precondition::None;
        let previous_object = if harness.rng.bool() {
            PreviousObject::Unknown
        } else {
            PreviousObject::Object("old".to_owned())
        };
        harness.configure(|config| config.previous_object = previous_object);
        if harness.rng.bool()
            || harness.upload.core.config.previous_object != PreviousObject::Unknown
        {
            harness.model.object = Some(("old".to_owned(), old.clone()));
        }
        harness.schedule_stream(harness.end_of_stream());
        let result = harness.run();
        let object = harness.model.object.as_ref().map(|(_, body)| body.clone());
        match &result {
            Ok(_) => assert_eq!(object, Some(harness.stream_bytes()), "seed {seed}"),
            Err(error) => assert!(
                matches!(error.kind, ErrorKind::Integrity | ErrorKind::OutcomeUnknown)
                    && harness.model.discards_objects
                    || error.kind == ErrorKind::OutcomeUnknown,
                "seed {seed}: {error}"
            ),
        }
        harness.check_open_uploads(seed, &result);
    }
}

#[test]
fn a_put_is_confirmed_like_a_commit() {
    let body = Bytes::from_static(b"abc");
    let stored =
        || Outcome::Stored { meta: response_meta("new", &body), crc32: crc32fast::hash(&body) };
    let mut run = ScriptedRun::storing(test_config(1, 2));
    run.succeed(ApiCall::Put, stored());
    assert_eq!(run.last_call(), &ApiCall::Head);
    run.succeed(ApiCall::Head, Outcome::Object(head_meta("new", &body)));
    assert!(run.result().is_ok());

    let mut run = ScriptedRun::storing(test_config(1, 2));
    run.succeed(ApiCall::Put, stored());
    run.reject_heads();
    run.succeed(probe_no_object(), probe_created());
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(run.error_kind(), ErrorKind::Integrity);
}

#[test]
fn an_object_that_existed_before_the_run_means_that_nothing_was_stored() {
    let old = PreviousObject::Object("old".to_owned());
    let (mut run, _) = committed(UploadConfig { previous_object: old, ..test_config(1, 2) });
    run.succeed(ApiCall::Head, Outcome::Object(meta_of_size("old", 6)));
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(run.error_kind(), ErrorKind::Integrity);

    // If the previous object is unknown, an earlier modification time shows it.
    for (hour, kind) in
        [(1, ErrorKind::Integrity), (2, ErrorKind::OutcomeUnknown), (3, ErrorKind::OutcomeUnknown)]
    {
        let mut run = ScriptedRun::committing(UploadConfig {
            previous_object: PreviousObject::Unknown,
            ..test_config(1, 2)
        });
        let meta = modified_at(run.commit_meta("new"), 2);
        run.succeed(ApiCall::Commit, Outcome::Committed(meta));
        run.succeed(ApiCall::Head, Outcome::Object(modified_at(meta_of_size("other", 6), hour)));
        if kind == ErrorKind::Integrity {
            run.succeed(abort(), Outcome::Removed);
        }
        assert_eq!(run.error_kind(), kind, "modified at {hour}:00");
    }
}

#[test]
fn an_object_that_cannot_be_read_is_reported_as_committed_and_not_verified() {
    let (mut run, _) = committed(UploadConfig { retry_for: 2 * SECOND, ..test_config(1, 2) });
    while run.finish.is_none() {
        run.fail(ApiCall::Head, response_lost());
        run.wait();
    }
    assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
    let error = run.result().as_ref().unwrap_err();
    assert!(error.message.contains("was committed (etag new)"), "{error}");
}

#[test]
fn the_upload_of_a_probe_in_flight_at_the_deadline_of_a_stop_is_listed() {
    let (mut run, _) = committed(test_config(1, 2));
    run.reject_heads();
    run.handle_event(stop());
    run.wait();
    assert_eq!(run.last_call(), &ApiCall::ListUploads);
    run.succeed(ApiCall::ListUploads, Outcome::Uploads(vec![listed_upload("probe")]));
    assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
    assert!(run.warnings.iter().any(|text| text.contains("ABORT probe")), "{:?}", run.warnings);
}

#[test]
fn no_success_is_reported_under_any_faults_if_objects_are_discarded() {
    for seed in 0..1000 {
        let fault_rate = FaultRate { percent: seed as u32 % 50, until: Duration::from_secs(600) };
        let mut harness = Harness::new(seed, 1 + seed as usize % 5, fault_rate);
        harness.model.discards_objects = true;
        harness.schedule_stream(harness.end_of_stream());
        let result = harness.run();
        harness.check_result(seed, &result);
        let kind = result.unwrap_err().kind;
        assert!(
            matches!(kind, ErrorKind::Integrity | ErrorKind::OutcomeUnknown),
            "seed {seed}: {kind:?}"
        );
    }
}

#[test]
fn an_object_that_differs_from_the_stream_is_a_mismatch() {
    for size in [5, 6] {
        let (mut run, meta) = committed(test_config(1, 2));
        let sha256 = (size == 6).then(|| "another".to_owned());
        let multipart = Digests { sha256, ..Digests::default() };
        run.succeed(
            ApiCall::Head,
            Outcome::Object(ObjectMeta { size: Some(size), multipart, ..meta }),
        );
        assert_eq!(run.error_kind(), ErrorKind::Integrity);
        let error = run.result().as_ref().unwrap_err();
        assert!(error.message.contains("was committed (etag new)"), "{error}");
    }
}

#[test]
fn spurious_404s_of_head_leave_no_continued_upload_unconfirmed() {
    let continued = crate::upload::ContinuedUpload {
        upload_id: "u".to_owned(),
        parts: Vec::new(),
        properties: Default::default(),
    };
    let resume = Some(crate::upload::ResumeConfig { continued: Some(continued) });
    let mut run = ScriptedRun::new(UploadConfig { resume, ..test_config(1, 2) });
    let body = Bytes::from_static(b"abc");
    for number in [1, 2] {
        let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
        run.handle_event(Event::Part { number: nth(number), digest });
        let meta = response_meta(&format!("e{number}"), &body);
        let stored = Outcome::Stored { meta, crc32: crc32fast::hash(&body) };
        run.succeed(ApiCall::Part(nth(number)), stored);
    }
    run.handle_event(Event::EndOfStream { bytes: 6, crc32: crc32fast::hash(b"abcabc") });
    run.succeed(ApiCall::ListParts, both_parts());
    let committed = Outcome::Committed(run.commit_meta("e"));
    run.succeed(ApiCall::Commit, committed);
    // Only HEAD shows what the run that began the upload asked for.
    for _ in 0..9 {
        assert_eq!(run.last_call(), &ApiCall::Head);
        run.reject(ApiCall::Head, 404, "");
        run.wait();
    }
    let object = run.object_meta("e");
    run.succeed(ApiCall::Head, Outcome::Object(object));
    assert!(run.result().is_ok());
    assert!(run.now < 5 * SECOND, "the pauses are short: {:?}", run.now);
}

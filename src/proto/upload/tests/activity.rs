//! Tests of what a driver and its progress line read of a run.

use super::scripted::{ScriptedRun, abort, response_lost, stop};
use super::*;
use crate::api::{ExpectedProperties, ListedPart};

fn read_part(run: &mut ScriptedRun, number: u32) {
    let digest = digest::part(Algorithm::Sha256, &[Bytes::from_static(b"abc")]);
    run.handle_event(Event::Part { number: nth(number), digest });
}

fn end(run: &mut ScriptedRun, parts: usize) {
    let crc32 = crc32fast::hash(&b"abc".repeat(parts));
    run.handle_event(Event::EndOfStream { bytes: 3 * parts as u64, crc32 });
}

fn acknowledge(run: &mut ScriptedRun, number: u32) {
    let body = Bytes::from_static(b"abc");
    let meta = response_meta(&format!("e{number}"), &body);
    let stored = Outcome::Stored { meta, crc32: crc32fast::hash(&body) };
    run.succeed(ApiCall::Part(nth(number)), stored);
}

/// What the run waits for, and whether it is in an outage and has only parts left.
fn seen(run: &ScriptedRun) -> (&'static str, bool, bool) {
    let upload = &run.upload;
    let activity = upload.current_activity().unwrap_or("nothing");
    (activity, upload.is_in_outage(), upload.has_only_parts_left())
}

#[test]
fn what_a_run_waits_for_is_named_from_the_stream_to_the_end() {
    let mut run = ScriptedRun::new(UploadConfig { end_proven: false, ..test_config(1, 2) });
    assert_eq!(seen(&run), ("the stream", false, false));
    run.start_create();
    assert_eq!(seen(&run), ("the stream", false, false));
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    assert_eq!(seen(&run), ("the stream", false, false));
    acknowledge(&mut run, 1);
    assert_eq!(seen(&run), ("the stream", false, false));
    read_part(&mut run, 2);
    run.fail(ApiCall::Part(nth(2)), response_lost());
    assert_eq!(seen(&run), ("the service to accept parts again", true, false));
    assert_eq!(run.upload.stream_bytes(), 0, "the end is not known");
    end(&mut run, 2);
    assert_eq!(run.upload.stream_bytes(), 6);
    assert_eq!(seen(&run), ("the service to accept parts again", true, true));
    run.wait();
    run.fail(ApiCall::Part(nth(2)), response_lost());
    run.wait();
    // The signal hold has passed meanwhile.
    run.now += SECOND;
    acknowledge(&mut run, 2);
    assert_eq!(seen(&run), ("the commit", false, true));
    run.fail(ApiCall::Commit, response_lost());
    assert_eq!(seen(&run), ("the outcome of the commit", true, true));
    run.wait();
    run.reject(ApiCall::Head, 404, "");
    run.succeed(ApiCall::ListParts, scripted::both_parts());
    run.wait();
    run.reject(ApiCall::Commit, 400, "InvalidUploadPart");
    assert_eq!(seen(&run).0, "the list of parts");
    run.succeed(ApiCall::ListParts, scripted::both_parts());
    let committed = Outcome::Committed(run.commit_meta("new"));
    run.succeed(ApiCall::Commit, committed);
    assert_eq!(seen(&run), ("the object to be verified", false, true));
    let object = run.object_meta("new");
    run.succeed(ApiCall::Head, Outcome::Object(object));
    assert_eq!(run.upload.current_activity(), None);
    assert!(run.upload.part_sizes().eq([3, 3]));
}

#[test]
fn what_a_stream_waits_for_after_its_end_is_its_parts_and_then_a_signal() {
    let mut run = ScriptedRun::new(UploadConfig { end_proven: false, ..test_config(1, 2) });
    run.start_create();
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    read_part(&mut run, 2);
    end(&mut run, 2);
    assert_eq!(seen(&run), ("parts to be acknowledged", false, true));
    acknowledge(&mut run, 1);
    assert_eq!(seen(&run).0, "parts to be acknowledged");
    acknowledge(&mut run, 2);
    assert_eq!(seen(&run).0, "a signal that may have ended the stream");
    run.handle_event(stop());
    assert_eq!(seen(&run).0, "the abort of the upload");
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(run.upload.current_activity(), None);
    // A stream of one part has no parts to wait for.
    let run = ScriptedRun::storing(test_config(1, 2));
    assert_eq!(seen(&run), ("the object to be stored", false, false));
}

#[test]
fn what_a_cleanup_waits_for_is_named() {
    let mut run =
        ScriptedRun::committing(UploadConfig { delete_on_mismatch: true, ..test_config(1, 2) });
    run.succeed(ApiCall::Commit, Outcome::Committed(scripted::meta_of_size("new", 5)));
    assert_eq!(seen(&run).0, "the object to be deleted");
    let mut run = ScriptedRun::new(test_config(1, 2));
    run.start_create();
    run.fail(ApiCall::Create, response_lost());
    run.handle_event(stop());
    assert_eq!(seen(&run).0, "the list of open uploads");
}

#[test]
fn bytes_that_the_service_held_are_counted_and_only_such_a_run_continues() {
    let plain = ScriptedRun::new(test_config(1, 2));
    assert_eq!((plain.upload.held_bytes(), plain.upload.resumes()), (0, false));
    let body = Bytes::from_static(b"abc");
    let md5 = digest::md5_of(std::slice::from_ref(&body));
    let held = |number| ListedPart {
        part_number: nth(number),
        etag: format!("held-{number}"),
        size: 3,
        md5: Some(md5.base64()),
    };
    let continued = ContinuedUpload {
        upload_id: "u".to_owned(),
        parts: vec![held(1), held(2)],
        properties: ExpectedProperties::default(),
    };
    let resume = Some(ResumeConfig { continued: Some(continued) });
    let mut run = ScriptedRun::new(UploadConfig { resume, ..test_config(1, 2) });
    assert!(run.upload.resumes());
    for number in 1..=3 {
        read_part(&mut run, number);
        assert_eq!(run.upload.held_bytes(), 3 * u64::from(number - 1));
        if number < 3 {
            let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
            run.handle_event(Event::Rehashed { number: nth(number), digest, md5: md5.clone() });
        }
    }
    assert_eq!(run.calls, [ApiCall::Part(nth(3))]);
    acknowledge(&mut run, 3);
    assert_eq!((run.upload.held_bytes(), run.upload.acknowledged()), (6, (3, 9)));
}

#[test]
fn each_state_has_a_name_of_its_own_for_debug_messages() {
    let kinds: std::collections::BTreeSet<StateKind> =
        TRANSITIONS.iter().flat_map(|(from, to, _)| [*from, *to]).collect();
    let names: std::collections::BTreeSet<String> =
        kinds.iter().map(StateKind::to_string).collect();
    assert_eq!(names.len(), 10, "{names:?}");
    assert!(names.contains("streaming") && names.contains("finished"), "{names:?}");
}

//! Tests of the state `RelistingParts`: a commit rejects the etag of an acknowledged part.

use super::scripted::{ScriptedRun, abort, response_lost, stop};
use super::*;
use crate::api::ListedPart;

fn listed(number: u32, etag: &str, size: u64) -> ListedPart {
    ListedPart { part_number: nth(number), etag: etag.to_owned(), size, md5: None }
}

/// A run whose commit was rejected for a part's etag, with the list of parts in flight.
fn relisting() -> ScriptedRun {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    run.reject(ApiCall::Commit, 400, "InvalidUploadPart");
    assert_eq!(run.last_call(), &ApiCall::ListParts);
    run
}

fn stored(etag: &str) -> Outcome {
    let body = Bytes::from_static(b"abc");
    Outcome::Stored { meta: response_meta(etag, &body), crc32: crc32fast::hash(&body) }
}

#[test]
fn another_etag_of_the_same_content_is_adopted() {
    let mut run = relisting();
    run.succeed(ApiCall::ListParts, Outcome::Parts(vec![listed(1, "e1", 3), listed(2, "late", 3)]));
    assert_eq!(run.last_call(), &ApiCall::Commit);
    assert!(run.upload.commit_parts().eq([(nth(1), "e1"), (nth(2), "late")]));
}

#[test]
fn a_part_that_is_missing_or_differs_is_sent_again_from_its_buffer() {
    // Of the same size, but with the MD5 of other bytes.
    let md5 = Some("1B2M2Y8AsgTpgAmY7PhCfg==".to_owned());
    let other_bytes = ListedPart { md5, ..listed(2, "e9", 3) };
    for second in [None, Some(listed(2, "e9", 2)), Some(other_bytes)] {
        let mut run = relisting();
        let parts = [Some(listed(1, "e1", 3)), second].into_iter().flatten().collect();
        run.succeed(ApiCall::ListParts, Outcome::Parts(parts));
        assert_eq!(run.last_call(), &ApiCall::Part(nth(2)));
        run.succeed(ApiCall::Part(nth(2)), stored("again"));
        assert_eq!(run.last_call(), &ApiCall::Commit);
        assert!(run.upload.commit_parts().eq([(nth(1), "e1"), (nth(2), "again")]));
        let meta = run.object_meta("new");
        run.succeed(ApiCall::Commit, Outcome::Committed(meta.clone()));
        run.succeed(ApiCall::Head, Outcome::Object(meta));
        assert!(run.result().is_ok());
    }
}

#[test]
fn a_missing_part_whose_buffer_was_released_ends_the_run() {
    let mut run = ScriptedRun::new(test_config(1, 2));
    run.start_create();
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    // The first part is acknowledged before the end of the stream, so its buffer is released.
    run.succeed(ApiCall::Part(nth(1)), stored("e1"));
    let body = Bytes::from_static(b"abc");
    run.handle_event(Event::Part {
        number: nth(2),
        digest: digest::part(Algorithm::Sha256, &[body]),
    });
    run.handle_event(Event::EndOfStream { bytes: 6, crc32: crc32fast::hash(b"abcabc") });
    run.succeed(ApiCall::Part(nth(2)), stored("e2"));
    run.reject(ApiCall::Commit, 400, "InvalidUploadPart");
    run.succeed(ApiCall::ListParts, Outcome::Parts(vec![listed(2, "e2", 3)]));
    assert_eq!(run.last_call(), &abort());
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(run.error_kind(), ErrorKind::Integrity);
}

#[test]
fn a_commit_that_always_rejects_its_parts_ends_the_run() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    for _ in 0..3 {
        run.reject(ApiCall::Commit, 400, "InvalidUploadPart");
        run.succeed(ApiCall::ListParts, Outcome::Parts(vec![listed(1, "e1", 3)]));
        run.succeed(ApiCall::Part(nth(2)), stored("e2"));
    }
    run.reject(ApiCall::Commit, 400, "InvalidUploadPart");
    assert_eq!(run.last_call(), &abort());
}

#[test]
fn an_upload_that_is_closed_when_a_part_is_sent_again_is_resolved_by_a_head() {
    let mut run = ScriptedRun::committing(test_config(1, 2));
    // The response to the first commit is lost, the upload is listed as open, and the second commit
    // is rejected.
    run.fail(ApiCall::Commit, response_lost());
    run.wait();
    run.reject(ApiCall::Head, 404, "");
    run.succeed(ApiCall::ListParts, Outcome::Parts(Vec::new()));
    run.wait();
    run.reject(ApiCall::Commit, 400, "InvalidUploadPart");
    run.succeed(ApiCall::ListParts, Outcome::Parts(vec![listed(1, "e1", 3)]));
    assert_eq!(run.last_call(), &ApiCall::Part(nth(2)));
    run.reject(ApiCall::Part(nth(2)), 404, "UploadNotFound");
    assert_eq!(run.last_call(), &ApiCall::Head);
    let meta = run.object_meta("new");
    run.succeed(ApiCall::Head, Outcome::Object(meta));
    run.succeed(ApiCall::ListUploads, Outcome::Uploads(Vec::new()));
    assert!(run.result().is_ok());
}

#[test]
fn a_list_that_fails_after_a_signal_is_not_taken_for_the_abort() {
    for (status, code) in [(503, "ServiceUnavailable"), (404, "UploadNotFound"), (403, "Forbidden")]
    {
        let mut run = relisting();
        run.handle_event(stop());
        assert_eq!(run.last_call(), &abort());
        run.reject(ApiCall::ListParts, status, code);
        assert!(run.finish.is_none() && run.upload.core.call.scheduled.is_none(), "{status}");
        run.succeed(abort(), Outcome::Removed);
        assert_eq!(run.error_kind(), ErrorKind::Signal(15));
        let error = run.result().as_ref().unwrap_err().to_string();
        assert!(!error.contains("still open"), "{error}");
    }
}

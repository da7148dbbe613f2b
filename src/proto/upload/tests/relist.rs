//! A commit that does not know a part as it was acknowledged.

use super::scripted::{ScriptedRun, abort};
use super::*;
use crate::api::ListedPart;

fn listed(number: u32, etag: &str, size: u64) -> ListedPart {
    ListedPart { part_number: number, etag: etag.to_owned(), size, md5: None }
}

/// The commit was refused for its parts, and the parts are being listed.
fn healing() -> ScriptedRun {
    let mut run = ScriptedRun::committing(settings(1, 2));
    run.refused(ApiCall::Commit, 400, "InvalidUploadPart");
    assert_eq!(run.last(), &ApiCall::ListParts);
    run
}

fn stored(etag: &str) -> Outcome {
    let body = Bytes::from_static(b"abc");
    Outcome::Stored { meta: held(etag, &body, false), crc32: crc32fast::hash(&body) }
}

#[test]
fn another_etag_of_the_same_content_is_taken_up() {
    let mut run = healing();
    run.ok(ApiCall::ListParts, Outcome::Parts(vec![listed(1, "e1", 3), listed(2, "late", 3)]));
    assert_eq!(run.last(), &ApiCall::Commit);
    assert!(run.upload.commit_parts().eq([(1, "e1"), (2, "late")]));
}

#[test]
fn a_part_that_the_service_lost_or_holds_otherwise_is_sent_again_from_its_buffer() {
    for second in [None, Some(listed(2, "e9", 2))] {
        let mut run = healing();
        let parts = [Some(listed(1, "e1", 3)), second].into_iter().flatten().collect();
        run.ok(ApiCall::ListParts, Outcome::Parts(parts));
        assert_eq!(run.last(), &ApiCall::Part(2));
        run.ok(ApiCall::Part(2), stored("again"));
        assert_eq!(run.last(), &ApiCall::Commit);
        assert!(run.upload.commit_parts().eq([(1, "e1"), (2, "again")]));
        let ours = run.ours("new");
        run.ok(ApiCall::Commit, Outcome::Committed(ours.clone()));
        run.ok(ApiCall::Head, Outcome::Object(ours));
        assert!(run.ended().is_ok());
    }
}

#[test]
fn a_part_whose_buffer_was_used_again_cannot_be_sent_again_and_ends_the_run() {
    let mut run = ScriptedRun::new(settings(1, 2));
    run.creating();
    run.ok(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    // The first part is acknowledged while the stream goes on.
    run.ok(ApiCall::Part(1), stored("e1"));
    let body = Bytes::from_static(b"abc");
    run.tell(Event::Part { number: 2, digest: digest::part(Algorithm::Sha256, &[body]) });
    run.tell(Event::EndOfStream { bytes: 6, crc32: crc32fast::hash(b"abcabc") });
    run.ok(ApiCall::Part(2), stored("e2"));
    run.refused(ApiCall::Commit, 400, "InvalidUploadPart");
    run.ok(ApiCall::ListParts, Outcome::Parts(vec![listed(2, "e2", 3)]));
    assert_eq!(run.last(), &abort());
    run.ok(abort(), Outcome::Removed);
    assert_eq!(run.kind(), ErrorKind::Integrity);
}

#[test]
fn a_commit_that_never_knows_its_parts_ends() {
    let mut run = ScriptedRun::committing(settings(1, 2));
    for _ in 0..3 {
        run.refused(ApiCall::Commit, 400, "InvalidUploadPart");
        run.ok(ApiCall::ListParts, Outcome::Parts(vec![listed(1, "e1", 3)]));
        run.ok(ApiCall::Part(2), stored("e2"));
    }
    run.refused(ApiCall::Commit, 400, "InvalidUploadPart");
    assert_eq!(run.last(), &abort());
}

#[test]
fn an_upload_that_is_gone_when_a_part_is_sent_again_may_have_been_committed_before() {
    let mut run = ScriptedRun::committing(settings(1, 2));
    // The answer to the first commit is lost, the upload seems open, and the second is refused.
    run.fails(ApiCall::Commit, super::scripted::lost());
    run.wait();
    run.refused(ApiCall::Head, 404, "");
    run.ok(ApiCall::ListParts, Outcome::Parts(Vec::new()));
    run.wait();
    run.refused(ApiCall::Commit, 400, "InvalidUploadPart");
    run.ok(ApiCall::ListParts, Outcome::Parts(vec![listed(1, "e1", 3)]));
    assert_eq!(run.last(), &ApiCall::Part(2));
    run.refused(ApiCall::Part(2), 404, "UploadNotFound");
    assert_eq!(run.last(), &ApiCall::Head);
    let ours = run.ours("new");
    run.ok(ApiCall::Head, Outcome::Object(ours));
    assert!(run.ended().is_ok());
}

//! Tests of `--identical-ok`, `--no-multipart` and expected digests: what the machine sends, and how it ends.

use super::scripted::{ScriptedRun, abort};
use super::*;
use crate::whole_stream::ExpectedDigest;

const EXISTS: &str = "IfNoneMatchFailed";

fn reading_on() -> UploadConfig {
    UploadConfig { conflict: ConflictRule::ReadOn, ..test_config(1, 2) }
}

fn part(number: u32, bytes: &'static [u8]) -> Event {
    let digest = digest::part(Algorithm::Sha256, &[Bytes::from_static(bytes)]);
    Event::Part { number: nth(number), digest }
}

/// The end of a stream of this many bytes, each three of which are `abc`.
fn end(bytes: usize) -> Event {
    let crc32 = crc32fast::hash(&b"abc".repeat(bytes / 3));
    Event::EndOfStream { bytes: bytes as u64, crc32 }
}

#[test]
fn after_a_conflict_at_the_create_the_stream_is_read_to_its_end_and_nothing_is_sent() {
    let mut run = ScriptedRun::new(reading_on());
    run.start_create();
    run.reject(ApiCall::Create, 412, EXISTS);
    assert!(run.finish.is_none(), "the rest of the stream is still to come");
    let calls = run.calls.len();
    for number in 3..6 {
        run.handle_event(part(number, b"abc"));
    }
    run.handle_event(end(15));
    assert_eq!(run.error_kind(), ErrorKind::Exists);
    assert_eq!(run.calls.len(), calls, "{:?}", run.calls);

    // Without the option the run ends at once.
    let mut run = ScriptedRun::new(test_config(1, 2));
    run.start_create();
    run.reject(ApiCall::Create, 412, EXISTS);
    assert_eq!(run.error_kind(), ErrorKind::Exists);
}

#[test]
fn an_object_that_was_found_before_the_run_is_never_written_to() {
    let error = Error::new(ErrorKind::Exists, "it exists already");
    let found =
        || UploadConfig { conflict: ConflictRule::Found(error.clone()), ..test_config(1, 2) };
    for parts in [1, 4] {
        let mut run = ScriptedRun::new(found());
        for number in 1..=parts {
            if number == 2 {
                run.handle_event(Event::MultipartNeeded);
            }
            run.handle_event(part(number, b"abc"));
        }
        run.handle_event(end(3 * parts as usize));
        assert_eq!(run.result().as_ref().unwrap_err(), &error);
        assert_eq!(run.calls, []);
    }
    // Nothing is sent, so that the bytes of one request do not matter.
    let mut run = ScriptedRun::new(UploadConfig { single_put: Some(3), ..found() });
    run.handle_event(part(1, b"abc"));
    run.handle_event(Event::MultipartNeeded);
    run.handle_event(part(2, b"abc"));
    run.handle_event(end(6));
    assert_eq!(run.result().as_ref().unwrap_err(), &error);
    // What is wrong with the stream counts first.
    let mut run = ScriptedRun::new(found());
    run.handle_event(end(0));
    assert_eq!(run.error_kind(), ErrorKind::Source);
    let mut run = ScriptedRun::new(found());
    run.handle_event(part(1, b"abc"));
    run.handle_event(Event::SourceFailed(Error::source("killed")));
    assert_eq!(run.error_kind(), ErrorKind::Source);
}

#[test]
fn an_object_is_proved_by_the_parts_of_the_run_only_where_all_of_them_were_read() {
    let mut run = ScriptedRun::committing(reading_on());
    run.reject(ApiCall::Commit, 412, EXISTS);
    let (same, other) =
        (run.object_meta("other"), head_meta("other", &Bytes::from_static(b"abcabd")));
    assert!(run.upload.proof_of(&same).is_some());
    assert!(run.upload.proof_of(&other).is_none());
    run.succeed(abort(), Outcome::Removed);
    assert_eq!(run.error_kind(), ErrorKind::Exists);
    assert!(run.upload.proof_of(&same).is_some());

    // A stream of one part is proved by its own digest.
    let mut run = ScriptedRun::storing(reading_on());
    run.reject(ApiCall::Put, 412, EXISTS);
    let equal = head_meta("other", &Bytes::from_static(b"abc"));
    assert!(run.upload.proof_of(&equal).is_some());
    assert!(run.upload.proof_of(&ObjectMeta { size: Some(4), ..equal }).is_none());

    // The first part of a stream is not the stream, though the service does not show the size.
    let mut run = ScriptedRun::new(reading_on());
    run.start_create();
    run.handle_event(part(2, b"abc"));
    run.handle_event(end(6));
    run.reject(ApiCall::Create, 412, EXISTS);
    let first = head_meta("other", &Bytes::from_static(b"abc"));
    assert!(run.upload.proof_of(&ObjectMeta { size: None, ..first }).is_none());

    // Nor is it while the rest is unread.
    let mut run = ScriptedRun::new(reading_on());
    run.start_create();
    run.handle_event(end(6));
    run.reject(ApiCall::Create, 412, EXISTS);
    let first = head_meta("other", &Bytes::from_static(b"abc"));
    assert!(run.upload.proof_of(&ObjectMeta { size: Some(6), ..first }).is_none());
}

#[test]
fn a_stream_with_another_digest_is_never_committed() {
    let value = |bytes: &'static [u8]| {
        digest::part(Algorithm::Sha256, &[Bytes::from_static(bytes)]).value.unwrap()
    };
    let expected = ExpectedDigest { option: "--opc-content-sha256", value: value(b"abc") };
    let config = || UploadConfig { expected_digests: vec![expected.clone()], ..test_config(1, 2) };
    for (computed, stored) in
        [(vec![value(b"abc")], true), (vec![value(b"abd")], false), (Vec::new(), false)]
    {
        let mut run = ScriptedRun::new(config());
        run.handle_event(part(1, b"abc"));
        run.handle_event(Event::StreamDigests(computed));
        run.handle_event(end(3));
        assert_eq!(run.calls == [ApiCall::Put], stored, "{:?}", run.calls);
        if !stored {
            assert_eq!(run.error_kind(), ErrorKind::Integrity);
        }
    }
}

#[test]
fn the_sha256_of_a_stream_is_known_where_it_is_expected_or_the_digest_of_its_one_part() {
    let value = |algorithm: Algorithm| {
        digest::part(algorithm, &[Bytes::from_static(b"abc")]).value.unwrap()
    };
    for (checksum, computed, known) in [
        (Algorithm::Sha256, vec![], true),
        (Algorithm::Md5, vec![], false),
        (Algorithm::Md5, vec![value(Algorithm::Sha384)], false),
        (Algorithm::Md5, vec![value(Algorithm::Sha384), value(Algorithm::Sha256)], true),
    ] {
        let mut run = ScriptedRun::new(UploadConfig { checksum, ..test_config(1, 2) });
        let digest = digest::part(checksum, &[Bytes::from_static(b"abc")]);
        run.handle_event(Event::Part { number: nth(1), digest });
        run.handle_event(Event::StreamDigests(computed));
        let hex = known.then(|| value(Algorithm::Sha256).hex());
        assert_eq!(run.upload.core.whole_sha256(), hex, "{checksum:?}");
    }
}

#[test]
fn a_stream_that_one_request_cannot_carry_creates_nothing() {
    let mut run = ScriptedRun::new(UploadConfig { single_put: Some(3), ..test_config(1, 2) });
    run.handle_event(part(1, b"abc"));
    run.handle_event(Event::MultipartNeeded);
    assert_eq!(run.error_kind(), ErrorKind::Source);
    assert_eq!(run.calls, []);
}

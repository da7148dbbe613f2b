//! Tests of the put of a whole stream: what damages it, and what its look-ups mean.

use super::scripted::{ScriptedRun, response_lost};
use super::*;

const BODY: &[u8] = b"abc";

fn body_digest(bytes: &'static [u8]) -> PartDigest {
    digest::part(Algorithm::Sha256, &[Bytes::from_static(bytes)])
}

/// The buffer of the put is read again, and has these bytes.
fn rehash(run: &mut ScriptedRun, bytes: &'static [u8]) {
    let md5 = digest::md5_of(&[Bytes::from_static(bytes)]);
    run.handle_event(Event::Rehashed { number: nth(1), digest: body_digest(bytes), md5 });
}

fn damaged(run: &mut ScriptedRun) {
    run.reject(ApiCall::Put, 400, "UnmatchedContentSHA256");
}

fn puts(run: &ScriptedRun) -> usize {
    run.calls.iter().filter(|call| **call == ApiCall::Put).count()
}

#[test]
fn a_put_that_arrives_damaged_every_time_is_repeated_eight_times() {
    let mut run = ScriptedRun::storing(test_config(1, 2));
    while run.finish.is_none() {
        damaged(&mut run);
        if run.finish.is_none() {
            rehash(&mut run, BODY);
        }
    }
    let error = run.result().as_ref().unwrap_err();
    assert_eq!((error.kind, puts(&run)), (ErrorKind::Integrity, 9));
    assert!(error.message.contains("damaged on the way every time"), "{error}");
    assert!(error.message.ends_with("; nothing was committed"), "{error}");
}

#[test]
fn a_buffer_that_changed_after_a_damaged_put_ends_the_run() {
    for (lost, kind) in [(false, ErrorKind::Integrity), (true, ErrorKind::OutcomeUnknown)] {
        let mut run = ScriptedRun::storing(test_config(1, 2));
        if lost {
            run.fail(ApiCall::Put, response_lost());
            run.wait();
        }
        damaged(&mut run);
        rehash(&mut run, b"abd");
        assert_eq!(run.error_kind(), kind);
        let error = run.result().as_ref().unwrap_err();
        assert!(error.to_string().contains("changed in memory"), "{error}");
        assert_eq!(error.message.ends_with("; nothing was committed"), !lost, "{error}");
    }
}

#[test]
fn a_stream_of_one_part_with_another_checksum_is_never_sent() {
    let mut run = ScriptedRun::new(test_config(1, 2));
    run.handle_event(Event::Part { number: nth(1), digest: body_digest(BODY) });
    run.handle_event(Event::EndOfStream { bytes: 3, crc32: crc32fast::hash(BODY) ^ 1 });
    assert_eq!((run.error_kind(), &run.calls[..]), (ErrorKind::Integrity, &[][..]));
}

#[test]
fn a_put_whose_bytes_changed_on_the_way_to_the_connection_is_a_mismatch() {
    let mut run = ScriptedRun::storing(test_config(1, 2));
    let meta = response_meta("e", &Bytes::from_static(BODY));
    let crc32 = crc32fast::hash(BODY) ^ 1;
    run.succeed(ApiCall::Put, Outcome::Stored { meta, crc32 });
    assert_eq!(run.error_kind(), ErrorKind::Integrity);
}

/// A put whose 404s have ended, with a HEAD in flight.
fn exhausted() -> ScriptedRun {
    let config = UploadConfig { bucket: BucketStatus::Seen, ..test_config(1, 2) };
    let mut run = ScriptedRun::storing(config);
    while run.last_call() == &ApiCall::Put {
        run.fail(ApiCall::Put, bucket_not_found(&ApiCall::Put));
        if run.upload.core.call.scheduled.is_some() {
            run.wait();
        }
    }
    run
}

#[test]
fn a_refused_put_is_looked_for_four_times() {
    let mut run = exhausted();
    let mut heads = 0;
    while run.finish.is_none() {
        assert_eq!(run.last_call(), &ApiCall::Head);
        run.fail(ApiCall::Head, bucket_not_found(&ApiCall::Head));
        heads += 1;
        if run.finish.is_none() {
            run.wait();
        }
    }
    assert_eq!((heads, run.error_kind()), (4, ErrorKind::Service));
}

#[test]
fn another_object_after_a_refused_put_is_the_refusal() {
    let mut run = exhausted();
    run.succeed(ApiCall::Head, Outcome::Object(scripted::meta_of_size("third", 99)));
    let error = run.result().as_ref().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Service);
    assert!(error.message.contains("BucketNotFound"), "{error}");
}

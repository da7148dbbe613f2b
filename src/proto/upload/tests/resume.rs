//! Tests of `--resume`: which parts are sent again, what is committed, and what stays open.
//!
//! Owns a service that holds parts of an earlier run, by number. Must not know how the stream is cut in a
//! real run (`part_plan`). Invariant: whatever the service holds, what is committed is the stream.

use std::collections::BTreeMap;

use super::scripted::{ScriptedRun, abort, meta_of_size, response_lost, stop};
use super::*;
use crate::api::{ExpectedProperties, ListedPart};
use crate::digest::Algorithm;
use crate::upload::UploadCommand;

/// The parts of an upload, and what a run has done with them.
struct Service {
    parts: BTreeMap<u32, (Vec<u8>, String)>,
    sent: Vec<u32>,
    object: Option<Vec<u8>>,
    serial: u32,
    /// A part that another run sends when this run has ended its stream.
    late: Option<(u32, Vec<u8>)>,
}

impl Service {
    fn holding(parts: &[(u32, &[u8])]) -> Service {
        let mut service = Service {
            parts: BTreeMap::new(),
            sent: Vec::new(),
            object: None,
            serial: 0,
            late: None,
        };
        for (number, bytes) in parts {
            service.store(*number, bytes);
        }
        service
    }

    fn store(&mut self, number: u32, bytes: &[u8]) -> String {
        self.serial += 1;
        let etag = format!("etag-{}", self.serial);
        self.parts.insert(number, (bytes.to_vec(), etag.clone()));
        etag
    }

    fn list(&self) -> Vec<ListedPart> {
        let part = |(number, (bytes, etag)): (&u32, &(Vec<u8>, String))| ListedPart {
            part_number: nth(*number),
            etag: etag.clone(),
            size: bytes.len() as u64,
            md5: Some(md5(bytes)),
        };
        self.parts.iter().map(part).collect()
    }

    fn commit(&mut self, upload: &Upload) -> Result<ObjectMeta, Failure> {
        let named: Vec<(u32, String)> =
            upload.commit_parts().map(|(number, etag)| (number.get(), etag.to_owned())).collect();
        let excluded: Vec<u32> = upload.excluded_parts().iter().map(|part| part.get()).collect();
        let valid = named.iter().all(|(number, etag)| {
            self.parts.get(number).is_some_and(|(_, stored)| stored == etag)
                && !excluded.contains(number)
        });
        let all = self.parts.keys().all(|number| {
            excluded.contains(number) || named.iter().any(|(named, _)| named == number)
        });
        if !valid || !all {
            return Err(Model::rejection(400, "InvalidUploadPart"));
        }
        let bytes = |(number, _): &(u32, String)| self.parts[number].0.clone();
        let object: Vec<u8> = named.iter().flat_map(bytes).collect();
        let meta = meta_of_size("object", object.len() as u64);
        self.object = Some(object);
        Ok(meta)
    }
}

fn md5(bytes: &[u8]) -> String {
    digest::part(Algorithm::Md5, &[Bytes::copy_from_slice(bytes)]).value.unwrap().base64()
}

fn config(held: Option<Vec<ListedPart>>) -> UploadConfig {
    let continued = held.map(|parts| ContinuedUpload {
        upload_id: "u".to_owned(),
        parts,
        properties: ExpectedProperties::default(),
    });
    let mut config = test_config(1, 3);
    config.resume = Some(ResumeConfig { continued });
    config.messages.resume_command = Some(UploadCommand::new("RESUME ", ""));
    config
}

/// Continues the upload with a stream that is cut into these parts, to the end of the run.
fn resume(service: &mut Service, stream: &[&[u8]]) -> Result<StoredObject, Error> {
    let mut upload = Upload::new(config(Some(service.list())));
    let whole = stream.concat();
    let mut events: std::collections::VecDeque<Event> = stream
        .iter()
        .zip(1..)
        .map(|(part, number)| Event::Part { number: nth(number), digest: digest_of(part) })
        .collect();
    events.push_back(Event::EndOfStream {
        bytes: whole.len() as u64,
        crc32: crc32fast::hash(&whole),
    });
    let mut now = Duration::ZERO;
    loop {
        while let Some(action) = upload.poll_action() {
            let done = |call, result| Event::CallDone { call, result };
            match action {
                Action::Rehash(number) => {
                    let bytes = stream[number.index()];
                    let md5 = digest::md5_of(&[Bytes::copy_from_slice(bytes)]);
                    events.push_front(Event::Rehashed { number, digest: digest_of(bytes), md5 });
                }
                Action::StartCall(ApiCall::Part(number)) => {
                    let bytes = stream[number.index()];
                    let etag = service.store(number.get(), bytes);
                    service.sent.push(number.get());
                    let mut meta = response_meta(&etag, &Bytes::copy_from_slice(bytes));
                    meta.content.md5 = Some(md5(bytes));
                    let stored = Outcome::Stored { meta, crc32: crc32fast::hash(bytes) };
                    events.push_front(done(ApiCall::Part(number), Ok(stored)));
                }
                Action::StartCall(ApiCall::ListParts) => {
                    if let Some((number, bytes)) = service.late.take() {
                        service.store(number, &bytes);
                    }
                    events.push_back(done(ApiCall::ListParts, Ok(Outcome::Parts(service.list()))));
                }
                Action::StartCall(ApiCall::Commit) => {
                    let result = service.commit(&upload).map(Outcome::Committed);
                    events.push_back(done(ApiCall::Commit, result));
                }
                Action::StartCall(ApiCall::Head) => {
                    let size = service.object.as_ref().unwrap().len() as u64;
                    let meta = meta_of_size("object", size);
                    events.push_back(done(ApiCall::Head, Ok(Outcome::Object(meta))));
                }
                Action::StartCall(call) => panic!("{call:?} is not expected"),
                Action::Finish(result) => return result,
                _ => {}
            }
        }
        match events.pop_front() {
            Some(event) => upload.handle_event(now, event),
            None => {
                now = upload.poll_timeout().expect("a run waits for something");
                upload.handle_timeout(now);
            }
        }
    }
}

fn digest_of(bytes: &[u8]) -> PartDigest {
    digest::part(Algorithm::Sha256, &[Bytes::copy_from_slice(bytes)])
}

#[track_caller]
fn check(held: &[(u32, &[u8])], stream: &[&[u8]], sent: &[u32]) {
    let mut service = Service::holding(held);
    let stored = resume(&mut service, stream).unwrap();
    assert_eq!(service.object.unwrap(), stream.concat());
    service.sent.sort_unstable();
    assert_eq!(service.sent, sent);
    assert_eq!((stored.parts as usize, stored.upload_id.as_deref()), (stream.len(), Some("u")));
}

const STREAM: [&[u8]; 4] = [b"aaa", b"bbb", b"ccc", b"dd"];

#[test]
fn parts_that_the_service_holds_are_not_sent_again() {
    check(&[], &STREAM, &[1, 2, 3, 4]);
    check(&[(1, b"aaa"), (2, b"bbb")], &STREAM, &[3, 4]);
    check(&[(1, b"aaa"), (2, b"bbb"), (3, b"ccc"), (4, b"dd")], &STREAM, &[]);
}

#[test]
fn holes_are_sent_and_what_is_behind_them_is_used() {
    check(&[(2, b"bbb"), (4, b"dd")], &STREAM, &[1, 3]);
}

#[test]
fn another_stream_replaces_what_differs() {
    // From byte 4 on.
    check(&[(1, b"aaa"), (2, b"bbb"), (3, b"ccc")], &[b"aaa", b"bXX", b"XXX"], &[2, 3]);
    // Another cut.
    check(&[(1, b"aa"), (2, b"ab"), (3, b"bb")], &STREAM, &[1, 2, 3, 4]);
    // Equal sizes and other bytes.
    check(&[(1, b"aab")], &STREAM, &[1, 2, 3, 4]);
}

#[test]
fn parts_beyond_the_end_of_a_shorter_stream_are_left_out() {
    check(&[(1, b"aaa"), (2, b"bbb"), (3, b"ccc"), (9, b"x")], &[b"aaa", b"b"], &[2]);
    // A stream of one part is committed, and not put.
    check(&[(1, b"aaa"), (2, b"bbb")], &[b"a"], &[1]);
}

#[test]
fn a_longer_stream_sends_what_is_behind_the_held_parts() {
    check(&[(1, b"aaa"), (2, b"b")], &STREAM, &[2, 3, 4]);
}

#[test]
fn a_part_that_another_run_sends_meanwhile_ends_the_run_and_nothing_is_mixed() {
    for late in [(2, b"XXX".to_vec()), (7, b"x".to_vec()), (3, b"cc".to_vec())] {
        let mut service = Service::holding(&[(1, b"aaa"), (2, b"bbb")]);
        service.late = Some(late);
        let error = resume(&mut service, &STREAM).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Exists);
        assert!(error.message.contains("another run"), "{error}");
        assert!(error.hint.unwrap().contains("RESUME u"));
        assert_eq!(service.object, None);
    }
}

#[test]
fn a_late_part_of_the_same_bytes_is_committed_with_its_new_etag() {
    let mut service = Service::holding(&[(1, b"aaa"), (2, b"bbb")]);
    service.late = Some((2, b"bbb".to_vec()));
    resume(&mut service, &STREAM).unwrap();
    assert_eq!(service.object.unwrap(), STREAM.concat());
}

#[test]
fn whatever_is_held_the_committed_object_is_the_stream() {
    for seed in 0..2_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let part = |rng: &mut fastrand::Rng| vec![rng.u8(..2); rng.usize(1..3)];
        let stream: Vec<Vec<u8>> = (0..rng.usize(1..8)).map(|_| part(&mut rng)).collect();
        let mut held: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        for number in 1..=10 {
            match rng.u8(..3) {
                0 => {}
                1 => drop(held.insert(number, part(&mut rng))),
                _ => {
                    let same = stream.get(number as usize - 1).cloned();
                    held.extend(same.map(|bytes| (number, bytes)));
                }
            }
        }
        let slices: Vec<&[u8]> = stream.iter().map(Vec::as_slice).collect();
        let parts: Vec<(u32, &[u8])> =
            held.iter().map(|(number, bytes)| (*number, bytes.as_slice())).collect();
        let mut service = Service::holding(&parts);
        resume(&mut service, &slices).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(service.object.unwrap(), stream.concat(), "seed {seed}");
        for number in service.sent {
            let equal = held.get(&number) == stream.get(number as usize - 1);
            assert!(!equal, "seed {seed}: part {number} was sent again");
        }
    }
}

/// A run that continues an upload without parts, and has two parts in flight.
fn sending(config: UploadConfig) -> ScriptedRun {
    let mut run = ScriptedRun::new(config);
    for number in [1, 2] {
        run.handle_event(Event::Part { number: nth(number), digest: digest_of(b"abc") });
    }
    run
}

#[test]
fn an_upload_stays_open_after_a_signal_and_a_refusal_and_is_named() {
    for end in [None, Some(400)] {
        let mut run = sending(config(Some(Vec::new())));
        match end {
            None => run.handle_event(stop()),
            Some(status) => run.reject(ApiCall::Part(nth(1)), status, "InvalidParameter"),
        }
        assert!(!run.calls.contains(&abort()));
        let error = run.result().as_ref().unwrap_err();
        assert!(error.hint.as_ref().unwrap().contains("RESUME u"), "{error}");
    }
}

#[test]
fn a_failed_source_aborts_only_the_upload_that_the_run_began() {
    let mut run = ScriptedRun::new(config(None));
    run.start_create();
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    run.handle_event(Event::SourceFailed(Error::source("broken")));
    assert_eq!(run.last_call(), &abort());
    let mut run = sending(config(Some(Vec::new())));
    run.handle_event(Event::SourceFailed(Error::source("broken")));
    assert!(!run.calls.contains(&abort()));
    assert_eq!(run.error_kind(), ErrorKind::Source);
    // A begun upload stays open after a signal.
    let mut run = ScriptedRun::new(config(None));
    run.start_create();
    run.succeed(ApiCall::Create, Outcome::Created { upload_id: "u".to_owned() });
    run.handle_event(stop());
    assert!(!run.calls.contains(&abort()));
    assert_eq!(run.error_kind(), ErrorKind::Signal(15));
}

#[test]
fn an_upload_that_another_run_has_ended_is_exit_6_and_not_called_open() {
    let mut run = sending(config(Some(Vec::new())));
    run.reject(ApiCall::Part(nth(1)), 404, "UploadNotFound");
    assert_eq!(run.error_kind(), ErrorKind::Exists);
    let error = run.result().as_ref().unwrap_err().to_string();
    assert!(!error.contains("RESUME"), "{error}");
}

#[test]
fn an_unknown_outcome_stays_unknown_and_aborts_nothing() {
    let mut service = Service::holding(&[(1, b"abc")]);
    let mut run = ScriptedRun::new(config(Some(service.list())));
    let md5 = digest::md5_of(&[Bytes::from_static(b"abc")]);
    run.handle_event(Event::Part { number: nth(1), digest: digest_of(b"abc") });
    run.handle_event(Event::EndOfStream { bytes: 3, crc32: crc32fast::hash(b"abc") });
    run.handle_event(Event::Rehashed { number: nth(1), digest: digest_of(b"abc"), md5 });
    run.succeed(ApiCall::ListParts, Outcome::Parts(service.list()));
    assert_eq!(run.last_call(), &ApiCall::Commit);
    run.fail(ApiCall::Commit, response_lost());
    run.wait();
    run.reject(ApiCall::Head, 404, "ObjectNotFound");
    run.succeed(ApiCall::ListParts, Outcome::Parts(service.list()));
    run.wait();
    run.reject(ApiCall::Commit, 400, "InvalidParameter");
    // The look-ups show an open upload: only an abort would prove that nothing was committed.
    for _ in 0..10 {
        if run.finish.is_some() {
            break;
        }
        match run.calls.last().unwrap() {
            ApiCall::Head => run.reject(ApiCall::Head, 404, "ObjectNotFound"),
            _ => run.succeed(ApiCall::ListParts, Outcome::Parts(service.list())),
        }
    }
    assert!(!run.calls.contains(&abort()));
    assert_eq!(run.error_kind(), ErrorKind::OutcomeUnknown);
    service.sent.clear();
}

//! The machine against a small model of the service, in virtual time.
//!
//! The model is written from the service's documentation and shares nothing with the machine. Each
//! run is made of a seed; a failing seed is printed and replays exactly.

use std::time::Duration;

use bytes::Bytes;

mod confirm;
mod harness;
mod lost_response;
pub(crate) mod model;
mod not_found;
mod outage;
mod outage_report;
mod recording;
mod rejection;
mod relist;
mod scripted;
mod signal_hold;
mod simulation;
mod tail_split;
mod token_day_sim;
mod transitions;

use super::*;
use crate::api::{Digests, ObjectMeta};
use crate::digest::{self, Algorithm, Value};
use crate::error::{Error, ErrorKind};
use crate::retry::{Failure, Operation};
use crate::transport_error::TransportError;
use harness::{Due, FaultRate, Harness, declined, settings};
use model::{Model, Sent, held};

const SECOND: Duration = Duration::from_secs(1);

const NO_FAULTS: FaultRate = FaultRate { faults: 0, until: Duration::ZERO };

#[test]
fn a_stream_of_many_parts_is_committed_once_and_verified() {
    let mut world = Harness::new(1, 7, NO_FAULTS);
    world.read(world.end());
    let stored = world.run().unwrap();
    assert_eq!((stored.parts, world.commits), (7, 1));
    assert_eq!(stored.evidence.to_string(), "opc-multipart-sha256");
    world.judge(1, &Ok(stored));
}

#[test]
fn a_short_stream_is_one_put_and_no_upload() {
    let mut world = Harness::new(1, 1, NO_FAULTS);
    world.read(world.end());
    let stored = world.run().unwrap();
    assert_eq!((stored.parts, stored.upload_id, world.model.made), (1, None, 1));
    assert!(stored.sha256.is_some());
}

#[test]
fn an_empty_stream_is_refused_unless_it_is_allowed() {
    let end = || Event::EndOfStream { bytes: 0, crc32: 0 };
    let mut world = Harness::new(1, 0, NO_FAULTS);
    world.read(end());
    assert_eq!(world.run().unwrap_err().kind, ErrorKind::Source);
    let mut world = Harness::new(1, 0, NO_FAULTS);
    world.configure(|config| config.allow_empty = true);
    world.read(end());
    assert_eq!(world.run().unwrap().size, 0);
}

#[test]
fn a_broken_source_never_leads_to_a_commit_and_leaves_no_upload() {
    for seed in 0..50 {
        let mut world = Harness::new(seed, 1 + seed as usize % 6, NO_FAULTS);
        world.read(Event::SourceFailed(Error::source("killed")));
        let result = world.run();
        assert_eq!(result.as_ref().unwrap_err().kind, ErrorKind::Source);
        assert_eq!(world.commits, 0);
        world.judge(seed, &result);
    }
}

#[test]
fn whatever_passes_never_loses_the_stream() {
    for seed in 0..3000 {
        let fault_rate = FaultRate { faults: 40, until: Duration::from_secs(1200) };
        let mut world = Harness::new(seed, 1 + seed as usize % 9, fault_rate);
        world.read(world.end());
        let result = world.run();
        world.judge(seed, &result);
        if let Err(error) = result {
            assert_eq!(error.kind, ErrorKind::OutcomeUnknown, "seed {seed}: {error}");
        }
    }
}

#[test]
fn patience_ends_in_an_error_and_never_before_it_is_over() {
    for seed in 0..500 {
        let fault_rate = FaultRate { faults: 100, until: Duration::from_secs(1 << 30) };
        let mut world = Harness::new(seed, 1 + seed as usize % 5, fault_rate);
        world.read(world.end());
        let result = world.run();
        world.judge(seed, &result);
        // A commit that landed although its answer was lost may have been found out by then.
        if result.is_err() {
            assert!(
                world.now >= Duration::from_secs(3600),
                "seed {seed}: gave up at {:?}",
                world.now
            );
        }
    }
}

#[test]
fn a_signal_at_any_moment_ends_within_ten_seconds_and_leaves_nothing_false() {
    for seed in 0..3000 {
        let fault_rate = FaultRate { faults: seed as u32 % 60, until: Duration::from_secs(600) };
        let mut world = Harness::new(seed, 1 + seed as usize % 6, fault_rate);
        world.read(world.end());
        let at = Duration::from_millis(world.rng.u64(..20_000));
        let stop = Error::new(ErrorKind::Signal(15), "stopped by SIGTERM");
        world.after(at, Due::Event(Event::Stop(stop)));
        let result = world.run();
        world.judge(seed, &result);
        assert!(world.now <= at + 10 * SECOND, "seed {seed}: {:?} after it", world.now - at);
    }
}

#[test]
fn a_wrong_checksum_in_an_answer_is_an_integrity_failure() {
    let mut upload = Upload::new(settings(1, 2));
    let body = Bytes::from_static(b"abc");
    let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
    upload.handle_event(SECOND, Event::Part { number: 1, digest });
    upload.handle_event(SECOND, Event::MultipartNeeded);
    let created = Outcome::Created { upload_id: "u".to_owned() };
    upload.handle_event(SECOND, Event::CallDone { call: ApiCall::Create, result: Ok(created) });
    let wrong = held("e", &Bytes::from_static(b"abd"), false);
    let stored = Outcome::Stored { meta: wrong, crc32: crc32fast::hash(&body) };
    upload.handle_event(SECOND, Event::CallDone { call: ApiCall::Part(1), result: Ok(stored) });
    upload.handle_event(
        SECOND,
        Event::CallDone { call: scripted::abort(), result: Ok(Outcome::Removed) },
    );
    let finish = std::iter::from_fn(|| upload.poll_action()).find_map(|action| match action {
        Action::Finish(result) => Some(result),
        _ => None,
    });
    assert_eq!(finish.unwrap().unwrap_err().kind, ErrorKind::Integrity);
}

#[test]
fn a_buffer_that_changed_between_reading_and_sending_is_caught_before_the_commit() {
    let mut parts = parts::Parts::new(2);
    let body = Bytes::from_static(b"abc");
    parts.add(1, digest::part(Algorithm::None, std::slice::from_ref(&body)));
    assert_eq!(parts.next_to_send(SECOND), Some(1));
    let error =
        parts.on_response(SECOND, 1, held("e", &body, false), 7, Algorithm::None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Integrity);
}

#[test]
fn a_certificate_that_was_never_trusted_ends_the_run_and_a_later_one_is_waited_out() {
    for (answered, ends) in [(false, true), (true, false)] {
        let mut upload = Upload::new(UploadConfig { service_seen: answered, ..settings(1, 2) });
        let digest = digest::part(Algorithm::Sha256, &[Bytes::from_static(b"abc")]);
        upload.handle_event(SECOND, Event::Part { number: 1, digest });
        upload.handle_event(SECOND, Event::MultipartNeeded);
        let failure = Failure::Transport {
            kind: TransportError::UntrustedCertificate,
            text: "who?".to_owned(),
        };
        upload
            .handle_event(SECOND, Event::CallDone { call: ApiCall::Create, result: Err(failure) });
        let mut actions = std::iter::from_fn(|| upload.poll_action());
        assert_eq!(actions.any(|action| matches!(action, Action::Finish(Err(_)))), ends);
    }
}

#[test]
fn a_signal_takes_back_a_put_that_only_waits_to_be_tried_again() {
    let mut upload = Upload::new(settings(1, 2));
    let body = Bytes::from_static(b"abc");
    let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
    upload.handle_event(SECOND, Event::Part { number: 1, digest });
    upload.handle_event(SECOND, Event::EndOfStream { bytes: 3, crc32: crc32fast::hash(&body) });
    let failure = Failure::Transport { kind: TransportError::Connect, text: "refused".to_owned() };
    upload.handle_event(SECOND, Event::CallDone { call: ApiCall::Put, result: Err(failure) });
    upload
        .handle_event(SECOND, Event::Stop(Error::new(ErrorKind::Signal(15), "stopped by SIGTERM")));
    let finish = std::iter::from_fn(|| upload.poll_action()).find_map(|action| match action {
        Action::Finish(result) => Some(result),
        _ => None,
    });
    assert_eq!(finish.unwrap().unwrap_err().kind, ErrorKind::Signal(15));
}

#[test]
fn giving_up_on_a_lost_commit_is_no_certain_failure_unless_the_upload_was_aborted() {
    for (aborted, kind) in [(true, ErrorKind::Service), (false, ErrorKind::OutcomeUnknown)] {
        let mut upload = Upload::new(settings(1, 2));
        let body = Bytes::from_static(b"abc");
        let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
        upload.handle_event(SECOND, Event::Part { number: 1, digest });
        upload.handle_event(SECOND, Event::MultipartNeeded);
        upload.handle_event(SECOND, Event::EndOfStream { bytes: 3, crc32: crc32fast::hash(&body) });
        let refused = |status, code| Err(Model::refuse(status, code));
        let mut commits = 0;
        let (mut now, mut finish) = (SECOND, None);
        while finish.is_none() {
            let Some(action) = upload.poll_action() else {
                now = now.max(upload.poll_timeout().expect("it waits for something"));
                upload.handle_timeout(now);
                continue;
            };
            let call = match action {
                Action::StartCall(call) => call,
                Action::Finish(result) => {
                    finish = Some(result);
                    continue;
                }
                _ => continue,
            };
            let result = match &call {
                ApiCall::Create => Ok(Outcome::Created { upload_id: "u".to_owned() }),
                ApiCall::Part(_) => Ok(Outcome::Stored {
                    meta: held("e", &body, false),
                    crc32: crc32fast::hash(&body),
                }),
                ApiCall::Commit => {
                    commits += 1;
                    let lost = Failure::Transport {
                        kind: TransportError::ResponseLost,
                        text: String::new(),
                    };
                    if commits == 1 { Err(lost) } else { refused(503, "ServiceUnavailable") }
                }
                ApiCall::Head => refused(404, ""),
                ApiCall::ListParts => Ok(Outcome::Parts(Vec::new())),
                ApiCall::Abort { .. } if aborted => Ok(Outcome::Removed),
                _ => refused(503, "ServiceUnavailable"),
            };
            upload.handle_event(now, Event::CallDone { call, result });
        }
        assert_eq!(finish.unwrap().unwrap_err().kind, kind, "aborted: {aborted}");
    }
}

#[test]
fn a_stream_whose_checksum_is_not_that_of_what_was_sent_is_not_committed() {
    let mut world = Harness::new(1, 5, NO_FAULTS);
    let whole = world.whole();
    world
        .read(Event::EndOfStream { bytes: whole.len() as u64, crc32: crc32fast::hash(&whole) ^ 1 });
    let result = world.run();
    assert_eq!(result.as_ref().unwrap_err().kind, ErrorKind::Integrity);
    assert_eq!(world.commits, 0);
    world.judge(1, &result);
}

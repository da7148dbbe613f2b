//! Tests of the upload state machine in virtual time, against a model of the service.
//!
//! Owns the tests of whole runs; each file beside it has the tests of one subject. Must not know
//! sockets, files or clocks. Invariant: a run is made from a seed, and a failing test prints it.

use std::time::Duration;

use bytes::Bytes;

mod activity;
mod algorithms;
mod attempts;
mod auto;
mod confirm;
mod conflict;
mod continued;
mod exploration;
mod faults;
mod harness;
mod late_answers;
mod lost_response;
pub(crate) mod model;
mod not_found;
mod outage;
mod outage_report;
mod par;
mod put;
mod recording;
mod rejection;
mod relist;
mod resume;
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
use crate::part_number::PartNumber;
use crate::retry::{BucketStatus, Failure, Operation};
use crate::transport_error::TransportError;
use faults::{FaultRate, bucket_not_found, transport_failure};
use harness::{Harness, Scheduled, test_config};
use model::{Model, SentRequest, head_meta, listed_upload, response_meta};

/// The number of a part.
fn nth(number: u32) -> PartNumber {
    PartNumber::new(number).expect("a part number")
}

const SECOND: Duration = Duration::from_secs(1);

const NO_FAULTS: FaultRate = FaultRate { percent: 0, until: Duration::ZERO };

#[test]
fn a_stream_of_many_parts_is_committed_once_and_verified() {
    let mut harness = Harness::new(1, 7, NO_FAULTS);
    harness.schedule_stream(harness.end_of_stream());
    let stored = harness.run().unwrap();
    assert_eq!((stored.parts, harness.commits), (7, 1));
    assert_eq!(stored.evidence.to_string(), "opc-multipart-sha256");
    harness.check_result(1, &Ok(stored));
}

#[test]
fn a_short_stream_is_one_put_and_no_upload() {
    let mut harness = Harness::new(1, 1, NO_FAULTS);
    harness.schedule_stream(harness.end_of_stream());
    let stored = harness.run().unwrap();
    assert_eq!((stored.parts, stored.upload_id, harness.model.assigned), (1, None, 1));
    assert!(stored.sha256.is_some());
}

#[test]
fn an_empty_stream_is_rejected_unless_it_is_allowed() {
    let end = || Event::EndOfStream { bytes: 0, crc32: 0 };
    let mut harness = Harness::new(1, 0, NO_FAULTS);
    harness.schedule_stream(end());
    assert_eq!(harness.run().unwrap_err().kind, ErrorKind::Source);
    let mut harness = Harness::new(1, 0, NO_FAULTS);
    harness.configure(|config| config.allow_empty = true);
    harness.schedule_stream(end());
    assert_eq!(harness.run().unwrap().size, 0);
}

#[test]
fn a_failed_source_never_leads_to_a_commit_and_leaves_no_upload() {
    for seed in 0..50 {
        let mut harness = Harness::new(seed, 1 + seed as usize % 6, NO_FAULTS);
        harness.schedule_stream(Event::SourceFailed(Error::source("killed")));
        let result = harness.run();
        assert_eq!(result.as_ref().unwrap_err().kind, ErrorKind::Source);
        assert_eq!(harness.commits, 0);
        harness.check_result(seed, &result);
    }
}

#[test]
fn transient_faults_never_lose_the_stream() {
    for seed in 0..3000 {
        let fault_rate = FaultRate { percent: 40, until: Duration::from_secs(1200) };
        let mut harness = Harness::new(seed, 1 + seed as usize % 9, fault_rate);
        harness.schedule_stream(harness.end_of_stream());
        let result = harness.run();
        harness.check_result(seed, &result);
        if let Err(error) = result {
            assert_eq!(error.kind, ErrorKind::OutcomeUnknown, "seed {seed}: {error}");
        }
    }
}

#[test]
fn an_upload_fails_only_after_its_retry_budget_is_exhausted() {
    for seed in 0..500 {
        let fault_rate = FaultRate { percent: 100, until: Duration::from_secs(1 << 30) };
        let mut harness = Harness::new(seed, 1 + seed as usize % 5, fault_rate);
        harness.schedule_stream(harness.end_of_stream());
        let result = harness.run();
        harness.check_result(seed, &result);
        // A commit whose response was lost may have been resolved as a success.
        if result.is_err() {
            assert!(
                harness.now >= Duration::from_secs(3600),
                "seed {seed}: it ended at {:?}",
                harness.now
            );
        }
    }
}

#[test]
fn a_signal_at_any_time_ends_the_run_within_ten_seconds_with_a_true_result() {
    for seed in 0..3000 {
        let fault_rate = FaultRate { percent: seed as u32 % 60, until: Duration::from_secs(600) };
        let mut harness = Harness::new(seed, 1 + seed as usize % 6, fault_rate);
        harness.schedule_stream(harness.end_of_stream());
        let at = Duration::from_millis(harness.rng.u64(..20_000));
        harness.schedule(at, Scheduled::Event(scripted::stop()));
        let result = harness.run();
        harness.check_result(seed, &result);
        assert!(
            harness.now <= at + 10 * SECOND,
            "seed {seed}: {:?} after the signal",
            harness.now - at
        );
    }
}

#[test]
fn a_wrong_checksum_in_a_response_is_an_integrity_failure() {
    let mut upload = Upload::new(test_config(1, 2));
    let body = Bytes::from_static(b"abc");
    let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
    upload.handle_event(SECOND, Event::Part { number: nth(1), digest });
    upload.handle_event(SECOND, Event::MultipartNeeded);
    let created = Outcome::Created { upload_id: "u".to_owned() };
    upload.handle_event(SECOND, Event::CallDone { call: ApiCall::Create, result: Ok(created) });
    let wrong = response_meta("e", &Bytes::from_static(b"abd"));
    let stored = Outcome::Stored { meta: wrong, crc32: crc32fast::hash(&body) };
    upload
        .handle_event(SECOND, Event::CallDone { call: ApiCall::Part(nth(1)), result: Ok(stored) });
    upload.handle_event(
        SECOND,
        Event::CallDone { call: scripted::abort(), result: Ok(Outcome::Removed) },
    );
    let result = scripted::take_result(&mut upload);
    assert_eq!(result.unwrap().unwrap_err().kind, ErrorKind::Integrity);
}

#[test]
fn a_buffer_that_changed_between_reading_and_sending_is_detected_before_the_commit() {
    let mut parts = parts::Parts::continuing(2, Vec::new());
    let body = Bytes::from_static(b"abc");
    parts.add(nth(1), digest::part(Algorithm::None, std::slice::from_ref(&body)));
    assert_eq!(parts.next_to_send(SECOND), Some(nth(1)));
    let checks = parts::PartChecks { algorithm: Algorithm::None, always_md5: false };
    let error =
        parts.on_response(SECOND, nth(1), response_meta("e", &body), 7, checks).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Integrity);
}

#[test]
fn an_untrusted_certificate_ends_the_run_at_first_contact_and_is_retried_later() {
    for (service_seen, ends) in [(false, true), (true, false)] {
        let mut upload = Upload::new(UploadConfig { service_seen, ..test_config(1, 2) });
        let digest = digest::part(Algorithm::Sha256, &[Bytes::from_static(b"abc")]);
        upload.handle_event(SECOND, Event::Part { number: nth(1), digest });
        upload.handle_event(SECOND, Event::MultipartNeeded);
        let failure = transport_failure(TransportError::UntrustedCertificate, "unknown issuer");
        upload
            .handle_event(SECOND, Event::CallDone { call: ApiCall::Create, result: Err(failure) });
        let mut actions = std::iter::from_fn(|| upload.poll_action());
        assert_eq!(actions.any(|action| matches!(action, Action::Finish(Err(_)))), ends);
    }
}

#[test]
fn a_refusal_of_the_proxy_during_the_stream_is_reported_with_what_ends_it() {
    let mut upload = Upload::new(UploadConfig { service_seen: true, ..test_config(1, 2) });
    let digest = digest::part(Algorithm::Sha256, &[Bytes::from_static(b"abc")]);
    upload.handle_event(SECOND, Event::Part { number: nth(1), digest });
    upload.handle_event(SECOND, Event::MultipartNeeded);
    let failure = transport_failure(TransportError::ProxyRefused, "the proxy p:1 forbids it (403)");
    upload.handle_event(SECOND, Event::CallDone { call: ApiCall::Create, result: Err(failure) });
    let warning = std::iter::from_fn(|| upload.poll_action()).find_map(|action| match action {
        Action::Warn(warning) => Some(warning.text),
        _ => None,
    });
    let text = warning.unwrap();
    for part in ["p:1 forbids it (403)", "rules of the proxy", "NO_PROXY", "trying again for up to"]
    {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_signal_cancels_a_put_that_waits_for_its_next_attempt() {
    let mut upload = Upload::new(test_config(1, 2));
    let body = Bytes::from_static(b"abc");
    let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
    upload.handle_event(SECOND, Event::Part { number: nth(1), digest });
    upload.handle_event(SECOND, Event::EndOfStream { bytes: 3, crc32: crc32fast::hash(&body) });
    let failure = transport_failure(TransportError::Connect, "refused");
    upload.handle_event(SECOND, Event::CallDone { call: ApiCall::Put, result: Err(failure) });
    upload.handle_event(SECOND, scripted::stop());
    let result = scripted::take_result(&mut upload);
    assert_eq!(result.unwrap().unwrap_err().kind, ErrorKind::Signal(15));
}

fn unavailable() -> Failure {
    Model::rejection(503, "ServiceUnavailable")
}

#[test]
fn a_commit_whose_response_was_lost_fails_for_certain_only_if_its_upload_was_aborted() {
    for (aborted, kind) in [(true, ErrorKind::Service), (false, ErrorKind::OutcomeUnknown)] {
        let mut upload = Upload::new(test_config(1, 2));
        let body = Bytes::from_static(b"abc");
        let digest = digest::part(Algorithm::Sha256, std::slice::from_ref(&body));
        upload.handle_event(SECOND, Event::Part { number: nth(1), digest });
        upload.handle_event(SECOND, Event::MultipartNeeded);
        upload.handle_event(SECOND, Event::EndOfStream { bytes: 3, crc32: crc32fast::hash(&body) });
        let mut commits = 0;
        let (mut now, mut finish) = (SECOND, None);
        while finish.is_none() {
            let Some(action) = upload.poll_action() else {
                now = now.max(upload.poll_timeout().expect("a timer runs"));
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
                    meta: response_meta("e", &body),
                    crc32: crc32fast::hash(&body),
                }),
                ApiCall::Commit => {
                    commits += 1;
                    Err(if commits == 1 { scripted::response_lost() } else { unavailable() })
                }
                ApiCall::Head => Err(Model::rejection(404, "")),
                ApiCall::ListParts => Ok(Outcome::Parts(Vec::new())),
                ApiCall::Abort { .. } if aborted => Ok(Outcome::Removed),
                _ => Err(unavailable()),
            };
            upload.handle_event(now, Event::CallDone { call, result });
        }
        assert_eq!(finish.unwrap().unwrap_err().kind, kind, "aborted: {aborted}");
    }
}

#[test]
fn a_stream_whose_checksum_differs_from_that_of_its_parts_is_not_committed() {
    let mut harness = Harness::new(1, 5, NO_FAULTS);
    let stream = harness.stream_bytes();
    harness.schedule_stream(Event::EndOfStream {
        bytes: stream.len() as u64,
        crc32: crc32fast::hash(&stream) ^ 1,
    });
    let result = harness.run();
    assert_eq!(result.as_ref().unwrap_err().kind, ErrorKind::Integrity);
    assert_eq!(harness.commits, 0);
    harness.check_result(1, &result);
}

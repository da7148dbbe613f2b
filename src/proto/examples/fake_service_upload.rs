//! Drives an upload of three parts with a fake service: its part 2 fails once, and the upload retries it.
//!
//! A real driver has the same loop. It reads the stream into buffers, performs the calls as tasks, and
//! sleeps until the next of their results or `poll_timeout`.
//!
//! `cargo run -p ocipipe-proto --example fake_service_upload`; `cargo test` runs it too.

use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use ocipipe_proto::api::{Digests, ErrorResponse, ObjectMeta};
use ocipipe_proto::digest::{self, Algorithm, PartDigest, Value};
use ocipipe_proto::part_number::PartNumber;
use ocipipe_proto::retry::Failure;
use ocipipe_proto::upload::{Action, ApiCall, Event, Outcome, Upload, UploadConfig};

const PARTS: [&[u8]; 3] = [b"one stream ", b"becomes ", b"one object"];

fn digest_of(bytes: &'static [u8]) -> PartDigest {
    digest::part(Algorithm::Sha256, &[Bytes::from_static(bytes)])
}

/// What the service reports: an etag, and the digest that it computed of the bytes it got.
fn meta(etag: &str, content: Digests, multipart: Digests) -> ObjectMeta {
    ObjectMeta { etag: Some(etag.to_owned()), content, multipart, ..ObjectMeta::default() }
}

/// The response of a service that holds the object of `PARTS`. `calls` counts the calls before.
fn perform(call: &ApiCall, calls: usize) -> Result<Outcome, Failure> {
    let sha256 = |text| Digests { sha256: Some(text), ..Digests::default() };
    let values: Vec<Value> = PARTS.iter().filter_map(|part| digest_of(part).value).collect();
    let object = || {
        let whole = sha256(digest::multipart(Algorithm::Sha256, &values));
        let size = Some(PARTS.concat().len() as u64);
        ObjectMeta { size, ..meta("the-object", Digests::default(), whole) }
    };
    match call {
        ApiCall::Create => Ok(Outcome::Created { upload_id: "an-upload".to_owned() }),
        ApiCall::Part(number) if number.get() == 2 && calls < 4 => {
            let busy = ErrorResponse { status: 503, ..ErrorResponse::default() };
            Err(Failure::ErrorResponse(busy))
        }
        ApiCall::Part(number) => {
            let part = digest_of(PARTS[number.index()]);
            let text = part.value.as_ref().map(Value::base64).unwrap_or_default();
            let meta = meta(&format!("part-{number}"), sha256(text), Digests::default());
            Ok(Outcome::Stored { meta, crc32: part.crc32 })
        }
        ApiCall::Commit => Ok(Outcome::Committed(object())),
        ApiCall::Head => Ok(Outcome::Object(object())),
        other => panic!("this run makes no such call: {other:?}"),
    }
}

#[cfg_attr(test, test)]
fn main() -> Result<(), Box<dyn Error>> {
    // Two parts in flight. The stream comes first: in a real driver the reader sends these events.
    let mut upload = Upload::new(UploadConfig::plain(2));
    let mut events = VecDeque::from([Event::MultipartNeeded]);
    for (number, bytes) in (1..).zip(PARTS) {
        let number = PartNumber::new(number).ok_or("a part number is from 1 to 10,000")?;
        events.push_back(Event::Part { number, digest: digest_of(bytes) });
    }
    let whole = PARTS.concat();
    events.push_back(Event::EndOfStream {
        bytes: whole.len() as u64,
        crc32: digest::part(Algorithm::None, &[Bytes::from(whole)]).crc32,
    });

    let (mut now, mut calls) = (Duration::ZERO, 0);
    let stored = 'run: loop {
        // 1. What happened goes in. Without an event the time passes to the next timer.
        match events.pop_front() {
            Some(event) => upload.handle_event(now, event),
            None => {
                now = upload.poll_timeout().ok_or("the upload waits for an event")?;
                upload.handle_timeout(now);
            }
        }
        // 2. What to do comes out.
        while let Some(action) = upload.poll_action() {
            match action {
                Action::StartCall(call) => {
                    let result = perform(&call, calls);
                    calls += 1;
                    events.push_back(Event::CallDone { call, result });
                }
                Action::ReleasePart(number) => println!("{now:?}: part {number} is safe"),
                Action::Transition { from, to } => println!("{now:?}: {from} to {to}"),
                Action::Finish(result) => break 'run result?,
                // These concern readers, buffers and messages, which this driver does not have.
                _ => {}
            }
        }
    };

    assert_eq!((stored.size, stored.parts), (29, 3));
    assert_eq!(upload.retries(), 1);
    assert!(now > Duration::ZERO, "the retry waited for its backoff");
    println!("stored and verified by {}", stored.evidence);
    Ok(())
}

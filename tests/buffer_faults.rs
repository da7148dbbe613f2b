//! Faults of the program's own buffers: each is planted between the reading thread and the upload, with
//! each checksum, and one of the gates must catch it before a commit.
//!
//! Knows the table of `bench/NOTES.md` (fault and gate). The reader, the upload, the connections and the
//! service are those of a run; only the events of the reader pass through the test.

#![allow(clippy::unwrap_used)]
// All faults have one signature, and one of them removes a part.
#![allow(clippy::ptr_arg)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::store::Store;
use common::stream::ramp;
use emulator::{Operation, Server};
use ocipipe::internals::auth::environment::Environment;
use ocipipe::internals::auth::options::{AuthMode, ServiceOptions, Setting};
use ocipipe::internals::cli::OutputOptions;
use ocipipe::internals::platform::signals::Signals;
use ocipipe::internals::source::pool::Pool;
use ocipipe::internals::source::{ByteSource, FilledPart, ReadEvent, Reader};
use ocipipe::internals::term::progress::Reporter;
use ocipipe::internals::transfer::client::{Client, Timeouts};
use ocipipe::internals::transfer::upload_driver::{RunningSource, UploadDriver};
use proto::api::{ObjectLocation, PutOptions};
use proto::digest::Algorithm;
use proto::error::{Error, ErrorKind};
use proto::part_number::PartNumber;
use proto::part_plan::PartPlan;
use proto::upload::{StoredObject, Upload, UploadConfig};
use tokio::sync::mpsc;

const BUFFER: usize = 256 << 10;
/// Two buffers.
const PART_SIZE: usize = 2 * BUFFER;
const PARTS: usize = 4;
const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Crc32c, Algorithm::Md5, Algorithm::None];

const AFTER_REFUSAL: &str = "part 2 changed in memory after it was read";
const WHILE_SENDING: &str = "part 2 changed in memory between reading and sending";
const AT_COMMIT: &str = "the CRC of what was read";
const SIZES: &str = "were read, but the parts sum to";

/// The parts of a run, after the fault.
type Plant = fn(&mut Vec<FilledPart>);

/// One bit of a buffer of part 2 is flipped after the part was hashed.
fn overwritten(parts: &mut Vec<FilledPart>) {
    let mut bytes = parts[1].chunks[1].to_vec();
    bytes[BUFFER / 2] ^= 1;
    parts[1].chunks[1] = bytes.into();
}

/// A buffer of part 2 holds the bytes of part 3 already.
fn reused(parts: &mut Vec<FilledPart>) {
    parts[1].chunks[0] = parts[2].chunks[0].clone();
}

/// The two buffers of part 2 have changed places.
fn reordered_within_a_part(parts: &mut Vec<FilledPart>) {
    parts[1].chunks.swap(0, 1);
}

/// The bytes of part 3, with their digest, are sent as part 2, and those of part 2 as part 3.
fn reordered_parts(parts: &mut Vec<FilledPart>) {
    let (first, second) = parts.split_at_mut(2);
    std::mem::swap(&mut first[1].chunks, &mut second[0].chunks);
    std::mem::swap(&mut first[1].digest, &mut second[0].digest);
}

/// A buffer of part 2 is lost, and another one fills its place, so that the length remains the same.
fn lost_within_a_part(parts: &mut Vec<FilledPart>) {
    let other: Bytes = parts[1].chunks[1].clone();
    parts[1].chunks[0] = other;
}

/// Part 2 is lost, and those behind it take its place.
fn lost_part(parts: &mut Vec<FilledPart>) {
    parts.remove(1);
    for (number, part) in PartNumber::all().zip(parts) {
        part.number = number;
    }
}

/// Part 2 is lost, and the bytes of part 3 are sent twice, each time with their digest.
fn lost_part_and_another_one_twice(parts: &mut Vec<FilledPart>) {
    parts[1].chunks = parts[2].chunks.clone();
    parts[1].digest = parts[2].digest.clone();
}

/// Passes the events of the reader on once the stream has ended, with its parts after the fault.
async fn pass_on(
    mut from: mpsc::UnboundedReceiver<ReadEvent>,
    to: mpsc::UnboundedSender<ReadEvent>,
    plant: Plant,
) {
    let (mut parts, mut last) = (Vec::new(), Vec::new());
    while let Some(event) = from.recv().await {
        match event {
            ReadEvent::Part(part) => parts.push(part),
            ReadEvent::EndOfStream { .. } => last.push(event),
            ReadEvent::SourceFailed(error) => panic!("{error}"),
            _ => {}
        }
    }
    assert_eq!(parts.len(), PARTS);
    plant(&mut parts);
    let parts = parts.into_iter().map(ReadEvent::Part);
    for event in std::iter::once(ReadEvent::MultipartNeeded).chain(parts).chain(last) {
        let _ = to.send(event);
    }
}

async fn client(store: &Store) -> Client {
    let service = ServiceOptions {
        auth: Some(AuthMode::SecurityToken),
        profile: Some(Setting::new(Server::SESSION.to_owned(), "--profile")),
        config_file: Some(store.server().config_path()),
        endpoint: Some(Setting::new(store.server().url(), "--endpoint")),
        auth_endpoint: Some(Setting::new(store.server().url(), "--auth-endpoint")),
        ..ServiceOptions::default()
    };
    let quiet = OutputOptions { quiet: true, ..OutputOptions::default() };
    let minute = Duration::from_secs(60);
    let timeouts = Timeouts { retry_for: minute, stall_timeout: minute };
    let reporter = Arc::new(Reporter::new(quiet));
    Client::open_session(&service, &Environment::default(), timeouts, &reporter).await.unwrap()
}

/// The result of an upload whose reader has this fault.
async fn upload(store: &Store, checksum: Algorithm, plant: Plant) -> Result<StoredObject, Error> {
    let stream = store.file("stream", ramp(PARTS * PART_SIZE - 1000));
    let plan = PartPlan::level_plan(BUFFER, PART_SIZE as u64, 4);
    let pool = Pool::new(BUFFER, 2 * PARTS + 1);
    let source = ByteSource::file(&stream).unwrap();
    let mut reader = Reader::start(source, pool, plan, checksum, None).unwrap();
    let (to, events) = mpsc::unbounded_channel();
    tokio::spawn(pass_on(std::mem::replace(&mut reader.events, events), to, plant));
    let location = ObjectLocation {
        namespace: store.server().namespace().to_owned(),
        bucket: "backups".to_owned(),
        object: "x".to_owned(),
    };
    let options = PutOptions { checksum, ..PutOptions::default() };
    let upload = Upload::new(UploadConfig { checksum, ..UploadConfig::plain(4) });
    let client = Arc::new(client(store).await);
    let reporter = client.reporter.clone();
    let mut signals = Signals::subscribe().unwrap();
    let started_at = tokio::time::Instant::now();
    let source = RunningSource { reader, producer: None, expected: None };
    let mut driver = UploadDriver::new(client, location, options, upload, started_at);
    driver.run(source, &mut signals, &reporter).await
}

/// Asserts that this gate catches the fault, and that nothing was committed.
#[track_caller]
fn caught(checksum: Algorithm, plant: Plant, gate: &str) {
    let store = Store::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(upload(&store, checksum, plant)).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind, ErrorKind::Integrity, "{checksum:?}: {text}");
    assert!(text.contains(gate), "{checksum:?}: {text}");
    assert_eq!(store.requests_of(Operation::CommitMultipartUpload).len(), 0, "{checksum:?}");
    assert!(store.object("x").is_none(), "{checksum:?}");
    store.assert_no_open_upload();
}

/// A changed buffer: the service refuses it by the checksum of the part and the digests are computed
/// again. Without a checksum the service takes it, and the CRC of what was sent differs.
#[track_caller]
fn caught_where_it_is_sent(plant: Plant) {
    for checksum in ALGORITHMS {
        let gate = if checksum == Algorithm::None { WHILE_SENDING } else { AFTER_REFUSAL };
        caught(checksum, plant, gate);
    }
}

#[test]
fn without_a_fault_the_stream_is_stored() {
    for checksum in ALGORITHMS {
        let store = Store::start();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(upload(&store, checksum, |_| ())).unwrap();
        assert_eq!(store.object("x").unwrap(), ramp(PARTS * PART_SIZE - 1000));
    }
}

#[test]
fn an_overwritten_buffer_is_caught_with_every_checksum() {
    caught_where_it_is_sent(overwritten);
}

#[test]
fn a_reused_buffer_is_caught_with_every_checksum() {
    caught_where_it_is_sent(reused);
}

#[test]
fn a_reordered_buffer_is_caught_with_every_checksum() {
    caught_where_it_is_sent(reordered_within_a_part);
    for checksum in ALGORITHMS {
        caught(checksum, reordered_parts, AT_COMMIT);
    }
}

#[test]
fn a_lost_buffer_is_caught_with_every_checksum() {
    caught_where_it_is_sent(lost_within_a_part);
    for checksum in ALGORITHMS {
        caught(checksum, lost_part, SIZES);
        caught(checksum, lost_part_and_another_one_twice, AT_COMMIT);
    }
}

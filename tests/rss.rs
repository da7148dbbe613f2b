//! The resident memory of the process.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::store::Store;
use common::stream::{PART, Ramp, ramp};
use emulator::Operation::UploadPart;
use emulator::fault::{Fault, FaultRule};
use rustix::process::Signal;

const MIB: u64 = 1024 * 1024;
/// Memory of the program besides its buffers, in bytes.
const PROGRAM: u64 = 24 * MIB;

#[test]
fn a_short_stream_does_not_cost_the_buffers_of_a_long_one() {
    let store = Store::start();
    let run = store.ocipipe("put oci://backups/short").stdin(ramp(1024));
    let peak = run.run().exits(0).peak;
    assert!(peak < PROGRAM, "{} KiB", peak / 1024);
}

#[test]
fn a_long_stream_to_a_slow_service_stays_below_max_memory() {
    // Buffers are retained until the response, so all allowed ones are in use.
    let slow = Fault::StallAnswer { ms: Some(300) };
    let store = Store::failing([FaultRule::on(UploadPart, slow)]);
    let bound = 64 * MIB;
    let mut run = store
        .ocipipe("put --max-memory 64MiB --expected-size 400MiB oci://backups/long")
        .stdin_pipe()
        .start();
    let mut source = Ramp::default();
    for _ in 0..40 {
        run.write(&source.take(PART));
    }
    let done = run.wait().exits(0);
    assert_eq!(done.receipt()["size"], 40 * PART);
    assert!(done.peak < bound + PROGRAM, "{} MiB", done.peak / MIB);
}

#[test]
fn a_service_without_responses_blocks_the_producer_and_uses_no_more_memory() {
    let store = Store::failing([FaultRule::on(UploadPart, Fault::StallAnswer { ms: None })]);
    let bound = 64 * MIB;
    let mut run = store.ocipipe("put --max-memory 64MiB oci://backups/still").stdin_pipe().start();
    let mut pipe = run.stdin.take().unwrap();
    let written = Arc::new(AtomicU64::new(0));
    let counter = written.clone();
    let producer = std::thread::spawn(move || {
        let piece = ramp(64 * 1024);
        while pipe.write_all(&piece).is_ok() {
            counter.fetch_add(piece.len() as u64, Ordering::SeqCst);
        }
    });
    // A producer that writes nothing for 3 s is blocked; on a slower machine it has written less.
    let mut before = 0;
    loop {
        std::thread::sleep(Duration::from_secs(3));
        let now = written.load(Ordering::SeqCst);
        if (now == before && now > 0) || now > 2 * bound {
            break;
        }
        before = now;
    }
    run.signal(Signal::TERM);
    let done = run.wait_with_open_stdin().fails(143);
    producer.join().unwrap();
    let written = written.load(Ordering::SeqCst);
    assert!(written <= bound + 2 * MIB, "{} MiB were read", written / MIB);
    assert!(done.peak < bound + PROGRAM, "{} MiB", done.peak / MIB);
    store.assert_not_stored("still");
}

//! The memory of the whole process, measured from outside.

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
/// What the program needs besides its buffers.
const PROGRAM: u64 = 24 * MIB;

#[test]
fn a_short_stream_does_not_cost_the_buffers_of_a_long_one() {
    let store = Store::start();
    let run = store.ocipipe("put oci://backups/short").stdin(ramp(1024));
    let peak = run.run().exits(0).peak;
    assert!(peak < PROGRAM, "{} KiB", peak / 1024);
}

#[test]
fn a_long_stream_to_a_slow_service_stays_below_the_bound_it_was_given() {
    // Buffers are held until the answer is there, so every one that is allowed is in use.
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
fn a_service_that_stands_still_holds_the_producer_and_not_more_memory() {
    let store = Store::failing([FaultRule::on(UploadPart, Fault::StallAnswer { ms: None })]);
    let bound = 64 * MIB;
    let mut run = store.ocipipe("put --max-memory 64MiB oci://backups/still").stdin_pipe().start();
    let mut pipe = run.stdin.take().unwrap();
    let taken = Arc::new(AtomicU64::new(0));
    let counted = taken.clone();
    let producer = std::thread::spawn(move || {
        let piece = ramp(64 * 1024);
        while pipe.write_all(&piece).is_ok() {
            counted.fetch_add(piece.len() as u64, Ordering::SeqCst);
        }
    });
    // Standing still for so long is being held; a machine that is slower than that sees less.
    let mut before = 0;
    loop {
        std::thread::sleep(Duration::from_secs(3));
        let now = taken.load(Ordering::SeqCst);
        if (now == before && now > 0) || now > 2 * bound {
            break;
        }
        before = now;
    }
    run.signal(Signal::TERM);
    let done = run.wait_with_open_stdin().fails(143);
    producer.join().unwrap();
    let taken = taken.load(Ordering::SeqCst);
    assert!(taken <= bound + 2 * MIB, "{} MiB were taken", taken / MIB);
    assert!(done.peak < bound + PROGRAM, "{} MiB", done.peak / MIB);
    store.assert_not_stored("still");
}

//! The memory of the whole process, measured from outside.

mod common;

use common::store::Store;
use common::stream::{PART, Ramp, ramp};
use ocipipe::emulator::Operation::UploadPart;
use ocipipe::emulator::fault::{Action, Rule};

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
    let slow = Action::StallAnswer { ms: Some(300) };
    let store = Store::failing([Rule::on(UploadPart, slow)]);
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

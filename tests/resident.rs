//! The memory of the whole process, measured from outside.

mod common;

use common::store::Store;
use common::stream::{PART, Ramp, ramp};

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
fn a_long_stream_stays_below_the_bound_it_was_given() {
    let store = Store::start();
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

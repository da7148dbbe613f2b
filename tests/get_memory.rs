//! The memory of `get`: `--max-memory` bounds all that it buffers, and a slow reader stops the
//! network.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::Read;
use std::time::Duration;

use common::store::Store;
use common::stream::{assert_same, ramp};
use emulator::Operation::GetObject;

const MIB: u64 = 1024 * 1024;
/// Memory of the program besides its buffers, in bytes.
const PROGRAM: u64 = 24 * MIB;

#[test]
fn a_small_object_does_not_cost_the_buffers_of_a_large_one() {
    let store = Store::start();
    store.put("small").stdin(ramp(1024)).run().exits(0);
    let done = store.ocipipe("get --file got oci://backups/small").run().exits(0);
    assert!(done.peak < PROGRAM, "{} KiB", done.peak / 1024);
}

#[test]
fn a_slow_reader_stops_the_network_and_the_memory_stays_below_the_bound() {
    let store = Store::start();
    let sent = ramp(300 * MIB as usize);
    store.put("x").stdin(sent.clone()).run().exits(0);
    // The ranges that fit into the memory, and what a pipe of 1 MiB has taken of one of them.
    for (options, bound, ranges) in
        [("", 256 * MIB, 9), ("--max-memory 32MiB", 32 * MIB, 6), ("--max-memory 2MiB", 2 * MIB, 3)]
    {
        let ranges_before = store.requests_of(GetObject).len();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let run = store
            .ocipipe("get oci://backups/x --stall-timeout 2s --debug")
            .args(options)
            .stdout_to(writer)
            .start();
        let mut received = vec![0; 1000];
        reader.read_exact(&mut received).unwrap();
        // Longer than the stall timeout: the connections are idle, and none is stalled.
        std::thread::sleep(Duration::from_secs(5));
        let asked = store.requests_of(GetObject).len() - ranges_before;
        assert!((1..=ranges).contains(&asked), "{asked} ranges were requested with {options:?}");
        reader.read_to_end(&mut received).unwrap();
        let done = run.wait_with_open_stdin().exits(0).stderr_lacks("no byte moved");
        assert_same(&received, &sent);
        assert!(done.peak < bound + PROGRAM, "{} MiB with {options:?}", done.peak / MIB);
        // What was given is in use.
        assert!(bound < 16 * MIB || done.peak > bound / 2, "{} MiB", done.peak / MIB);
    }
}

#[test]
fn a_request_covers_64_mib_of_a_large_object() {
    let store = Store::start();
    let length = 400 * MIB as usize;
    store.put("x").stdin(ramp(length)).run().exits(0);
    store.ocipipe("get oci://backups/x --file got --parallel-download-count 4").run().exits(0);
    assert_eq!(store.requests_of(GetObject).len(), 400_usize.div_ceil(64));
    assert_same(&std::fs::read(store.folder().join("got")).unwrap(), &ramp(length));
}

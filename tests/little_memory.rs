//! Hosts that refuse memory: at the start, and during a stream.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::limits::{Group, set_soft_limit};
use common::run::{Done, ocipipe};
use common::store::Store;
use common::stream::{PART, Ramp, assert_same, part_sizes, ramp};
use emulator::Operation::UploadPart;
use emulator::fault::{Fault, FaultRule};
use rustix::process::Resource;

const MIB: usize = 1 << 20;

/// A store that answers parts late, so that all available buffers are in use.
fn slow_store() -> Store {
    Store::failing([FaultRule::on(UploadPart, Fault::StallAnswer { ms: Some(700) })])
}

#[track_caller]
fn assert_stored(store: &Store, done: Done, length: usize) -> Done {
    let done = done.exits(0).stderr_lacks("panicked").stderr_lacks("allocation");
    assert_eq!(done.receipt()["size"], length);
    part_sizes(&done.receipt());
    assert_same(&store.object("x").unwrap(), &ramp(length));
    done
}

#[test]
fn an_upload_continues_without_a_refused_buffer() {
    // The options allow more memory than the system.
    for limit in ["--data", "--as"] {
        let store = slow_store();
        let length = 13 * PART + 1;
        // The address space also includes the mappings of the program and its threads.
        let bytes = if limit == "--as" { 500 * MIB } else { 100 * MIB };
        let done = store
            .ocipipe("put oci://backups/x --max-memory 1GiB --part-size 40MiB")
            .wrapped_by(&format!("prlimit {limit}={bytes}"))
            .stdin(ramp(length))
            .run();
        let done = assert_stored(&store, done, length);
        if limit == "--data" {
            done.stderr_has(&["gives no more memory for buffers", "going on with what there is"]);
        }
    }
}

#[test]
fn no_limit_of_the_address_space_is_lost_to_the_heaps_of_threads() {
    // glibc reserves 64 MiB for each thread that has a heap of its own, wherever the limit leaves
    // room for it; with steps of 16 MiB one of the limits would leave too little for the buffers.
    for mebibytes in (160..224).step_by(16) {
        let folder = tempfile::tempdir().unwrap();
        let length = 4 * PART + 1;
        ocipipe(["put", "--local", "local", "oci://b/x", "--part-size", "10MiB"])
            .within(folder.path())
            .wrapped_by(&format!("prlimit --as={}", mebibytes * MIB))
            .stdin(ramp(length))
            .run()
            .exits(0);
        assert_same(&std::fs::read(folder.path().join("local/b/x")).unwrap(), &ramp(length));
    }
}

#[test]
fn less_memory_than_one_buffer_is_enough() {
    let store = Store::start();
    let length = 5 * PART + 1;
    let done = store
        .ocipipe("put oci://backups/x --max-memory 1GiB --part-size 100MiB")
        .wrapped_by(&format!("prlimit --data={}", 64 * MIB))
        .stdin(ramp(length))
        .run();
    assert_stored(&store, done, length);
}

#[test]
fn sizes_are_planned_for_the_limits_of_the_system() {
    for limit in ["--data", "--as"] {
        let store = slow_store();
        let length = 6 * PART;
        let bytes = 480 * MIB;
        let done = store
            .ocipipe("put oci://backups/x")
            .wrapped_by(&format!("prlimit {limit}={bytes}"))
            .stdin(ramp(length))
            .run();
        let done = assert_stored(&store, done, length).stderr_lacks("no more memory");
        // Without a limit the whole stream would be half a part.
        let parts = done.receipt()["parts"].as_u64().unwrap();
        assert!(parts >= 3, "{limit}: {parts} parts");
    }
}

#[test]
fn a_failure_without_any_memory_states_the_reason() {
    let store = Store::start();
    let mut refused = 0;
    for mebibytes in [8, 32] {
        let done = store
            .put("x")
            .arg("--force")
            .wrapped_by(&format!("prlimit --data={}", mebibytes * MIB))
            .stdin(ramp(1000))
            .run();
        match done.status.code() {
            Some(0) => {}
            Some(1) => {
                refused += 1;
                done.stderr_has(&["the system gives no"]).within_seconds(60);
            }
            _ => panic!("{} with {mebibytes} MiB:\n{}", done.status, done.stderr),
        }
    }
    assert!(refused > 0, "no limit was small enough");
    store.assert_no_open_upload();
}

#[test]
fn memory_that_is_refused_for_a_while_in_the_middle_loses_no_stream() {
    for resource in [Resource::Data, Resource::As] {
        let store = slow_store();
        let mut run = store.put("x").args("--max-memory 60MiB").stdin_pipe().start();
        let mut source = Ramp::default();
        run.write(&source.take(2 * PART));
        store.wait_for_requests(UploadPart, 1);
        // Every further mapping is refused.
        set_soft_limit(run.pid(), resource, Some(1));
        let pid = run.pid();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_secs(3));
                set_soft_limit(pid, resource, None);
            });
            run.write(&source.take(6 * PART));
        });
        assert_stored(&store, run.wait(), 8 * PART);
    }
}

#[test]
fn get_works_with_memory_for_one_range() {
    let store = Store::start();
    let length = 5 * 16 * MIB + 1;
    store.put("x").stdin(ramp(length)).run().exits(0);
    let mut read = 0;
    for mebibytes in [24, 48, 64, 80, 160] {
        let done = store
            .ocipipe("get oci://backups/x --file got")
            .wrapped_by(&format!("prlimit --data={}", mebibytes * MIB))
            .run();
        match done.status.code() {
            Some(0) => {
                read += 1;
                assert_same(&std::fs::read(store.folder().join("got")).unwrap(), &ramp(length));
            }
            Some(1) => drop(done.stderr_has(&["gives no memory for"])),
            _ => panic!("{} with {mebibytes} MiB:\n{}", done.status, done.stderr),
        }
    }
    assert!(read >= 2, "{read}");
}

#[test]
fn a_control_group_that_is_small_is_enough() {
    let Some(group) = Group::with("memory", "memory.limit_in_bytes") else { return };
    let store = slow_store();
    group.set("memory.limit_in_bytes", &(96 * MIB).to_string());
    let length = 12 * PART;
    let done = group.run_in(store.ocipipe("put oci://backups/x")).stdin(ramp(length)).run();
    assert_stored(&store, done, length);
}

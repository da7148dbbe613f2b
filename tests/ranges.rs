//! The ranges of a download: each may fail for a while, and all of them share one retry budget.

#![allow(clippy::unwrap_used)]

mod common;

use common::store::Store;
use common::stream::{assert_same, ramp};
use emulator::Operation::GetObject;
use emulator::Record;
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};

/// The number of ranges that are requested at the same time.
const RANGES: usize = 4;
/// In bytes.
const RANGE_SIZE: usize = 16 << 20;

/// The response to this request for a range, counted from 1, arrives `ms` milliseconds late.
fn late(number: u64, ms: u64) -> FaultRule {
    let fault = Fault::StallAnswer { ms: Some(ms) };
    FaultRule::on(GetObject, fault).when(Trigger::Request(number))
}

fn unavailable() -> FaultRule {
    FaultRule::on(GetObject, Fault::Refuse(FaultResponse::status(503)))
}

/// The failing range gets a 503 for longer than `--retry-for`, while the others arrive one by one.
#[test]
fn a_failing_range_is_retried_while_other_ranges_arrive() {
    let store = Store::start();
    let length = (RANGES - 1) * RANGE_SIZE + 1;
    store.put("x").stdin(ramp(length)).run().exits(0);
    let faults = vec![late(1, 2500), late(2, 5000), late(3, 7500), unavailable()];
    store.server().set_faults(FaultPlan { faults });
    let run = store.ocipipe("get --retry-for 6s --file got oci://backups/x").start();
    let arrived = |record: &&Record| record.operation == GetObject && record.status == 206;
    store.wait_until_or_exit(&run, move |records, _| {
        records.iter().filter(arrived).count() == RANGES - 1
    });
    store.server().set_faults(FaultPlan::new());
    run.wait().exits(0);
    assert_same(&std::fs::read(store.folder().join("got")).unwrap(), &ramp(length));
}

/// `--retry-for` starts when the last of the other ranges has arrived, and no 503 restarts it.
#[test]
fn a_failing_range_ends_the_download_retry_for_after_the_last_other_range() {
    let store = Store::start();
    store.put("x").stdin(ramp(RANGE_SIZE + 1)).run().exits(0);
    store.server().set_faults(FaultPlan { faults: vec![late(1, 1500), unavailable()] });
    let done = store.ocipipe("get --retry-for 2s --file got oci://backups/x").run().fails(4);
    let done = done.stderr_has(&["503"]).within_seconds(60);
    // 1.5 s until the first range arrives, and 2 s of `--retry-for`.
    assert!(done.took.as_millis() >= 3500, "{:?}", done.took);
    assert!(!store.folder().join("got").exists());
}

/// Each response arrives half a second late, so that a connection carries 2 MiB/s at most.
#[test]
fn connections_are_added_where_the_network_is_the_slower_side_and_only_there() {
    let store = Store::start();
    let length = 48 << 20;
    store.put("x").stdin(ramp(length)).run().exits(0);
    let late = FaultRule::on(GetObject, Fault::StallAnswer { ms: Some(500) });
    let get = "get --debug --part-size 1MiB oci://backups/x --file";
    let limited = store.ocipipe(&format!("{get} limited --bwlimit 12MiB")).run().exits(0);
    store.server().set_faults(FaultPlan { faults: vec![late] });
    let kept = store.ocipipe(&format!("{get} kept --parallel-download-count 4")).start();
    let auto = store.ocipipe(&format!("{get} auto")).run().exits(0);
    let more = "ranges at a time: 8 (before: 4)";
    auto.stderr_has(&[more]);
    limited.stderr_lacks(more);
    kept.wait().exits(0).stderr_lacks(more);
    for name in ["limited", "kept", "auto"] {
        assert_same(&std::fs::read(store.folder().join(name)).unwrap(), &ramp(length));
    }
}

/// Two of four ranges are refused for as long as the others take.
#[test]
fn refused_ranges_take_connections_back_and_are_named_once() {
    let store = Store::start();
    let length = 6 * RANGE_SIZE;
    store.put("x").stdin(ramp(length)).run().exits(0);
    store
        .server()
        .set_faults(FaultPlan { faults: vec![late(1, 4000), late(2, 4000), unavailable()] });
    let run = store.ocipipe("get --file got oci://backups/x").start();
    let arrived = |record: &&Record| record.operation == GetObject && record.status == 206;
    store.wait_until_or_exit(&run, move |records, _| records.iter().filter(arrived).count() == 2);
    store.server().set_faults(FaultPlan::new());
    let done = run.wait().exits(0);
    let note = "the service refuses 4 ranges at a time: going on with 2";
    assert_eq!(done.stderr.matches(note).count(), 1, "{}", done.stderr);
    assert_same(&std::fs::read(store.folder().join("got")).unwrap(), &ramp(length));
}

/// The page has no etag, and the object could not be compared as a whole.
#[test]
fn the_page_of_a_proxy_in_place_of_a_range_is_no_part_of_the_object() {
    let store = Store::start();
    let length = RANGE_SIZE + 1;
    store.put("x").args("--checksum md5").stdin(ramp(length)).run().exits(0);
    let page = FaultRule::on(GetObject, Fault::Html { status: 200 }).when(Trigger::Requests(2));
    store.server().set_faults(FaultPlan { faults: vec![page] });
    store.ocipipe("get --file got oci://backups/x").run().exits(0);
    assert_same(&std::fs::read(store.folder().join("got")).unwrap(), &ramp(length));
}

//! `get`: which bytes of which version are read, and what is reported of their comparison.

#![allow(clippy::unwrap_used)]

mod common;

use std::os::unix::fs::FileExt;
use std::path::Path;

use common::store::Store;
use common::stream::{PART, assert_same, ramp};
use emulator::Operation::{GetObject, RestoreObjects};
use emulator::fault::{Fault, FaultResponse, FaultRule, Trigger};

/// Flips a bit of an object of this size where the store keeps it.
fn damage(folder: &Path, size: usize, offset: u64) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return damage(&path, size, offset);
        }
        if std::fs::metadata(&path).unwrap().len() != size as u64 {
            return false;
        }
        let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
        true
    })
}

#[test]
fn the_end_of_a_run_says_what_was_compared() {
    let store = Store::start();
    store.put("whole").stdin(ramp(1000)).run().exits(0);
    for checksum in ["sha256", "sha384", "crc32c", "md5", "none"] {
        let put = store.put(checksum).args(&format!("--checksum {checksum}"));
        put.stdin(ramp(2 * PART + 1)).run().exits(0);
    }
    for name in ["whole", "sha256", "sha384", "crc32c", "md5", "none"] {
        let get = store.ocipipe("get --file got").arg(format!("oci://backups/{name}"));
        get.run().exits(0).stderr_has(&["verified by "]).stderr_lacks("not compared");
    }
    let get = store.ocipipe("get --file got --range 0-9 oci://backups/whole");
    get.run().exits(0).stderr_has(&["not compared: ", "range"]);
}

#[test]
fn the_sizes_of_parts_come_from_the_receipt_or_from_an_option() {
    let store = Store::start();
    // The sizes of no client's default.
    let put = store.ocipipe("put --part-size 11MiB oci://backups/x");
    let receipt = put.stdin(ramp(70 << 20)).run().exits(0).stdout;
    let receipt = store.file("receipt", receipt);
    let get = || store.ocipipe("get --file got oci://backups/x");
    let done = get().arg("--receipt").arg(&receipt).run().exits(0);
    done.stderr_has(&["verified by ", "of the receipt's sizes"]);
    let done = get().args("--uploaded-part-size 11MiB").run();
    drop(done.exits(0).stderr_has(&["verified by "]));
    // A restore that nothing has verified is a warning, also with --quiet.
    let quiet = get().arg("--quiet").run().exits(0);
    drop(quiet.stderr_has(&["not compared: ", "damaged", "--receipt", "--checksum crc32c"]));
    get().args("--uploaded-part-size 9MiB").run().fails(2).stderr_has(&["--uploaded-part-size"]);
    assert!(damage(store.server().state_path(), 70 << 20, 12345));
    get().arg("--receipt").arg(&receipt).run().fails(7).stderr_has(&["is deleted"]);
    store.put("x").arg("--force").stdin(ramp(70 << 20)).run().exits(0);
    get().arg("--receipt").arg(&receipt).run().fails(7).stderr_has(&["not that of the receipt"]);
    get().arg("--receipt").arg("/nonexistent").run().fails(2);
    get().arg("--receipt").arg(store.file("bad", "{}")).run().fails(2);
}

#[test]
fn a_bit_that_flips_where_an_object_is_stored_is_exit_7_and_says_what_was_delivered() {
    for checksum in ["sha256", "crc32c"] {
        let store = Store::start();
        let size = if checksum == "sha256" { 5_000_001 } else { 2 * PART + 1 };
        let put = store.put("x").args(&format!("--checksum {checksum}"));
        put.stdin(ramp(size)).run().exits(0);
        assert!(damage(store.server().state_path(), size, 77));
        let (mut reader, writer) = std::io::pipe().unwrap();
        let run = store.ocipipe("get oci://backups/x").stdout_to(writer).start();
        let mut received = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut received).unwrap();
        let done = run.wait_with_open_stdin();
        assert_eq!(received.len(), size);
        done.exits(7).stderr_has(&["the whole stream has been delivered", "do not use it"]);
        store.file("got", "before");
        let done = store.ocipipe("get oci://backups/x --file got").run().fails(7);
        done.stderr_has(&["is deleted"]);
        assert_eq!(std::fs::read(store.folder().join("got")).unwrap(), b"before");
        assert!(!store.folder().join(".got.ocipipe-part").exists());
    }
}

#[test]
fn a_range_is_read_as_in_http() {
    let store = Store::start();
    let sent = ramp(3 * PART);
    store.put("x").stdin(sent.clone()).run().exits(0);
    let length = sent.len();
    for (range, expected) in [
        ("0-0", 0..1),
        ("1000-2999", 1000..3000),
        ("31457000-", 31_457_000..length),
        ("-5000000", length - 5_000_000..length),
        ("5-99999999999", 5..length),
    ] {
        let get = store.ocipipe("get oci://backups/x --file got").arg(format!("--range={range}"));
        get.run().exits(0);
        assert_same(&std::fs::read(store.folder().join("got")).unwrap(), &sent[expected]);
    }
    let get = store.ocipipe("get oci://backups/x --file gone --range 31457280-");
    get.run().fails(4).stderr_has(&["none of these"]);
    let receipt = store.ocipipe("get oci://backups/x --range 1-2 --receipt r").run();
    receipt.fails(2).stderr_has(&["--range and --receipt contradict"]);
}

#[test]
fn another_etag_than_that_of_if_match_is_exit_6() {
    let store = Store::start();
    store.put("x").stdin("abc").run().exits(0);
    let etag = store.object_record("x")["etag"].as_str().unwrap().to_owned();
    let get = |etag: &str| store.ocipipe("get oci://backups/x").args("--if-match").arg(etag).run();
    assert_eq!(get(&etag).exits(0).stdout, "abc");
    get("another").fails(6).stderr_has(&["--if-match"]);
}

/// A range of the new object would be a mixture of both.
#[test]
fn an_object_that_is_replaced_while_it_is_read_is_an_error_and_never_a_mixture() {
    let store = Store::start();
    store.put("x").stdin(ramp(8 * PART)).run().exits(0);
    let run =
        store.ocipipe("get oci://backups/x --file got --part-size 4MiB --bwlimit 4MiB").start();
    store.wait_for_requests(GetObject, 4);
    store.put("x").arg("--force").stdin(vec![7; 8 * PART]).run().exits(0);
    run.wait_with_open_stdin().fails(4).stderr_has(&["replaced while it was being read"]);
    assert!(!store.folder().join("got").exists());
}

#[test]
fn an_archived_object_is_restored_and_waited_for_with_restore_only() {
    let store = Store::start();
    store.put("x").args("--storage-tier Archive").stdin("abc").run().exits(0);
    let done = store.ocipipe("get oci://backups/x").run().fails(4);
    done.stderr_has(&["is archived", "--restore", "oci os object restore"]);
    assert_eq!(store.requests_of(RestoreObjects).len(), 0);
    // The first request is accepted, and its response is lost.
    let faults = vec![FaultRule::on(RestoreObjects, Fault::LoseAnswer).when(Trigger::Request(1))];
    store.server().set_faults(emulator::fault::FaultPlan { faults });
    let done = store.ocipipe("get oci://backups/x --restore --hours 2").run().exits(0);
    assert_eq!(done.stdout, "abc");
    let restores = store.requests_of(RestoreObjects).len();
    let done = store.ocipipe("get oci://backups/x --restore").run().exits(0);
    assert_eq!(done.stdout, "abc");
    assert_eq!(store.requests_of(RestoreObjects).len(), restores, "asked for again");
    for options in ["--hours 3", "--restore --hours 0", "--restore --hours 241"] {
        store.ocipipe("get oci://backups/x").args(options).run().fails(2);
    }
}

#[test]
fn a_refused_restore_is_an_error_with_what_the_service_said() {
    let store = Store::start();
    store.put("x").args("--storage-tier Archive").stdin("abc").run().exits(0);
    let refused = Fault::Refuse(FaultResponse::status(403));
    let faults = vec![FaultRule::on(RestoreObjects, refused)];
    store.server().set_faults(emulator::fault::FaultPlan { faults });
    let done = store.ocipipe("get oci://backups/x --restore").run().fails(4);
    done.stderr_has(&["cannot be restored", "403"]);
}

#[test]
fn each_attempt_to_read_a_range_has_a_debug_line() {
    let store = Store::failing([
        FaultRule::on(GetObject, Fault::Truncate(1_000_000)).when(Trigger::Request(1))
    ]);
    store.put("x").stdin(ramp(5_000_000)).run().exits(0);
    let done = store.ocipipe("get oci://backups/x --file got --debug").run().exits(0);
    let lines = done.stderr.lines().filter(|line| line.contains("(bytes=")).count();
    assert!(lines >= 2, "{}", done.stderr);
    done.stderr_has(&["(bytes=0-4999999)", ": 206 in "]);
}

#[test]
fn the_bandwidth_limit_is_kept_and_is_no_stall() {
    let store = Store::start();
    store.put("x").stdin(ramp(6 << 20)).run().exits(0);
    let get =
        store.ocipipe("get oci://backups/x --file got --bwlimit 1MiB --stall-timeout 1s --debug");
    let done = get.run().exits(0).stderr_lacks("no byte moved");
    assert!((4.0..20.0).contains(&done.took.as_secs_f64()), "{:?}", done.took);
    let (small, get) =
        (ramp(40_000), "get oci://backups/y --bwlimit 10KiB --stall-timeout 500ms --debug");
    store.put("y").stdin(small).run().exits(0);
    store.ocipipe(get).args("--file got").run().exits(0).stderr_lacks("no byte moved");
}

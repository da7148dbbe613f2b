//! `verify`: an object is compared with a stream, a file or a receipt, and is read only where the digests
//! do not decide.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

use common::pipes::pipe;
use common::run::{Done, Ocipipe};
use common::store::{BUCKET, Store};
use common::stream::{part_sizes, ramp};
use emulator::Operation::{GetObject, UploadPart};
use emulator::fault::{Fault, FaultPlan, FaultRule, Trigger};

const MIB: usize = 1 << 20;
/// Three parts of 11 MiB at most: 10 MiB give three parts too, so that no client's layout fits.
const ODD: usize = 24 * MIB + 5;
/// The reading thread is distinguished from other failures by this text.
const READ_BACK: &str = "SHA-256 of every byte, read back from the service";

/// `ocipipe verify oci://backups/NAME`.
fn verify(store: &Store, name: &str) -> Ocipipe {
    store.ocipipe("verify").arg(format!("oci://{BUCKET}/{name}"))
}

/// Stores the bytes and writes the receipt to a file.
fn put(store: &Store, name: &str, options: &str, bytes: &[u8]) -> (serde_json::Value, PathBuf) {
    let done = store.ocipipe("put").arg(format!("oci://{BUCKET}/{name}")).args(options);
    let done = done.stdin(bytes).run().exits(0);
    let path = store.file(&format!("{name}.json"), &done.stdout);
    (done.receipt(), path)
}

/// The run wrote nothing to stdout and did not read the object.
#[track_caller]
fn by_digests_alone(store: &Store, done: Done) -> Done {
    assert_eq!(done.stdout, "");
    assert_eq!(store.requests_of(GetObject), [], "the object was read");
    done
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

#[test]
fn of_the_receipts_that_runs_have_appended_to_a_file_that_of_the_object_counts() {
    let store = Store::start();
    let mut receipts = String::new();
    for (name, bytes) in [("first", "1"), ("second", "22")] {
        let options = if name == "first" { "" } else { "--log-format json" };
        let run = store.put(name).args(options).stdin(bytes).run().exits(0);
        receipts.push_str(&run.stdout);
    }
    // A run that fails appends nothing.
    receipts.push_str(&store.put("first").stdin("1").run().fails(6).stdout);
    let file = store.file("receipts.json", &receipts);
    let receipt = format!("--receipt={}", file.display());
    let verify = |object: &str| store.ocipipe("verify").arg(&receipt).args(object).run();
    verify("oci://backups/first").exits(0).stderr_has(&["/first is the same as the receipt"]);
    verify("oci://backups/second").exits(0);
    verify("").exits(0).stderr_has(&["second is the same as the receipt"]);
    verify("oci://backups/third").fails(2).stderr_has(&["none of its 2 receipts is of"]);
    let get = store.ocipipe("get oci://backups/first").arg(&receipt).run().exits(0);
    assert_eq!(get.stdout, "1");
}

#[test]
fn a_program_that_writes_another_stream_is_led_to_the_receipt() {
    let store = Store::start();
    store.put("x").stdin("dump 1").run().exits(0);
    let done = verify(&store, "x").stdin("dump 2").run().fails(7);
    done.stderr_has(&["pg_dump -Fc", "--receipt FILE"]);
}

#[test]
fn objects_of_put_are_compared_by_digests_alone_in_every_checksum() {
    let store = Store::start();
    for (checksum, whole, parts) in [
        (
            "sha256",
            "opc-content-sha256",
            "opc-multipart-sha256 over 3 parts of the receipt's sizes",
        ),
        (
            "sha384",
            "opc-content-sha384",
            "opc-multipart-sha384 over 3 parts of the receipt's sizes",
        ),
        ("crc32c", "opc-content-crc32c", "opc-content-crc32c"),
        ("md5", "opc-content-md5", "opc-multipart-md5 over 3 parts of the receipt's sizes"),
        ("none", "opc-content-md5", "opc-multipart-md5 over 3 parts of the receipt's sizes"),
    ] {
        for (length, evidence) in [(1000, whole), (ODD, parts)] {
            let name = format!("{checksum}-{length}");
            let bytes = ramp(length);
            let options = format!("--checksum {checksum} --part-size 11");
            let (_, receipt) = put(&store, &name, &options, &bytes);
            let weak = match checksum {
                "sha256" | "sha384" => None,
                "crc32c" => Some("CRC-32C alone"),
                _ => Some("MD5 alone"),
            };
            let check = |done: Done| {
                let done = by_digests_alone(&store, done.exits(0));
                let done = done.stderr_has(&["is the same as", &format!("verified by {evidence}")]);
                match weak {
                    Some(weak) => drop(done.stderr_has(&[weak])),
                    None => drop(done.stderr_lacks("alone")),
                }
            };
            // The receipt alone names the object too. MD5 is compared besides the CRC-32C there.
            let alone = store.ocipipe("verify").arg("--receipt").arg(&receipt).run();
            by_digests_alone(&store, alone.exits(0)).stderr_has(&["the receipt", "verified by"]);
            let with = |stream: Vec<u8>| {
                verify(&store, &name).arg("--receipt").arg(&receipt).args("--file -").stdin(stream)
            };
            check(with(bytes.clone()).run());
            for at in [0, length / 2, length - 1] {
                let done = with(flipped(&bytes, at)).run().fails(7);
                by_digests_alone(&store, done).stderr_has(&["differs from stdin", "opc-"]);
            }
            with(bytes[1..].to_vec()).run().fails(7).stderr_has(&["bytes, stdin"]);
        }
    }
}

#[test]
fn without_a_layout_the_object_is_read_and_every_flipped_byte_is_found() {
    let store = Store::start();
    let bytes = ramp(ODD);
    put(&store, "x", "--part-size 11", &bytes);
    let read = verify(&store, "x").stdin(bytes.clone()).run().exits(0);
    read.stderr_has(&["reading the object", READ_BACK, "is the same as stdin"]);
    assert!(!store.requests_of(GetObject).is_empty());
    for at in [0, ODD / 2, ODD - 1] {
        let file = store.file("other", flipped(&bytes, at));
        let done = verify(&store, "x").arg("--file").arg(&file).run().fails(7);
        done.stderr_has(&["differs from", "the first difference to", "is within bytes"]);
    }
    // The given size makes it certain, and one with another number of parts is an error.
    let given = |size: &str, bytes: &[u8]| {
        verify(&store, "x").arg("--uploaded-part-size").arg(format!("{size}MiB")).stdin(bytes).run()
    };
    let reads = store.requests_of(GetObject).len();
    let text = "opc-multipart-sha256 over 3 parts of --uploaded-part-size";
    given("11", &bytes).exits(0).stderr_has(&[text]);
    given("11", &flipped(&bytes, 1)).fails(7);
    given("10", &bytes).fails(7);
    given("20", &bytes).fails(2).stderr_has(&["has 25165829 bytes in 3 parts"]);
    assert_eq!(store.requests_of(GetObject).len(), reads, "the object was read");
}

#[test]
fn the_default_layouts_are_found_without_a_receipt() {
    let store = Store::start();
    for (part_size, client) in [("10", "the OCI CLI"), ("20", "the TypeScript SDK")] {
        let bytes = ramp(41 * MIB);
        put(&store, part_size, &format!("--part-size {part_size}"), &bytes);
        let done = verify(&store, part_size).stdin(bytes.clone()).run().exits(0);
        by_digests_alone(&store, done).stderr_has(&[&format!("as {client} makes them")]);
    }
}

#[test]
fn a_tail_split_is_compared_by_the_receipt_or_by_reading() {
    let slow = |part, ms| {
        FaultRule::on(UploadPart, Fault::StallAnswer { ms: Some(ms) })
            .part(part)
            .when(Trigger::First(1))
    };
    let store = Store::failing([slow(1, 6_000), slow(2, 6_500)]);
    let bytes = ramp(170 * MIB + 5);
    let options = "--part-size 60 --parallel-upload-count 2 --debug";
    let (receipt, path) = put(&store, "x", options, &bytes);
    let sizes = part_sizes(&receipt);
    assert_eq!(sizes.iter().sum::<u64>(), bytes.len() as u64);
    assert!(sizes.len() > 3, "the tail was not split: {sizes:?}");
    let done = verify(&store, "x").arg("--receipt").arg(&path).args("--file -");
    let done = done.stdin(bytes.clone()).run().exits(0);
    let text = format!("opc-multipart-sha256 over {} parts of the receipt's sizes", sizes.len());
    by_digests_alone(&store, done).stderr_has(&[&text]);
    verify(&store, "x").stdin(bytes).run().exits(0).stderr_has(&[READ_BACK]);
}

#[test]
fn a_byte_flipped_at_rest_is_found_where_the_object_is_read() {
    let store = Store::start();
    let bytes = ramp(ODD);
    let (_, receipt) = put(&store, "x", "--part-size 11", &bytes);
    store.flip_at_rest("x", ODD / 2);
    let done = verify(&store, "x").stdin(bytes).run().fails(7);
    done.stderr_has(&["differs from stdin", "is within bytes 0 to 16777215"]);
    // The digests that the service reports are those of what was stored: they show nothing of the disk.
    let done = store.ocipipe("verify").arg("--receipt").arg(&receipt).run().exits(0);
    done.stderr_has(&["the object was not read"]);
}

#[test]
fn a_receipt_of_another_object_differs_and_one_of_an_older_copy_is_noted() {
    let store = Store::start();
    let bytes = ramp(ODD);
    let (_, receipt) = put(&store, "x", "--part-size 11", &bytes);
    let with =
        |options: &str| store.ocipipe("verify").args(options).arg("--receipt").arg(&receipt).run();
    put(&store, "same", "--part-size 11", &bytes);
    let done = by_digests_alone(&store, with("oci://backups/same").exits(0));
    done.stderr_has(&["was written again since the receipt", "verified by opc-multipart-sha256"]);
    put(&store, "other", "--part-size 11", &flipped(&bytes, 7));
    with("oci://backups/other")
        .fails(7)
        .stderr_has(&["differs from the receipt", "of the receipt"]);
    put(&store, "shorter", "--part-size 11", &bytes[1..]);
    with("oci://backups/shorter").fails(7).stderr_has(&["the receipt 25165829"]);
    // The same content in other parts is another object than that of the receipt.
    put(&store, "other-parts", "--part-size 12", &bytes);
    with("oci://backups/other-parts").fails(7);
    // Another checksum, but the same parts: their MD5 is in both.
    put(&store, "other-checksum", "--part-size 11 --checksum crc32c", &bytes);
    with("oci://backups/other-checksum").exits(0).stderr_has(&["opc-multipart-md5", "MD5 alone"]);
    // Stored by one request, the object has no digest of the receipt: it is read.
    put(&store, "one-request", "--part-size 25", &bytes);
    with("oci://backups/one-request").exits(0).stderr_has(&["no digest in common", "verified by"]);
    put(&store, "one-request-other", "--part-size 25", &flipped(&bytes, 9));
    with("oci://backups/one-request-other").fails(7).stderr_has(&["differs from the receipt"]);
}

#[test]
fn a_missing_object_and_a_file_that_is_no_receipt_have_codes_of_their_own() {
    let store = Store::start();
    verify(&store, "x").stdin("abc").run().fails(4).stderr_has(&["does not exist"]);
    put(&store, "x", "", b"abc");
    let no_receipt = store.file("no-receipt", r#"{"etag": "e", "opc-multipart-md5": "m-3"}"#);
    for (options, code, text) in [
        ("--receipt no-such-file", 2, "no-such-file"),
        ("--receipt no-receipt", 2, "is not a receipt"),
        ("--receipt -", 2, "stdin"),
        ("--receipt no-receipt --uploaded-part-size 10MiB", 2, "contradict"),
        ("--file no-such-file", 5, "no-such-file"),
        ("--if-match other", 6, "does not have the etag"),
        ("--max-memory 1KiB", 2, "--max-memory"),
    ] {
        verify(&store, "x").args(options).stdin("abc").run().fails(code).stderr_has(&[text]);
    }
    drop(no_receipt);
    store.ocipipe("verify").stdin("abc").run().fails(2).stderr_has(&["SOURCE is missing"]);
    verify(&store, "x").stdin_closed().run().fails(2).stderr_has(&["stdin is closed"]);
    let (receipt, path) = put(&store, "empty", "--allow-empty", b"");
    assert_eq!(part_sizes(&receipt), [0]);
    verify(&store, "empty").stdin("").run().exits(0).stderr_has(&["opc-content-sha256"]);
    verify(&store, "empty").arg("--receipt").arg(path).run().exits(0);
    verify(&store, "empty").stdin("a").run().fails(7).stderr_has(&["has 0 bytes, stdin 1"]);
    // A stdout that is closed does not matter: nothing is written to it.
    verify(&store, "x").stdin("abc").stdout_closed().run().exits(0);
    verify(&store, "x").stdin("abc").args("--quiet").run().exits(0).stderr_lacks("same");
}

#[test]
fn an_archived_object_is_compared_by_digests_and_restored_only_where_it_has_to_be_read() {
    let store = Store::start();
    let bytes = ramp(ODD);
    let (_, receipt) = put(&store, "x", "--part-size 11 --storage-tier Archive", &bytes);
    let with_receipt = verify(&store, "x").arg("--receipt").arg(&receipt);
    by_digests_alone(&store, with_receipt.args("--file -").stdin(bytes.clone()).run().exits(0));
    by_digests_alone(&store, store.ocipipe("verify").arg("--receipt").arg(&receipt).run().exits(0));
    let done = verify(&store, "x").stdin(bytes.clone()).run().fails(4);
    by_digests_alone(&store, done).stderr_has(&["is archived", "--restore", "os object restore"]);
    let other = verify(&store, "x").args("--uploaded-part-size 11MiB").stdin(flipped(&bytes, 3));
    by_digests_alone(&store, other.run().fails(7));
    let done = verify(&store, "x").args("--restore").stdin(bytes).run().exits(0);
    done.stderr_has(&["is archived", READ_BACK]);
}

#[test]
fn an_archived_object_that_must_be_read_is_refused_before_stdin_is() {
    let store = Store::start();
    // Two parts of 26 to 50 MiB: no client's layout fits.
    put(&store, "x", "--part-size 30 --storage-tier Archive", &ramp(50 * MIB + 5));
    let (reader, mut writer) = pipe();
    writer.write_all(b"unread").unwrap();
    let mut unread = File::from(reader.try_clone().unwrap());
    verify(&store, "x").stdin_from(reader).run().fails(4).stderr_has(&["is archived"]);
    drop(writer);
    let mut left = String::new();
    unread.read_to_string(&mut left).unwrap();
    assert_eq!(left, "unread");
    // A file of another length is no question.
    let file = store.file("short", "abc");
    verify(&store, "x").arg("--file").arg(file).run().fails(7).stderr_has(&["has 52428805 bytes"]);
}

#[test]
fn an_object_with_a_customers_key_is_verified_with_that_key() {
    let store = Store::start();
    let key = store.file("key", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=");
    let bytes = ramp(ODD);
    let with_key = |run: Ocipipe| run.arg("--encryption-key-file").arg(&key);
    with_key(store.ocipipe("put oci://backups/x --part-size 11"))
        .stdin(bytes.clone())
        .run()
        .exits(0);
    let done = with_key(verify(&store, "x")).stdin(bytes.clone()).run().exits(0);
    done.stderr_has(&[READ_BACK]);
    verify(&store, "x").stdin(bytes).run().fails(4).stderr_has(&["--encryption-key-file"]);
}

#[test]
fn faults_while_the_object_is_read_change_nothing_but_the_time() {
    let store = Store::start();
    let bytes = ramp(ODD);
    put(&store, "x", "--part-size 11", &bytes);
    let mut rules = vec![
        FaultRule::on(GetObject, Fault::Truncate(300_000)).when(Trigger::First(2)),
        FaultRule::on(GetObject, Fault::LoseAnswer).when(Trigger::Request(3)),
    ];
    rules.push(FaultRule::spurious(100, 5));
    store.server().set_faults(FaultPlan { faults: rules });
    verify(&store, "x").stdin(bytes.clone()).run().exits(0).stderr_has(&[READ_BACK]);
    let other = flipped(&bytes, ODD - 1);
    verify(&store, "x").stdin(other).run().fails(7).stderr_has(&["is within bytes 16777216 to"]);
}

#[test]
fn a_signal_ends_a_run_that_waits_for_its_stream() {
    let store = Store::start();
    put(&store, "x", "", b"abc");
    let mut run = verify(&store, "x").stdin_pipe().start();
    run.write(b"ab");
    store.wait_for_requests(emulator::Operation::HeadObject, 3);
    run.signal(rustix::process::Signal::TERM);
    run.wait_with_open_stdin().exits(143).within_seconds(10);
}

//! `put --identical-ok`: an object that is the same as the stream is success, and any other is exit 6.

#![allow(clippy::unwrap_used)]

mod common;

use common::run::{Done, Ocipipe, Running};
use common::store::{BUCKET, Store};
use common::stream::{PART, assert_same, ramp};
use emulator::Operation::{
    self, CommitMultipartUpload, CreateMultipartUpload, GetObject, HeadObject,
    ListMultipartUploadParts, PutObject, UploadPart,
};
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};

/// Two parts of 10 MiB and a rest.
const LONG: usize = 2 * PART + 5;
/// Cut in parts of 11 MiB, no client's layout fits.
const ODD: usize = 24 * 1024 * 1024 + 5;

fn identical(store: &Store, name: &str) -> Ocipipe {
    store.put(name).args("--identical-ok")
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

/// The number of requests of each operation that sends something.
fn sent(store: &Store) -> [usize; 4] {
    [PutObject, CreateMultipartUpload, UploadPart, CommitMultipartUpload]
        .map(|operation| store.requests_of(operation).len())
}

/// The run found the object with this etag and left it alone.
#[track_caller]
fn is_identical(done: Done, etag: &serde_json::Value) -> Done {
    let done = done.exits(0).stderr_has(&["exists already and is the same as the stream"]);
    let receipt = done.receipt();
    assert_eq!((&receipt["etag"], &receipt["identical"]), (etag, &true.into()), "{receipt}");
    done
}

#[test]
fn nothing_is_cleaned_up_where_nothing_was_begun() {
    let store = Store::start();
    store.put("x").stdin("stream").run().exits(0);
    let bytes = ramp(LONG);
    store.put("y").stdin(bytes.clone()).run().exits(0);
    for (name, bytes) in [("x", b"stream".to_vec()), ("y", bytes)] {
        let run = identical(&store, name).stdin(bytes.clone());
        run.run().exits(0).stderr_lacks("cleaning up");
        let run = identical(&store, name).args("--progress json").stdin(bytes);
        run.run().exits(0).stderr_lacks("cleaning-up");
    }
}

#[test]
fn an_object_of_an_earlier_run_is_compared_without_being_sent_or_read() {
    let store = Store::start();
    for checksum in ["sha256", "sha384", "crc32c", "md5", "none"] {
        for length in [0, 1000, LONG] {
            let name = format!("{checksum}-{length}");
            let options = format!("--allow-empty --checksum {checksum}");
            let bytes = ramp(length);
            let first = store.put(&name).args(&options).stdin(bytes.clone()).run().exits(0);
            let (first, before) = (first.receipt(), sent(&store));
            let gets = store.requests_of(GetObject).len();
            let again = identical(&store, &name).args("--allow-empty");
            let done = is_identical(again.stdin(bytes.clone()).run(), &first["etag"]);
            let receipt = done.receipt();
            for key in ["size", "parts", "opc-multipart-md5", "opc-content-md5", "last-modified"] {
                assert_eq!(receipt[key], first[key], "{name}: {key}");
            }
            // The receipt serves for `verify` as any other.
            let path = store.file("receipt", &done.stdout);
            store.ocipipe("verify").arg("--receipt").arg(path).run().exits(0);
            assert_eq!(store.requests_of(GetObject).len(), gets, "{name}: the object was read");
            let mut others = vec![[&bytes[..], b"x"].concat()];
            if length > 0 {
                others.push(flipped(&bytes, length - 1));
                others.push(bytes[..length - 1].to_vec());
            }
            for other in others {
                let again = identical(&store, &name).args("--allow-empty").stdin(other);
                again.run().fails(6).stderr_has(&["exists already", "differs from the stream"]);
            }
            assert_eq!(sent(&store), before, "{name}: something was sent");
            assert_same(&store.object(&name).unwrap(), &bytes);
        }
    }
    store.assert_no_open_upload();
}

#[test]
fn an_object_in_unknown_parts_is_read_and_compared() {
    let store = Store::start();
    let bytes = ramp(ODD);
    let odd = store.ocipipe("put --part-size 11MiB").arg(format!("oci://{BUCKET}/odd"));
    let etag = odd.stdin(bytes.clone()).run().exits(0).receipt()["etag"].clone();
    let done = is_identical(identical(&store, "odd").stdin(bytes.clone()).run(), &etag);
    assert_eq!(done.receipt()["verified-by"], "every byte");
    assert!(!store.requests_of(GetObject).is_empty());
    for at in [0, ODD - 1] {
        let done = identical(&store, "odd").stdin(flipped(&bytes, at)).run().fails(6);
        done.stderr_has(&["the first difference to what was read is within bytes"]);
    }
    // An archived object is not read.
    let cold = store.ocipipe("put --part-size 11MiB --storage-tier Archive");
    cold.arg(format!("oci://{BUCKET}/cold")).stdin(bytes.clone()).run().exits(0);
    let done = identical(&store, "cold").stdin(bytes).run().fails(6);
    done.stderr_has(&["could not be compared", "archived"]);
}

/// A run that has passed its preflight, after which another run has stored these bytes.
fn overtaken(store: &Store, name: &str, first: &[u8], other: &[u8], options: &str) -> Running {
    let heads = store.requests_of(HeadObject).len();
    let mut run = identical(store, name).stdin_pipe().start();
    run.write(first);
    store.wait_for_requests(HeadObject, heads + 1);
    store.put(name).args(options).stdin(other).run().exits(0);
    run
}

#[test]
fn an_object_that_appears_before_the_upload_begins_is_compared_with_the_whole_stream() {
    let store = Store::start();
    for (length, operation) in
        [(1000, PutObject), (LONG, CreateMultipartUpload), (4 * PART, CreateMultipartUpload)]
    {
        let bytes = ramp(length);
        for (case, other, code) in [
            ("same", bytes.clone(), 0),
            ("flipped", flipped(&bytes, length - 1), 6),
            ("shorter", bytes[..length - 1].to_vec(), 6),
        ] {
            let name = format!("{operation:?}-{length}-{case}");
            let before = store.requests_of(operation).len();
            // The other run's parts are other ones.
            let mut run = overtaken(&store, &name, &bytes[..500], &other, "--part-size 12MiB");
            run.write(&bytes[500..]);
            let done = run.wait();
            assert_eq!(done.status.code(), Some(code), "{name}: {}", done.stderr);
            let refused = store.requests_of(operation).into_iter().skip(before);
            assert!(refused.map(|record| record.status).any(|status| status == 412), "{name}");
            assert_same(&store.object(&name).unwrap(), &other);
        }
    }
    store.assert_no_open_upload();
}

#[test]
fn an_object_that_appears_before_the_commit_is_compared_with_what_was_read() {
    let store = Store::start();
    let bytes = ramp(LONG);
    for (case, other, options, code, reads) in [
        ("same", bytes.clone(), "", 0, false),
        ("other-parts", bytes.clone(), "--part-size 12MiB", 0, true),
        ("flipped", flipped(&bytes, 7), "", 6, true),
        ("longer", ramp(LONG + 1), "", 6, false),
    ] {
        let (parts, gets) =
            (store.requests_of(UploadPart).len(), store.requests_of(GetObject).len());
        let mut run = identical(&store, case).stdin_pipe().start();
        run.write(&bytes[..LONG - 1]);
        store.wait_for_requests(UploadPart, parts + 2);
        store.put(case).args(options).stdin(other.clone()).run().exits(0);
        run.write(&bytes[LONG - 1..]);
        let done = run.wait();
        assert_eq!(done.status.code(), Some(code), "{case}: {}", done.stderr);
        assert_eq!(done.stdout.is_empty(), code != 0, "{case}: {}", done.stdout);
        assert_eq!(store.requests_of(GetObject).len() > gets, reads, "{case}");
        assert_same(&store.object(case).unwrap(), &other);
    }
    store.assert_no_open_upload();
}

#[test]
fn a_run_after_a_commit_whose_answer_was_lost_succeeds() {
    let lost = |operation| FaultRule::on(operation, Fault::LoseAnswer);
    let hidden = |operation| FaultRule::on(operation, Fault::Refuse(FaultResponse::status(503)));
    for (length, operation) in [(1000, PutObject), (LONG, CommitMultipartUpload)] {
        let store = Store::failing([
            lost(operation),
            hidden(HeadObject).when(Trigger::RequestsFrom(2)),
            hidden(ListMultipartUploadParts),
        ]);
        let bytes = ramp(length);
        let first = store.put("wal").args("--retry-for 1s").stdin(bytes.clone()).run();
        assert_ne!(first.status.code(), Some(0), "{}", first.stderr);
        store.server().set_faults(FaultPlan::new());
        store.put("wal").stdin(bytes.clone()).run().fails(6);
        let done = identical(&store, "wal").stdin(bytes.clone()).run().exits(0);
        assert_eq!(done.receipt()["identical"], true);
        identical(&store, "wal").stdin(flipped(&bytes, 3)).run().fails(6);
    }
}

#[test]
fn an_identical_object_is_no_success_for_a_stream_that_is_refused() {
    let store = Store::start();
    let bytes = ramp(1000);
    let file = store.file("bytes", &bytes);
    let etag = store.put("x").stdin(bytes.clone()).run().exits(0).receipt()["etag"].clone();
    for (options, code) in [
        ("--min-size 1KiB", 5),
        ("--expect gzip", 5),
        ("--content-md5 kAFQmDzST7DWlj99KOF/cg==", 7),
    ] {
        identical(&store, "x").args(options).stdin(bytes.clone()).run().fails(code);
    }
    let script = format!("cat {}; exit 3", file.display());
    let failing = identical(&store, "x").args("-- sh -c").arg(script).run().fails(5);
    failing.stderr_has(&["exited with 3"]);
    let run = identical(&store, "x").args("-- cat").arg(file).run();
    is_identical(run, &etag);
}

#[test]
fn the_condition_of_if_match_may_fail_where_the_object_is_identical() {
    let store = Store::start();
    let old = store.put("x").stdin("old").run().exits(0).receipt();
    let condition = format!("--if-match {}", old["etag"].as_str().unwrap());
    let new = identical(&store, "x").args(&condition).stdin("new").run().exits(0).receipt();
    assert_eq!(new.get("identical"), None);
    is_identical(identical(&store, "x").args(&condition).stdin("new").run(), &new["etag"]);
    identical(&store, "x").args(&condition).stdin("other").run().fails(6);
    identical(&store, "none").args(&condition).stdin("new").run().fails(6);
    assert_eq!(store.object("x").unwrap(), b"new");
}

#[test]
fn a_file_of_another_size_is_refused_without_being_read() {
    let store = Store::start();
    store.put("x").stdin(ramp(1000)).run().exits(0);
    let file = store.file("longer", ramp(1001));
    let done = identical(&store, "x").arg("--file").arg(file).run().fails(6);
    done.stderr_has(&["1000 bytes", "1001"]);
    let operations: Vec<Operation> =
        store.requests().iter().map(|record| record.operation).collect();
    assert!(operations.ends_with(&[HeadObject]), "{operations:?}");
}

//! A 404 about the bucket: spurious, because of a missing right, or because the bucket does not
//! exist.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::time::Duration;

use common::run::Done;
use common::store::{BUCKET, Store};
use common::stream::{PART, assert_same, ramp};
use emulator::Operation::{
    self, AbortMultipartUpload, CommitMultipartUpload, CreateMultipartUpload, GetNamespace,
    GetObject, HeadObject, ListMultipartUploads, PutObject, UploadPart,
};
use emulator::Permission::{
    self, ObjectCreate, ObjectDelete, ObjectInspect, ObjectOverwrite, ObjectRead,
};
use emulator::fault::{Fault, FaultResponse, FaultRule, Trigger};
use emulator::{BucketProtection, PermissionSet, Retention};

const LONG: usize = 2 * PART + 17;
const SHORT: usize = 1234;

fn spurious(operation: Operation, when: Trigger) -> FaultRule {
    FaultRule::on(operation, Fault::SpuriousNotFound).when(when)
}

fn put(store: &Store, length: usize, options: &str) -> Done {
    store.put("x").args(options).stdin(ramp(length)).run()
}

fn with_rights(rights: impl IntoIterator<Item = Permission>) -> Store {
    Store::with(|options| options.rights = PermissionSet::of(rights))
}

#[test]
fn streams_are_stored_although_every_fifth_request_gets_a_404() {
    for seed in 0..6 {
        let length = if seed % 3 == 2 { SHORT } else { LONG };
        let store = Store::spurious(200, seed);
        let done = put(&store, length, "");
        if done.status.code() == Some(4) {
            assert!(store.server().spurious().at_first >= 4, "seed {seed}: {}", done.stderr);
            done.stderr_has(&["answered so 4 times", "OBJECT_CREATE"]);
            continue;
        }
        let done = done.exits(0);
        assert_same(&store.object("x").unwrap(), &ramp(length));
        store.assert_no_open_upload();
        assert!(done.stderr.matches("mistake of the service").count() <= 1, "{}", done.stderr);
    }
}

#[test]
fn every_call_of_an_upload_is_retried_after_a_spurious_404() {
    let first =
        [CreateMultipartUpload, UploadPart, CommitMultipartUpload, HeadObject, GetNamespace];
    let rules = first.map(|operation| spurious(operation, Trigger::First(2)));
    let store = Store::failing(rules);
    put(&store, LONG, "").exits(0);
    assert_same(&store.object("x").unwrap(), &ramp(LONG));
    store.assert_no_open_upload();

    let store = Store::failing([spurious(PutObject, Trigger::First(2))]);
    put(&store, SHORT, "").exits(0);
    assert_same(&store.object("x").unwrap(), &ramp(SHORT));
}

#[test]
fn a_spurious_404_to_an_abort_leaves_no_upload_open() {
    let forbidden = FaultRule::on(UploadPart, Fault::Refuse(FaultResponse::status(403))).part(2);
    let store = Store::failing([forbidden, spurious(AbortMultipartUpload, Trigger::First(2))]);
    put(&store, LONG, "").fails(4);
    store.assert_not_stored("x");
}

#[test]
fn a_lost_commit_is_resolved_although_every_check_gets_a_404_at_first() {
    let store = Store::failing([
        FaultRule::on(CommitMultipartUpload, Fault::LoseAnswer).when(Trigger::Request(1)),
        spurious(HeadObject, Trigger::First(2)),
        spurious(Operation::ListMultipartUploadParts, Trigger::First(1)),
    ]);
    put(&store, LONG, "").exits(0);
    assert_same(&store.object("x").unwrap(), &ramp(LONG));
    store.assert_no_open_upload();
}

#[test]
fn get_and_uploads_retry_a_spurious_404() {
    let rules = [HeadObject, GetObject, ListMultipartUploads, AbortMultipartUpload, GetNamespace]
        .map(|operation| spurious(operation, Trigger::First(1)));
    let store = Store::failing(rules);
    store.put("x").stdin(ramp(SHORT)).run().exits(0);
    let file = store.folder().join("back");
    store.ocipipe("get oci://backups/x").arg("--file").arg(&file).run().exits(0);
    assert_same(&std::fs::read(&file).unwrap(), &ramp(SHORT));
    // An upload to abort.
    let mut open_run = store.put("left").stdin_pipe().start();
    open_run.write(&ramp(PART + 1));
    store.wait_for_requests(UploadPart, 1);
    let open = store.server().open_uploads();
    store.ocipipe("uploads list --bucket-name backups").run().exits(0).stderr_has(&[]);
    let abort = format!("uploads abort --bucket-name backups --upload-id {}", open[0].2);
    store.ocipipe(&abort).run().exits(0);
    open_run.signal(rustix::process::Signal::KILL);
    store.assert_no_open_upload();
}

#[test]
fn a_missing_object_is_reported_at_once() {
    let store = Store::start();
    let done = store.ocipipe("get oci://backups/none").run().fails(4);
    done.stderr_has(&["oci://backups@", "does not exist", "ObjectNotFound"]).within_seconds(5);
}

/// Writes an endless stream to a run; returns the bytes written before the run ended.
fn write_until_end(store: &Store, bucket: &str) -> (usize, Done) {
    let mut run = store
        .ocipipe("put --part-size 10MiB")
        .arg(format!("oci://{bucket}/x"))
        .stdin_pipe()
        .start();
    let mut stdin = run.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let piece = ramp(1 << 16);
        let mut written = 0;
        while stdin.write_all(&piece).is_ok() {
            written += piece.len();
        }
        written
    });
    let done = run.wait();
    (writer.join().unwrap(), done)
}

#[test]
fn a_missing_bucket_ends_the_run_within_twenty_seconds_and_reading_stops() {
    let store = Store::start();
    let (written, done) = write_until_end(&store, "nowhere");
    let done = done.fails(4).within_seconds(20);
    done.stderr_has(&["nowhere", "BucketNotFound", "answered so 4 times", "OBJECT_OVERWRITE"]);
    assert_eq!(store.requests_of(CreateMultipartUpload).len(), 4);
    // Two parts, and the buffer of the pipe.
    assert!(written <= 2 * PART + (2 << 20), "{written} bytes were read");
}

#[test]
fn reading_continues_when_the_upload_is_created() {
    let late = Fault::StallAnswer { ms: Some(2000) };
    let store = Store::failing([FaultRule::on(CreateMultipartUpload, late)]);
    let done = put(&store, 6 * PART, "").exits(0);
    assert_same(&store.object("x").unwrap(), &ramp(6 * PART));
    assert!(done.took >= Duration::from_secs(2));
}

#[test]
fn the_smallest_policy_stores_any_stream_and_leaves_nothing_behind() {
    for length in [SHORT, LONG] {
        let store = with_rights([ObjectCreate, ObjectOverwrite]);
        put(&store, length, "").exits(0).within_seconds(60);
        assert_same(&store.object("x").unwrap(), &ramp(length));
        store.assert_no_open_upload();
    }
    let store = with_rights([ObjectCreate]);
    put(&store, SHORT, "").exits(0);
    assert_same(&store.object("x").unwrap(), &ramp(SHORT));
}

#[test]
fn a_right_that_is_missing_is_named() {
    let store = with_rights([ObjectCreate, ObjectInspect, ObjectDelete]);
    put(&store, LONG, "").fails(4).stderr_has(&["OBJECT_CREATE and OBJECT_OVERWRITE"]);
    store.assert_not_stored("x");

    let store = with_rights([ObjectRead]);
    put(&store, SHORT, "").fails(4).stderr_has(&["OBJECT_CREATE"]);
    store.ocipipe("uploads list --bucket-name backups").run().fails(4).stderr_has(&["BUCKET_READ"]);
    let abort = "uploads abort --bucket-name backups --name x --upload-id none";
    store.ocipipe(abort).run().fails(4).stderr_has(&["OBJECT_DELETE", "is still open"]);

    let store = with_rights([ObjectCreate, ObjectOverwrite, ObjectInspect]);
    put(&store, SHORT, "").exits(0);
    let get = store.ocipipe("get --retry-for 2s oci://backups/x").run().fails(4);
    get.stderr_has(&["OBJECT_READ", "mistake of the service"]);
}

#[test]
fn an_upload_that_may_not_be_aborted_is_named_with_the_right_and_the_command() {
    let store = Store::with(|options| {
        options.rights = PermissionSet::all().without(ObjectDelete);
        let refuse = Fault::Refuse(FaultResponse::status(403));
        options.faults.faults.push(FaultRule::on(UploadPart, refuse).part(2));
    });
    let done = put(&store, LONG, "").fails(4).within_seconds(30);
    let open = store.server().open_uploads();
    assert_eq!(open.len(), 1);
    done.stderr_has(&["OBJECT_DELETE", "ocipipe uploads abort", &open[0].2]);
}

/// With `--force` the service accepts the conditional create that confirms the object.
#[test]
fn the_upload_of_a_probe_is_named_if_it_may_not_be_aborted() {
    let store = with_rights([ObjectCreate, ObjectOverwrite]);
    put(&store, SHORT, "").exits(0);
    let done = put(&store, LONG, "--force").exits(0);
    assert_same(&store.object("x").unwrap(), &ramp(LONG));
    let open = store.server().open_uploads();
    assert_eq!(open.len(), 1);
    done.stderr_has(&["OBJECT_DELETE", "ocipipe uploads abort", &open[0].2]);
}

#[test]
fn an_object_under_a_retention_rule_exists_already_and_is_not_replaced() {
    for from in [Retention::FromCreate, Retention::FromCommit] {
        for length in [SHORT, LONG] {
            let store_with_rule = || {
                let store = Store::with(|options| {
                    options.buckets.insert(BUCKET.to_owned(), BucketProtection::retention(from));
                });
                store.put("x").stdin("kept").run().exits(0);
                store
            };
            let store = store_with_rule();
            put(&store, length, "--force").fails(4).stderr_has(&["retention rule"]);
            assert_eq!(store.object("x").unwrap(), b"kept");
            store.assert_no_open_upload();
            // If HeadObject is forbidden, the retention rule shows that the object exists.
            let store = store_with_rule();
            store.server().set_faults(emulator::fault::FaultPlan {
                faults: vec![FaultRule::on(HeadObject, Fault::Refuse(FaultResponse::status(404)))],
            });
            let done = put(&store, length, "").fails(6);
            // The first refused call may be a create, to which the rule may not apply yet.
            let texts = ["retention rule", "IfNoneMatchFailed"];
            assert!(texts.iter().any(|text| done.stderr.contains(text)), "{}", done.stderr);
            assert_eq!(store.object("x").unwrap(), b"kept");
            store.assert_no_open_upload();
        }
    }
}

#[test]
fn the_target_of_a_replication_is_reported() {
    let store = Store::with(|options| {
        options.buckets.insert(BUCKET.to_owned(), BucketProtection::read_only());
    });
    for length in [SHORT, LONG] {
        put(&store, length, "").fails(4).stderr_has(&["BucketIsReadonly", "replication"]);
    }
}

#[test]
fn an_object_with_another_customer_key_can_be_replaced() {
    let store = Store::start();
    let key = |name, text| store.file(name, text);
    let old = key("old", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU=\n");
    let new = key("new", "MDEyMzQ1Njc4OUFCQ0RFRkdISUpLTE1OT1BRUlNUVVY=\n");
    let namespace = store.server().namespace();
    for length in [SHORT, LONG] {
        let url = format!("oci://{BUCKET}@{namespace}/x");
        let run = |key| {
            let run = store.ocipipe("put --part-size 10MiB --force").arg(&url);
            run.arg("--encryption-key-file").arg(key).stdin(ramp(length)).run()
        };
        run(&old).exits(0);
        run(&new).exits(0);
        assert_same(&store.object("x").unwrap(), &ramp(length));
    }
    let get = store.ocipipe("get").arg("oci://backups/x").arg("--encryption-key-file").arg(old);
    get.run().fails(4).stderr_has(&["another key"]);
}

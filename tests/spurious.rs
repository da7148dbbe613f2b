//! A 404 that speaks of the bucket: declined by mistake, for want of a right, or because there is none.

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

fn declined(operation: Operation, when: Trigger) -> FaultRule {
    FaultRule::on(operation, Fault::SpuriousNotFound).when(when)
}

fn put(store: &Store, length: usize, options: &str) -> Done {
    store.put("x").args(options).stdin(ramp(length)).run()
}

fn with_rights(rights: impl IntoIterator<Item = Permission>) -> Store {
    Store::with(|options| options.rights = PermissionSet::of(rights))
}

#[test]
fn streams_arrive_although_every_fifth_request_is_declined() {
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
fn no_call_of_an_upload_is_given_up_because_it_was_declined() {
    let first =
        [CreateMultipartUpload, UploadPart, CommitMultipartUpload, HeadObject, GetNamespace];
    let rules = first.map(|operation| declined(operation, Trigger::First(2)));
    let store = Store::failing(rules);
    put(&store, LONG, "").exits(0);
    assert_same(&store.object("x").unwrap(), &ramp(LONG));
    store.assert_no_open_upload();

    let store = Store::failing([declined(PutObject, Trigger::First(2))]);
    put(&store, SHORT, "").exits(0);
    assert_same(&store.object("x").unwrap(), &ramp(SHORT));
}

#[test]
fn a_declined_abort_leaves_no_upload_open() {
    let forbidden = FaultRule::on(UploadPart, Fault::Refuse(FaultResponse::status(403))).part(2);
    let store = Store::failing([forbidden, declined(AbortMultipartUpload, Trigger::First(2))]);
    put(&store, LONG, "").fails(4);
    store.assert_not_stored("x");
}

#[test]
fn a_lost_commit_is_found_although_every_question_is_declined_at_first() {
    let store = Store::failing([
        FaultRule::on(CommitMultipartUpload, Fault::LoseAnswer).when(Trigger::Request(1)),
        declined(HeadObject, Trigger::First(2)),
        declined(Operation::ListMultipartUploadParts, Trigger::First(1)),
    ]);
    put(&store, LONG, "").exits(0);
    assert_same(&store.object("x").unwrap(), &ramp(LONG));
    store.assert_no_open_upload();
}

#[test]
fn reading_back_and_clearing_up_pass_what_is_declined() {
    let rules = [HeadObject, GetObject, ListMultipartUploads, AbortMultipartUpload, GetNamespace]
        .map(|operation| declined(operation, Trigger::First(1)));
    let store = Store::failing(rules);
    store.put("x").stdin(ramp(SHORT)).run().exits(0);
    let file = store.folder().join("back");
    store.ocipipe("get oci://backups/x").arg("--file").arg(&file).run().exits(0);
    assert_same(&std::fs::read(&file).unwrap(), &ramp(SHORT));
    // An upload to clear up.
    let mut left = store.put("left").stdin_pipe().start();
    left.write(&ramp(PART + 1));
    store.wait_for_requests(UploadPart, 1);
    let open = store.server().open_uploads();
    store.ocipipe("uploads list --bucket-name backups").run().exits(0).stderr_has(&[]);
    let abort = format!("uploads abort --bucket-name backups --upload-id {}", open[0].2);
    store.ocipipe(&abort).run().exits(0);
    left.signal(rustix::process::Signal::KILL);
    store.assert_no_open_upload();
}

#[test]
fn an_object_that_is_missing_is_told_at_once() {
    let store = Store::start();
    let done = store.ocipipe("get oci://backups/none").run().fails(4);
    done.stderr_has(&["oci://backups@", "does not exist", "ObjectNotFound"]).within_seconds(5);
}

/// What can be written to a run before it ends, of a stream that does not end.
fn swallowed(store: &Store, bucket: &str) -> (usize, Done) {
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
fn a_bucket_that_is_missing_ends_within_twenty_seconds_and_the_stream_is_not_read_on() {
    let store = Store::start();
    let (written, done) = swallowed(&store, "nowhere");
    let done = done.fails(4).within_seconds(20);
    done.stderr_has(&["nowhere", "BucketNotFound", "answered so 4 times", "OBJECT_OVERWRITE"]);
    assert_eq!(store.requests_of(CreateMultipartUpload).len(), 4);
    // Two parts, and what the pipe holds.
    assert!(written <= 2 * PART + (2 << 20), "{written} bytes were taken");
}

#[test]
fn the_stream_is_read_on_when_the_upload_is_there() {
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

/// Whether the new object stands there is asked by an upload that its etag allows.
#[test]
fn an_upload_that_only_asked_is_named_where_it_may_not_be_aborted() {
    let store = with_rights([ObjectCreate, ObjectOverwrite]);
    put(&store, SHORT, "").exits(0);
    let done = put(&store, LONG, "--force").exits(0);
    assert_same(&store.object("x").unwrap(), &ramp(LONG));
    let open = store.server().open_uploads();
    assert_eq!(open.len(), 1);
    done.stderr_has(&["OBJECT_DELETE", "ocipipe uploads abort", &open[0].2]);
}

#[test]
fn what_a_retention_rule_keeps_exists_already_and_is_not_replaced() {
    for from in [Retention::FromCreate, Retention::FromCommit] {
        for length in [SHORT, LONG] {
            let kept = || {
                let store = Store::with(|options| {
                    options.buckets.insert(BUCKET.to_owned(), BucketProtection::retention(from));
                });
                store.put("x").stdin("kept").run().exits(0);
                store
            };
            let store = kept();
            put(&store, length, "--force").fails(4).stderr_has(&["retention rule"]);
            assert_eq!(store.object("x").unwrap(), b"kept");
            store.assert_no_open_upload();
            // Where the object is hidden, the rule is what tells of it.
            let store = kept();
            store.server().set_faults(emulator::fault::FaultPlan {
                faults: vec![FaultRule::on(HeadObject, Fault::Refuse(FaultResponse::status(404)))],
            });
            let done = put(&store, length, "").fails(6);
            // The first call that is refused may be a create, for which the rule may not count yet.
            let told = ["retention rule", "IfNoneMatchFailed"];
            assert!(told.iter().any(|words| done.stderr.contains(words)), "{}", done.stderr);
            assert_eq!(store.object("x").unwrap(), b"kept");
            store.assert_no_open_upload();
        }
    }
}

#[test]
fn the_target_of_a_replication_says_so() {
    let store = Store::with(|options| {
        options.buckets.insert(BUCKET.to_owned(), BucketProtection::read_only());
    });
    for length in [SHORT, LONG] {
        put(&store, length, "").fails(4).stderr_has(&["BucketIsReadonly", "replication"]);
    }
}

#[test]
fn an_object_under_another_customers_key_can_be_replaced() {
    let store = Store::start();
    let key = |name, text| store.file(name, text);
    let old = key("old", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU=\n");
    let new = key("new", "MDEyMzQ1Njc4OUFCQ0RFRkdISUpLTE1OT1BRUlNUVVY=\n");
    let namespace = store.server().namespace();
    for length in [SHORT, LONG] {
        let place = format!("oci://{BUCKET}@{namespace}/x");
        let run = |key| {
            let run = store.ocipipe("put --part-size 10MiB --force").arg(&place);
            run.arg("--encryption-key-file").arg(key).stdin(ramp(length)).run()
        };
        run(&old).exits(0);
        run(&new).exits(0);
        assert_same(&store.object("x").unwrap(), &ramp(length));
    }
    let get = store.ocipipe("get").arg("oci://backups/x").arg("--encryption-key-file").arg(old);
    get.run().fails(4).stderr_has(&["another key"]);
}

//! Each policy of `docs/policies.md` is enough for its purpose: the test reads its text there, and
//! the store grants the rights of the policy and no others.

#![allow(clippy::unwrap_used)]

mod common;

use common::run::Done;
use common::store::{BUCKET, Store};
use common::stream::{PART, assert_same, ramp};
use emulator::fault::{Fault, FaultResponse, FaultRule, Trigger};
use emulator::{Operation, Permission, PermissionSet};

/// In bytes: a stream of one PutObject, and one of a multipart upload.
const LENGTHS: [usize; 2] = [77, PART + 77];

/// The statements in the section with this heading, one per line.
fn statements(heading: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policies.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("there is no section {heading:?}"));
    let lines = section.lines().filter_map(|line| line.strip_prefix("    Allow group "));
    lines.map(str::to_owned).collect()
}

/// The rights that a statement grants on the bucket, by the service's policy reference.
fn granted(statement: &str) -> Vec<Permission> {
    let words: Vec<&str> = statement.split_whitespace().collect();
    assert!(statement.contains(&format!("target.bucket.name = '{BUCKET}'")), "{statement}");
    let (verb, kind) = (words[2], words[3]);
    let of_verb: &[&str] = match (verb, kind) {
        ("read", "buckets") => &["BUCKET_INSPECT", "BUCKET_READ"],
        ("read", "objects") => &["OBJECT_INSPECT", "OBJECT_READ"],
        ("manage", "objects") => &[],
        other => panic!("{other:?}: {statement}"),
    };
    let conditions: Vec<&str> = statement
        .split("request.permission = '")
        .skip(1)
        .map(|rest| rest.split('\'').next().unwrap())
        .collect();
    assert!(of_verb.is_empty() != conditions.is_empty(), "{statement}");
    let named = of_verb.iter().chain(&conditions);
    named.map(|name| serde_json::from_value((*name).into()).unwrap()).collect()
}

fn rights(statements: &[String]) -> PermissionSet {
    PermissionSet::of(statements.iter().flat_map(|statement| granted(statement)))
}

/// A store that grants the rights of a section.
fn store_of(heading: &str, rules: Vec<FaultRule>) -> Store {
    let rights = rights(&statements(heading));
    Store::with(|options| {
        options.rights = rights;
        options.faults.faults = rules;
    })
}

fn put(store: &Store, name: &str, length: usize, options: &str) -> Done {
    store.put(name).args(options).stdin(ramp(length)).run()
}

fn get(store: &Store, name: &str) -> Done {
    let _ = std::fs::remove_file(store.folder().join("back"));
    store.ocipipe("get --file back").arg(format!("oci://{BUCKET}/{name}")).run()
}

/// Asserts that streams of both lengths are stored under new names and over objects, and that each
/// open upload is named.
fn stores_every_stream(store: &Store) {
    let mut stderr = String::new();
    let mut put = |store: &Store, name: &str, length: usize, options: &str| {
        let done = self::put(store, name, length, options);
        stderr.push_str(&done.stderr);
        done
    };
    for length in LENGTHS {
        let name = format!("x{length}");
        let receipt = put(store, &name, length, "").exits(0).receipt();
        assert_same(&store.object(&name).unwrap(), &ramp(length));
        put(store, &name, 5, "").fails(6);
        let etag = receipt["etag"].as_str().unwrap();
        put(store, &name, length + 1, &format!("--if-match {etag}")).exits(0);
        put(store, &name, length + 2, "--force").exits(0);
        assert_same(&store.object(&name).unwrap(), &ramp(length + 2));
    }
    for (_, _, id) in store.server().open_uploads() {
        assert!(stderr.contains(&format!("--upload-id {id}")), "{id} is not named:\n{stderr}");
    }
}

/// A fault that ends every multipart upload.
fn failing() -> Vec<FaultRule> {
    vec![FaultRule::on(Operation::UploadPart, Fault::Refuse(FaultResponse::status(400)))]
}

#[test]
fn the_policy_for_put_alone_stores_every_stream() {
    let store = store_of("For `put` alone", Vec::new());
    stores_every_stream(&store);
}

#[test]
fn with_the_policy_for_put_alone_the_open_upload_of_a_failed_run_is_named() {
    let store = store_of("For `put` alone", failing());
    let done = put(&store, "x", PART + 1, "").fails(4);
    let open = store.server().open_uploads();
    assert_eq!(open.len(), 1);
    done.stderr_has(&["ocipipe uploads abort", &open[0].2]);
}

#[test]
fn the_right_to_create_alone_is_enough_for_a_new_name_and_one_part() {
    let store =
        Store::with(|options| options.rights = PermissionSet::of([Permission::ObjectCreate]));
    put(&store, "x", LENGTHS[0], "").exits(0);
    assert!(store.object("x").is_some());
    put(&store, "y", LENGTHS[1], "").fails(4);
    put(&store, "x", 5, "--force").fails(4);
    assert_same(&store.object("x").unwrap(), &ramp(LENGTHS[0]));
}

#[test]
fn the_policy_with_checks_and_cleanup_leaves_nothing_behind() {
    let heading = "For `put`, with checks and cleanup";
    let store = store_of(heading, Vec::new());
    stores_every_stream(&store);
    store.assert_no_open_upload();
    assert_eq!(
        store.requests_of(Operation::DeleteObject).len(),
        0,
        "the policy grants no right for it"
    );
    let store = store_of(heading, failing());
    put(&store, "x", PART + 1, "").fails(4);
    store.assert_not_stored("x");
}

#[test]
fn the_policy_for_put_and_get_reads_back_what_it_stored() {
    let store = store_of("For `put` and `get`", Vec::new());
    // The last statement of the section is for `get` alone.
    let (reading, both) = statements("For `put` and `get`")
        .split_last()
        .map(|(last, rest)| (rights(std::slice::from_ref(last)), rights(rest)))
        .unwrap();
    store.server().set_rights(both);
    stores_every_stream(&store);
    for length in LENGTHS {
        let name = format!("x{length}");
        get(&store, &name).exits(0);
        let back = std::fs::read(store.folder().join("back")).unwrap();
        assert_same(&back, &ramp(length + 2));
    }
    store.assert_no_open_upload();
    store.server().set_rights(reading);
    get(&store, "x77").exits(0);
    put(&store, "y", 5, "").fails(4);
}

#[test]
fn the_policy_for_cleaning_up_lists_and_aborts() {
    let abort =
        FaultRule::on(Operation::AbortMultipartUpload, Fault::Refuse(FaultResponse::status(403)));
    let mut rules = failing();
    rules.push(abort.when(Trigger::Requests(2)));
    let store = store_of("For cleaning up", rules);
    let cleaner = rights(&statements("For cleaning up"));
    store.server().set_rights(PermissionSet::all());
    put(&store, "x", PART + 1, "").fails(4);
    put(&store, "y", PART + 1, "").fails(4);
    store.server().set_rights(cleaner);
    let uploads = |words: &str| {
        store.ocipipe(&format!("uploads {words}")).arg(format!("oci://{BUCKET}")).run()
    };
    assert_eq!(uploads("list").exits(0).stdout.matches("upload-id").count(), 2);
    uploads("abort --name x").exits(0);
    uploads("abort --all").exits(0);
    store.assert_no_open_upload();
}

#[test]
fn an_abort_that_names_the_upload_needs_the_right_to_delete_only() {
    let store = store_of("For `put` alone", failing());
    put(&store, "x", PART + 1, "").fails(4);
    let id = store.server().open_uploads()[0].2.clone();
    store.server().set_rights(PermissionSet::of([Permission::ObjectDelete]));
    let abort = store.ocipipe("uploads abort").args(&format!("--upload-id {id}"));
    abort.arg(format!("oci://{BUCKET}/x")).run().exits(0);
    store.assert_no_open_upload();
}

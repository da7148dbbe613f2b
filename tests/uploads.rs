//! Open uploads: listed in the format of the OCI CLI, and aborted only if the options select them.

#![allow(clippy::unwrap_used)]

mod common;

use common::run::Done;
use common::store::{BUCKET, Store};
use common::stream::{PART, ramp};
use emulator::Operation::{AbortMultipartUpload, UploadPart};
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};

/// A store with an open upload of each of these names, created in this order.
fn with_open_uploads(names: &[&str]) -> Store {
    let refused = |status| Fault::Refuse(FaultResponse::status(status));
    let aborts = names.len() as u64;
    let store = Store::failing([
        FaultRule::on(UploadPart, refused(400)),
        FaultRule::on(AbortMultipartUpload, refused(403)).when(Trigger::Requests(aborts)),
    ]);
    for name in names {
        store.put(name).stdin(ramp(PART + 1)).run().fails(4).stderr_has(&["ocipipe uploads abort"]);
    }
    assert_eq!(store.server().open_uploads().len(), names.len());
    store
}

/// `ocipipe uploads WORDS` in the bucket.
fn uploads(store: &Store, words: &str) -> Done {
    store.ocipipe(&format!("uploads {words}")).arg(format!("oci://{BUCKET}")).run()
}

fn data(done: &Done) -> Vec<serde_json::Value> {
    let printed: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(printed.as_object().unwrap().len(), 1, "{printed}");
    printed["data"].as_array().unwrap().clone()
}

fn objects(done: &Done) -> Vec<String> {
    data(done).iter().map(|upload| upload["object"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn open_uploads_are_listed_as_the_oci_cli_lists_them() {
    let store = with_open_uploads(&["a/b c"]);
    let done = uploads(&store, "list").exits(0);
    let id = data(&done)[0]["upload-id"].as_str().unwrap().to_owned();
    let time = data(&done)[0]["time-created"].as_str().unwrap().to_owned();
    assert!(time.ends_with("+00:00"), "{time}");
    let namespace = store.server().namespace();
    let expected = format!(
        r#"{{
  "data": [
    {{
      "bucket": "{BUCKET}",
      "namespace": "{namespace}",
      "object": "a/b c",
      "storage-tier": "Standard",
      "time-created": "{time}",
      "upload-id": "{id}"
    }}
  ]
}}
"#
    );
    assert_eq!(done.stdout, expected);
}

#[test]
fn without_open_uploads_the_list_is_empty_json() {
    let store = Store::start();
    assert_eq!(data(&uploads(&store, "list").exits(0)).len(), 0);
    assert_eq!(data(&uploads(&store, "abort --all").exits(0)).len(), 0);
}

#[test]
fn filters_combine_and_an_abort_takes_no_more_than_the_list_shows() {
    let store = with_open_uploads(&["one", "two", "two"]);
    let all = data(&uploads(&store, "list").exits(0));
    assert_eq!(all.len(), 3);
    let of = |words: &str| objects(&uploads(&store, words).exits(0));
    assert_eq!(of("list --object-name two"), ["two", "two"]);
    assert_eq!(of("list --older-than 1d"), Vec::<String>::new());
    assert_eq!(of("list --older-than 0s -on one"), ["one"]);
    let id = |n: usize| all[n]["upload-id"].as_str().unwrap();
    assert_eq!(of(&format!("list --upload-id {}", id(1))), ["two"]);
    assert_eq!(of(&format!("list --name one --upload-id {}", id(1))), Vec::<String>::new());
    uploads(&store, "abort").fails(2);
    assert_eq!(of("abort --older-than 1d"), Vec::<String>::new());
    assert_eq!(of("list"), ["one", "two", "two"]);
    assert_eq!(of(&format!("abort -on two --upload-id {}", id(1))), ["two"]);
    assert_eq!(of("list"), ["one", "two"]);
    assert_eq!(of("abort --name two"), ["two"]);
    assert_eq!(of("list"), ["one"]);
    assert_eq!(of("abort --all"), ["one"]);
    store.assert_no_open_upload();
}

#[test]
fn the_age_of_an_upload_is_counted_by_the_clock_of_the_service() {
    // The local clock is a day ahead.
    let store = Store::start();
    store.server().set_clock_offset(-86_400);
    let refused = Fault::Refuse(FaultResponse::status(400));
    let unable = Fault::Refuse(FaultResponse::status(403));
    store.server().set_faults(FaultPlan {
        faults: vec![
            FaultRule::on(UploadPart, refused),
            FaultRule::on(AbortMultipartUpload, unable).when(Trigger::Requests(1)),
        ],
    });
    store.put("running").stdin(ramp(PART + 1)).run().fails(4);
    assert_eq!(store.server().open_uploads().len(), 1);
    uploads(&store, "abort --older-than 1h").exits(0);
    assert_eq!(store.server().open_uploads().len(), 1);
    uploads(&store, "abort --all").exits(0);
    assert_eq!(store.server().open_uploads().len(), 0);
}

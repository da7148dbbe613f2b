//! Uploads of our name that others have left: they are neither continued, nor aborted, nor a flood.

use emulator::Operation;

use crate::common::store::Store;
use crate::common::stream::{PART, ramp};

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[test]
fn open_uploads_of_others_are_named_ten_at_a_time_and_left_alone() {
    let store = Store::start();
    for _ in 0..13 {
        store.kill_put(store.put("x"), &ramp(PART + 1), 1);
    }
    let others = sorted(store.open_ids());
    assert_eq!(others.len(), 13);
    let done = store.put("x").stdin("ours").run().exits(0);
    let named = done.stderr.matches("another upload of this name is open").count();
    assert_eq!(named, 10, "{}", done.stderr);
    done.stderr_has(&["3 more uploads of this name are open"]);
    assert_eq!(store.object("x").unwrap(), b"ours");
    let resume = store.put("x").args("--resume --force").stdin("ours");
    resume.run().fails(2).stderr_has(&["13 uploads of", "and more", "--upload-id"]);
    assert_eq!(sorted(store.open_ids()), others);
    assert_eq!(store.requests_of(Operation::AbortMultipartUpload).len(), 0);
}

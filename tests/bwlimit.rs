//! `--bwlimit`, from outside: what the upload takes at least. That it takes no longer than it must is
//! asserted in virtual time, at `http::body`.

mod common;

use common::store::Store;
use common::stream::ramp;

#[test]
fn the_bandwidth_limit_is_kept_in_one_request_and_in_parts() {
    for (part_size, requests) in [("32MiB", 1), ("10MiB", 2)] {
        let store = Store::start();
        let put = format!("put oci://backups/x --bwlimit 10MiB --part-size {part_size}");
        let receipt = store.ocipipe(&put).stdin(ramp(16 << 20)).run().exits(0).receipt();
        assert_eq!(receipt["parts"], requests);
        // 1.6 s, but for what the pace may make up.
        assert!(receipt["seconds"].as_f64().unwrap() > 1.3, "{receipt}");
    }
}

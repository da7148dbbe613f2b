//! `--bwlimit` of the whole program: the shortest time of an upload. The tests of `net::body` check in
//! virtual time that it does not take longer than necessary.

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
        // 1.6 s, less the burst allowance.
        assert!(receipt["seconds"].as_f64().unwrap() > 1.3, "{receipt}");
    }
}

//! Faults below HTTP, with TLS, and the expected result of each.

#![allow(clippy::unwrap_used)]

mod common;

use common::flaky_proxy::{ConnectionFault, FlakyProxy};
use common::run::{Done, ocipipe};
use common::store::{BUCKET, Store};
use common::stream::{PART, assert_same, ramp};

/// A stream of three parts, in bytes.
const LONG: usize = 2 * PART + 17;

fn put(store: &Store, proxy: &FlakyProxy, options: &str) -> Done {
    let line = format!(
        "put oci://{BUCKET}/x --part-size 10MiB --endpoint {} --auth-endpoint {} {options}",
        proxy.https_url(),
        store.server().url()
    );
    let put = ocipipe(line.split_whitespace()).within(store.folder());
    let put = put.arg("--config-file").arg(store.server().config_path());
    put.arg("--cert-bundle").arg(store.server().ca_path()).stdin(ramp(LONG)).run()
}

/// Asserts that the stream is stored although single connections have a fault, and that stderr has
/// these texts.
#[track_caller]
fn survives(fault: impl Fn(usize) -> ConnectionFault + Send + 'static, texts: &[&str]) {
    let store = Store::start();
    let proxy = FlakyProxy::start(store.server().address(), fault);
    let done = put(&store, &proxy, "--parallel-upload-count 2").exits(0).stderr_has(texts);
    assert!(proxy.faults() > 0, "no connection had a fault");
    assert_same(&store.object("x").unwrap(), &ramp(LONG));
    assert_eq!(done.receipt()["size"], LONG);
    store.assert_no_open_upload();
}

#[test]
fn handshakes_that_are_reset_during_the_stream() {
    // The first connection serves the preflight; the parts need more. Three of them may serve the list of
    // open uploads, whose failure is no failure of the run.
    let fault = |number| {
        if (1..5).contains(&number) {
            ConnectionFault::ResetAtFirstByte
        } else {
            ConnectionFault::None
        }
    };
    survives(fault, &["reset", "goes on"]);
}

#[test]
fn another_certificate_during_the_stream() {
    let fault = |number| {
        if (1..5).contains(&number) {
            ConnectionFault::OtherCertificate
        } else {
            ConnectionFault::None
        }
    };
    survives(fault, &["certificate", "goes on"]);
}

#[test]
fn connections_that_are_reset_within_a_record() {
    let fault = |number| match number {
        0..3 => ConnectionFault::ResetAfter(3_000_000),
        _ => ConnectionFault::None,
    };
    survives(fault, &["goes on"]);
}

#[test]
fn a_certificate_that_is_not_trusted_from_the_start_ends_the_run_at_once() {
    let store = Store::start();
    let proxy = FlakyProxy::start(store.server().address(), |_| ConnectionFault::OtherCertificate);
    let done = put(&store, &proxy, "").fails(4).within_seconds(30);
    done.stderr_has(&["certificate", "--cert-bundle"]);
    store.assert_not_stored("x");
}

/// As much metadata as the service accepts, in as many entries as possible.
fn many_entries() -> String {
    let letters: Vec<char> = ('a'..='z').chain('0'..='9').collect();
    let mut names: Vec<String> = letters.iter().map(char::to_string).collect();
    names.extend(letters.iter().flat_map(|a| letters.iter().map(move |b| format!("{a}{b}"))));
    let mut left = 4000;
    let fits = names.into_iter().take_while(|name| {
        left -= "opc-meta-".len() as i64 + name.len() as i64 + 1;
        left >= 0
    });
    let map: serde_json::Map<_, _> = fits.map(|name| (name, "v".into())).collect();
    assert!(map.len() > 300, "{}", map.len());
    serde_json::to_string(&map).unwrap()
}

#[test]
fn all_the_metadata_that_the_service_accepts_is_stored_and_read_back() {
    let store = Store::start();
    let put = |name: &str| store.put(name).arg("--metadata").arg(many_entries());
    for length in [10, PART + 1] {
        let name = format!("x{length}");
        put(&name).stdin(ramp(length)).run().exits(0);
        let got = store.ocipipe("get").arg(format!("oci://{BUCKET}/{name}")).arg("--file");
        let file = store.folder().join("got");
        got.arg(&file).run().exits(0);
        assert_same(&std::fs::read(&file).unwrap(), &ramp(length));
        put(&name).stdin("other").run().fails(6).stderr_has(&["exists already"]).within_seconds(30);
        put(&name).args("--force").stdin("other").run().exits(0);
        assert_eq!(store.object(&name).unwrap(), b"other");
    }
}

//! What the user demands of the whole stream: its digest, and one request for all of it.

#![allow(clippy::unwrap_used)]

mod common;

use common::store::{BUCKET, Store};
use common::stream::{PART, assert_same, ramp};
use emulator::Operation::{AbortMultipartUpload, CreateMultipartUpload, PutObject, UploadPart};
use proto::digest::{Algorithm, ValueHasher};

const OPTIONS: [(&str, Algorithm); 4] = [
    ("--content-md5", Algorithm::Md5),
    ("--opc-content-sha256", Algorithm::Sha256),
    ("--opc-content-sha384", Algorithm::Sha384),
    ("--opc-content-crc32c", Algorithm::Crc32c),
];

fn digest(algorithm: Algorithm, bytes: &[u8]) -> String {
    let mut hasher = ValueHasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish().unwrap().base64()
}

#[test]
fn a_stream_is_stored_only_if_it_has_the_digest_that_is_given() {
    let store = Store::start();
    for length in [0, 1000, 2 * PART + 5] {
        let bytes = ramp(length);
        for (option, algorithm) in OPTIONS {
            let name = format!("{length}{option}");
            let put = |value: &str| {
                let put = store.put(&name).args("--allow-empty").arg(option).arg(value);
                put.stdin(bytes.clone()).run()
            };
            let wrong = digest(algorithm, b"another stream");
            let right = digest(algorithm, &bytes);
            put(&wrong).fails(7).stderr_has(&[option, &wrong, &right, "nothing was stored"]);
            store.assert_not_stored(&name);
            put(&right).exits(0);
            assert_same(&store.object(&name).unwrap(), &bytes);
        }
    }
    // All of them together, and two ways to write a value.
    let bytes = ramp(PART + 1);
    let given =
        OPTIONS.map(|(option, algorithm)| format!("{option}={}", digest(algorithm, &bytes)));
    store.put("all").args(&given.join(" ")).stdin(bytes.clone()).run().exits(0);
    store.put("one-less").args(&given.join(" ")).stdin(ramp(PART)).run().fails(7);
    store.assert_not_stored("one-less");
}

#[test]
fn a_file_and_a_command_are_checked_too() {
    let store = Store::start();
    let bytes = ramp(1000);
    let file = store.file("bytes", &bytes);
    let right = format!("--content-md5 {}", digest(Algorithm::Md5, &bytes));
    let wrong = format!("--content-md5 {}", digest(Algorithm::Md5, b""));
    for (options, code) in [(&right, 0), (&wrong, 7)] {
        let put = store.put(&format!("file-{code}")).args(options);
        put.arg("--file").arg(&file).run().exits(code);
        let put = store.put(&format!("command-{code}")).args(options);
        put.args("-- cat").arg(&file).run().exits(code);
    }
    // The failure of the command comes first.
    let script = format!("head -c 10 {}; exit 3", file.display());
    store.put("x").args(&right).args("-- sh -c").arg(script).run().fails(5);
    store.assert_not_stored("file-7");
    store.assert_not_stored("command-7");
}

#[test]
fn the_upload_of_a_stream_with_another_digest_stays_open_only_for_the_run_that_began_it() {
    let store = Store::start();
    let wrong = format!("--content-md5 {}", digest(Algorithm::Md5, b""));
    store.put("x").args("--resume").args(&wrong).stdin(ramp(PART + 1)).run().fails(7);
    store.assert_not_stored("x");
    assert_eq!(store.requests_of(AbortMultipartUpload).len(), 1);
}

#[test]
fn the_receipt_has_the_sha256_of_the_stream_where_an_option_had_it_computed() {
    let store = Store::start();
    let bytes = ramp(PART + 1);
    let mut hasher = ValueHasher::new(Algorithm::Sha256);
    hasher.update(&bytes);
    let hex = hasher.finish().unwrap().hex();
    let option = format!("--opc-content-sha256 {}", digest(Algorithm::Sha256, &bytes));
    for checksum in ["sha256", "md5"] {
        let put = store.put("x").args("--force --checksum").arg(checksum).args(&option);
        assert_eq!(put.stdin(bytes.clone()).run().exits(0).receipt()["sha256"], hex, "{checksum}");
    }
}

#[test]
fn without_multipart_a_stream_of_any_length_that_fits_is_one_request() {
    let store = Store::start();
    for (length, memory) in
        [(0, "1MiB"), (1 << 20, "1MiB"), (2 * PART, "20MiB"), (3 * PART + 7, "31MiB")]
    {
        let name = format!("of-{length}");
        let bytes = ramp(length);
        let options = format!("--no-multipart --allow-empty --max-memory {memory}");
        let done = store.put(&name).args(&options).stdin(bytes.clone()).run().exits(0);
        assert_same(&store.object(&name).unwrap(), &bytes);
        let receipt = done.receipt();
        assert_eq!((&receipt["parts"], receipt.get("upload-id")), (&1.into(), None));
        assert_eq!(receipt["verified-by"], "opc-content-sha256");
    }
    assert_eq!(store.requests_of(CreateMultipartUpload), []);
    assert_eq!(store.requests_of(PutObject).len(), 4);
}

#[test]
fn without_multipart_a_longer_stream_is_refused_before_anything_is_stored() {
    let store = Store::start();
    let file = store.file("long", ramp(2 * PART + 1));
    let put = || store.put("x").args("--no-multipart --max-memory 20MiB");
    let refused = ["longer than 20 MiB", "--max-memory", "nothing was stored"];
    put().stdin(ramp(2 * PART + 1)).run().fails(5).stderr_has(&refused);
    put().arg("--file").arg(&file).run().fails(5).stderr_has(&refused);
    put().args("-- cat").arg(&file).run().fails(5).stderr_has(&refused);
    store.assert_not_stored("x");
    for operation in [CreateMultipartUpload, PutObject, UploadPart] {
        assert_eq!(store.requests_of(operation), [], "{operation:?}");
    }
    // What only a multipart upload can carry.
    let put = store.ocipipe("put --no-multipart").arg(format!("oci://{BUCKET}/x"));
    let done = put.arg("--metadata").arg("{\"place\": \"K\u{f6}ln\"}").stdin("x").run().fails(2);
    done.stderr_has(&["--no-multipart", "not ASCII"]);
}

//! What is stored besides the bytes, and the receipt.

#![allow(clippy::unwrap_used)]

mod common;

use common::store::Store;
use common::stream::{PART, assert_same, ramp};

/// In bytes: a stream of one PutObject, and one of a multipart upload.
const LENGTHS: [usize; 2] = [77, PART + 77];

#[test]
fn headers_and_metadata_from_options_are_stored() {
    let store = Store::start();
    for length in LENGTHS {
        let name = format!("headers-{length}");
        let run = store
            .put(&name)
            .args("--storage-tier InfrequentAccess --content-type application/x-tar")
            .args("--content-encoding gzip --content-language de --cache-control no-store")
            .args(r#"--content-disposition inline --metadata {"Host":"db1","made-by":"cron"}"#);
        run.stdin(ramp(length)).run().exits(0);
        let record = store.object_record(&name)["properties"].clone();
        assert_eq!(record["storage_tier"], "InfrequentAccess");
        assert_eq!(record["content_type"], "application/x-tar");
        assert_eq!(record["content_encoding"], "gzip");
        assert_eq!(record["content_language"], "de");
        assert_eq!(record["cache_control"], "no-store");
        assert_eq!(record["content_disposition"], "inline");
        assert_eq!(record["metadata"]["opc-meta-host"], "db1", "{length}: {record}");
        assert_eq!(record["metadata"]["opc-meta-made-by"], "cron");
    }
}

#[test]
fn metadata_is_taken_as_the_oci_cli_takes_it() {
    let store = Store::start();
    let file = store.file("meta.json", r#"{"from": "a file", "city": "München"}"#);
    let map = r#"{"run": 42, "load": 1.50, "full": true, "note": "東京 / café"}"#;
    for length in LENGTHS {
        let name = format!("meta-{length}");
        let run = store.put(&name).arg("--metadata").arg(map);
        let run = run.arg("--content-disposition").arg("attachment; filename=\"\u{dc}.tar\"");
        run.stdin(ramp(length)).run().exits(0);
        let record = store.object_record(&name)["properties"].clone();
        for (key, text) in [
            ("run", "42"),
            ("load", "1.5"),
            ("full", "True"),
            ("note", "\u{6771}\u{4eac} / caf\u{e9}"),
        ] {
            assert_eq!(record["metadata"][format!("opc-meta-{key}")], text, "{length}");
        }
        assert_eq!(record["content_disposition"], "attachment; filename=\"\u{dc}.tar\"");
        let name = format!("file-{length}");
        for url in [format!("file://{}", file.display()), "FILE://$FOLDER/meta.json".to_owned()] {
            let run = store.put(&name).arg("--metadata").arg(url).arg("--force");
            let run = run.var("FOLDER", store.folder());
            run.stdin(ramp(length)).run().exits(0);
            let record = store.object_record(&name)["properties"].clone();
            assert_eq!(record["metadata"]["opc-meta-from"], "a file");
            assert_eq!(record["metadata"]["opc-meta-city"], "M\u{fc}nchen");
        }
        let get = store.ocipipe("get --file back").arg(format!("oci://backups/{name}"));
        get.run().exits(0);
    }
    store.assert_no_open_upload();
}

#[test]
fn invalid_metadata_is_refused_before_any_request() {
    let store = Store::start();
    let broken = store.file("broken.json", "host=db1");
    let url = format!("file://{}", broken.display());
    for (given, words) in [
        ("file:///no/such/file", &["--metadata /no/such/file", "No such file"][..]),
        ("file:///dev/stdin", &["--metadata /dev/stdin is the stream"]),
        ("file://", &["names no file"]),
        (&url, &["--metadata is not JSON"]),
        (r#"{"a": null}"#, &["is not a text"]),
    ] {
        store.put("x").arg("--metadata").arg(given).stdin("x").run().fails(2).stderr_has(words);
    }
    let key = store.put("x").args("--encryption-key-file /dev/stdin");
    key.stdin("x").run().fails(2).stderr_has(&["--encryption-key-file /dev/stdin is the stream"]);
    assert_eq!(store.requests().len(), 0);
}

#[test]
fn a_media_type_is_guessed_from_the_source_or_the_name() {
    let store = Store::start();
    let photo = store.file("photo.webp", "x");
    let media = |name: &str| store.object_record(name)["properties"]["content_type"].clone();
    let auto = |name: &str| store.put(name).args("--content-type auto");
    auto("a.txt").arg("--file").arg(&photo).run().exits(0);
    assert_eq!(media("a.txt"), "image/webp");
    auto("b.svg").stdin("x").run().exits(0);
    assert_eq!(media("b.svg"), "image/svg+xml");
    auto("c.svg").arg("--").arg("cat").arg(&photo).run().exits(0);
    assert_eq!(media("c.svg"), "image/svg+xml");
    auto("d").stdin("x").run().exits(0);
    assert_eq!(media("d"), "application/octet-stream");
}

#[test]
fn no_header_or_metadata_is_stored_without_an_option() {
    let store = Store::start();
    store.put("plain").stdin("x").run().exits(0);
    let record = store.object_record("plain")["properties"].clone();
    assert_eq!(record["content_type"], "application/octet-stream");
    for key in ["content_encoding", "customer_key", "kms_key"] {
        assert!(record[key].is_null(), "{key}: {record}");
    }
    assert_eq!(record["metadata"], serde_json::json!({}));
}

#[test]
fn a_customer_key_is_sent_with_every_request_that_needs_it() {
    let store = Store::start();
    let key = store.file("key", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU=\n");
    for length in LENGTHS {
        let name = format!("secret-{length}");
        let run = store.put(&name).arg("--encryption-key-file").arg(&key);
        let done = run.arg("--debug").stdin(ramp(length)).run().exits(0);
        assert_same(&store.object(&name).unwrap(), &ramp(length));
        let record = store.object_record(&name)["properties"].clone();
        assert!(record["customer_key"].is_string(), "{record}");
        done.stderr_lacks("QUJDREVGR0hJ").stderr_lacks("ABCDEFGHIJ");
        let again = store.put(&name).arg("--encryption-key-file").arg(&key);
        again.stdin("x").run().fails(6);
    }
}

#[test]
fn an_invalid_customer_key_is_refused_before_any_request() {
    let store = Store::start();
    let short = store.file("short", "QUJD");
    let run = store.put("x").arg("--encryption-key-file").arg(short);
    run.stdin("x").run().fails(2).stderr_has(&["--encryption-key-file"]);
    let run = store.put("x").args("--encryption-key-file /no/such/file");
    run.stdin("x").run().fails(2).stderr_has(&["/no/such/file"]);
    assert_eq!(store.requests().len(), 0);
}

#[test]
fn the_receipt_has_the_properties_and_the_evidence_of_the_object() {
    let store = Store::start();
    let short = store.put("a/b c").stdin(ramp(LENGTHS[0])).run().exits(0).receipt();
    let long = store.put("long").stdin(ramp(LENGTHS[1])).run().exits(0).receipt();
    let sha256 = ring::digest::digest(&ring::digest::SHA256, &ramp(LENGTHS[0]));
    let hex: String = sha256.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(short["sha256"], hex);
    assert_eq!(short["name"], "a/b c");
    for (receipt, name, parts) in [(&short, "a/b c", 1), (&long, "long", 2)] {
        assert_eq!(receipt["bucket"], "backups");
        assert_eq!(receipt["namespace"], store.server().namespace());
        assert_eq!(receipt["etag"], store.object_record(name)["etag"]);
        assert_eq!(receipt["parts"], parts);
        assert_eq!(receipt["checksum"]["algorithm"], "SHA256");
        assert_eq!(receipt["retries"], 0);
        assert_eq!(receipt["token-refreshes"], 0);
        for key in ["last-modified", "opc-request-id", "verified-by"] {
            assert!(receipt[key].is_string(), "{key}: {receipt}");
        }
        assert!(receipt["seconds"].is_number());
    }
    assert!(short["opc-content-md5"].is_string() && short.get("opc-multipart-md5").is_none());
    assert!(long["opc-multipart-md5"].as_str().unwrap().ends_with("-2"));
    assert!(long["upload-id"].is_string());
}

#[test]
fn a_receipt_that_cannot_be_written_goes_to_stderr_and_changes_nothing() {
    let store = Store::start();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let done = store.put("x").stdin("x").stdout_to(full).run().exits(0);
    done.stderr_has(&["\"etag\"", "\"verified-by\""]);
    assert_eq!(store.object("x").unwrap(), b"x");
}

#[test]
fn quiet_prints_nothing_on_success_and_debug_never_prints_a_secret() {
    let store = Store::start();
    let done = store.put("quiet").args("--quiet").stdin("x").run().exits(0);
    assert_eq!(done.stderr, "");
    let done = store.put("debug").args("--debug").stdin(ramp(PART + 1)).run().exits(0);
    let token = std::fs::read_to_string(store.server().token_path()).unwrap();
    let key = std::fs::read_to_string(store.server().key_path()).unwrap();
    let signature = token.trim().rsplit('.').next().unwrap();
    let done = done.stderr_lacks(token.trim()).stderr_lacks(signature);
    done.stderr_lacks(key.lines().nth(1).unwrap());
}

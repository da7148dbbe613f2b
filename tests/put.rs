//! One stream, one object: the object equals the stream, whatever its source.

#![allow(clippy::unwrap_used)]

mod common;

use common::run::ocipipe;
use common::store::{BUCKET, Store};
use common::stream::{PART, Ramp, assert_same, part_sizes, ramp};
use emulator::fault::{Fault, FaultPlan, FaultResponse, FaultRule, Trigger};
use emulator::{KeyKind, Operation};

#[test]
fn a_stream_of_any_length_is_stored_with_as_few_requests_as_possible() {
    let store = Store::start();
    for (length, parts) in
        [(1, 1), (PART - 1, 1), (PART, 1), (PART + 1, 2), (3 * PART, 3), (3 * PART + 17, 4)]
    {
        let name = format!("of-{length}");
        let sent = ramp(length);
        let done = store.put(&name).stdin(sent.clone()).run().exits(0);
        assert_same(&store.object(&name).unwrap(), &sent);
        let receipt = done.receipt();
        assert_eq!(receipt["size"], length);
        assert_eq!(receipt["parts"], parts, "{length} bytes");
        assert_eq!(receipt.get("upload-id").is_some(), parts > 1, "{length} bytes");
        let sizes = part_sizes(&receipt);
        assert!(sizes[..parts - 1].iter().all(|size| *size == PART as u64), "{sizes:?}");
        assert_eq!(receipt["auth"], "security_token");
    }
    store.assert_no_open_upload();
    assert_eq!(store.requests_of(Operation::PutObject).len(), 3);
    assert_eq!(store.requests_of(Operation::CreateMultipartUpload).len(), 3);
    assert_eq!(store.requests_of(Operation::UploadPart).len(), 2 + 3 + 4);
}

#[test]
fn a_short_stream_costs_the_preflight_one_put_one_head_and_a_list_beside_them() {
    let store = Store::start();
    store.put("short").stdin("a line\n").run().exits(0);
    use Operation::{GetNamespace, HeadObject, PutObject};
    assert_eq!(besides_lists(&store, 1), [GetNamespace, HeadObject, PutObject, HeadObject]);
}

/// The operations without the lists of open uploads, of which there are this many: they run beside the
/// others.
fn besides_lists(store: &Store, lists: usize) -> Vec<Operation> {
    let (list, others): (Vec<_>, Vec<_>) = store
        .requests()
        .iter()
        .map(|record| record.operation)
        .partition(|operation| *operation == Operation::ListMultipartUploads);
    assert_eq!(list.len(), lists);
    others
}

#[test]
fn with_a_namespace_and_force_a_head_before_the_stream_shows_rejected_credentials() {
    let store = Store::start();
    let namespace = store.server().namespace();
    let address = format!("oci://{BUCKET}@{namespace}/x");
    store.ocipipe("put --force").arg(address).stdin("x").run().exits(0);
    let options = format!("--bucket-name {BUCKET} --namespace {namespace} --name y");
    store.ocipipe("put --force").args(&options).stdin("y").run().exits(0);
    use Operation::{HeadObject, PutObject};
    assert_eq!(besides_lists(&store, 2), [HeadObject, PutObject, HeadObject].repeat(2));
    assert_eq!(store.object("y").unwrap(), b"y");
}

/// A policy forbids the HeadObject of the preflight or hides the object, or another customer key
/// encrypts it.
#[test]
fn the_preconditions_of_the_upload_decide_if_the_first_head_object_is_refused() {
    let store = Store::start();
    let url = format!("oci://{BUCKET}@{}/x", store.server().namespace());
    let conditions = [("", 6), ("--if-match another", 6), ("--if-match ETAG", 0), ("--force", 0)];
    for status in [400, 403, 404] {
        for length in [10, PART + 1] {
            for (condition, code) in conditions {
                let old = store.put("x").args("--force").stdin("old").run().exits(0).receipt();
                let condition = condition.replace("ETAG", old["etag"].as_str().unwrap());
                let refused = Fault::Refuse(FaultResponse::status(status));
                let rule = FaultRule::on(Operation::HeadObject, refused).when(Trigger::Request(1));
                store.server().set_faults(FaultPlan::new().with(rule));
                let put = store.ocipipe("put --part-size 10MiB").arg(&url).args(&condition);
                let done = put.stdin(ramp(length)).run();
                let case = format!("HTTP {status} {condition:?}: {}", done.stderr);
                assert_eq!(done.status.code(), Some(code), "{case}");
                let expected = if code == 0 { ramp(length) } else { b"old".to_vec() };
                assert_same(&store.object("x").unwrap(), &expected);
                store.assert_no_open_upload();
                store.server().set_faults(FaultPlan::new());
            }
        }
    }
}

#[test]
fn an_empty_stream_is_refused_unless_it_is_allowed() {
    let store = Store::start();
    store.put("empty").stdin("").run().fails(5).stderr_has(&["empty", "--allow-empty"]);
    store.assert_not_stored("empty");
    let done = store.put("empty").args("--allow-empty").stdin("").run().exits(0);
    assert_eq!(store.object("empty").unwrap(), b"");
    assert_eq!(done.receipt()["size"], 0);
}

#[test]
fn a_stream_shorter_than_min_size_is_not_stored() {
    let store = Store::start();
    store.put("less").args("--min-size 1KiB").stdin(ramp(1023)).run().fails(5);
    let min_size = format!("--min-size {}B", PART + 2);
    store.put("less").args(&min_size).stdin(ramp(PART + 1)).run().fails(5);
    store.assert_not_stored("less");
    store.put("enough").args("--min-size 1KiB").stdin(ramp(1024)).run().exits(0);
}

#[test]
fn a_slow_stream_of_odd_pieces_is_stored() {
    let store = Store::start();
    let mut run = store.put("trickle").stdin_pipe().start();
    let mut source = Ramp::default();
    run.write(&source.take(1));
    store.wait_for_requests(Operation::HeadObject, 1);
    for _ in 0..2 * PART / 4099 {
        run.write(&source.take(4099));
    }
    run.wait().exits(0);
    assert_same(&store.object("trickle").unwrap(), &ramp(1 + 2 * PART / 4099 * 4099));
}

#[test]
fn parts_are_sent_while_the_stream_is_still_open() {
    let store = Store::start();
    let mut run = store.put("open").stdin_pipe().start();
    run.write(&ramp(PART + 1));
    store.wait_for_requests(Operation::UploadPart, 1);
    assert!(store.object("open").is_none());
    run.wait().exits(0);
    assert_same(&store.object("open").unwrap(), &ramp(PART + 1));
}

#[test]
fn a_pipe_that_does_not_block_is_waited_for_and_is_no_read_error() {
    let store = Store::start();
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    rustix::fs::fcntl_setfl(&reader, rustix::fs::OFlags::NONBLOCK).unwrap();
    let run = store.put("nonblocking").stdin_from(reader).start();
    let mut writer = std::fs::File::from(writer);
    // The preflight has ended, so the program reads the empty pipe.
    store.wait_for_requests(Operation::HeadObject, 1);
    std::io::Write::write_all(&mut writer, &ramp(PART + 5)).unwrap();
    drop(writer);
    run.wait().exits(0);
    assert_same(&store.object("nonblocking").unwrap(), &ramp(PART + 5));
}

#[test]
fn a_file_is_stored_under_its_own_name_unless_a_name_is_given() {
    let store = Store::start();
    let file = store.file("db.dump", ramp(PART + 9));
    let run = store.ocipipe("put --part-size 10 --bucket-name backups");
    run.arg("--file").arg(&file).run().exits(0);
    assert_same(&store.object("db.dump").unwrap(), &ramp(PART + 9));
    store.put("other").arg("--file").arg(&file).run().exits(0);
    assert_same(&store.object("other").unwrap(), &ramp(PART + 9));
    store.put("dash").args("--file -").stdin("from stdin").run().exits(0);
    assert_eq!(store.object("dash").unwrap(), b"from stdin");
}

#[test]
fn the_output_of_a_command_is_stored_if_it_exits_with_success() {
    let store = Store::start();
    let file = store.file("big", ramp(2 * PART + 3));
    store.put("by-cat").args("-- cat").arg(&file).run().exits(0);
    assert_same(&store.object("by-cat").unwrap(), &ramp(2 * PART + 3));
}

#[test]
fn the_output_of_a_command_that_fails_or_is_killed_is_not_stored() {
    let store = Store::start();
    let run = |name: &str, script: &str| {
        let done = store.put(name).args("-- sh -c").arg(script).run().fails(5);
        store.assert_not_stored(name);
        done
    };
    run("exits", "echo all the bytes; exit 3").stderr_has(&["3"]);
    run("killed", "echo all the bytes; kill -9 $$").stderr_has(&["9"]);
    run("long", "head -c 30000000 /dev/zero; exit 1").stderr_has(&["1"]);
    store.put("none").args("-- /no/such/command").run().fails(5).stderr_has(&["/no/such/command"]);
    store.assert_not_stored("none");
}

#[test]
fn the_command_gets_no_stdin_and_its_stderr_is_passed_on() {
    let store = Store::start();
    let script = "echo to stderr >&2; cat; echo end";
    let run = store.put("quiet").args("-- sh -c").arg(script).stdin("not for the command");
    run.run().exits(0).stderr_has(&["to stderr"]);
    assert_eq!(store.object("quiet").unwrap(), b"end\n");
}

#[test]
fn each_checksum_is_verified_with_the_response_of_the_service() {
    let store = Store::start();
    for (option, algorithm, single, multipart) in [
        ("sha256", Some("SHA256"), "opc-content-sha256", "opc-multipart-sha256"),
        ("sha384", Some("SHA384"), "opc-content-sha384", "opc-multipart-sha384"),
        ("crc32c", Some("CRC32C"), "opc-content-crc32c", "opc-content-crc32c"),
        ("md5", Some("MD5"), "opc-content-md5", "opc-multipart-md5"),
        ("none", None, "content-length", "content-length"),
    ] {
        for (length, verified_by) in [(999, single), (2 * PART + 7, multipart)] {
            let name = format!("{option}-{length}");
            let put = store.put(&name).args(&format!("--checksum {option}"));
            let receipt = put.stdin(ramp(length)).run().exits(0).receipt();
            assert_same(&store.object(&name).unwrap(), &ramp(length));
            let checksum = receipt.get("checksum").and_then(|sum| sum["algorithm"].as_str());
            assert_eq!(checksum, algorithm, "{name}");
            assert_eq!(receipt["verified-by"], verified_by, "{name}");
        }
    }
}

#[test]
fn an_api_key_signs_as_well_as_a_session_token() {
    let store = Store::start();
    store.put("token").stdin("x").run().exits(0);
    assert!(store.requests().iter().all(|r| r.key == Some(KeyKind::SecurityToken)));
    let before = store.requests().len();
    store.put("key").args("--auth api_key --profile API_KEY").stdin("x").run().exits(0);
    assert!(store.requests()[before..].iter().all(|r| r.key == Some(KeyKind::ApiKey)));
    assert_eq!(store.object("key").unwrap(), b"x");
}

#[test]
fn an_upload_over_tls_trusts_the_given_bundle() {
    let store = Store::start();
    let run = ocipipe(["put", "--part-size", "10", "oci://backups/tls"])
        .arg("--config-file")
        .arg(store.server().config_path())
        .arg("--endpoint")
        .arg(store.server().https_url())
        .arg("--cert-bundle")
        .arg(store.server().ca_path());
    run.stdin(ramp(3 * PART + 1)).run().exits(0);
    assert_same(&store.object("tls").unwrap(), &ramp(3 * PART + 1));
    assert!(store.requests().iter().all(|r| r.tls));
}

#[test]
fn the_variables_of_the_oci_cli_are_read_and_options_override_them() {
    let store = Store::start();
    let run = |words: &str| {
        ocipipe(words.split_whitespace())
            .var("OCI_CLI_CONFIG_FILE", store.server().config_path())
            .var("OCI_CLI_ENDPOINT", store.server().url())
            .var("OCI_CLI_PROFILE", "API_KEY")
            .var("OCI_CLI_AUTH", "api_key")
            .stdin("x")
            .run()
            .exits(0)
    };
    run("put oci://backups/by-variables");
    assert_eq!(store.requests().last().unwrap().key, Some(KeyKind::ApiKey));
    run("put oci://backups/by-options --profile SESSION --auth security_token");
    assert_eq!(store.requests().last().unwrap().key, Some(KeyKind::SecurityToken));
}

#[test]
fn an_existing_object_is_replaced_only_by_force_or_by_its_etag() {
    let store = Store::start();
    let first = store.put("one").stdin("first").run().exits(0).receipt();
    store.put("one").stdin("second").run().fails(6);
    assert_eq!(store.object("one").unwrap(), b"first");
    let second = store.put("one").args("--force").stdin(ramp(PART + 1)).run().exits(0).receipt();
    assert_same(&store.object("one").unwrap(), &ramp(PART + 1));
    let stale = first["etag"].as_str().unwrap();
    store.put("one").arg("--if-match").arg(stale).stdin("third").run().fails(6);
    let fresh = second["etag"].as_str().unwrap();
    store.put("one").arg("--if-match").arg(fresh).stdin("third").run().exits(0);
    assert_eq!(store.object("one").unwrap(), b"third");
}

/// Two parts are refused until the connections are two; the others take 4 s.
#[test]
fn refused_requests_take_connections_back_with_one_message() {
    let refuse = |part| {
        let refused = Fault::Early(FaultResponse::status(429));
        FaultRule::on(Operation::UploadPart, refused).part(part).when(Trigger::First(4))
    };
    let slow = |part| {
        FaultRule::on(Operation::UploadPart, Fault::StallAnswer { ms: Some(4_000) }).part(part)
    };
    let store = Store::failing([refuse(3), refuse(4), slow(1), slow(2)]);
    let put = "put oci://backups/x --part-size 10MiB --debug";
    let run = store.ocipipe(put).stdin(ramp(80 << 20)).run().exits(0);
    assert_eq!(run.receipt()["parts"], 8);
    let warnings = run.stderr.lines().filter(|line| line.contains("refuses more requests"));
    assert_eq!(warnings.count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("from 4 to 2 connections"), "{}", run.stderr);
}

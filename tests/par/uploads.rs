//! Streams of one and of many requests, objects, buckets and prefixes.

use emulator::{AccessType, NewPar, Operation, ParConditions, ParOptions};

use crate::common::run::ocipipe;
use crate::common::store::{BUCKET, UnreadStdin};
use crate::common::stream::{PART, assert_same, ramp};
use crate::host::{Host, LONG, SHORT, read_write, write_only};

#[test]
fn a_host_without_credentials_stores_streams_of_any_length() {
    let host = Host::new(read_write());
    for (length, evidence, parts) in
        [(LONG, "opc-multipart-sha256", 3), (SHORT, "opc-content-sha256", 1), (0, "", 1)]
    {
        let done = host.store_stream(length, "--force --allow-empty").exits(0);
        assert_same(&host.store.object("x").unwrap(), &ramp(length));
        let receipt = done.receipt();
        assert_eq!((&receipt["auth"], &receipt["parts"]), (&"par".into(), &parts.into()));
        assert_eq!((&receipt["bucket"], &receipt["name"]), (&BUCKET.into(), &"x".into()));
        assert_eq!(receipt["namespace"], host.store.server().namespace());
        if !evidence.is_empty() {
            assert_eq!(receipt["verified-by"], evidence);
        }
        host.store.assert_no_open_upload();
    }
    let requests = host.store.requests();
    assert!(requests.iter().all(|record| record.par && record.key.is_none()), "one was signed");
    assert_eq!(host.store.requests_of(Operation::ListMultipartUploads).len(), 0);
}

fn without_digests_of_objects() -> ParOptions {
    ParOptions { object_checksums: false, ..ParOptions::default() }
}

#[test]
fn a_write_only_par_claims_the_digests_of_the_parts_and_says_what_was_not_looked_at() {
    for (length, options) in [(LONG, without_digests_of_objects()), (SHORT, ParOptions::default())]
    {
        for checksum in ["sha256", "crc32c", "sha384", "md5"] {
            // The answer to a commit may have digests too.
            let host = Host::with(write_only(), options, []);
            let done = host.store_stream(length, &format!("--checksum {checksum}")).exits(0);
            assert_same(&host.store.object("x").unwrap(), &ramp(length));
            let done =
                done.stderr_has(&["does not show what it stored", "the MD5 that the service"]);
            assert_eq!(done.receipt()["verified-by"], "part-md5", "{checksum}");
        }
    }
    let host = Host::with(write_only(), without_digests_of_objects(), []);
    let done = host.store_stream(LONG, "--checksum none").exits(0);
    assert_eq!(done.stderr_has(&["nothing could be compared"]).receipt()["verified-by"], "none");
}

#[test]
fn the_names_of_a_bucket_s_par_come_from_the_destination_its_prefix_included() {
    let any = AccessType::AnyObjectWrite;
    for (par, name) in [
        (NewPar::bucket(BUCKET).access(any), "a/b c%.dump"),
        (NewPar::bucket(BUCKET).access(any), "a//b"),
        (NewPar::prefix(BUCKET, "db1/").access(any), "db1/x"),
        (NewPar::prefix(BUCKET, "db1/"), "db1/y"),
    ] {
        let host = Host::new(par);
        let url = format!("oci://{BUCKET}@{}/{name}", host.store.server().namespace());
        for (place, length) in [
            (vec!["--name".to_owned(), name.to_owned()], SHORT),
            (vec![format!("oci://{BUCKET}/{name}")], LONG),
            (vec![url], SHORT),
        ] {
            let put = place.iter().fold(host.put(), |put, word| put.arg(word));
            host.run(put.args("--force").stdin(ramp(length))).exits(0);
            assert_same(&host.store.object(name).unwrap(), &ramp(length));
        }
    }
    // A name that the prefix does not allow, and none at all.
    let host = Host::new(NewPar::prefix(BUCKET, "db1/"));
    let done = host.run(host.put().args("--name x --retry-for 1s").stdin("data")).fails(3);
    done.stderr_has(&["does not begin with its prefix"]);
    host.run(host.put().stdin("data")).fails(2).stderr_has(&["has no name"]);
    // The URL of a bucket's PAR may be completed by hand.
    let file = host.private_file(&format!("{}db1%2Fz", host.par.url));
    host.run(ocipipe(["put", "--par-file"]).arg(file).stdin("data")).exits(0);
    assert!(host.store.object("db1/z").is_some());
}

#[test]
fn a_file_and_a_command_are_sources_and_their_checks_hold() {
    let host = Host::new(NewPar::bucket(BUCKET));
    let file = host.store.file("dump.sql", ramp(SHORT));
    host.run(host.put().arg("--file").arg(file)).exits(0);
    assert_same(&host.store.object("dump.sql").unwrap(), &ramp(SHORT));
    let command = |line: &str| host.put().args("--name c -- sh -c").arg(line);
    host.run(command("printf abc; exit 3")).fails(5);
    host.run(host.put().args("--name c --expect gzip").stdin("no gzip")).fails(5);
    host.run(host.put().args("--name c --min-size 1GiB").stdin(ramp(LONG))).fails(5);
    host.run(host.put().args("--name c").stdin("")).fails(5);
    host.store.assert_not_stored("c");
    host.run(command("printf abc")).exits(0);
    assert_eq!(host.store.object("c").unwrap(), b"abc");
}

#[test]
fn properties_go_with_the_first_request_and_those_that_were_not_kept_are_named() {
    for length in [SHORT, LONG] {
        let host = Host::new(read_write());
        let options = "--content-type a/b --cache-control no-cache --metadata {\"Host\":\"db1\"}";
        let done = host.store_stream(length, options).exits(0);
        done.stderr_lacks("was kept");
        let record = host.store.object_record("x");
        let text = record.to_string();
        for kept in ["a/b", "no-cache", "db1"] {
            assert!(text.contains(kept), "{text}");
        }
    }
    let host = Host::new(NewPar::bucket(BUCKET));
    host.run(host.put().args("--name x.sql --content-type auto").stdin("x")).exits(0);
    assert!(host.store.object_record("x.sql").to_string().contains("application/sql"));
    let latin = host.put().args("--name y --metadata").arg("{\"a\":\"\u{fc}\"}").stdin("x");
    host.run(latin).fails(2).stderr_has(&["not ASCII"]);
}

#[test]
fn an_object_that_exists_is_left_alone_where_the_par_shows_it() {
    let host = Host::new(read_write());
    host.store.server().store_object(BUCKET, "x", b"old").unwrap();
    let (unread, stdin) = UnreadStdin::new(host.store.folder());
    host.run(host.put().stdin_from(stdin)).fails(6).stderr_has(&["exists already"]);
    unread.assert_unread();
    host.run(host.put().args("--if-match other").stdin("new")).fails(6);
    assert_eq!(host.store.object("x").unwrap(), b"old");
    host.run(host.put().args("--force").stdin("new")).exits(0);
    assert_eq!(host.store.object("x").unwrap(), b"new");
    let etag = host.store.object_record("x")["etag"].as_str().unwrap().to_owned();
    host.run(host.put().args("--if-match").arg(etag).stdin("newer")).exits(0);
    // Hidden, the precondition decides, if the service heeds it.
    for length in [SHORT, LONG] {
        let host = Host::new(write_only());
        host.store.server().store_object(BUCKET, "x", b"old").unwrap();
        host.store_stream(length, "").fails(6);
        assert_eq!(host.store.object("x").unwrap(), b"old");
        host.store.assert_no_open_upload();
    }
}

#[test]
fn if_match_without_an_object_stores_nothing_even_if_the_service_heeds_no_precondition() {
    let options = ParOptions { conditions: ParConditions::Ignored, ..ParOptions::default() };
    let host = Host::with(read_write(), options, []);
    let (unread, stdin) = UnreadStdin::new(host.store.folder());
    let put = host.put().args("--if-match other").stdin_from(stdin);
    host.run(put).fails(6).stderr_has(&["there is no", "other"]);
    unread.assert_unread();
    assert_eq!(host.store.object("x"), None);
}

#[test]
fn a_single_connection_and_a_rate_are_kept() {
    let host = Host::new(write_only());
    host.store_stream(LONG, "--parallel-upload-count 1 --bwlimit 40MiB").exits(0);
    assert_eq!(host.store.requests_of(Operation::UploadPart).len(), LONG.div_ceil(PART));
}

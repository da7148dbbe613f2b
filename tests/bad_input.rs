//! Bad input: each kind has its message and its exit code, ends at once, and nothing is stored or
//! read.

#![allow(clippy::unwrap_used)]

mod common;

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use common::pipes::terminal;
use common::run::{Done, Ocipipe, ocipipe};
use common::store::{Store, UnreadStdin};
use common::stream::{PART, ramp};
use emulator::fault::{Fault, FaultResponse, FaultRule};
use emulator::{Operation, ServerOptions};

/// Runs it with a stream that it must not read; it must end within 5 s.
#[track_caller]
fn refused(store: &Store, run: Ocipipe, code: i32, words: &[&str]) -> Done {
    let (unread, stdin) = UnreadStdin::new(store.folder());
    let done = run.stdin_from(stdin).run().fails(code).stderr_has(words).within_seconds(5);
    unread.assert_unread();
    store.assert_no_open_upload();
    done
}

/// `put` with this text as its config file.
fn with_config(store: &Store, text: &str) -> Ocipipe {
    let path = store.file("config", text);
    ocipipe(["put", "oci://backups/x", "--config-file"]).arg(path)
}

/// The store's config file, with `old` replaced by `new`.
fn config_with(store: &Store, old: &str, new: &str) -> Ocipipe {
    let text = std::fs::read_to_string(store.server().config_path()).unwrap();
    assert!(text.contains(old), "{text}");
    let endpoint = store.server().url();
    let run = with_config(store, &text.replace(old, new)).args("--profile SESSION");
    run.arg("--endpoint").arg(endpoint)
}

fn text_of(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn no_config_file() {
    let store = Store::start();
    let run = ocipipe(["put", "oci://backups/x", "--config-file", "/no/such/config"]);
    refused(&store, run, 2, &["/no/such/config", "--config-file"]);
    let home = store.folder().as_os_str().to_owned();
    let run = ocipipe(["put", "oci://backups/x"]).var("HOME", home);
    refused(&store, run, 2, &[&text_of(&store.folder().join(".oci/config"))]);
    refused(&store, ocipipe(["put", "oci://backups/x"]), 2, &["--config-file"]);
}

#[test]
fn a_key_that_cannot_sign_is_named_before_anything_is_sent() {
    let store = Store::start();
    let damaged = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/keys/damaged-exponent.pem");
    let text = std::fs::read_to_string(store.server().config_path()).unwrap();
    let run = with_config(&store, &text.replace(&text_of(&store.server().key_path()), damaged));
    let run = run.args("--profile API_KEY --endpoint").arg(store.server().url());
    refused(&store, run, 2, &[damaged, "its numbers do not make an RSA key", "oci setup keys"]);
    assert!(store.server().requests().is_empty());
}

#[test]
fn unknown_profile() {
    let store = Store::start();
    let run = store.put("x").args("--profile NIGHTLY");
    refused(&store, run, 2, &["NIGHTLY", "API_KEY"]);
}

#[test]
fn an_invalid_config_file() {
    let store = Store::start();
    refused(&store, with_config(&store, "[DEFAULT\nuser"), 2, &["line 1"]);
    refused(&store, with_config(&store, ""), 2, &["DEFAULT"]);
}

#[test]
fn missing_key_or_token_file() {
    let store = Store::start();
    let key = text_of(&store.server().key_path());
    let run = config_with(&store, &key, "/no/such/key.pem");
    refused(&store, run, 2, &["/no/such/key.pem"]);
    let token = text_of(&store.server().token_path());
    let run = config_with(&store, &token, "/no/such/token");
    refused(&store, run, 3, &["/no/such/token", "oci session authenticate"]);
    assert_eq!(store.requests().len(), 0);
}

#[test]
fn an_unusable_key() {
    let store = Store::start();
    let key = text_of(&store.server().key_path());
    for (file, word) in [
        ("public.pem", "public"),
        ("ec-pkcs8.pem", "RSA"),
        ("rsa-1024.pem", "2048"),
        ("rsa-exponent-3.pem", "exponent"),
        ("certificate.pem", "certificate"),
    ] {
        let other = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/keys/").to_owned() + file;
        refused(&store, config_with(&store, &key, &other), 2, &[&other, word]);
    }
    assert_eq!(store.requests().len(), 0);
}

#[test]
fn malformed_token() {
    let store = Store::start();
    std::fs::write(store.server().token_path(), "not a token").unwrap();
    let words = ["oci session authenticate", &text_of(&store.server().token_path())];
    refused(&store, store.put("x"), 3, &words).stderr_lacks("not a token");
    assert_eq!(store.requests().len(), 0);
}

#[test]
fn expired_token() {
    let store = Store::start();
    store.server().set_clock_offset(-7200);
    store.server().log_in().unwrap();
    store.server().set_clock_offset(0);
    refused(&store, store.put("x"), 3, &["expired", "oci session authenticate"]);
}

#[test]
fn a_token_of_another_key() {
    let store = Store::start();
    let token = std::fs::read(store.server().token_path()).unwrap();
    store.server().log_in_with_new_key().unwrap();
    std::fs::write(store.server().token_path(), token).unwrap();
    refused(&store, store.put("x"), 3, &["key", "oci session authenticate"]);
}

#[test]
fn a_token_that_the_service_refuses() {
    let store = Store::start();
    store.server().revoke(&std::fs::read_to_string(store.server().token_path()).unwrap());
    refused(&store, store.put("x"), 3, &["401", "oci session authenticate"]);
}

/// Each HeadObject moves the service's clock by 400 s, so that each of its dates is rejected.
#[test]
fn a_401_to_the_first_head_object_ends_the_run() {
    for condition in ["--no-overwrite", "--force"] {
        let store = Store::failing([FaultRule::on(Operation::HeadObject, Fault::MoveClock(400))]);
        let url = format!("oci://backups@{}/x", store.server().namespace());
        let run = store.ocipipe("put --retry-for 5s").arg(&url).args(condition);
        refused(&store, run, 3, &["HeadObject", "401"]);
        assert!(store.object("x").is_none());
    }
}

#[test]
fn a_407_of_a_proxy_to_the_first_head_object_ends_the_run() {
    let page = Fault::Html { status: 407 };
    let store = Store::failing([FaultRule::on(Operation::HeadObject, page)]);
    let url = format!("oci://backups@{}/x", store.server().namespace());
    for condition in ["--no-overwrite", "--force"] {
        let run = store.ocipipe("put --retry-for 5s").arg(&url).args(condition);
        refused(&store, run, 4, &["HeadObject", "407"]);
    }
}

#[test]
fn bad_destination() {
    let store = Store::start();
    for bad in
        ["backups/x", "oci://", "oci://backups", "oci://backups/", "s3://backups/x", "oci:///x"]
    {
        refused(&store, store.ocipipe("put").arg(bad), 2, &["oci://", "put --help"]);
    }
    assert_eq!(store.requests().len(), 0);
}

#[test]
fn unknown_bucket() {
    let store = Store::start();
    for length in [1, PART + 1] {
        let run = store.ocipipe("put --part-size 10 oci://nowhere/x").stdin(ramp(length));
        run.run().fails(4).stderr_has(&["nowhere", "BucketNotFound"]).within_seconds(20);
    }
    store.assert_no_open_upload();
}

#[test]
fn an_untrusted_certificate_ends_the_run_at_once() {
    let store = Store::start();
    let other = Store::start();
    let run = |bundle: Option<std::path::PathBuf>| {
        let run = ocipipe(["put", "oci://backups/x", "--config-file"])
            .arg(store.server().config_path())
            .arg("--endpoint")
            .arg(store.server().https_url());
        match bundle {
            Some(bundle) => run.arg("--cert-bundle").arg(bundle),
            None => run,
        }
    };
    refused(&store, run(Some(other.server().ca_path())), 4, &["--cert-bundle"]);
    refused(&store, run(None), 4, &["--cert-bundle"]);
    let none = store.file("none.pem", "no certificate");
    refused(&store, run(Some(none)), 2, &["none.pem"]);
    assert_eq!(store.requests().len(), 0);
}

#[test]
fn stdin_a_terminal() {
    let store = Store::start();
    let (_controller, terminal) = terminal();
    let done = store.put("x").stdin_from(terminal).run().fails(2);
    done.stderr_has(&["stdin is a terminal"]).within_seconds(5);
    assert_eq!(store.requests().len(), 0);
}

#[test]
fn stdin_or_stdout_closed() {
    let store = Store::start();
    store.put("x").stdin_closed().run().fails(2).stderr_has(&["stdin is closed"]);
    refused(&store, store.put("x").stdout_closed(), 2, &["stdout is closed"]);
    assert_eq!(store.requests().len(), 0);
}

#[test]
fn a_closed_stdin_is_accepted_where_the_stream_comes_from_a_file_or_command() {
    let store = Store::start();
    let file = store.file("file", "bytes");
    store.put("file").arg("--file").arg(file).stdin_closed().run().exits(0);
    store.put("command").args("-- echo x").stdin_closed().run().exits(0);
    assert_eq!(store.object("command").unwrap(), b"x\n");
}

#[test]
fn an_existing_object() {
    let store = Store::start();
    store.put("x").stdin("first").run().exits(0);
    refused(&store, store.put("x"), 6, &["exists already", "--force"]);
    refused(&store, store.put("x").args("--no-overwrite"), 6, &["exists already"]);
    refused(&store, store.put("x").args("--if-match another"), 6, &["another"]);
    assert_eq!(store.object("x").unwrap(), b"first");
}

#[test]
fn an_object_that_appears_during_the_upload_is_not_replaced() {
    let store = Store::start();
    let mut run = store.put("x").stdin_pipe().start();
    run.write(&ramp(PART + 1));
    store.wait_for_requests(Operation::UploadPart, 1);
    store.put("x").stdin("the other object").run().exits(0);
    run.wait().fails(6).stderr_has(&["there is an existing entity", "--force"]);
    assert_eq!(store.object("x").unwrap(), b"the other object");
    store.assert_no_open_upload();
}

#[test]
fn options_that_contradict_each_other() {
    let store = Store::start();
    let run = store.put("x").args("--force --no-overwrite");
    refused(&store, run, 2, &["--force", "--no-overwrite"]);
    assert_eq!(store.requests().len(), 0);
}

#[test]
fn a_file_that_cannot_be_read() {
    let store = Store::start();
    store.put("x").args("--file /no/such/file").run().fails(5).stderr_has(&["/no/such/file"]);
    store.put("x").args("--file /tmp").run().fails(5).stderr_has(&["/tmp is a directory"]);
    assert_eq!(store.requests().len(), 0);
}

/// Asserts that an unusable endpoint is reported at once and that the run ends after `--retry-for`.
#[track_caller]
fn fails_after_retry_for(store: &Store, endpoint: &str, words: &[&str]) {
    let (unread, stdin) = UnreadStdin::new(store.folder());
    let run = ocipipe(["put", "oci://backups/x", "--retry-for", "2s", "--config-file"])
        .arg(store.server().config_path())
        .args("--endpoint")
        .arg(endpoint)
        .stdin_from(stdin)
        .start();
    run.wait_for_stderr("trying again");
    assert!(run.age() < Duration::from_secs(2), "the report came late");
    let done = run.wait().fails(4).stderr_has(words);
    let took = done.took.as_secs_f64();
    assert!((2.0..8.0).contains(&took), "it took {took} s: {}", done.stderr);
    unread.assert_unread();
}

#[test]
fn an_endpoint_that_refuses_is_reported_at_once_and_ends_the_run_after_retry_for() {
    let store = Store::start();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fails_after_retry_for(&store, &format!("http://{free}"), &[&free.to_string(), "refused"]);
}

#[test]
fn an_endpoint_that_cannot_be_resolved_is_reported_at_once_and_ends_the_run_after_retry_for() {
    let store = Store::start();
    fails_after_retry_for(&store, "https://objectstorage.invalid", &["objectstorage.invalid"]);
}

#[test]
fn an_endpoint_that_is_down_is_reported_at_once_and_ends_the_run_after_retry_for() {
    let down = Fault::Refuse(FaultResponse::status(503));
    let store = Store::failing([FaultRule::any(down)]);
    fails_after_retry_for(&store, &store.server().url(), &["503"]);
}

#[test]
fn an_endpoint_that_recovers_in_time_ends_no_run() {
    let down = |options: &mut ServerOptions| {
        let action = Fault::Refuse(FaultResponse::status(503));
        let when = emulator::fault::Trigger::Requests(2);
        options.faults.faults.push(FaultRule::any(action).when(when));
    };
    let store = Store::with(down);
    store.put("x").stdin("x").run().exits(0).stderr_has(&["503"]);
    assert_eq!(store.object("x").unwrap(), b"x");
}

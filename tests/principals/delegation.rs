//! An instance that acts for a user: the delegation token is a signed header of each request.

use std::fs;
use std::process::Stdio;

use emulator::{CallKind, Operation};

use crate::common::stream::{PART, Ramp};
use crate::host::{Feed, Host, LONG};

#[test]
fn every_request_to_object_storage_has_the_signed_delegation_token() {
    let host = Host::new("instance_obo_user", LONG);
    host.put("x").stdin(Ramp::default().take(2 * PART + 1)).run().exits(0);
    host.ocipipe("get oci://backups/x").stdout_to(Stdio::null()).run().exits(0);
    let requests = host.store.requests();
    let storage: Vec<_> = requests
        .iter()
        .filter(|record| CallKind::of(record.operation) == Some(CallKind::Storage))
        .filter(|record| record.principal.is_some())
        .collect();
    assert!(storage.len() > 6);
    assert!(storage.iter().all(|record| record.delegated), "{storage:?}");
}

#[test]
fn a_delegation_token_that_is_replaced_is_used_from_then_on_and_one_that_ended_is_waited_for() {
    let host =
        Host::with("instance_obo_user", LONG, |options| options.instance.delegation_grace = 0);
    let server = host.store.server();
    let file = server.delegation_token_path();
    let mut feed = Feed::start(&host, host.put("x"));
    feed.part();
    // The old token is refused from the moment when the new one is in the file.
    server.rotate_delegation_token().unwrap();
    feed.write();
    host.store.wait_until("a part is stored after the replacement", |records| {
        let stored = |record: &&emulator::Record| {
            record.operation == Operation::UploadPart && record.status == 200
        };
        records.iter().filter(stored).count() == 2
    });
    // Nothing valid is in the file until someone writes another one; the upload waits.
    server.revoke_delegation_token();
    feed.write();
    feed.run.wait_for_stderr("refused the credentials (401)");
    feed.run.wait_for_stderr("begin a new Cloud Shell session");
    server.rotate_delegation_token().unwrap();
    feed.finish();
    assert!(fs::read_to_string(file).unwrap().len() > 20);
}

#[test]
fn a_file_without_a_delegation_token_is_an_error_that_names_it() {
    for content in ["", "\n", "two words", "a\u{e9}b"] {
        let host = Host::new("instance_obo_user", LONG);
        let file = host.store.file("token", content);
        let host = host.var("OCI_CLI_DELEGATION_TOKEN_FILE", file.to_str().unwrap());
        let done = host.put("x").stdin("x").run().fails(3);
        done.stderr_has(&["holds no delegation token", file.to_str().unwrap()]);
    }
    let host = Host::new("instance_obo_user", LONG);
    let host = host.var("OCI_CLI_DELEGATION_TOKEN_FILE", "/nonexistent/token");
    host.put("x").stdin("x").run().fails(3).stderr_has(&["/nonexistent/token"]);
}

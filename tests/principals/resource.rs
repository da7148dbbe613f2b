//! Resource principals of version 2.2, whose token and key another process replaces, and values that
//! nothing can renew.

use std::fs;
use std::time::Duration;

use emulator::{FileReplacement, FilesAfter, Operation, ResourceFileForm};

use crate::host::{Feed, Host, LONG, together};

const TOKEN: &str = "OCI_RESOURCE_PRINCIPAL_RPST";
const KEY: &str = "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM";
const PASS_PHRASE: &str = "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE";

/// A host whose files change only on request of the test.
fn host(lifetime: u64) -> Host {
    let host = Host::new("resource_principal", lifetime);
    let replacement = FileReplacement { automatic: false, torn: Duration::ZERO };
    host.store.server().set_file_replacement(replacement).unwrap();
    host.store.server().replace_resource_principal(FilesAfter::Complete).unwrap();
    host
}

#[test]
fn files_that_are_replaced_one_after_the_other_are_taken_up_only_as_a_pair() {
    let states = [
        FilesAfter::TokenOnly,
        FilesAfter::KeyOnly,
        FilesAfter::PartialToken,
        FilesAfter::PartialKey,
        FilesAfter::EmptyToken,
        FilesAfter::EmptyKey,
    ];
    together(&states, |state| {
        let host = host(LONG);
        let server = host.store.server();
        let mut feed = Feed::start(&host, host.put("x").arg("--debug"));
        feed.part();
        server.replace_resource_principal(state).unwrap();
        // The pair in use signs while the files are torn.
        feed.part();
        server.finish_resource_principal().unwrap();
        feed.run.wait_for_stderr("loaded the changed credentials");
        feed.part();
        feed.finish();
        assert_eq!((host.rejected(), host.tokens(Operation::UploadPart).len()), (0, 2));
    });
}

#[test]
fn a_line_end_behind_the_token_and_an_encrypted_key_are_read() {
    for (trailing_newline, encrypted_key) in [(true, false), (false, true), (true, true)] {
        let host = host(LONG);
        let server = host.store.server();
        let form = ResourceFileForm { trailing_newline, encrypted_key };
        server.set_resource_file_form(form).unwrap();
        let phrase = server.resource_pass_phrase_path();
        let file = phrase.to_str().unwrap().to_owned();
        let text = fs::read_to_string(&phrase).unwrap_or_default();
        // A pass phrase that is a path, and one that is text beside a key that is a path.
        let host = if encrypted_key { host.var(PASS_PHRASE, &file) } else { host };
        host.put("x").stdin("x").run().exits(0);
        if encrypted_key {
            let host = host.var(PASS_PHRASE, text.trim_end());
            host.put("y").stdin("y").run().exits(0);
            let host = host.var(PASS_PHRASE, "wrong");
            host.put("z").stdin("z").run().fails(2).stderr_lacks("PRIVATE KEY");
        }
    }
}

/// The variables hold token and key as text.
fn inline(host: Host) -> Host {
    let token = fs::read_to_string(host.value(TOKEN)).unwrap();
    let key = fs::read_to_string(host.value(KEY)).unwrap();
    host.var(TOKEN, token.trim()).var(KEY, &key)
}

#[test]
fn values_that_nothing_can_renew_are_announced_with_their_end() {
    let host = inline(host(LONG));
    let done = host.put("x").stdin("x").run().exits(0);
    done.stderr_has(&["the resource's token ends at", "nothing can renew it"]);
}

#[test]
fn an_upload_whose_token_nothing_can_renew_ends_with_it_and_does_not_wait() {
    let host = inline(host(5));
    let mut feed = Feed::start(&host, host.put("x"));
    feed.part();
    feed.run.wait_for_stderr("nothing can renew it");
    while Duration::from_secs(7) > feed.run.age() {
        std::thread::sleep(Duration::from_millis(100));
    }
    feed.write();
    let done = feed.run.wait_with_open_stdin().fails(3).within_seconds(60);
    done.stderr_has(&["expired at", TOKEN]);
    assert!(host.store.object("x").is_none());
}

#[test]
fn a_short_region_code_and_a_region_without_an_endpoint_are_resolved() {
    let host = host(LONG).var("OCI_CLI_ENDPOINT", "").var("OCI_RESOURCE_PRINCIPAL_REGION", "PHX");
    let done = host.put("x").args("--retry-for 1s").stdin("x").run();
    done.fails(4).stderr_has(&["objectstorage.us-phoenix-1.oraclecloud.com"]);
}

#[test]
fn a_file_with_another_tenancy_is_not_taken_up() {
    let host = host(LONG);
    let server = host.store.server();
    let mut feed = Feed::start(&host, host.put("x").arg("--debug"));
    feed.part();
    let token = fs::read_to_string(server.resource_token_path()).unwrap();
    let other = with_other_tenancy(&token);
    fs::write(server.resource_token_path(), other).unwrap();
    feed.run.wait_for_stderr("belongs to the tenancy");
    feed.part();
    feed.finish();
    assert_eq!(host.rejected(), 0);
}

/// The same token with another tenancy; its signature is of no interest to a client.
fn with_other_tenancy(token: &str) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let parts: Vec<&str> = token.trim().split('.').collect();
    let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    let mut claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    for name in ["tenant", "opc-tenant", "res_tenant"] {
        if claims.get(name).is_some() {
            claims[name] = "ocid1.tenancy.oc1..another".into();
        }
    }
    format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2])
}

#[test]
fn an_id_that_cannot_be_in_a_header_is_a_usage_error_that_sends_nothing() {
    let cases = [
        ("resource_principal_2.1", "OCI_RESOURCE_PRINCIPAL_RESOURCE_ID"),
        ("resource_principal_2.1.1", "OCI_RESOURCE_PRINCIPAL_TENANCY_ID"),
        ("resource_principal_2.1.2", "OCI_RESOURCE_PRINCIPAL_SECURITY_CONTEXT"),
        ("resource_principal_1.1", "OCI_RESOURCE_PRINCIPAL_RPT_ID"),
    ];
    together(&cases, |(mode, variable)| {
        for value in [" ", "ocid1.a\nb: c", "ocid1.a\u{e9}"] {
            let host = Host::new(mode, LONG).var(variable, value);
            let done = host.put("x").stdin("x").run().fails(2);
            done.stderr_has(&[variable]);
            assert_eq!(host.store.requests().len(), 0);
        }
    });
}

#[test]
fn a_key_that_is_missing_is_a_usage_error_and_a_missing_token_is_none() {
    for (mode, variable, code) in [
        ("resource_principal", KEY, 2),
        ("resource_principal_2.1", KEY, 2),
        ("resource_principal", TOKEN, 3),
    ] {
        let host = Host::new(mode, LONG).var(variable, "/nonexistent/file");
        host.put("x").stdin("x").run().fails(code).stderr_has(&["/nonexistent/file"]);
    }
}

#[test]
fn a_resource_without_an_id_of_its_own_is_the_instance() {
    let host = Host::new("resource_principal_1.1", LONG);
    host.put("x").stdin("x").run().exits(0);
    let requests = host.store.requests();
    let ids: Vec<_> = requests
        .iter()
        .filter_map(|one| one.path.strip_prefix("/20180711/resourcePrincipalToken/"))
        .collect();
    assert!(!ids.is_empty());
    assert!(ids.iter().all(|id| id.starts_with("ocid1.instance.")), "{ids:?}");
}

//! Hosts without a config file: a container that has a key, a token and variables.

#![allow(clippy::unwrap_used)]

mod common;

use common::run::ocipipe;
use common::store::Store;

#[test]
fn the_environment_alone_is_enough_for_a_session_token() {
    let store = Store::start();
    let run = |name: &str| {
        ocipipe(["put", name])
            .stdin("hello")
            .var("OCI_CLI_KEY_FILE", store.server().key_path())
            .var("OCI_CLI_SECURITY_TOKEN_FILE", store.server().token_path())
            .var("OCI_CLI_ENDPOINT", store.server().url())
            .within(store.folder())
    };
    run("oci://backups/one").run().exits(0);
    run("oci://backups/two").var("OCI_CLI_AUTH", "security_token").run().exits(0);
    assert_eq!(store.object("one").as_deref(), Some(&b"hello"[..]));
    assert_eq!(store.object("two").as_deref(), Some(&b"hello"[..]));
}

#[test]
fn the_environment_alone_is_enough_for_an_api_key() {
    let store = Store::start();
    let config = std::fs::read_to_string(store.server().config_path()).unwrap();
    let of = |key: &str| {
        let mut pairs = config.lines().filter_map(|line| line.split_once('='));
        pairs.find(|(name, _)| name.trim() == key).unwrap().1.trim().to_owned()
    };
    let run = |name: &str| {
        ocipipe(["put", name, "--debug"])
            .stdin("hello")
            .var("OCI_CLI_USER", of("user"))
            .var("OCI_CLI_TENANCY", of("tenancy"))
            .var("OCI_CLI_FINGERPRINT", of("fingerprint"))
            .var("OCI_CLI_REGION", "us-ashburn-1")
            .var("OCI_CLI_ENDPOINT", store.server().url())
    };
    let key = std::fs::read_to_string(store.server().key_path()).unwrap();
    let line = key.lines().nth(1).unwrap().to_owned();
    let done = run("oci://backups/content").var("OCI_CLI_KEY_CONTENT", &key).run().exits(0);
    done.stderr_lacks(&line);
    run("oci://backups/file").var("OCI_CLI_KEY_FILE", store.server().key_path()).run().exits(0);
    for name in ["content", "file"] {
        assert_eq!(store.object(name).as_deref(), Some(&b"hello"[..]));
    }
    let bad = run("oci://backups/x").var("OCI_CLI_KEY_CONTENT", &key[..100]).run().fails(2);
    bad.stderr_has(&["OCI_CLI_KEY_CONTENT"]).stderr_lacks(&line);
}

#[test]
fn a_named_profile_requires_a_config_file() {
    let store = Store::start();
    ocipipe(["put", "oci://backups/one", "--profile", "backup"])
        .stdin("hello")
        .var("OCI_CLI_KEY_FILE", store.server().key_path())
        .var("OCI_CLI_SECURITY_TOKEN_FILE", store.server().token_path())
        .var("OCI_CLI_ENDPOINT", store.server().url())
        .run()
        .fails(2)
        .stderr_has(&["there is no config file"]);
    store.assert_not_stored("one");
}

//! Hosts without a home: a container that has a key, a token and variables, and no config file.

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
fn a_profile_that_is_named_is_not_done_without() {
    let store = Store::start();
    ocipipe(["put", "oci://backups/one", "--profile", "backup"])
        .stdin("hello")
        .var("OCI_CLI_KEY_FILE", store.server().key_path())
        .var("OCI_CLI_SECURITY_TOKEN_FILE", store.server().token_path())
        .var("OCI_CLI_ENDPOINT", store.server().url())
        .run()
        .fails(2)
        .says(&["there is no config file"]);
    store.has_nothing_of("one");
}

//! Files that have no end, in place of every file that is read.

use std::os::unix::fs::symlink;

use crate::common::run::{Ocipipe, ocipipe};
use crate::common::store::Store;

/// The program with little memory, so that a file that is read to its end cannot harm the host.
fn bounded(run: Ocipipe) -> Ocipipe {
    run.wrapped_by_script("sh", "ulimit -v 2000000; exec \"$@\"")
}

#[test]
fn a_file_without_an_end_is_an_error_whatever_it_should_be() {
    let store = Store::start();
    let zero = "/dev/zero";
    let home = store.folder().join("home");
    std::fs::create_dir_all(home.join(".oci")).unwrap();
    symlink(zero, home.join(".oci/regions-config.json")).unwrap();
    let config = |text: &str| {
        let name = format!("config-{}", text.len());
        store.file(&name, format!("[DEFAULT]\nregion=us-ashburn-1\n{text}"))
    };
    let put = || ocipipe(["put", "oci://backups@ns/x", "--retry-for", "1s", "--config-file"]);
    let user = "user=ocid1.user.oc1..a\ntenancy=ocid1.tenancy.oc1..a\nfingerprint=00:11\n";
    let api_key = config(&format!("{user}key_file={zero}\n"));
    let session = config(&format!("key_file={zero}\nsecurity_token_file={zero}\n"));
    let unknown = store.file("unknown", "[DEFAULT]\nregion=mars-1\n");
    for (name, run) in [
        ("config", put().arg(zero)),
        ("key", put().arg(api_key)),
        ("token", put().arg(session).args("--auth security_token")),
        ("regions", put().arg(unknown).var("HOME", &home)),
        ("rc", store.put("x").args("--cli-rc-file").arg(zero)),
        (
            "certificates",
            store.put("x").args("--endpoint https://127.0.0.1:1 --cert-bundle /dev/zero"),
        ),
        ("receipt", store.ocipipe("verify oci://backups/x --receipt /dev/zero")),
        ("metadata", store.put("x").args("--metadata file:///dev/zero")),
        ("customer key", store.put("x").args("--encryption-key-file /dev/zero")),
        ("url", ocipipe("put --par-file /dev/zero".split(' '))),
    ] {
        let done = bounded(run.args("--retry-for 1s")).stdin("x").run().within_seconds(100);
        let code = done.status.code();
        assert!(
            code.is_some_and(|code| (1..=5).contains(&code)),
            "{name}: {code:?} {}",
            done.stderr
        );
        assert!(!done.stderr.contains("panicked"), "{name}: {}", done.stderr);
        assert!(!done.stderr.contains("allocation"), "{name}: {}", done.stderr);
    }
}

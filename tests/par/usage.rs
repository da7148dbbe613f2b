//! Options and files that make no sense with a PAR, and a host that has other settings besides.

use std::os::unix::fs::PermissionsExt;

use crate::common::run::ocipipe;
use crate::common::stream::ramp;
use crate::host::{Host, SHORT, secret_of, write_only};

#[test]
fn options_that_make_no_sense_with_a_par_are_usage_errors_with_a_reason() {
    let host = Host::new(write_only());
    for (options, reason) in [
        ("--resume", "cannot list"),
        ("--identical-ok", "may not be able to read"),
        ("--resume --upload-id u", "cannot list"),
        ("--auth api_key", "needs no account"),
        ("--profile P", "needs no account"),
        ("--config-file F", "needs no account"),
        ("--cli-rc-file F", "needs no account"),
        ("--endpoint https://h", "names the host"),
        ("--region eu-zurich-1", "names the host"),
        ("--realm-specific-endpoint", "names the host"),
        ("--enable-dual-stack", "names the host"),
        ("--local D oci://b/x", "an Object Storage of its own"),
        ("--delete-on-mismatch", "cannot delete"),
        ("--auth-endpoint https://h", "no token"),
        ("--federation-endpoint https://h", "no token"),
        ("--exchange-url https://h", "no token"),
        ("--refresh-before 1m", "no token"),
        ("--no-refresh", "no token"),
    ] {
        host.run(host.put().args(options).stdin("a")).fails(2).stderr_has(&[reason, "--par-file"]);
        if options.starts_with("--local") {
            continue;
        }
        let put = ocipipe(["put"]).args(options).var("OCIPIPE_PAR_URL", &host.par.url).stdin("a");
        host.run(put).fails(2).stderr_has(&[reason, "OCIPIPE_PAR_URL"]);
    }
    ocipipe("put --par-expires 2099-01-01T00:00:00Z oci://b/x".split(' '))
        .run()
        .fails(2)
        .stderr_has(&["--par-expires without"]);
    assert_eq!(host.store.requests().len(), 0);
}

#[test]
fn a_destination_that_is_not_the_par_s_is_refused() {
    let host = Host::new(write_only());
    for place in [
        "oci://backups/y",
        "oci://other/x",
        "oci://backups@other/x",
        "--name y",
        "--bucket-name other --name x",
        "--namespace other",
    ] {
        let done = host.run(host.put().args(place).stdin("a")).fails(2);
        done.stderr_has(&["the pre-authenticated request is for"]);
    }
    assert_eq!(host.store.requests().len(), 0);
    for place in ["oci://backups/x", "oci://backups", "-bn backups --name x", ""] {
        host.run(host.put().args("--force").args(place).stdin("a")).exits(0);
    }
}

#[test]
fn the_file_is_small_private_and_not_stdin() {
    let host = Host::new(write_only());
    for stdin in ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
        let done = ocipipe(["put", "--par-file", stdin]).stdin(host.par.url.as_str()).run();
        done.fails(2).stderr_has(&["is stdin"]);
    }
    let refused = |text: &str, what: &str| {
        let file = host.private_file(text);
        let done = ocipipe(["put", "--par-file"]).arg(file).stdin("a").run().fails(2);
        assert!(!done.stderr.contains(secret_of(&host.par.url)), "{}", done.stderr);
        done.stderr_has(&[what]);
    };
    refused(&format!("{}\n{}", "#".repeat(65536), host.par.url), "longer than 64 KiB");
    refused("", "no URL");
    refused(&format!("{0}\n{0}", host.par.url), "second URL");
    refused(&host.par.url.replace("http://127.0.0.1", "http://192.0.2.1"), "http://");
    refused(&host.par.url.replace("/n/", "/"), "/n/NAMESPACE is missing");
    let missing = ocipipe(["put", "--par-file", "/nonexistent"]).stdin("a").run();
    missing.fails(2).stderr_has(&["/nonexistent"]);
    let file = host.private_file(&host.par.url);
    let put = || ocipipe(["put", "--force", "--par-file"]).arg(&file).stdin("a");
    host.run(put()).exits(0).stderr_lacks("other users may read");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    host.run(put()).exits(0).stderr_has(&["other users may read this file"]);
}

#[test]
fn nothing_of_an_account_is_read() {
    let host = Host::new(write_only());
    let oci = host.store.folder().join(".oci");
    std::fs::create_dir(&oci).unwrap();
    std::fs::write(oci.join("config"), "no config").unwrap();
    std::fs::write(oci.join("oci_cli_rc"), "[DEFAULT]\nbucket-name = other\nauth = nonsense\n")
        .unwrap();
    let put = |put: crate::common::run::Ocipipe| {
        put.args("--force")
            .var("HOME", host.store.folder())
            .var("OCI_CLI_AUTH", "api_key")
            .var("OCI_CLI_PROFILE", "nobody")
            .var("OCI_CLI_REGION", "mars-1")
            .var("OCI_CLI_KEY_FILE", "/nonexistent")
            .stdin(ramp(SHORT))
    };
    host.run(put(host.put())).exits(0);
    let by_variable = ocipipe(["put"]).var("OCIPIPE_PAR_URL", &host.par.url);
    host.run(put(by_variable)).exits(0);
    // The file counts before the variable.
    let both = host.put().var("OCIPIPE_PAR_URL", "https://h/p/s/n/ax/b/b/o/x");
    host.run(put(both)).exits(0);
    // With --local the variable does not count, as no other does.
    let local = ocipipe("put oci://b/x --local".split(' ')).arg(host.store.folder());
    local.var("OCIPIPE_PAR_URL", &host.par.url).stdin("a").run().exits(0);
    let bad = ocipipe(["put"]).var("OCIPIPE_PAR_URL", "https://h/p/Secret_123456/x").stdin("a");
    let done = bad.run().fails(2).stderr_has(&["OCIPIPE_PAR_URL", "/n/NAMESPACE"]);
    done.stderr_lacks("Secret_123456");
}

//! The lines of `docs/signing-in.md`, run as they are pasted, each on a host of its kind; what is
//! detected there; and the id of the caller on each request.

#![allow(clippy::unwrap_used)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::run::{binary, ocipipe};
use common::store::Store;
use emulator::Server;

type Variables = Vec<(String, String)>;

/// The variables in `DIR/env/MODE`.
fn variables(store: &Store, mode: &str) -> Variables {
    let path = store.server().state_path().join("env").join(mode);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    let lines = text.lines().map(|line| line.split_once('=').unwrap());
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The variables of a host that runs in this mode, without a name for the mode.
fn unnamed(store: &Store, mode: &str) -> Variables {
    let named = |(name, _): &(String, String)| name != "OCI_CLI_AUTH";
    variables(store, mode).into_iter().filter(named).collect()
}

/// The lines with `ocipipe` in the code blocks below this heading.
fn lines(heading: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/signing-in.md");
    let page = std::fs::read_to_string(page).unwrap();
    let section = page.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let code = section.lines().filter(|line| line.starts_with("    ")).map(str::trim);
    let runs = |line: &&str| line.starts_with("ocipipe ") || line.contains("| ocipipe ");
    code.filter(runs).map(str::to_owned).collect()
}

/// Writes an executable script.
fn script(path: &Path, text: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A home folder with programs in `bin` that stand for a database.
fn home(store: &Store) -> PathBuf {
    let home = store.folder().join("home");
    let bin = home.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::create_dir_all(home.join(".oci")).unwrap();
    script(&bin.join("pg_dump"), "printf 'dump of %s' \"$2\"");
    script(&bin.join("pg_restore"), "cat > restored");
    std::os::unix::fs::symlink(binary(), bin.join("ocipipe")).unwrap();
    home
}

/// Runs a line in a shell, with these variables only.
fn paste(line: &str, home: &Path, variables: &Variables) -> Output {
    let path = format!("{}:/usr/bin:/bin", home.join("bin").display());
    Command::new("sh")
        .args(["-c", line])
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .env("PATH", path)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap()
}

/// Writes the profile of the store's session as another one, with `more` keys, to the home folder.
fn session_profile(store: &Store, home: &Path, name: &str, more: &str) {
    let config = std::fs::read_to_string(store.server().config_path()).unwrap();
    let section = config.split(&format!("[{}]", Server::SESSION)).nth(1).unwrap();
    let section = section.split("\n[").next().unwrap();
    let path = home.join(".oci/config");
    std::fs::write(&path, format!("[{name}]\n{more}{section}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Runs each `put` below a heading, and asserts what is stored and by which mode.
#[track_caller]
fn stores(heading: &str, index: usize, mode: &str, prepare: impl Fn(&Store, &Path) -> Variables) {
    let line = lines(heading)[index].clone();
    let store = Store::start();
    let home = home(&store);
    let variables = prepare(&store, &home);
    let output = paste(&line, &home, &variables);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {}\n{stderr}", output.status);
    assert_eq!(store.object("mydb.dump").as_deref(), Some(&b"dump of mydb"[..]), "{line}");
    let receipt: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(receipt["auth"], mode, "{line}");
    // A mode that only the host or the profile names is on stderr.
    let named = line.contains("--auth");
    assert_eq!(stderr.contains(&format!("authentication mode {mode}: ")), !named, "{stderr}");
}

#[test]
fn the_line_for_an_instance_stores() {
    let mode = "instance_principal";
    stores("A compute instance", 0, mode, |store, _| unnamed(store, mode));
}

#[test]
fn the_line_for_a_pod_stores() {
    let mode = "oke_workload_identity";
    stores("A CronJob in OKE", 0, mode, |store, _| unnamed(store, mode));
}

#[test]
fn the_line_for_a_resource_stores() {
    let mode = "resource_principal";
    let heading = "A function, a container instance or a job";
    stores(heading, 0, mode, |store, _| unnamed(store, mode));
}

#[test]
fn the_lines_for_github_actions_store() {
    let mode = "token_exchange";
    stores("GitHub Actions", 0, mode, |store, _| {
        let mut variables = unnamed(store, mode);
        variables.push(("OCI_CLI_REGION".into(), "eu-frankfurt-1".into()));
        variables
    });
    stores("GitHub Actions", 1, "security_token", |store, home| {
        // As the action writes it.
        session_profile(store, home, "DEFAULT", "user=not used\n");
        vec![("OCI_CLI_ENDPOINT".into(), store.server().url())]
    });
}

#[test]
fn the_line_for_cloud_shell_reads() {
    let store = Store::start();
    store.put("mydb.dump").stdin("dump").run().exits(0);
    let home = home(&store);
    let line = lines("Cloud Shell")[0].clone();
    let output = paste(&line, &home, &variables(&store, "instance_obo_user"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {stderr}");
    assert_eq!(std::fs::read(home.join("restored")).unwrap(), b"dump");
    assert!(store.requests().last().unwrap().delegated);
}

#[test]
fn the_lines_for_profiles_store() {
    let heading = "A host with an API key or a browser session";
    stores(heading, 0, "api_key", |store, home| {
        std::fs::copy(store.server().config_path(), home.join(".oci/config")).unwrap();
        vec![("OCI_CLI_ENDPOINT".into(), store.server().url())]
    });
    // The line before begins the session in a browser: `tests/login`.
    stores(heading, 2, "security_token", |store, home| {
        session_profile(store, home, "backup", "");
        vec![
            ("OCI_CLI_ENDPOINT".into(), store.server().url()),
            ("OCIPIPE_AUTH_ENDPOINT".into(), store.server().url()),
        ]
    });
}

#[test]
fn every_line_of_the_page_has_a_test() {
    let headings = [
        ("A compute instance", 1),
        ("A CronJob in OKE", 1),
        ("A function, a container instance or a job", 1),
        ("GitHub Actions", 2),
        ("Cloud Shell", 1),
        ("A host with an API key or a browser session", 3),
    ];
    for (heading, count) in headings {
        assert_eq!(lines(heading).len(), count, "{heading}: {:?}", lines(heading));
    }
}

#[test]
fn a_host_without_a_config_file_is_recognized_unless_it_is_an_instance() {
    let store = Store::start();
    let put = |name: &str, mode: &str| {
        let run = ocipipe(["put", name]).stdin("hello").within(store.folder());
        unnamed(&store, mode).into_iter().fold(run, |run, (name, value)| run.var(&name, value))
    };
    for (name, mode) in [
        ("oci://backups/a", "resource_principal"),
        ("oci://backups/b", "resource_principal_1.1"),
        ("oci://backups/c", "resource_principal_2.1.2"),
        ("oci://backups/d", "oke_workload_identity"),
    ] {
        let done = put(name, mode).run().exits(0);
        let expected = mode.trim_end_matches(|c: char| c == '_' || c == '.' || c.is_numeric());
        assert_eq!(done.receipt()["auth"], expected);
        let note = format!("authentication mode {expected}: no config file");
        assert_eq!(done.stderr.matches(&note).count(), 1, "{}", done.stderr);
    }
    let quiet = put("oci://backups/quiet", "oke_workload_identity").arg("--quiet");
    assert_eq!(quiet.run().exits(0).stderr, "");
    for mode in ["instance_principal", "token_exchange"] {
        let done = put("oci://backups/x", mode).run().fails(2);
        done.stderr_has(&["there are no credentials", "--auth instance_principal"]);
    }
    store.assert_not_stored("x");
}

#[test]
fn the_id_of_the_caller_is_on_the_requests_of_every_command() {
    let store = Store::start();
    store.put("x").args("--opc-client-request-id trace-1").stdin("x").run().exits(0);
    // The service refuses one that is too long, so that each command shows that it is sent.
    let long = "t".repeat(200);
    for command in
        ["put --force oci://backups/x", "get oci://backups/x", "uploads list oci://backups"]
    {
        for option in ["--opc-client-request-id", "--opc-request-id", "--request-id"] {
            let run = store.ocipipe(command).arg(option).arg(&long).stdin("x").run();
            run.fails(4).stderr_has(&["opc-client-request-id"]);
        }
    }
    let invalid = store.ocipipe("get oci://backups/x").arg("--request-id").arg("two words").run();
    invalid.fails(2).stderr_has(&["--opc-client-request-id"]);
}

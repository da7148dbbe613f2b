//! `put --local`: without account, config file or network, with a plain file as the result.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::run::{Ocipipe, ocipipe};
use common::store::UnreadStdin;
use common::stream::{PART, assert_same, ramp};

fn put(folder: &Path, address: &str) -> Ocipipe {
    ocipipe(["put", "--local", "store"]).within(folder).arg(address)
}

/// Every path below a folder.
fn all_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(folder).unwrap().display().to_string());
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_object_is_a_plain_file_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().unwrap();
    for length in [1, 2 * PART + 3] {
        let name = format!("daily/{length}.tar");
        let run = put(folder.path(), &format!("oci://demo/{name}")).args("--part-size 10");
        let receipt = run.stdin(ramp(length)).run().exits(0).receipt();
        assert_eq!(receipt["size"], length);
        let stored = std::fs::read(folder.path().join("store/demo").join(name)).unwrap();
        assert_same(&stored, &ramp(length));
    }
    let (one, two) = ("store/demo/daily/1.tar", "store/demo/daily/20971523.tar");
    assert_eq!(all_below(folder.path()), ["store", "store/demo", "store/demo/daily", one, two]);
}

#[test]
fn account_variables_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let run = put(folder.path(), "oci://demo/x")
        .var("OCI_CLI_CONFIG_FILE", "/no/such/config")
        .var("OCI_CLI_ENDPOINT", "https://localhost:1")
        .var("OCI_CLI_PROFILE", "ELSEWHERE");
    run.stdin("x").run().exits(0);
}

#[test]
fn an_object_of_an_earlier_run_is_replaced_only_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let first = put(folder.path(), "oci://demo/x").stdin("first").run().exits(0).receipt();
    let (unread, stdin) = UnreadStdin::new(folder.path());
    put(folder.path(), "oci://demo/x").stdin_from(stdin).run().fails(6).stderr_has(&["--force"]);
    unread.assert_unread();
    let path = folder.path().join("store/demo/x");
    assert_eq!(std::fs::read(&path).unwrap(), b"first");
    let etag = first["etag"].as_str().unwrap();
    put(folder.path(), "oci://demo/x").arg("--if-match").arg(etag).stdin("second").run().exits(0);
    put(folder.path(), "oci://demo/x").args("--force").stdin("third").run().exits(0);
    assert_eq!(std::fs::read(&path).unwrap(), b"third");
}

#[test]
fn a_name_that_is_no_path_below_the_folder_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!("oci://demo/{}", "x".repeat(256));
    for address in [
        "oci://demo/../x",
        "oci://demo/a/../../../x",
        "oci://demo/./x",
        "oci://demo/a//b",
        "oci://demo//x",
        "oci://demo/a/",
        "oci://../x",
        "oci://.ocipipe/x",
        &long,
    ] {
        let (unread, stdin) = UnreadStdin::new(folder.path());
        put(folder.path(), address).stdin_from(stdin).run().fails(2);
        unread.assert_unread();
        assert_eq!(all_below(folder.path()), ["unread"], "{address}");
    }
}

#[test]
fn files_folders_and_links_in_the_way_are_refused_before_reading_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    std::fs::create_dir_all(store.join("demo/folder")).unwrap();
    std::fs::write(store.join("demo/file"), "a file").unwrap();
    std::os::unix::fs::symlink(outside.path(), store.join("demo/link")).unwrap();
    std::os::unix::fs::symlink(outside.path(), store.join("linked")).unwrap();
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "untouched").unwrap();
    std::os::unix::fs::symlink(&secret, store.join("demo/to-file")).unwrap();
    let before = all_below(&store);
    for name in ["demo/file/x", "demo/folder", "demo/link/x", "linked/x", "demo/to-file"] {
        for force in ["", "--force"] {
            let (unread, stdin) = UnreadStdin::new(folder.path());
            let run = put(folder.path(), &format!("oci://{name}")).args(force);
            let code = run.stdin_from(stdin).run().fails(2).status.code();
            assert_eq!(code, Some(2), "{name}");
            unread.assert_unread();
        }
    }
    assert_eq!(all_below(&store), before);
    assert_eq!(all_below(outside.path()), ["secret"]);
    assert_eq!(std::fs::read(&secret).unwrap(), b"untouched");
}

#[test]
fn a_failed_run_leaves_nothing_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "oci://demo/x").stdin("").run().fails(5);
    let failing = put(folder.path(), "oci://demo/x").args("--part-size 10 -- sh -c");
    failing.arg("head -c 30000000 /dev/zero; exit 1").run().fails(5);
    let left: Vec<String> = all_below(folder.path());
    assert!(left.iter().all(|path| path == "store" || path == "store/demo"), "{left:?}");
}

#[test]
fn many_runs_into_one_folder_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let runs: Vec<_> = (0..6)
        .map(|n| {
            put(folder.path(), &format!("oci://demo/{n}")).stdin(ramp(n)).args("--allow-empty")
        })
        .map(|run| run.start())
        .collect();
    for run in runs {
        run.wait().exits(0);
    }
    for n in 0..6 {
        let path = folder.path().join("store/demo").join(n.to_string());
        assert_same(&std::fs::read(path).unwrap(), &ramp(n));
    }
}

#[test]
fn a_namespace_of_an_account_is_refused_before_the_stream_is_read() {
    let dir = tempfile::tempdir().unwrap();
    for words in ["oci://b@n/x", "oci://b/x --namespace n"] {
        let put = ocipipe(["put", "--local"]).arg(dir.path()).args(words).args("--force");
        put.stdin("x").run().fails(2).stderr_has(&["--local and the namespace n contradict"]);
    }
    ocipipe(["put", "--local"])
        .arg(dir.path())
        .args("oci://b@axlocalstore/x")
        .stdin("x")
        .run()
        .exits(0);
}

//! Files that cannot grow: a limit of the file size (`ulimit -f`), and a full disk.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use common::run::{Ocipipe, ocipipe};
use common::store::Store;
use common::stream::{PART, ramp};

/// Limits files to 1 MiB.
fn with_file_limit(run: Ocipipe) -> Ocipipe {
    run.wrapped_by_script("sh", "ulimit -f 2048; exec \"$@\"")
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn a_local_store_beyond_the_file_limit_reports_it_and_leaves_nothing() {
    // In bytes: a stream of one part, and one of several.
    for length in [5 << 20, 2 * PART + 5] {
        let folder = tempfile::tempdir().unwrap();
        let run = ocipipe(["put", "--part-size", "10", "oci://b/x", "--local"]).arg(folder.path());
        let done = with_file_limit(run).stdin(ramp(length)).run().fails(4);
        done.stderr_has(&["File too large", "ulimit -f"]);
        assert!(is_empty(folder.path()), "files are left");
    }
}

#[test]
fn get_beyond_the_file_limit_leaves_no_file() {
    let store = Store::start();
    store.put("x").stdin(ramp(5 << 20)).run().exits(0);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x");
    let get = || store.ocipipe("get oci://backups/x");
    with_file_limit(get().arg("--file").arg(&file)).run().fails(1).stderr_has(&["File too large"]);
    assert!(!file.exists(), "a truncated file appeared");
    let out = File::create(folder.path().join("out")).unwrap();
    with_file_limit(get()).stdout_to(out).run().exits(1).stderr_has(&["File too large"]);
    get().args("--file /dev/full").run().fails(1).stderr_has(&["No space left on device"]);
}

#[test]
fn a_log_that_is_full_ends_no_upload() {
    let store = Store::start();
    let path = store.file("log", vec![b'.'; 1 << 20]);
    let log = File::options().append(true).open(&path).unwrap();
    let run = store.put("x").arg("--debug").stdin(ramp(PART + 1)).stderr_to(log);
    with_file_limit(run).run().exits(0);
    assert_eq!(store.object("x").unwrap().len(), PART + 1);
    assert_eq!(std::fs::metadata(path).unwrap().len(), 1 << 20);
}

#[test]
fn a_receipt_beyond_the_file_limit_goes_to_stderr() {
    let store = Store::start();
    let path = store.file("receipts", vec![b'.'; 1 << 20]);
    let receipts = File::options().append(true).open(path).unwrap();
    let run = store.put("x").stdin("stream").stdout_to(receipts);
    with_file_limit(run).run().exits(0).stderr_has(&["took no result", "\"etag\""]);
}

/// Creates a namespace in which the command that follows may mount.
const MOUNTING: &str = "unshare --user --map-root-user --mount";

#[test]
fn a_local_store_on_a_full_disk_reports_it_and_leaves_nothing() {
    let mut words = MOUNTING.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["mount", "-t", "tmpfs", "none", "/mnt"]).stderr(Stdio::null());
    if !command.status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: no file system can be mounted here");
        return;
    }
    for length in [8 << 20, 2 * PART + 5] {
        let run = ocipipe(["put", "--part-size", "10", "oci://b/x", "--local", "/mnt"]);
        let script = "mount -t tmpfs -o size=4m none /mnt && \"$@\"; code=$?; \
                      echo left: $(ls -A /mnt) >&2; exit $code";
        let script = format!("exec {MOUNTING} sh -c '{script}' sh \"$@\"");
        let done = run.wrapped_by_script("sh", &script).stdin(ramp(length)).run().fails(4);
        done.stderr_has(&["No space left on device", "left:\n"]);
    }
}

//! ocipipe in a root that holds only the program: without `/dev`, `/proc`, `/tmp` and `/etc`.
//!
//! A program that is linked dynamically has its libraries there too. Skipped where no user namespace
//! can be created.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::limits::report_skipped;
use common::run::{Ocipipe, binary, ocipipe};
use common::store::Store;
use rustix::process::Signal;
use tempfile::TempDir;

/// What a process needs to change its root.
const NAMESPACE: &str = "unshare --user --map-root-user";

/// A folder with the program and its libraries.
struct EmptyRoot(TempDir);

impl EmptyRoot {
    fn new() -> Option<EmptyRoot> {
        let allowed = Command::new("sh").arg("-c").arg(format!("{NAMESPACE} true")).output();
        if !allowed.is_ok_and(|output| output.status.success()) {
            report_skipped("NO EMPTY ROOT: no user namespace can be created here");
            return None;
        }
        let root = EmptyRoot(tempfile::tempdir().unwrap());
        root.copy(&binary(), Path::new("/ocipipe"));
        let libraries = Command::new("ldd").arg(binary()).output().unwrap();
        for word in String::from_utf8(libraries.stdout).unwrap().split_whitespace() {
            if word.starts_with('/') && !word.ends_with(':') {
                root.copy(Path::new(word), Path::new(word));
            }
        }
        Some(root)
    }

    /// The path outside of a path in the root.
    fn outside(&self, inside: &Path) -> PathBuf {
        self.0.path().join(inside.strip_prefix("/").unwrap())
    }

    fn copy(&self, from: &Path, to: &Path) {
        let to = self.outside(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }

    fn run(&self, line: &str) -> Ocipipe {
        self.contain(ocipipe(line.split_whitespace()))
    }

    fn contain(&self, run: Ocipipe) -> Ocipipe {
        self.contain_redirected(run, "")
    }

    /// With redirections of a shell.
    fn contain_redirected(&self, run: Ocipipe, redirections: &str) -> Ocipipe {
        let root = self.0.path().display();
        let line = format!("exec {NAMESPACE} chroot {root} \"$@\" {redirections}");
        run.program(Path::new("/ocipipe")).wrapped_by_script("sh", &line)
    }
}

#[test]
fn a_stream_is_stored_without_dev_proc_and_tmp() {
    let Some(root) = EmptyRoot::new() else { return };
    root.run("put --local /store oci://demo/x").stdin("hello").run().exits(0);
    assert_eq!(fs::read(root.outside(Path::new("/store/demo/x"))).unwrap(), b"hello");
}

#[test]
fn a_command_runs_with_an_empty_stdin_without_dev_null() {
    let Some(root) = EmptyRoot::new() else { return };
    root.run("put --local /store oci://demo/outer -- /ocipipe put --allow-empty --local /inner oci://demo/inner")
        .run()
        .exits(0);
    assert_eq!(fs::read(root.outside(Path::new("/inner/demo/inner"))).unwrap(), b"");
    let receipt = fs::read(root.outside(Path::new("/store/demo/outer"))).unwrap();
    let receipt: serde_json::Value = serde_json::from_slice(&receipt).unwrap();
    assert_eq!(receipt["size"], 0);
}

#[test]
fn closed_descriptors_are_an_error_and_no_abort_without_dev_null() {
    let Some(root) = EmptyRoot::new() else { return };
    let put = |redirections| {
        let words = ["put", "--local", "/store", "oci://demo/x"];
        root.contain_redirected(ocipipe(words), redirections).stdin("hello").run()
    };
    put("<&-").exits(2).stderr_has(&["stdin is closed"]);
    put(">&-").exits(2).stderr_has(&["stdout is closed"]);
    put("<&- >&-").exits(2).stderr_has(&["stdin is closed"]);
    put("2>&-").exits(0);
    put("<&- >&- 2>&-").exits(2);
}

#[test]
fn the_local_store_serves_without_dev() {
    let Some(root) = EmptyRoot::new() else { return };
    let serve = root.run("serve --dir /state --port 0").start();
    serve.wait_for_stderr("Stop with Ctrl-C");
    serve.signal(Signal::INT);
    assert_ne!(serve.wait().status.code(), Some(101));
    assert!(root.outside(Path::new("/state/config")).exists());
}

#[test]
fn an_upload_to_a_service_needs_no_other_file_and_tls_names_what_is_missing() {
    let Some(root) = EmptyRoot::new() else { return };
    let store = Store::start();
    for entry in fs::read_dir(store.server().state_path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            root.copy(&path, &path);
        }
    }
    root.contain(store.put("x")).stdin("hello").run().exits(0);
    assert_eq!(store.object("x").unwrap(), b"hello");
    root.contain(store.put("y").args("--endpoint https://127.0.0.1:1"))
        .stdin("hello")
        .run()
        .exits(2)
        .stderr_has(&["this system has no certificate authorities", "--cert-bundle"]);
}

//! What other processes can learn of the credentials: core dumps, the memory, and the environment of
//! the command.

#![allow(clippy::unwrap_used)]

mod common;

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Signal, getuid, kill_process};

use common::limits::{report_skipped, set_soft_limit};
use common::store::Store;

/// The soft and the hard limit of core files of a process.
fn core_limits(pid: Pid) -> (String, String) {
    let path = format!("/proc/{}/limits", pid.as_raw_nonzero());
    let limits = std::fs::read_to_string(path).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let mut words = line.split_whitespace().skip(4);
    (words.next().unwrap().to_owned(), words.next().unwrap().to_owned())
}

/// Whether SIGABRT makes the kernel write a core of an ordinary process here.
fn cores_are_written(store: &Store) -> bool {
    let mut child = Command::new("sleep").arg("600").current_dir(store.folder()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    set_soft_limit(pid, Resource::Core, core_limits(pid).1.parse().ok());
    kill_process(pid, Signal::ABORT).unwrap();
    child.wait().unwrap().core_dumped()
}

#[test]
fn a_run_leaves_no_core_and_the_command_has_its_own_limit() {
    let store = Store::start();
    // It ends with its stdout, so that it does not outlive the run.
    let script = "echo limit $(ulimit -S -c). >&2; while echo x; do sleep 0.2; done";
    let run = store
        .put("x")
        .args("-- sh -c")
        .arg(script)
        .within(store.folder())
        .wrapped_by_script("sh", "ulimit -S -c 7 2>/dev/null; exec \"$@\"");
    let run = run.start();
    run.wait_for_stderr("limit ");
    // The command may print before the program has set its own limit again.
    let deadline = Instant::now() + Duration::from_secs(10);
    while core_limits(run.pid()).0 != "0" && Instant::now() < deadline {
        std::thread::yield_now();
    }
    let (soft, hard) = core_limits(run.pid());
    assert_eq!(soft, "0");
    let inherited = if hard == "0" { "limit 0." } else { "limit 7." };
    let stderr = run.stderr_so_far();
    assert!(stderr.contains(inherited), "the hard limit is {hard}:\n{stderr}");
    // The files of a process that must not be dumped belong to root.
    let owner = std::fs::metadata(format!("/proc/{}/limits", run.id())).unwrap().uid();
    assert!(owner != getuid().as_raw() || getuid().is_root());
    if !cores_are_written(&store) {
        report_skipped("this system writes no core files");
        return;
    }
    // The limit alone is not what prevents it: the kernel ignores it for programs that receive cores.
    set_soft_limit(run.pid(), Resource::Core, hard.parse().ok());
    run.signal(Signal::ABORT);
    let done = run.wait();
    assert_eq!((done.status.signal(), done.status.core_dumped()), (Some(6), false));
}

#[test]
fn the_command_finds_no_variable_of_ocipipe_and_every_other_one() {
    let store = Store::start();
    let run = store
        .put("env")
        .var("OCIPIPE_EXCHANGE_CLIENT_SECRET_FILE", "/run/SECRET")
        .var("OCI_CLI_PASSPHRASE", "passed on")
        .var("PGPASSWORD", "passed on too")
        .args("--debug -- env");
    let done = run.run().exits(0);
    let environment = String::from_utf8(store.object("env").unwrap()).unwrap();
    assert!(!environment.contains("OCIPIPE_") && !environment.contains("SECRET"), "{environment}");
    assert!(environment.contains("OCI_CLI_PASSPHRASE=passed on\n"), "{environment}");
    assert!(environment.contains("PGPASSWORD=passed on too\n"), "{environment}");
    done.stderr_lacks("SECRET").stderr_lacks("passed on");
}

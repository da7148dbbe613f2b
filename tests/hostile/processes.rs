//! What another process of the same user can read of a run: neither its environment nor its memory.

use std::process::Command;

use rustix::process::getuid;

use crate::common::limits::report_skipped;
use crate::common::run::{binary, ocipipe};

/// A user without rights, as whom root runs both processes; root reads everything.
const NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups";
const URL: &str = "http://127.0.0.1:1/p/secretsecretsecretsecret/n/ax/b/backups/o/x";

/// Whether a process of the same user can read this file of another process.
fn readable(pid: i32, name: &str) -> bool {
    let path = format!("/proc/{pid}/{name}");
    let prefix: Vec<&str> =
        if getuid().is_root() { NOBODY.split(' ').collect() } else { Vec::new() };
    let words = [&prefix[..], &["head", "-c", "1", &path]].concat();
    Command::new(words[0]).args(&words[1..]).output().unwrap().status.success()
}

/// Whether a process of the same user can attach to another process with ptrace; `None` without a way to try it.
fn attachable(pid: i32) -> Option<bool> {
    // The numbers of ptrace and of PTRACE_ATTACH. The kernel detaches at the end of the process.
    let number = if cfg!(target_arch = "x86_64") { 101 } else { 117 };
    let script = format!("exit(syscall({number}, 16, {pid}, 0, 0) == 0 ? 0 : 1)");
    let prefix: Vec<&str> =
        if getuid().is_root() { NOBODY.split(' ').collect() } else { Vec::new() };
    let words = [&prefix[..], &["perl", "-e", &script]].concat();
    let status = Command::new(words[0]).args(&words[1..]).status().ok()?;
    status.code().filter(|code| *code < 2).map(|code| code == 0)
}

#[test]
fn no_process_of_the_same_user_reads_the_environment_or_the_memory_of_a_run() {
    let mut control = Command::new("sleep");
    if getuid().is_root() {
        let runs = Command::new("sh")
            .args(["-c", &format!("{NOBODY} \"$0\" --version")])
            .arg(binary())
            .output()
            .unwrap();
        if !runs.status.success() {
            return report_skipped("no other user can run the program here");
        }
        control = Command::new("setpriv");
        control.args(NOBODY.split(' ').skip(1)).arg("sleep");
    }
    let mut sleeper = control.arg("600").env("A", "b").spawn().unwrap();
    let run = ocipipe("put --retry-for 1h --debug".split(' ')).var("OCIPIPE_PAR_URL", URL);
    let run = if getuid().is_root() { run.wrapped_by(NOBODY) } else { run };
    let mut run = run.stdin_pipe().start();
    run.write(b"data");
    // The first message comes after the process has protected itself.
    run.wait_for_stderr("ocipipe: ");
    for name in ["environ", "maps", "mem"] {
        assert!(!readable(run.id(), name), "{name} can be read");
    }
    assert_ne!(attachable(run.id()), Some(true), "a process attaches to the run");
    if attachable(sleeper.id() as i32) != Some(true) {
        report_skipped("no process attaches to another one here, with or without protection");
    }
    let ordinary = readable(sleeper.id() as i32, "environ");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    run.signal(rustix::process::Signal::KILL);
    run.wait();
    assert!(ordinary, "the environment of an ordinary process cannot be read: nothing was proved");
}

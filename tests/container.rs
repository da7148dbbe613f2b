//! ocipipe as process 1 of a container: it must reap all orphans, and the kernel delivers only
//! signals that it handles.
//!
//! Skipped where no PID namespace can be created.

#![allow(clippy::unwrap_used)]

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::run::{Ocipipe, Running};
use common::store::Store;
use common::stream::{PART, ramp};
use emulator::Operation::{ListMultipartUploads, UploadPart};
use emulator::fault::{Fault, FaultRule};
use rustix::process::{Pid, Signal, kill_process};

/// Creates a PID namespace in which the command that follows is process 1.
const CONTAINER: &str = "unshare --user --map-root-user --pid --fork --mount-proc";

fn cannot_create_namespace() -> bool {
    let mut words = CONTAINER.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    let status = command.args(words).arg("true").stderr(Stdio::null()).status();
    let failed = !status.is_ok_and(|status| status.success());
    if failed {
        eprintln!("skipped: no PID namespace can be created here");
    }
    failed
}

/// The program itself, the only child of `unshare`.
fn program_in(run: &Running) -> Pid {
    loop {
        if let [pid] = run.children()[..] {
            return pid;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Stops a run; returns the time until its end.
fn stop(run: Running, code: i32) -> Duration {
    let started_at = Instant::now();
    kill_process(program_in(&run), Signal::TERM).unwrap();
    run.wait_with_open_stdin().fails(code);
    started_at.elapsed()
}

fn contained(run: Ocipipe) -> Ocipipe {
    run.wrapped_by(CONTAINER)
}

#[test]
fn orphans_do_not_stay_behind_as_zombies() {
    if cannot_create_namespace() {
        return;
    }
    let store = Store::start();
    // Twenty orphans that end at once. The command waits for its own children itself.
    let script = "i=0; while [ $i -lt 20 ]; do sh -c 'true & exit'; i=$((i+1)); done; \
                  while grep -q '^State:.*Z' /proc/[0-9]*/status; do sleep 0.05; done; echo none";
    let run = contained(store.put("x").args("-- timeout 30 sh -c").arg(script));
    run.run().exits(0);
    assert_eq!(store.object("x").unwrap(), b"none\n");
}

#[test]
fn a_stop_does_not_wait_for_zombies() {
    if cannot_create_namespace() {
        return;
    }
    let store = Store::start();
    // The processes end at once on SIGTERM, the shell first, so that only ocipipe can reap the
    // others.
    let script = format!("sleep 600 & sleep 600 & head -c {} /dev/zero; wait", PART + 1);
    let run = contained(store.put("x").args("-- sh -c").arg(script)).start();
    store.wait_for_requests(UploadPart, 1);
    let took = stop(run, 143);
    assert!(took < Duration::from_millis(4500), "{took:?}");
    store.assert_not_stored("x");
}

#[test]
fn a_stop_of_a_plain_pipe_has_its_effect() {
    if cannot_create_namespace() {
        return;
    }
    let store = Store::start();
    let mut run = contained(store.put("x")).stdin_pipe().start();
    run.write(&ramp(PART + 1));
    store.wait_for_requests(UploadPart, 1);
    stop(run, 143);
    store.assert_not_stored("x");
}

#[test]
fn commands_that_only_list_can_be_stopped_too() {
    if cannot_create_namespace() {
        return;
    }
    let store =
        Store::failing([FaultRule::on(ListMultipartUploads, Fault::StallAnswer { ms: None })]);
    let run = contained(store.ocipipe("uploads list oci://backups")).start();
    let (handle, arrived) = store.waiting(|_, arrived| arrived >= 2);
    handle.block_on(arrived);
    let took = stop(run, 143);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

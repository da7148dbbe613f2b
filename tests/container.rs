//! Process 1 of a container: it has to reap what nobody else can, and no signal ends it that it does not
//! handle.
//!
//! Skipped where no namespace of processes can be made.

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

/// Makes a namespace in which what follows is process 1.
const CONTAINER: &str = "unshare --user --map-root-user --pid --fork --mount-proc";

fn impossible() -> bool {
    let mut words = CONTAINER.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    let made = command.args(words).arg("true").stderr(Stdio::null()).status();
    let impossible = !made.is_ok_and(|status| status.success());
    if impossible {
        eprintln!("skipped: no namespace of processes can be made here");
    }
    impossible
}

/// The program itself, which is the only child of what made the container.
fn inside(run: &Running) -> Pid {
    loop {
        if let [pid] = run.children()[..] {
            return pid;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Stops a run; how long it takes to end.
fn stop(run: Running, code: i32) -> Duration {
    let began = Instant::now();
    kill_process(inside(&run), Signal::TERM).unwrap();
    run.wait_with_open_stdin().fails(code);
    began.elapsed()
}

fn contained(run: Ocipipe) -> Ocipipe {
    run.wrapped_by(CONTAINER)
}

#[test]
fn orphans_do_not_stay_behind_as_zombies() {
    if impossible() {
        return;
    }
    let store = Store::start();
    // Twenty orphans that are over at once. The command's own children it waits for itself.
    let script = "i=0; while [ $i -lt 20 ]; do sh -c 'true & exit'; i=$((i+1)); done; \
                  while grep -q '^State:.*Z' /proc/[0-9]*/status; do sleep 0.05; done; echo none";
    let run = contained(store.put("x").args("-- timeout 30 sh -c").arg(script));
    run.run().exits(0);
    assert_eq!(store.object("x").unwrap(), b"none\n");
}

#[test]
fn a_stop_does_not_wait_for_zombies() {
    if impossible() {
        return;
    }
    let store = Store::start();
    // They end at once when they are told, the shell before them: nobody is left to reap them but us.
    let script = format!("sleep 600 & sleep 600 & head -c {} /dev/zero; wait", PART + 1);
    let run = contained(store.put("x").args("-- sh -c").arg(script)).start();
    store.wait_for_requests(UploadPart, 1);
    let took = stop(run, 143);
    assert!(took < Duration::from_millis(4500), "{took:?}");
    store.assert_not_stored("x");
}

#[test]
fn a_stop_of_a_plain_pipe_is_heard() {
    if impossible() {
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
fn commands_that_only_ask_can_be_stopped_too() {
    if impossible() {
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

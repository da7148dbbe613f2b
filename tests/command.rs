//! The command after `--`: how it is started, its environment, and how it is ended.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::pipes::terminal;
use common::run::Ocipipe;
use common::store::Store;
use common::stream::{PART, ramp};
use emulator::Operation::UploadPart;
use emulator::fault::{Fault, FaultResponse, FaultRule};
use rustix::process::{Signal, test_kill_process};

fn output_of(line: &str) -> String {
    let store = Store::start();
    store.put("x").args("--").args(line).stdin("not for the command").run().exits(0);
    String::from_utf8(store.object("x").unwrap()).unwrap()
}

#[test]
fn no_shell_sees_the_command() {
    let store = Store::start();
    store.put("x").args("-- printf %s $HOME;*|>").arg("two words").run().exits(0);
    assert_eq!(store.object("x").unwrap(), b"$HOME;*|>two words");
}

#[test]
fn a_pipeline_in_quotes_is_led_to_a_shell() {
    let store = Store::start();
    let run = store.put("x").arg("--").arg("printf x | cat").run().fails(5);
    run.stderr_has(&["cannot be started", "bash -o pipefail -c"]);
    store.put("x").args("-- no-such-program").run().fails(5).stderr_has(&["no folder of PATH"]);
    store.assert_not_stored("x");
}

#[test]
fn its_stdin_is_dev_null_whatever_that_of_ocipipe_is() {
    assert_eq!(output_of("readlink /proc/self/fd/0"), "/dev/null\n");
}

#[test]
fn it_leads_a_process_group_of_its_own() {
    let stat = output_of("cat /proc/self/stat");
    let (before, after) = stat.rsplit_once(')').unwrap();
    let pid = before.split_whitespace().next().unwrap();
    let group = after.split_whitespace().nth(2).unwrap();
    assert_eq!(pid, group);
}

#[test]
fn it_leads_a_session_of_its_own_and_has_no_terminal() {
    let stat = output_of("cat /proc/self/stat");
    let (before, after) = stat.rsplit_once(')').unwrap();
    let pid = before.split_whitespace().next().unwrap();
    let after: Vec<&str> = after.split_whitespace().collect();
    assert_eq!((after[3], after[4]), (pid, "0"), "session, and the number of the terminal");
}

#[test]
fn one_that_asks_on_the_terminal_fails_at_once_and_does_not_wait_for_an_answer() {
    let asks = "read answer < /dev/tty && echo $answer";
    for script in [
        asks.to_owned(),
        format!("({asks}) | cat; exit 1"),
        // `timeout` leads a group of its own within the session, so its parent is not stopped with it.
        format!("exec timeout 600 sh -c '{asks}'"),
    ] {
        let store = Store::start();
        let (_controller, terminal) = terminal();
        let run = store.put("x").args("-- sh -c").arg(&script);
        // ocipipe has a terminal and runs in its foreground, as from a prompt.
        let done = run
            .wrapped_by("setsid --ctty")
            .stdin_from(terminal)
            .start()
            .wait_with_open_stdin()
            .fails(5);
        done.within_seconds(60).stderr_has(&["/dev/tty", "exited with"]);
        store.assert_not_stored("x");
    }
}

#[test]
fn its_exit_is_known_also_if_sigchld_is_ignored() {
    let store = Store::start();
    let ignoring = |run: Ocipipe| run.wrapped_by_script("sh", "trap '' CHLD; exec \"$@\"");
    ignoring(store.put("x").args("-- echo complete")).run().exits(0);
    ignoring(store.put("y").args("-- sh -c").arg("echo partial; exit 3"))
        .run()
        .fails(5)
        .stderr_has(&["exited with 3"]);
    assert!(store.object("y").is_none());
}

#[test]
fn it_finds_every_signal_as_a_command_of_a_shell_would() {
    const SIGPIPE: u64 = 1 << 12;
    // Signals above are used by the C library.
    const STANDARD: u64 = (1 << 31) - 1;
    let ignored = |status: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() & STANDARD
    };
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    // Rust ignores SIGPIPE in the process of the test.
    assert_eq!(ignored(&output_of("cat /proc/self/status")), ignored(&own) & !SIGPIPE);
}

#[test]
fn its_orphans_become_children_of_ocipipe_and_not_of_process_1() {
    let store = Store::start();
    let orphan = "while [ $(ps -o ppid= -p $$) = $1 ]; do sleep 0.01; done; ps -o ppid= -p $$";
    let script = format!("sh -c '{orphan}' sh $$ & exit 0");
    let run = store.put("x").args("-- sh -c").arg(script).start();
    let pid = run.id();
    run.wait_with_open_stdin().exits(0);
    let parent = String::from_utf8(store.object("x").unwrap()).unwrap();
    assert_eq!(parent.trim(), pid.to_string());
}

#[test]
fn it_is_not_started_if_the_preflight_fails() {
    let store = Store::start();
    store.put("x").stdin("old").run().exits(0);
    let mark = store.folder().join("started");
    let run = |options: &str| store.put("x").args(options).args("-- touch").arg(&mark).run();
    run("").fails(6);
    run("--if-match no-such-etag").fails(6);
    run("--force --profile NOBODY").fails(2);
    assert!(!mark.exists(), "the command was started");
    run("--force --allow-empty").exits(0);
    assert!(mark.exists());
}

#[test]
fn one_that_ignores_sigterm_is_killed_after_five_seconds() {
    let store = Store::start();
    let script = "trap '' TERM; echo started >&2; while :; do sleep 0.1; done";
    let run = store.put("x").args("-- sh -c").arg(script).start();
    run.wait_for_stderr("started");
    let command = run.children();
    assert_eq!(command.len(), 1);
    run.signal(Signal::TERM);
    let done = run.wait_with_open_stdin().fails(143).within_seconds(20);
    assert!(done.took >= Duration::from_secs(5), "{:?}", done.took);
    assert!(test_kill_process(command[0]).is_err(), "the command still runs");
    store.assert_not_stored("x");
}

#[test]
fn one_that_ignores_sigterm_is_killed_by_a_second_stop() {
    let store = Store::start();
    let script = "trap '' TERM; echo started >&2; while :; do sleep 0.1; done";
    let run = store.put("x").args("-- sh -c").arg(script).start();
    run.wait_for_stderr("started");
    let command = run.children()[0].as_raw_nonzero();
    run.signal(Signal::TERM);
    run.wait_for_stderr("SIGTERM");
    // Signals within a second are one stop.
    std::thread::sleep(Duration::from_millis(1100));
    run.signal(Signal::TERM);
    run.wait_with_open_stdin().fails(143);
    // Nobody may have taken the exit status yet.
    let stat = || std::fs::read_to_string(format!("/proc/{command}/stat")).unwrap_or_default();
    let started_at = std::time::Instant::now();
    while !stat().is_empty() && !stat().contains(") Z ") {
        assert!(started_at.elapsed() < Duration::from_secs(3), "the command still runs");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn it_is_ended_when_the_upload_fails_and_its_end_is_not_reported_as_the_cause() {
    // A 404 about the bucket would be retried.
    let gone = FaultResponse::status(404).code("UploadNotFound");
    for (reply, code, words) in [(FaultResponse::status(403), 4, "403"), (gone, 4, "404")] {
        let store = Store::failing([FaultRule::on(UploadPart, Fault::Refuse(reply))]);
        let run = store.put("x").args("-- cat /dev/zero");
        run.run().fails(code).stderr_has(&[words]).within_seconds(30).stderr_lacks("killed");
        store.assert_not_stored("x");
    }
}

#[test]
fn one_that_fails_and_leaves_a_writer_behind_stores_nothing_whatever_its_status() {
    let store = Store::start();
    let done = store.put("x").args("-- sh -c").arg("echo bytes; sleep 600 & exit 3").run().fails(5);
    done.within_seconds(20);
    store.assert_not_stored("x");
}

#[test]
fn its_stderr_is_passed_through_unchanged() {
    let store = Store::start();
    let script = "printf 'pg_dump: \\033[1mdumping\\033[0m' >&2; echo x";
    let done = store.put("x").args("--quiet -- sh -c").arg(script).run().exits(0);
    assert_eq!(done.stderr, "pg_dump: \u{1b}[1mdumping\u{1b}[0m");
}

#[test]
fn an_interrupt_that_was_ignored_at_the_start_stays_ignored_as_in_a_background_job() {
    let store = Store::start();
    let mut run =
        store.put("x").wrapped_by_script("sh", "trap '' INT; exec \"$@\"").stdin_pipe().start();
    run.write(&ramp(PART + 1));
    store.wait_for_requests(UploadPart, 1);
    run.signal(Signal::INT);
    run.write(&ramp(PART));
    store.wait_for_requests(UploadPart, 2);
    // A signal that is not ignored still has its effect.
    run.signal(Signal::TERM);
    run.wait_with_open_stdin().fails(143).within_seconds(15);
    store.assert_not_stored("x");
}

#[test]
fn a_read_error_is_no_end_of_the_stream() {
    let store = Store::start();
    // The file can be opened, but its first page cannot be read.
    let run = store.put("x").args("--allow-empty --file /proc/self/mem");
    run.run().fails(5).stderr_has(&["Input/output error"]);
    store.assert_not_stored("x");
}

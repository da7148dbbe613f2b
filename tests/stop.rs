//! Runs that end early: by a signal, by a producer that fails, by one that keeps its stdout open.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::pipes::terminal;
use common::run::Running;
use common::store::Store;
use common::stream::{PART, assert_same, ramp};
use emulator::Operation::{self, CommitMultipartUpload, PutObject, UploadPart};
use emulator::fault::{Fault, FaultResponse, FaultRule, Trigger};
use rustix::process::Signal;

const ALL: [(Signal, i32); 3] = [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)];

/// Signals that are this far apart count as two.
const MORE_THAN_ONE_STOP: Duration = Duration::from_millis(1100);

/// Starts a run with an open stdin and waits until its first part is stored.
fn start_with_one_part(store: &Store, name: &str) -> Running {
    let mut run = store.put(name).stdin_pipe().start();
    run.write(&ramp(PART + 1));
    store.wait_for_requests(UploadPart, 1);
    run
}

#[test]
fn a_signal_in_mid_stream_leaves_nothing_behind_and_does_not_wait_for_the_producer() {
    for (signal, code) in ALL {
        let store = Store::start();
        let run = start_with_one_part(&store, "x");
        run.signal(signal);
        // Its stdin stays open.
        run.wait_with_open_stdin().fails(code).within_seconds(15);
        store.assert_not_stored("x");
    }
}

#[test]
fn a_signal_before_the_first_byte_leaves_nothing_behind() {
    for (signal, code) in ALL {
        let store = Store::start();
        let run = store.put("x").stdin_pipe().start();
        store.wait_for_requests(Operation::HeadObject, 1);
        run.signal(signal);
        run.wait_with_open_stdin().fails(code).within_seconds(15);
        store.assert_not_stored("x");
    }
}

#[test]
fn a_signal_while_the_endpoint_is_down_ends_the_wait() {
    let store = Store::failing([FaultRule::any(Fault::Refuse(FaultResponse::status(503)))]);
    let run = store.put("x").stdin_pipe().start();
    run.wait_for_stderr("trying again");
    run.signal(Signal::TERM);
    run.wait_with_open_stdin().fails(143).within_seconds(15);
}

#[test]
fn a_signal_while_parts_are_refused_ends_the_wait_and_aborts() {
    let store =
        Store::failing([FaultRule::on(UploadPart, Fault::Refuse(FaultResponse::status(503)))]);
    let mut run = store.put("x").stdin_pipe().start();
    run.write(&ramp(PART + 1));
    run.wait_for_stderr("trying again");
    run.signal(Signal::TERM);
    run.wait_with_open_stdin().fails(143).within_seconds(15);
    store.assert_not_stored("x");
}

#[test]
fn a_commit_that_was_sent_is_resolved_and_not_cancelled() {
    for (operation, length) in [(CommitMultipartUpload, PART + 1), (PutObject, 99)] {
        let store =
            Store::failing([FaultRule::on(operation, Fault::StallAnswer { ms: Some(1500) })]);
        let mut run = store.put("x").stdin_pipe().start();
        run.write(&ramp(length));
        run.close_stdin();
        store.wait_for_object("x");
        run.signal(Signal::TERM);
        let done = run.wait_with_open_stdin().exits(0);
        assert_eq!(done.receipt()["size"], length);
        assert_same(&store.object("x").unwrap(), &ramp(length));
        store.assert_no_open_upload();
    }
}

#[test]
fn a_second_signal_after_more_than_a_second_ends_the_program_at_once() {
    let store = Store::failing([FaultRule::on(
        Operation::AbortMultipartUpload,
        Fault::StallAnswer { ms: None },
    )]);
    let run = start_with_one_part(&store, "x");
    let id = store.server().open_uploads()[0].2.clone();
    run.signal(Signal::INT);
    run.wait_for_stderr("SIGINT");
    std::thread::sleep(MORE_THAN_ONE_STOP);
    run.signal(Signal::INT);
    let done = run.wait_with_open_stdin().fails(130).within_seconds(10);
    assert!(store.object("x").is_none());
    done.stderr_has(&["uploads abort", &id]);
}

#[test]
fn a_second_signal_while_the_commit_is_in_flight_reports_an_unknown_outcome() {
    let store =
        Store::failing([FaultRule::on(CommitMultipartUpload, Fault::StallAnswer { ms: None })]);
    let mut run = store.put("x").stdin_pipe().start();
    run.write(&ramp(PART + 1));
    run.close_stdin();
    store.wait_for_object("x");
    run.signal(Signal::TERM);
    run.wait_for_stderr("SIGTERM");
    std::thread::sleep(MORE_THAN_ONE_STOP);
    run.signal(Signal::TERM);
    run.wait_with_open_stdin()
        .fails(8)
        .within_seconds(10)
        .stderr_has(&["unknown", "oci os object head"]);
}

/// A store that delays an abort, so that a second signal arrives before the response.
fn slow_to_abort() -> Store {
    Store::failing([FaultRule::on(Operation::AbortMultipartUpload, Fault::Delay(700))])
}

#[test]
fn two_signals_at_once_are_one_stop_and_the_upload_is_aborted() {
    use Signal as S;
    for (first, second, code) in [
        (S::TERM, S::TERM, 143),
        (S::TERM, S::HUP, 143),
        (S::INT, S::INT, 130),
        (S::HUP, S::HUP, 129),
    ] {
        let store = slow_to_abort();
        let run = start_with_one_part(&store, "x");
        run.signal(first);
        run.wait_for_stderr("SIG");
        run.signal(second);
        run.wait_with_open_stdin().fails(code).within_seconds(15).stderr_lacks("uploads abort");
        store.assert_not_stored("x");
    }
}

#[test]
fn the_two_signals_of_timeout_are_one_stop() {
    let store = slow_to_abort();
    // `timeout` forwards a signal to its child and then to the group, as it does after its time.
    let mut run = store.put("x").wrapped_by("timeout 600").stdin_pipe().start();
    run.write(&ramp(PART + 1));
    store.wait_for_requests(UploadPart, 1);
    run.signal(Signal::TERM);
    run.wait_with_open_stdin().fails(143).within_seconds(15).stderr_lacks("uploads abort");
    store.assert_not_stored("x");
}

#[test]
fn a_closed_terminal_is_one_stop() {
    let store = slow_to_abort();
    let (controller, terminal_side) = terminal();
    let script = format!("head -c {} /dev/zero; exec sleep 600", PART + 1);
    let run = store.put("x").args("-- sh -c").arg(script);
    let run = run.wrapped_by("setsid --ctty").stdin_from(terminal_side).start();
    store.wait_for_requests(UploadPart, 1);
    drop(controller);
    run.wait_with_open_stdin().fails(129).within_seconds(15).stderr_lacks("uploads abort");
    store.assert_not_stored("x");
}

#[test]
fn an_abort_that_a_proxy_answers_is_retried() {
    let page = Fault::Html { status: 200 };
    let once =
        || [FaultRule::on(Operation::AbortMultipartUpload, page.clone()).when(Trigger::First(1))];
    let store = Store::failing(once());
    let run = start_with_one_part(&store, "x");
    run.signal(Signal::TERM);
    run.wait_with_open_stdin().fails(143).within_seconds(15);
    store.assert_not_stored("x");

    let store = Store::failing(once());
    let run = start_with_one_part(&store, "x");
    run.signal(Signal::KILL);
    run.wait_with_open_stdin();
    store.ocipipe("uploads abort --all oci://backups").run().exits(0);
    store.assert_no_open_upload();
}

#[test]
fn every_signal_that_would_end_the_process_aborts_the_upload() {
    use Signal as S;
    for (signal, code) in [
        (S::QUIT, 131),
        (S::USR1, 138),
        (S::USR2, 140),
        (S::ALARM, 142),
        (S::XCPU, 152),
        (S::VTALARM, 154),
        (S::PROF, 155),
        (S::IO, 157),
    ] {
        let store = Store::start();
        let run = start_with_one_part(&store, "x");
        run.signal(signal);
        run.wait_with_open_stdin().fails(code).within_seconds(15);
        store.assert_not_stored("x");
    }
}

#[test]
fn a_signal_ends_a_get_whose_reader_does_not_read() {
    let store = Store::start();
    store.put("x").stdin(ramp(PART + 1)).run().exits(0);
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let run = store.ocipipe("get oci://backups/x").stdout_to(writer).start();
    // Waits until something has been written; the rest does not fit into the pipe.
    let mut waited = [rustix::event::PollFd::new(&reader, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut waited, None).unwrap();
    run.signal(Signal::TERM);
    run.wait_with_open_stdin().exits(143).within_seconds(15);
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let store = Store::start();
    let mut run = store.put("x").wrapped_by("nohup").stdin_pipe().start();
    run.write(&ramp(PART + 1));
    store.wait_for_requests(UploadPart, 1);
    run.signal(Signal::HUP);
    run.write(&ramp(PART));
    store.wait_for_requests(UploadPart, 2);
    run.wait().exits(0);
    assert_eq!(store.object("x").unwrap().len(), 2 * PART + 1);
}

#[test]
fn a_killed_run_leaves_one_open_upload_that_can_be_found_and_aborted() {
    let store = Store::start();
    let run = start_with_one_part(&store, "x");
    run.signal(Signal::KILL);
    run.wait_with_open_stdin();
    assert_eq!(store.server().open_uploads().len(), 1);
    let id = store.server().open_uploads()[0].2.clone();
    let list = store.ocipipe("uploads list oci://backups").run().exits(0);
    assert!(list.stdout.contains(&id), "{}", list.stdout);
    let abort = store.ocipipe("uploads abort oci://backups/x").arg("--upload-id").arg(id);
    abort.run().exits(0);
    store.assert_not_stored("x");
}

#[test]
fn a_stop_ends_the_command_too() {
    let store = Store::start();
    let folder = store.folder().display().to_string();
    let script =
        format!("trap 'touch {folder}/stopped; exit' TERM; echo started >&2; sleep 600 & wait");
    let run = store.put("x").args("-- sh -c").arg(script).start();
    run.wait_for_stderr("started");
    run.signal(Signal::TERM);
    run.wait_with_open_stdin().fails(143).within_seconds(15);
    assert!(store.folder().join("stopped").exists(), "the command got no SIGTERM");
    store.assert_not_stored("x");
}

#[test]
fn a_stop_signals_the_children_of_the_command_once() {
    let store = Store::start();
    let mark = store.folder().join("stopped");
    let child = "i=0; while [ $i -lt 20 ]; do sleep 0.1; i=$((i+1)); done";
    let trap = format!("trap 'echo >> {}' TERM; echo started >&2", mark.display());
    let script = format!("({trap}; {child}) & exec sleep 600");
    let run = store.put("x").args("-- sh -c").arg(script).start();
    run.wait_for_stderr("started");
    run.signal(Signal::TERM);
    run.wait_with_open_stdin().fails(143).within_seconds(15);
    assert_eq!(std::fs::read(mark).unwrap(), b"\n");
}

#[test]
fn a_command_that_fails_ends_the_run_before_the_rest_is_sent() {
    let store = Store::failing([FaultRule::on(UploadPart, Fault::StallAnswer { ms: None })]);
    let file = store.file("big", ramp(2 * PART + 1000));
    let script = format!("cat {}; exit 3", file.display());
    let run = store.put("x").args("--parallel-upload-count 1 -- sh -c").arg(script);
    run.run().fails(5).stderr_has(&["exited with 3"]).within_seconds(30);
    store.assert_not_stored("x");
}

#[test]
fn a_command_whose_child_keeps_the_pipe_open_is_given_ten_seconds() {
    let store = Store::start();
    let script = "echo bytes; sleep 600 &";
    let done = store.put("x").args("-- sh -c").arg(script).run().fails(5);
    let took = done.took.as_secs();
    assert!((9..20).contains(&took), "{took} s: {}", done.stderr);
    store.assert_not_stored("x");
}

#[test]
fn a_failed_upload_closes_the_pipe_of_the_producer() {
    let store =
        Store::failing([FaultRule::on(UploadPart, Fault::Refuse(FaultResponse::status(403)))]);
    let mut run = store.put("x").stdin_pipe().start();
    let mut pipe = run.stdin.take().unwrap();
    let writing = std::thread::spawn(move || {
        use std::io::Write;
        let piece = ramp(1 << 20);
        loop {
            if let Err(error) = pipe.write_all(&piece) {
                return error.kind();
            }
        }
    });
    run.wait_with_open_stdin().fails(4);
    assert_eq!(writing.join().unwrap(), std::io::ErrorKind::BrokenPipe);
    store.assert_not_stored("x");
}

#[test]
fn a_command_that_has_exited_is_not_blamed_for_a_slow_service() {
    // No part is acknowledged for longer than the timeout for an open stdout, so the last bytes
    // wait in the pipe for a buffer.
    let slow = |part| FaultRule::on(UploadPart, Fault::Delay(13_000)).part(part);
    let store = Store::failing([slow(1), slow(2)]);
    let size = 2 * PART + 100_000;
    store
        .put("x")
        .args("--max-memory 20MiB --")
        .args(&format!("head -c {size} /dev/zero"))
        .run()
        .exits(0);
    assert_same(&store.object("x").unwrap(), &vec![0; size]);
}

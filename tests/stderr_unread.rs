//! A stderr that is open and never read, closed or broken: it delays no run and changes no exit
//! code.

#![allow(clippy::unwrap_used)]

mod common;

use common::pipes::{filled, pipe, terminal};
use common::store::Store;
use common::stream::{PART, assert_same, ramp};
use emulator::Operation::{AbortMultipartUpload, UploadPart};
use emulator::fault::{Fault, FaultResponse, FaultRule, Trigger};

const LONG: usize = PART + 17;

/// A store with a fault that causes messages.
fn faulty_store() -> Store {
    let refuse = Fault::Refuse(FaultResponse::status(503));
    Store::failing([FaultRule::on(UploadPart, refuse).when(Trigger::First(1))])
}

#[test]
fn a_full_pipe_as_stderr_delays_no_upload() {
    for options in ["--debug --progress json", "--debug --progress log", "--quiet"] {
        let store = faulty_store();
        let (_reader, writer) = filled(pipe());
        let run = store.put("x").args(options).stdin(ramp(LONG)).stderr_to(writer);
        let done = run.run().exits(0).within_seconds(60);
        assert_eq!(done.receipt()["size"], LONG, "{options}");
        assert_same(&store.object("x").unwrap(), &ramp(LONG));
    }
}

#[test]
fn a_blocked_terminal_delays_no_upload() {
    for options in ["--progress bar", "--debug"] {
        let store = faulty_store();
        let (_reader, writer) = filled(terminal());
        let run = store.put("x").args(options).stdin(ramp(LONG)).stderr_to(writer);
        let done = run.run().exits(0).within_seconds(60);
        assert_eq!(done.receipt()["size"], LONG, "{options}");
    }
}

#[test]
fn a_failure_without_a_readable_stderr_still_has_its_exit_code() {
    let refuse = FaultRule::on(UploadPart, Fault::Refuse(FaultResponse::status(403)));
    for options in ["--debug", "--progress json"] {
        let store = Store::failing([refuse.clone()]);
        let (_reader, writer) = filled(pipe());
        let run = store.put("x").args(options).stdin(ramp(LONG)).stderr_to(writer);
        run.run().fails(4).within_seconds(60);
        store.assert_not_stored("x");
    }
    let store = Store::start();
    let (_reader, writer) = filled(pipe());
    store.put("x").args("--no-such-option").stderr_to(writer).run().fails(2).within_seconds(60);
}

#[test]
fn a_signal_ends_the_run_although_stderr_is_not_read() {
    let rules = [
        FaultRule::on(UploadPart, Fault::StallAnswer { ms: None }).part(2),
        FaultRule::on(AbortMultipartUpload, Fault::Delay(100)),
    ];
    let store = Store::failing(rules);
    let (_reader, writer) = filled(pipe());
    let run = store.put("x").args("--debug").stdin_pipe().stderr_to(writer);
    let mut run = run.start();
    run.write(&ramp(PART + 1));
    store.wait_for_requests(UploadPart, 1);
    run.signal(rustix::process::Signal::TERM);
    run.wait_with_open_stdin().fails(143).within_seconds(30);
    store.assert_not_stored("x");
}

#[test]
fn the_error_is_the_last_message_however_many_there_were_before() {
    let refuse = FaultRule::on(UploadPart, Fault::Refuse(FaultResponse::status(403))).part(2);
    let store = Store::failing([refuse]);
    let done = store.put("x").args("--debug").stdin(ramp(LONG)).run().fails(4);
    let lines: Vec<&str> = done.stderr.lines().collect();
    let error = lines.iter().rposition(|line| line.starts_with("ocipipe: ")).unwrap();
    assert!(lines[error].contains("part 2") && lines[error].contains("403"), "{}", done.stderr);
    // Only lines of the hint may follow.
    assert!(lines[error + 1..].iter().all(|line| line.starts_with("  ")), "{}", done.stderr);
}

#[test]
fn a_closed_or_full_or_broken_stderr_loses_no_upload() {
    for redirection in ["2>&-", "2>/dev/full", "2> >(exec true)"] {
        let store = faulty_store();
        let file = store.file("stream", ramp(LONG));
        let line = format!("exec \"$@\" --debug --file {} {redirection}", file.display());
        let run = store.put("x").wrapped_by_script("bash", &line).run().exits(0);
        assert_eq!(run.receipt()["size"], LONG, "{redirection}");
        assert_same(&store.object("x").unwrap(), &ramp(LONG));
    }
}

#[test]
fn a_closed_stdout_loses_no_upload_and_no_receipt() {
    let store = Store::start();
    let (reader, writer) = pipe();
    drop(reader);
    let done = store.put("x").stdin(ramp(LONG)).stdout_to(writer).run().exits(0);
    let (_, receipt) = done.stderr.split_once("this is it:\n").expect(&done.stderr);
    let receipt: serde_json::Value = serde_json::from_str(receipt).unwrap();
    assert_eq!(receipt["size"], LONG);
    assert_same(&store.object("x").unwrap(), &ramp(LONG));
}

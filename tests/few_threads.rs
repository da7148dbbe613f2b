//! Hosts that refuse processes and threads: at the start, and during a stream.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::limits::{Group, User};
use common::run::{Done, Ocipipe, ocipipe};
use common::store::Store;
use common::stream::{PART, Ramp, assert_same, ramp};
use emulator::Operation::{CommitMultipartUpload, HeadObject, PutObject, UploadPart};
use emulator::fault::{Fault, FaultResponse, FaultRule, Trigger};

/// Asserts that the run ended by itself with a documented exit code.
#[track_caller]
fn ends_orderly(done: Done) -> Done {
    let code = done.status.code();
    assert!(matches!(code, Some(0 | 1 | 5)), "{}:\n{}", done.status, done.stderr);
    done.stderr_lacks("panicked").within_seconds(120)
}

/// Runs it with fewer and fewer threads: with `most` it must succeed, and a run that fails must
/// state the reason.
fn with_decreasing_limits(store: &Store, most: u64, run: impl Fn() -> Ocipipe, texts: &[&str]) {
    let Some(user) = User::of(store) else { return };
    for processes in (1..=most).rev() {
        let done = ends_orderly(user.with_processes(run(), processes).run());
        if done.status.success() {
            continue;
        }
        assert!(processes < most, "it fails even with {most}: {}", done.stderr);
        done.stderr_has(texts)
            .stderr_has(&["Resource temporarily unavailable", "raise the limit of processes"]);
    }
}

#[test]
fn a_stream_needs_one_thread_beside_the_main_one_and_a_failure_states_the_reason() {
    let store = Store::start();
    let run = || store.put("x").arg("--force").stdin(ramp(PART + 1));
    with_decreasing_limits(&store, 2, run, &["no thread to read with"]);
    if let Some(object) = store.object("x") {
        assert_same(&object, &ramp(PART + 1));
    }
    store.assert_no_open_upload();
}

#[test]
fn an_expected_format_needs_one_thread_more() {
    let store = Store::start();
    let file = store.file("plain", ramp(100_000));
    let packed = std::process::Command::new("gzip").arg("-c").arg(file).output().unwrap().stdout;
    let run = || store.put("x").args("--force --expect gzip").stdin(packed.clone());
    with_decreasing_limits(&store, 3, run, &["no thread"]);
}

#[test]
fn a_command_is_not_started_where_the_stream_could_not_be_read() {
    let store = Store::start();
    let run = || store.put("x").args("--force -- sh -c").arg("echo started >> started; echo x");
    // Threads for reading, stderr and the connection, and the process of the command.
    with_decreasing_limits(&store, 5, run, &[]);
    let started = std::fs::read_to_string(store.folder().join("started")).unwrap_or_default();
    let stored = store.requests_of(PutObject).len();
    assert_eq!(started.lines().count(), stored, "{started}");
}

#[test]
fn get_needs_one_thread_beside_the_main_one() {
    let store = Store::start();
    store.put("x").stdin(ramp(300_000)).run().exits(0);
    let run = || store.ocipipe("get oci://backups/x --file got");
    with_decreasing_limits(&store, 2, run, &["no thread to write with"]);
}

#[test]
fn the_local_store_reports_a_refused_thread_too() {
    let store = Store::start();
    let run = || ocipipe(["put", "--local", "local", "--force", "oci://b/x"]);
    let run = || run().within(store.folder()).stdin(ramp(1000));
    let Some(user) = User::of(&store) else { return };
    for processes in 1..=4 {
        ends_or_is_refused(user.with_processes(run(), processes).run());
    }
    user.with_processes(run(), 5).run().exits(0);
}

#[track_caller]
fn ends_or_is_refused(done: Done) {
    let code = done.status.code();
    assert!(matches!(code, Some(0..=2)), "{}:\n{}", done.status, done.stderr);
    done.stderr_lacks("panicked").within_seconds(120);
}

/// A put to `x` whose endpoint is a name, which must be resolved for each connection.
fn by_name(store: &Store) -> Ocipipe {
    let url = store.server().url().replace("127.0.0.1", "localhost");
    ocipipe(["put", "--part-size", "10MiB", "oci://backups/x"])
        .within(store.folder())
        .arg("--config-file")
        .arg(store.server().config_path())
        .args(&format!("--endpoint {url} --auth-endpoint {url}"))
}

#[test]
fn no_new_thread_is_needed_during_a_stream() {
    // The faults cause a part to be hashed again, the watchdog to read the kernel's send queue, and
    // new connections.
    let damaged = FaultRule::on(
        UploadPart,
        Fault::Refuse(FaultResponse::status(400).code("UnmatchedContentSHA256")),
    );
    let stalls = FaultRule::on(UploadPart, Fault::StallBody { bytes: 1000, ms: None });
    let reset = FaultRule::on(UploadPart, Fault::ResetInBody(5000));
    let commit_reset = FaultRule::on(CommitMultipartUpload, Fault::ResetBeforeBody);
    let store = Store::failing([
        damaged.part(2).when(Trigger::Attempt(1)),
        stalls.part(3).when(Trigger::Attempt(1)),
        reset.part(4).when(Trigger::First(2)),
        commit_reset.when(Trigger::Attempt(1)),
    ]);
    let Some(user) = User::of(&store) else { return };
    let run = store.put("x").args("--stall-timeout 1s --debug").stdin_pipe();
    let mut run = user.with_processes(run, 12).start();
    let mut source = Ramp::default();
    run.write(&source.take(PART + 1));
    store.wait_for_requests(UploadPart, 1);
    let _occupied = user.occupy(12);
    run.write(&source.take(4 * PART));
    let done = run.wait().exits(0).stderr_lacks("panicked");
    assert_eq!(done.receipt()["size"], 5 * PART + 1);
    assert_same(&store.object("x").unwrap(), &ramp(5 * PART + 1));
}

#[test]
fn a_control_group_that_is_full_for_a_while_loses_no_stream() {
    let Some(group) = Group::with("pids", "pids.max") else { return };
    let reset = FaultRule::on(UploadPart, Fault::ResetInBody(5000)).when(Trigger::First(3));
    let store = Store::failing([reset]);
    let run = by_name(&store).stdin_pipe();
    let mut run = group.run_in(run).start();
    let mut source = Ramp::default();
    run.write(&source.take(PART / 2));
    store.wait_for_requests(HeadObject, 1);
    // Longer than runtimes usually keep an idle thread.
    group.set("pids.max", "1");
    std::thread::sleep(Duration::from_secs(11));
    run.write(&source.take(3 * PART));
    store.wait_for_requests(UploadPart, 2);
    group.set("pids.max", "max");
    run.write(&source.take(PART));
    run.wait().exits(0).stderr_lacks("panicked");
    let length = PART / 2 + 4 * PART;
    assert_same(&store.object("x").unwrap(), &ramp(length));
}

#[test]
fn a_control_group_that_is_full_at_the_start_for_a_moment_is_waited_for() {
    let Some(group) = Group::with("pids", "pids.max") else { return };
    let store = Store::start();
    group.set("pids.max", "1");
    let run = group.run_in(store.put("x").stdin(ramp(1000))).start();
    std::thread::sleep(Duration::from_secs(2));
    group.set("pids.max", "max");
    run.wait().exits(0);
    assert_same(&store.object("x").unwrap(), &ramp(1000));
}

//! `get --file`: the partial file beside the target, and when the target appears.

#![allow(clippy::unwrap_used)]

mod common;

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::run::{LIMIT, Ocipipe};
use common::store::Store;
use common::stream::{assert_same, ramp};
use emulator::Operation::GetObject;
use rustix::process::Signal;

const MIB: usize = 1 << 20;
const LENGTH: usize = 60 * MIB + 7;

fn store_with_object() -> Store {
    let store = Store::start();
    store.put("x").stdin(ramp(LENGTH)).run().exits(0);
    store
}

fn get(store: &Store) -> Ocipipe {
    store.ocipipe("get oci://backups/x --file got --part-size 4MiB")
}

fn target(store: &Store) -> PathBuf {
    store.folder().join("got")
}

fn partial(store: &Store) -> PathBuf {
    store.folder().join(".got.ocipipe-part")
}

/// Kills a run when its partial file has this many bytes.
fn kill_at(store: &Store, bytes: usize) {
    let run = get(store).args("--bwlimit 20MiB").start();
    let started_at = Instant::now();
    while std::fs::metadata(partial(store)).map_or(0, |file| file.len()) < bytes as u64 {
        assert!(started_at.elapsed() < LIMIT);
        std::thread::sleep(Duration::from_millis(5));
    }
    run.signal(Signal::KILL);
    run.wait_with_open_stdin();
}

#[track_caller]
fn assert_got(store: &Store) {
    assert_same(&std::fs::read(target(store)).unwrap(), &ramp(LENGTH));
    assert!(!partial(store).exists());
}

#[test]
fn a_run_that_was_killed_is_continued_and_what_is_there_is_compared_too() {
    let store = store_with_object();
    kill_at(&store, 20 * MIB);
    assert!(!target(&store).exists());
    assert_eq!(std::fs::metadata(partial(&store)).unwrap().mode() & 0o7777, 0o600);
    let before = store.requests_of(GetObject).len();
    let done = get(&store).run().exits(0).stderr_has(&["bytes of it: reading them again"]);
    assert_got(&store);
    drop(done);
    // 16 MiB at least were kept, and 4 MiB are a request.
    let asked = store.requests_of(GetObject).len() - before;
    assert!(asked <= 12, "{asked} ranges");
}

#[test]
fn a_signal_and_an_outage_leave_a_file_that_is_continued() {
    let store = store_with_object();
    let run = get(&store).args("--bwlimit 20MiB").start();
    while std::fs::metadata(partial(&store)).map_or(0, |file| file.len()) < 10 * MIB as u64 {
        std::thread::sleep(Duration::from_millis(5));
    }
    run.signal(Signal::TERM);
    run.wait_with_open_stdin().fails(143);
    let kept = std::fs::metadata(partial(&store)).unwrap().len();
    assert!(kept > 8 * MIB as u64, "{kept}");
    get(&store).run().exits(0);
    assert_got(&store);
}

#[test]
fn what_is_left_of_another_object_is_not_continued() {
    let store = store_with_object();
    kill_at(&store, 20 * MIB);
    let other: Vec<u8> = ramp(LENGTH).iter().map(|byte| !byte).collect();
    store.put("x").arg("--force").stdin(other.clone()).run().exits(0);
    get(&store).run().exits(0).stderr_lacks("reading them again");
    assert_same(&std::fs::read(target(&store)).unwrap(), &other);
}

#[test]
fn a_damaged_partial_file_is_started_again() {
    let store = store_with_object();
    kill_at(&store, 20 * MIB);
    let file = std::fs::File::options().write(true).open(partial(&store)).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 3], 5000).unwrap();
    get(&store).run().exits(0).stderr_has(&["is damaged"]);
    assert_got(&store);
}

#[test]
fn a_second_run_at_once_is_refused_and_the_first_goes_on() {
    let store = store_with_object();
    let first = get(&store).args("--bwlimit 20MiB").start();
    while !partial(&store).exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    get(&store).run().fails(2).stderr_has(&["another run is writing"]);
    first.wait_with_open_stdin().exits(0);
    assert_got(&store);
}

#[test]
fn a_link_in_the_place_of_the_partial_file_is_not_followed() {
    let store = store_with_object();
    let victim = store.file("victim", "precious");
    symlink(&victim, partial(&store)).unwrap();
    get(&store).run().fails(2).stderr_has(&["is a link"]);
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    assert!(!target(&store).exists());
}

#[test]
fn a_link_as_the_target_is_kept_and_a_pipe_is_written() {
    let store = store_with_object();
    let real = store.file("real", "old");
    symlink(&real, target(&store)).unwrap();
    get(&store).run().exits(0);
    assert!(std::fs::symlink_metadata(target(&store)).unwrap().is_symlink());
    assert_same(&std::fs::read(&real).unwrap(), &ramp(LENGTH));
    let pipe = store.folder().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let run = store.ocipipe("get oci://backups/x --file pipe").start();
    assert_same(&std::fs::read(&pipe).unwrap(), &ramp(LENGTH));
    run.wait_with_open_stdin().exits(0);
    store.ocipipe("get oci://backups/x --file /dev/null").run().exits(0);
}

#[test]
fn a_missing_object_leaves_no_file() {
    let store = Store::start();
    store.ocipipe("get oci://backups/x --file got").run().fails(4);
    assert!(!partial(&store).exists() && !target(&store).exists());
}

#[test]
fn a_named_pipe_waits_for_its_reader_and_a_stop_ends_the_wait() {
    let store = store_with_object();
    let fifo = store.folder().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, 0o600.into()).unwrap();
    let get = || {
        let get = store.ocipipe("get oci://backups/x");
        get.arg(format!("--file={}", fifo.display())).start()
    };
    let run = get();
    run.wait_for_stderr("waiting for a reader of");
    run.signal(Signal::TERM);
    run.wait_with_open_stdin().exits(143).within_seconds(15);
    let run = get();
    run.wait_for_stderr("waiting for a reader of");
    assert_same(&std::fs::read(&fifo).unwrap(), &ramp(LENGTH));
    run.wait_with_open_stdin().exits(0);
}

#[test]
fn a_path_of_stdout_is_stdout_and_not_a_file_to_replace() {
    let store = store_with_object();
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let path = store.file("all", "begin\n");
        let stdout = std::fs::File::options().append(true).open(&path).unwrap();
        let get = store.ocipipe("get oci://backups/x").arg(format!("--file={name}"));
        get.stdout_to(stdout).run().exits(0);
        let expected = [b"begin\n", ramp(LENGTH).as_slice()].concat();
        assert_same(&std::fs::read(&path).unwrap(), &expected);
    }
    let get = store.ocipipe("get oci://backups/x --file=/dev/fd/2");
    let stderr = std::fs::File::create(store.folder().join("stderr")).unwrap();
    get.stderr_to(stderr).run().exits(2);
}

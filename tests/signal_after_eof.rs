//! The cause of an end that arrives after the end: a job is stopped, its producer dies of it first, and
//! the stream looks whole.
//!
//! `OCIPIPE_STOPS=200` makes so many runs of each table; a short slice is made otherwise.

#![allow(clippy::unwrap_used)]

mod common;

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::run::Running;
use common::store::Store;
use common::stream::PART;
use emulator::Operation::{HeadObject, UploadPart};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

const SIGNALS: [(Signal, i32); 3] = [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)];
/// One part, and several.
const LENGTHS: [usize; 2] = [1_000_000, 2 * PART + 5];
const MS: Duration = Duration::from_millis(1);
/// Signals that lie further apart than was meant: the machine was too busy for the test. What is
/// promised is 100 ms.
const TOO_BUSY: Duration = Duration::from_millis(90);

/// Who is told of the stop, in which order.
#[derive(Debug, Clone, Copy)]
enum Told {
    /// The kernel tells the whole process group, as for Ctrl-C.
    Group,
    /// Somebody tells each process, as for a unit that is stopped; so much time lies between.
    ProducerFirst(Duration),
    ProducerLast(Duration),
}

/// A producer that has written its stream and does not end by itself.
struct Producer {
    child: Child,
    pid: Pid,
}

impl Producer {
    fn start(length: usize) -> Producer {
        let script = format!("head -c {length} /dev/zero; exec sleep 600");
        let child = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        Producer { child, pid }
    }

    /// Waits until all has been written: only then is it the other program.
    fn waits(&self) {
        let path = format!("/proc/{}/comm", self.pid.as_raw_nonzero());
        while std::fs::read_to_string(&path).unwrap().trim() != "sleep" {
            std::thread::sleep(MS);
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells them; how much time lay between the first and the last.
fn tell(told: Told, signal: Signal, producer: &Producer, run: &Running) -> Duration {
    let began = Instant::now();
    match told {
        Told::Group => kill_process_group(producer.pid, signal).unwrap(),
        Told::ProducerFirst(gap) => {
            kill_process(producer.pid, signal).unwrap();
            std::thread::sleep(gap);
            run.signaller()(signal);
        }
        Told::ProducerLast(gap) => {
            run.signal(signal);
            std::thread::sleep(gap);
            kill_process(producer.pid, signal).unwrap();
        }
    }
    began.elapsed()
}

/// A stream that is under way, and a producer that has nothing more to write.
fn under_way(store: &Store, name: &str, length: usize, options: &str) -> (Producer, Running) {
    let mut producer = Producer::start(length);
    let stdout = producer.child.stdout.take().unwrap();
    let heads = store.requests_of(HeadObject).len();
    let parts = store.requests_of(UploadPart).len();
    let run = store.put(name).args(options).in_group(producer.pid).stdin_from(stdout).start();
    store.wait_for_requests(HeadObject, heads + 1);
    if length > PART {
        store.wait_for_requests(UploadPart, parts + 1);
    }
    producer.waits();
    (producer, run)
}

/// One stop; it stores nothing, unless the signals lay too far apart for that to be promised.
fn stop(store: &Store, name: &str, told: Told, (signal, code): (Signal, i32), length: usize) {
    let (producer, run) = under_way(store, name, length, "");
    let apart = tell(told, signal, &producer, &run);
    let what = format!("{told:?}, {signal:?}, {length} bytes, told within {apart:?}");
    let done = run.wait_with_open_stdin();
    if apart > TOO_BUSY && matches!(told, Told::ProducerFirst(_)) && done.status.success() {
        return never_speaks_of_stopping(&done.stderr);
    }
    assert_eq!(done.status.code(), Some(code), "{what}:\n{}", done.stderr);
    assert!(store.object(name).is_none(), "{what}: a torso is stored");
    store.assert_no_open_upload();
}

fn never_speaks_of_stopping(said: &str) {
    assert!(!said.contains("stop"), "it succeeded, and speaks of stopping:\n{said}");
}

fn runs(slice: usize) -> usize {
    std::env::var("OCIPIPE_STOPS").map_or(slice, |text| text.parse().unwrap())
}

fn table(count: usize) {
    let store = Store::start();
    let told = [
        Told::Group,
        Told::ProducerFirst(Duration::ZERO),
        Told::ProducerLast(Duration::ZERO),
        Told::ProducerFirst(5 * MS),
        Told::ProducerFirst(20 * MS),
        Told::ProducerFirst(50 * MS),
        Told::ProducerLast(20 * MS),
    ];
    for number in 0..count {
        let signal = SIGNALS[number % SIGNALS.len()];
        let length = LENGTHS[number / told.len() % LENGTHS.len()];
        stop(&store, &format!("x{number}"), told[number % told.len()], signal, length);
    }
}

#[test]
fn a_job_that_is_stopped_stores_nothing_whoever_is_told_first() {
    table(runs(21));
}

/// What keeps a core busy until it is dropped.
struct Busy<'a>(&'a AtomicBool);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn nor_does_it_while_every_core_is_busy() {
    let over = AtomicBool::new(false);
    let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get());
    std::thread::scope(|scope| {
        let _busy = Busy(&over);
        for _ in 0..cores {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        table(runs(14));
    });
}

#[test]
fn a_signal_that_comes_long_after_the_end_either_stores_nothing_or_says_nothing_of_stopping() {
    let store = Store::start();
    for number in 0..runs(10) {
        let (name, length) = (format!("x{number}"), LENGTHS[number % 2]);
        let (signal, code) = SIGNALS[number % 3];
        let (producer, run) = under_way(&store, &name, length, "");
        // About where the request leaves: before, while and after it is under way.
        let gap = (96 + 2 * number as u64 % 40) as u32 * MS;
        tell(Told::ProducerFirst(gap), signal, &producer, &run);
        let done = run.wait_with_open_stdin();
        match done.status.code() {
            Some(0) => {
                assert_eq!(store.object(&name).unwrap().len(), length);
                never_speaks_of_stopping(&done.stderr);
            }
            other => {
                assert_eq!(other, Some(code), "{gap:?}:\n{}", done.stderr);
                assert!(store.object(&name).is_none(), "{gap:?}: a torso is stored");
            }
        }
        store.assert_no_open_upload();
    }
}

#[test]
fn a_local_store_stores_no_torso_either() {
    let folder = tempfile::tempdir().unwrap();
    let mut producer = Producer::start(LENGTHS[0]);
    let stdout = producer.child.stdout.take().unwrap();
    let run = common::run::ocipipe(["put", "--debug", "--local"]).arg(folder.path());
    let run = run.arg("oci://b/x").in_group(producer.pid).stdin_from(stdout).start();
    producer.waits();
    let apart = tell(Told::ProducerFirst(20 * MS), Signal::TERM, &producer, &run);
    let done = run.wait_with_open_stdin();
    if apart > TOO_BUSY && done.status.success() {
        return;
    }
    assert_eq!(done.status.code(), Some(143), "{}", done.stderr);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something is left");
}

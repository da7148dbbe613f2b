//! The stop of a whole job in which the signal kills the producer first, so that the stream seems
//! complete before the signal reaches ocipipe.
//!
//! `OCIPIPE_STOPS=200` sets the number of runs of each table.

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
/// In bytes: a stream of one part, and one of several.
const LENGTHS: [usize; 2] = [1_000_000, 2 * PART + 5];
const MS: Duration = Duration::from_millis(1);
/// If the signals are further apart, the machine is too busy for the test. The promise is 100 ms.
const TOO_BUSY: Duration = Duration::from_millis(90);

/// The order in which the processes of a job get the signal.
#[derive(Debug, Clone, Copy)]
enum StopOrder {
    /// The kernel sends it to the process group, as for Ctrl-C.
    Group,
    /// Each process gets it separately, with this time between, as when a systemd unit is stopped.
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

    /// Waits until the stream is written: then the process has become `sleep`.
    fn wait_until_written(&self) {
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

/// Sends the signals; returns the time between the first and the last.
fn send_stop(order: StopOrder, signal: Signal, producer: &Producer, run: &Running) -> Duration {
    let started_at = Instant::now();
    match order {
        StopOrder::Group => kill_process_group(producer.pid, signal).unwrap(),
        StopOrder::ProducerFirst(gap) => {
            kill_process(producer.pid, signal).unwrap();
            std::thread::sleep(gap);
            run.signaller()(signal);
        }
        StopOrder::ProducerLast(gap) => {
            run.signal(signal);
            std::thread::sleep(gap);
            kill_process(producer.pid, signal).unwrap();
        }
    }
    started_at.elapsed()
}

/// Starts a run whose producer has written everything and does not end.
fn start_run(store: &Store, name: &str, length: usize, options: &str) -> (Producer, Running) {
    let mut producer = Producer::start(length);
    let stdout = producer.child.stdout.take().unwrap();
    let heads = store.requests_of(HeadObject).len();
    let parts = store.requests_of(UploadPart).len();
    let run = store.put(name).args(options).in_group(producer.pid).stdin_from(stdout).start();
    store.wait_for_requests(HeadObject, heads + 1);
    if length > PART {
        store.wait_for_requests(UploadPart, parts + 1);
    }
    producer.wait_until_written();
    (producer, run)
}

/// Makes one stop and asserts that nothing is stored, unless the signals were too far apart.
fn stop(store: &Store, name: &str, order: StopOrder, (signal, code): (Signal, i32), length: usize) {
    let (producer, run) = start_run(store, name, length, "");
    let gap = send_stop(order, signal, &producer, &run);
    let what = format!("{order:?}, {signal:?}, {length} bytes, signals within {gap:?}");
    let done = run.wait_with_open_stdin();
    if gap > TOO_BUSY && matches!(order, StopOrder::ProducerFirst(_)) && done.status.success() {
        return assert_no_stop_message(&done.stderr);
    }
    assert_eq!(done.status.code(), Some(code), "{what}:\n{}", done.stderr);
    assert!(store.object(name).is_none(), "{what}: a truncated stream is stored");
    store.assert_no_open_upload();
}

fn assert_no_stop_message(stderr: &str) {
    assert!(!stderr.contains("stop"), "exit 0, and a message about stopping:\n{stderr}");
}

fn runs(default: usize) -> usize {
    std::env::var("OCIPIPE_STOPS").map_or(default, |text| text.parse().unwrap())
}

fn table(count: usize) {
    let store = Store::start();
    let orders = [
        StopOrder::Group,
        StopOrder::ProducerFirst(Duration::ZERO),
        StopOrder::ProducerLast(Duration::ZERO),
        StopOrder::ProducerFirst(5 * MS),
        StopOrder::ProducerFirst(20 * MS),
        StopOrder::ProducerFirst(50 * MS),
        StopOrder::ProducerLast(20 * MS),
    ];
    for number in 0..count {
        let signal = SIGNALS[number % SIGNALS.len()];
        let length = LENGTHS[number / orders.len() % LENGTHS.len()];
        stop(&store, &format!("x{number}"), orders[number % orders.len()], signal, length);
    }
}

#[test]
fn a_job_that_is_stopped_stores_nothing_whichever_process_gets_the_signal_first() {
    table(runs(21));
}

/// Ends the threads that keep the cores busy when it is dropped.
struct Busy<'a>(&'a AtomicBool);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_job_that_is_stopped_stores_nothing_while_every_core_is_busy() {
    let ended = AtomicBool::new(false);
    let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get());
    std::thread::scope(|scope| {
        let _busy = Busy(&ended);
        for _ in 0..cores {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        table(runs(14));
    });
}

#[test]
fn a_signal_long_after_the_end_either_stores_nothing_or_causes_no_stop_message() {
    let store = Store::start();
    for number in 0..runs(10) {
        let (name, length) = (format!("x{number}"), LENGTHS[number % 2]);
        let (signal, code) = SIGNALS[number % 3];
        let (producer, run) = start_run(&store, &name, length, "");
        // Around the time of the request: before it, while it is in flight, and after it.
        let gap = (96 + 2 * number as u64 % 40) as u32 * MS;
        send_stop(StopOrder::ProducerFirst(gap), signal, &producer, &run);
        let done = run.wait_with_open_stdin();
        match done.status.code() {
            Some(0) => {
                assert_eq!(store.object(&name).unwrap().len(), length);
                assert_no_stop_message(&done.stderr);
            }
            other => {
                assert_eq!(other, Some(code), "{gap:?}:\n{}", done.stderr);
                assert!(store.object(&name).is_none(), "{gap:?}: a truncated stream is stored");
            }
        }
        store.assert_no_open_upload();
    }
}

#[test]
fn a_local_store_stores_no_truncated_stream_either() {
    let folder = tempfile::tempdir().unwrap();
    let mut producer = Producer::start(LENGTHS[0]);
    let stdout = producer.child.stdout.take().unwrap();
    let run = common::run::ocipipe(["put", "--debug", "--local"]).arg(folder.path());
    let run = run.arg("oci://b/x").in_group(producer.pid).stdin_from(stdout).start();
    producer.wait_until_written();
    let gap = send_stop(StopOrder::ProducerFirst(20 * MS), Signal::TERM, &producer, &run);
    let done = run.wait_with_open_stdin();
    if gap > TOO_BUSY && done.status.success() {
        return;
    }
    assert_eq!(done.status.code(), Some(143), "{}", done.stderr);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "files are left");
}
